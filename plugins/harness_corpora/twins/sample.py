"""What a twin draws: label sets, states, videos and lengths, then frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness_corpora.twins.dialogues import dialogues
from harness_corpora.twins.frames import Event, Floats, draw_code, draw_frames
from harness_corpora.twins.labels import DURATION, clip_sets, prototypes, videos
from harness_corpora.twins.plan import Modality, Plan
from harness_corpora.twins.words import GRID, Stream

Integers = NDArray[np.int64]

# What each label does to the sentiment column of the unaligned file, in tenths.
SENTIMENT = (15, -10, -10, 0, -12, -3)
_CLIP_WORDS, _DIALOGUE_WORDS = 9, 3


@dataclass(frozen=True)
class Drawn:
    """N samples of a split, before any frame.

    Attributes:
        labels: uint8 [N, L].
        irony: s, bool [N].
        video: int64 [N], the group; of a dialogue its own number.
        amount: int64 [N], milliseconds of a clip, utterances of a dialogue.
        donor: int64 [N], the real dialogue that labels and speakers are of; empty for clips.
    """

    labels: NDArray[np.uint8]
    irony: NDArray[np.bool_]
    video: Integers
    amount: Integers
    donor: Integers


def draw(plan: Plan, seed: int, split: str, count: int) -> Drawn:
    """Return the samples of a split.

    Args:
        plan: of the twin.
        seed: of the twin.
        split: its name is part of the streams'.
        count: N; sample i of M3ED does not depend on it, videos of MOSEI do.
    """
    prefix = plan.prefix(seed, split)
    size = _DIALOGUE_WORDS if plan.dialogues else _CLIP_WORDS
    words = np.stack([Stream(f"{prefix}/{i}/clip").words(size) for i in range(count)])
    if plan.dialogues:
        real = dialogues()
        donor, other = (
            (words[:, column] * np.uint64(len(real.names)) >> np.uint64(32)).astype(np.int64)
            for column in (0, 1)
        )
        irony = words[:, 2] < np.uint64(plan.irony)
        return Drawn(real.label_sets()[donor], irony, np.arange(count), real.lengths[other], donor)
    video = videos(prefix, count)
    labels = clip_sets(prototypes(prefix, video)[video], words[:, :-2])
    irony = words[:, -2] < np.uint64(plan.irony)
    return Drawn(labels, irony, video, DURATION.at(words[:, -1]), np.zeros(0, dtype=np.int64))


class ModalityFrames:
    """The frames of one modality of a split, each sample from its own streams.

    Args:
        plan: of the twin, which names the streams.
        modality: of the plan.
        seed: of the twin.
        split: its name is part of the streams'.
        drawn: the samples. Those of another plan with the same labels are allowed: the file of
            labels beside the unaligned twin holds aligned features of the unaligned samples.
    """

    def __init__(self, plan: Plan, modality: Modality, seed: int, split: str, drawn: Drawn) -> None:
        self.emission = plan.emission(modality, seed)
        self.lengths = modality.lengths(drawn.amount)
        self.means = plan.means(modality, drawn.labels, drawn.irony)
        self._prefix, self.key = plan.prefix(seed, split), modality.key
        self._video, self._rank = drawn.video, plan.rank

    def frames(self, index: int) -> tuple[NDArray[np.float32], Event]:
        """Return the frames of a sample as stored, float32 [T, d], and its event."""
        length, mean = int(self.lengths[index]), self.means[index]
        return draw_frames(self.emission, self._stream(index), length, mean, self.offset(index))

    def code(self, index: int) -> Floats:
        """Return the code that reading a sample's frames gives, float64 [T, C], in units of 1.

        Nothing else is drawn: it takes a tenth of the time of `frames`.
        """
        length, mean = int(self.lengths[index]), self.means[index]
        code, _, _ = draw_code(self.emission, self._stream(index), length, mean)
        return code / GRID

    def offset(self, index: int) -> Floats:
        """Return the offset of a sample's video, [rank], times 256, before its amplitude."""
        name = f"{self._prefix}/speaker/{self._video[index]}/{self.key}"
        return Stream(name).normals(self._rank).astype(np.float64)

    def _stream(self, index: int) -> Stream:
        return Stream(f"{self._prefix}/{index}/{self.key}")


def sentiment_thirds(plan: Plan, seed: int, split: str, drawn: Drawn) -> Integers:
    """Return the sentiment column of the unaligned file, int64 [N] in thirds, from -9 to 9.

    Args:
        plan: of the twin.
        seed: of the twin.
        split: its name is part of the streams'.
        drawn: the samples.
    """
    prefix = plan.prefix(seed, split)
    noise = np.array(
        [int(Stream(f"{prefix}/{i}/sentiment").normals(1)[0]) for i in range(len(drawn.labels))]
    )
    raw = GRID * (drawn.labels.astype(np.int64) @ np.array(SENTIMENT)) + 7 * noise
    limit = 3 * 10 * GRID
    return np.asarray((6 * np.clip(raw, -limit, limit) + 2560) // 5120)
