"""M3ED's twin in the authors' list-of-ten pickle: real label sequences, generated features."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.partition import PARTS
from harness_corpora.specs import M3ED_FILE
from harness_corpora.twins import files
from harness_corpora.twins.dialogues import dialogues, stretch
from harness_corpora.twins.plan import M3ED
from harness_corpora.twins.sample import ModalityFrames, draw


def write(root: Path, seed: int, size: str) -> None:
    """Write the twin's pickle under ``root/m3ed``, named as the authors name theirs.

    Label and speaker sequence come from one real dialogue, the length from another, to which the
    sequence is stretched without losing a label. Series names are those of the real split, so
    that splits share no series.

    Args:
        root: data root, made if it is not there.
        seed: the arrays are a function of it, the same bytes on every machine.
        size: ``default`` or ``full``.

    Raises:
        UsageError: unknown size. StorageError: the file cannot be written.
    """
    real = dialogues()
    content: list[Any] = [OrderedDict() for _ in range(7)]
    ids, speakers, emotions, text, audio, visual, sentences = content
    order: list[list[str]] = []
    target = {"text": text, "audio": audio, "visual": visual}
    for split, count in M3ED.counts(size).items():
        drawn, names = draw(M3ED, seed, split, count), _names(split, count)
        order.append(names)
        for name, donor, length in zip(names, drawn.donor, drawn.amount.tolist(), strict=True):
            rows = real.rows(donor)
            index = stretch(real.emotion[rows], length)
            letters = ["AB"[s] for s in real.speaker[rows][index].tolist()]
            utterances = [f"{s}_{name}_{k}" for k, s in enumerate(letters, start=1)]
            ids[name], speakers[name] = utterances, letters
            emotions[name] = real.emotion[rows][index].tolist()
            sentences[name] = np.array([f"generated utterance {u}" for u in utterances])
        for modality in M3ED.modalities:
            source = ModalityFrames(M3ED, modality, seed, split, drawn)
            for i, name in enumerate(names):
                target[modality.name][name] = source.frames(i)[0]
    files.write_pickle(root / M3ED_FILE.path, [*content, *order])


def _names(split: str, count: int) -> list[str]:
    """Return dialogue ids ``{series}_{number}`` in order, of the series of the real split."""
    real = dialogues()
    own = real.names[real.split == PARTS.index(split)]
    series = sorted({str(name).rsplit("_", 1)[0] for name in own})
    return sorted(f"{series[i % len(series)]}_{i // len(series) + 1}" for i in range(count))
