"""The label and speaker sequences of M3ED's real dialogues, shipped with the package."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness_corpora.specs import M3ED_LABELS


@dataclass(frozen=True)
class Dialogues:
    """The 990 real M3ED dialogues, labels only.

    ``names`` str [990]; ``split`` uint8 [990] (0 train, 1 valid, 2 test); ``offsets`` int64 [991]
    into ``emotion`` uint8 [U] (index into M3ED_LABELS) and ``speaker`` uint8 [U] (0 'A', 1 'B').
    """

    names: NDArray[np.str_]
    split: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    emotion: NDArray[np.uint8]
    speaker: NDArray[np.uint8]

    def rows(self, index: int) -> slice:
        """Return the utterances of one dialogue."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return the number of utterances per dialogue, int64 [990]."""
        return np.diff(self.offsets)

    def label_sets(self) -> NDArray[np.uint8]:
        """Return the union of each dialogue's emotions, uint8 [990, 7]."""
        sets = np.zeros((len(self.names), len(M3ED_LABELS)), np.uint8)
        sets[np.repeat(np.arange(len(self.names)), self.lengths), self.emotion] = 1
        return sets


@lru_cache(maxsize=1)
def dialogues() -> Dialogues:
    """Return the label sequences that are shipped with the package (data/m3ed_labels.npz)."""
    path = Path(__file__).parents[1] / "data" / "m3ed_labels.npz"
    with np.load(path, allow_pickle=False) as file:
        offsets = np.concatenate([[0], np.cumsum(file["length"].astype(np.int64))])
        return Dialogues(file["dialogue"], file["split"], offsets, file["emotion"], file["speaker"])


def stretch(emotion: NDArray[np.uint8], length: int) -> NDArray[np.int64]:
    """Return ``length`` positions of a sequence, evenly spread, that show all of its labels.

    Args:
        emotion: uint8 [n], the sequence.
        length: at least the number of distinct labels.

    Returns:
        int64 [length], not decreasing.
    """
    index = (np.arange(length) * len(emotion)) // length
    for label in np.unique(emotion):
        if label in emotion[index]:
            continue
        first = int(np.flatnonzero(emotion == label)[0])
        shown = np.bincount(emotion[index], minlength=int(emotion.max()) + 1)
        spare = np.flatnonzero(shown[emotion[index]] > 1)
        index[spare[np.argmin(np.abs(index[spare] - first))]] = first
    return np.sort(index)
