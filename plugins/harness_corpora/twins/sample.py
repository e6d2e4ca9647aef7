"""What is drawn before any frame: groups, label sets, irony, lengths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness_corpora.twins import labels
from harness_corpora.twins.design import Design, Stream
from harness_corpora.twins.emission import basis, frames

SPLITS = ("train", "valid", "test")

# Quantiles of the real training segments' durations in seconds and of segments per video.
DURATION = (
    (0.0, 0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 1.0),
    (0.5, 1.70, 2.36, 2.90, 4.33, 6.40, 9.38, 13.44, 16.60, 24.37, 109.4),
)
SEGMENTS = (
    (0.0, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 1.0),
    (1.0, 1.0, 1.0, 3.0, 5.0, 10.0, 15.0, 20.0, 34.0, 98.0),
)
WORDS_PER_SECOND = 2.6
_CHUNK = 256


@dataclass(frozen=True)
class Segments:
    """N segments of one split: ``labels`` uint8 [N, L], ``ironic`` bool [N], ``groups`` int64 [N].

    ``groups`` numbers the videos; ``duration`` float64 [N] is in seconds.
    """

    labels: NDArray[np.uint8]
    ironic: NDArray[np.bool_]
    groups: NDArray[np.int64]
    duration: NDArray[np.float64]

    def lengths(self, stream: Stream) -> NDArray[np.int64]:
        """Return the stored frames per segment, int64 [N], at least one."""
        rate = stream.rate or WORDS_PER_SECOND
        counts = np.rint(self.duration * rate).astype(np.int64)
        return np.clip(counts, 1, stream.max_length)


def segments(design: Design, seed: int, split: str, count: int) -> Segments:
    """Draw the segments of a split: videos, label sets alike within a video, irony, durations.

    Args:
        design: the twin.
        seed: seed of the generator.
        split: ``train``, ``valid`` or ``test``.
        count: N, number of segments.
    """
    rng = design.rng(seed, split, "segments")
    sizes = np.rint(np.interp(rng.random(count), *SEGMENTS)).astype(np.int64)
    # In a small split no video has more than a twentieth of the clips.
    sizes = np.minimum(sizes, max(1, count // 20))
    groups = np.repeat(np.arange(count), sizes)[:count]
    y = labels.draw(design.labels, groups, np.array(labels.MOSEI_GROUP_KEEP), rng)
    ironic = rng.random(count) < design.irony_rate
    return Segments(y, ironic, groups, np.interp(rng.random(count), *DURATION))


def segment_frames(
    design: Design, stream: Stream, seed: int, split: str, drawn: Segments
) -> Iterator[tuple[slice, NDArray[np.int64], NDArray[np.float32]]]:
    """Draw a stream's frames, a few hundred segments at a time (so that ``full`` fits in memory).

    Args:
        design: the twin.
        stream: one of its modalities.
        seed: seed of the generator.
        split: ``train``, ``valid`` or ``test``.
        drawn: the N segments.

    Yields:
        the segments' slice, their lengths int64 [n] and their frames float32 [sum, d].
    """
    base = basis(design, stream, seed)
    lengths = drawn.lengths(stream)
    speaker = design.rng(seed, split, "speaker", stream.key).standard_normal(
        (int(drawn.groups.max()) + 1, design.nuisance.rank), dtype=np.float32
    )
    rng = design.rng(seed, split, "frames", stream.key)
    for begin in range(0, len(lengths), _CHUNK):
        part = slice(begin, min(begin + _CHUNK, len(lengths)))
        offsets = speaker[np.repeat(drawn.groups[part], lengths[part])]
        yield (
            part,
            lengths[part],
            frames(
                stream,
                base,
                design.nuisance,
                drawn.labels[part],
                drawn.ironic[part],
                lengths[part],
                offsets,
                rng,
            ),
        )


def padded(
    design: Design,
    stream: Stream,
    seed: int,
    split: str,
    drawn: Segments,
    out: NDArray[np.float32],
    pad: str = "end",
) -> None:
    """Fill ``out`` with the frames of a stream, zeros elsewhere.

    Args:
        design: the twin.
        stream: one of its modalities.
        seed: seed of the generator.
        split: ``train``, ``valid`` or ``test``.
        drawn: the N segments.
        out: float32 [N, max_length, d], filled in place.
        pad: side of the zero rows, ``end`` or ``start``.
    """
    for part, lengths, rows in segment_frames(design, stream, seed, split, drawn):
        position = np.arange(stream.max_length)
        if pad == "end":
            real = position < lengths[:, None]
        else:
            real = position >= (stream.max_length - lengths)[:, None]
        out[part][real] = rows
