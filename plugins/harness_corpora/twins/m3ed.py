"""M3ED's twin in the authors' list-of-ten pickle: real label sequences, generated features."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness_corpora.twins import files, labels, sample
from harness_corpora.twins.design import M3ED, Design, Stream
from harness_corpora.twins.emission import basis, frames

FILE = Path("m3ed") / (
    "Asent_wav2vec_zh2chmed2e5last-Vsent_avg_affectdenseface-"
    "Lsent_cls_robert_wwm_base_chinese4chmed.pkl"
)
_CHUNK = 64


@dataclass(frozen=True)
class Drawn:
    """N dialogues of one split.

    ``ids`` N strings ``{series}_{index}``; ``lengths`` int64 [N]; ``emotion`` and ``speaker``
    uint8 [U] utterance by utterance; ``labels`` uint8 [N, 7]; ``ironic`` bool [N].
    """

    ids: list[str]
    lengths: NDArray[np.int64]
    emotion: NDArray[np.uint8]
    speaker: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    ironic: NDArray[np.bool_]


def draw(design: Design, seed: int, split: str, count: int) -> Drawn:
    """Resample dialogues of the real corpus.

    Label and speaker sequence come from one real dialogue, the length from another, to which the
    sequence is stretched without losing a label: length then says nothing of the label set, and
    the posterior is exact whether or not a protocol lets a model see the length. Series names are
    those of the real split, so that splits share no series.

    Args:
        design: the twin.
        seed: seed of the generator.
        split: ``train``, ``valid`` or ``test``.
        count: number of dialogues.
    """
    real = labels.dialogues()
    rng = design.rng(seed, split, "dialogues")
    donors = rng.integers(len(real.names), size=count)
    lengths = real.lengths[rng.integers(len(real.names), size=count)]
    names = real.names[real.split == sample.SPLITS.index(split)]
    series = sorted({str(name).rsplit("_", 1)[0] for name in names})
    emotion, speaker = [], []
    for donor, length in zip(donors.tolist(), lengths.tolist(), strict=True):
        rows = real.rows(donor)
        index = labels.stretch(real.emotion[rows], length)
        emotion.append(real.emotion[rows][index])
        speaker.append(real.speaker[rows][index])
    ids = [f"{series[i % len(series)]}_{i // len(series) + 1}" for i in range(count)]
    return Drawn(
        sorted(ids),
        lengths,
        np.concatenate(emotion),
        np.concatenate(speaker),
        real.label_sets()[donors],
        rng.random(count) < design.irony_rate,
    )


def utterance_frames(
    design: Design, stream: Stream, seed: int, split: str, drawn: Drawn
) -> Iterator[NDArray[np.float32]]:
    """Yield each dialogue's feature matrix of one modality, float32 [n, d].

    Args:
        design: the twin.
        stream: one of its modalities.
        seed: seed of the generator.
        split: ``train``, ``valid`` or ``test``.
        drawn: the dialogues.
    """
    base = basis(design, stream, seed)
    rng = design.rng(seed, split, "frames", stream.key)
    speakers = design.rng(seed, split, "speaker", stream.key).standard_normal(
        (len(drawn.ids), 2, design.nuisance.rank), dtype=np.float32
    )
    first = np.concatenate([[0], np.cumsum(drawn.lengths)])
    for begin in range(0, len(drawn.ids), _CHUNK):
        part = slice(begin, min(begin + _CHUNK, len(drawn.ids)))
        lengths = drawn.lengths[part]
        dialogue = np.repeat(np.arange(part.start, part.stop), lengths)
        offsets = speakers[dialogue, drawn.speaker[first[part.start] : first[part.stop]]]
        block = frames(
            stream,
            base,
            design.nuisance,
            drawn.labels[part],
            drawn.ironic[part],
            lengths,
            offsets,
            rng,
        )
        yield from np.split(block, np.cumsum(lengths)[:-1])


def write(root: Path, seed: int, size: str) -> None:
    """Write the twin's pickle under ``root/m3ed``, named as the authors name theirs.

    Args:
        root: data root, made if it is not there.
        seed: a function of (twin version, seed) in every array.
        size: ``default`` or ``full`` (685 / 126 / 179 dialogues).

    Raises:
        UsageError: unknown size. StorageError: the file cannot be written.
    """
    content: list[Any] = [OrderedDict() for _ in range(7)]
    ids, speakers, emotions, text, audio, visual, sentences = content
    order: list[list[str]] = []
    target = {"text": text, "audio": audio, "visual": visual}
    for split, count in zip(sample.SPLITS, M3ED.counts(size), strict=True):
        drawn = draw(M3ED, seed, split, count)
        order.append(drawn.ids)
        first = np.concatenate([[0], np.cumsum(drawn.lengths)])
        for name, a, b in zip(drawn.ids, first[:-1].tolist(), first[1:].tolist(), strict=True):
            letters = ["AB"[s] for s in drawn.speaker[a:b].tolist()]
            utterances = [f"{s}_{name}_{k}" for k, s in enumerate(letters, start=1)]
            ids[name], speakers[name] = utterances, letters
            emotions[name] = drawn.emotion[a:b].tolist()
            sentences[name] = np.array([f"generated utterance {u}" for u in utterances])
        for stream in M3ED.streams:
            rows = utterance_frames(M3ED, stream, seed, split, drawn)
            target[stream.name].update(zip(drawn.ids, rows, strict=True))
    files.write_pickle(root / FILE, [*content, *order])
