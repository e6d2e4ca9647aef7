"""Ranks of samples by their own features: what missingness that is not at random follows.

A statistic per sample and modality, in exact integers: its energy or its number of valid positions,
before any dropout. The rank is among the training samples that have the modality, so that a
sample's masks depend on its own content and on the training split alone, and never on a label. All
of it is a function of what is stored, which the content hash covers; nothing is stored beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from harness.data.layouts.stored import StoredSplit
    from harness.protocols.dropout.request import Ranks

IntArray = NDArray[np.int64]
STATISTICS = ("energy", "length")
_UNIT, _LARGEST = 1024.0, 64.0
# Features that are looked at together.
_TOGETHER = 1 << 22


def quantised(rows: NDArray[np.float32]) -> IntArray:
    """Return features in steps of 1/1024, int64, within -65536..65536; no number counts 0."""
    finite = np.where(np.isfinite(rows), rows, np.float32(0.0))
    steps = np.rint(np.clip(finite, -_LARGEST, _LARGEST) * np.float32(_UNIT))
    return np.asarray(steps, dtype=np.int64)


def energies(quantities: IntArray, counts: IntArray, scale: IntArray) -> IntArray:
    """Return the mean over positions of the sum of scaled squares, int64 [n].

    Args:
        quantities: int64 [K, d], the valid positions of n samples one after the other.
        counts: int64 [n], positions of each; the energy of none is 0.
        scale: int64 [d], mean square of each feature over the training split.
    """
    totals = np.concatenate([[0], np.cumsum((256 * quantities**2 // scale).sum(axis=1))])
    ends = np.cumsum(counts)
    return np.asarray((totals[ends] - totals[ends - counts]) // np.maximum(counts, 1))


def ranked(values: IntArray, among: IntArray) -> IntArray:
    """Return 2 #{among < value} + #{among = value}, int64: mid-ranks, times two."""
    among = np.sort(among)
    below = np.searchsorted(among, values, side="left")
    return np.asarray(below + np.searchsorted(among, values, side="right"), dtype=np.int64)


class SplitRanks(Mapping[str, "Ranks"]):
    """The ranks of a split by statistic, computed when they are asked for.

    Args:
        split: whose samples are ranked.
        training: the training split of the same store.
    """

    def __init__(self, split: StoredSplit, training: StoredSplit) -> None:
        self._split, self._training = split, training
        self._found: dict[str, Ranks] = {}

    def __getitem__(self, statistic: str) -> Ranks:
        if statistic not in self._found:
            own, known = (s.statistics[statistic] for s in (self._split, self._training))
            r = np.zeros_like(own)
            n = self._training.natural.sum(axis=0, dtype=np.int64)
            for column, there in enumerate(self._split.natural.T):
                among = known[self._training.natural[:, column], column]
                r[there, column] = ranked(own[there, column], among)
            self._found[statistic] = r, n
        return self._found[statistic]

    def __iter__(self) -> Iterator[str]:
        return iter(STATISTICS)

    def __len__(self) -> int:
        return len(STATISTICS)


class SplitStatistics(Mapping[str, IntArray]):
    """The statistics of a split, int64 [N, M] each, computed when they are asked for.

    Args:
        split: whose samples.
        training: the training split, whose mean squares scale the energy.
    """

    def __init__(self, split: StoredSplit, training: StoredSplit) -> None:
        self._split, self._training = split, training

    def __getitem__(self, statistic: str) -> IntArray:
        if statistic not in STATISTICS:
            raise KeyError(statistic)
        return self._split.valid_lengths if statistic == "length" else self._energy

    def __iter__(self) -> Iterator[str]:
        return iter(STATISTICS)

    def __len__(self) -> int:
        return len(STATISTICS)

    @cached_property
    def _energy(self) -> IntArray:
        columns = [
            np.concatenate(
                [np.zeros(0, dtype=np.int64)]
                + [energies(rows, counts, scale) for rows, counts in _chunks(self._split, column)]
            )
            for column, scale in enumerate(self._training.mean_squares)
        ]
        return np.stack(columns, axis=1)


def mean_squares(split: StoredSplit) -> list[IntArray]:
    """Return the mean square of each feature over valid positions, int64 [d] per modality.

    It is rounded down, and at least 1.
    """
    found = []
    for column, modality in enumerate(split.modalities):
        total, count = np.zeros(modality.dim, dtype=np.int64), 0
        for rows, _ in _chunks(split, column):
            total += (rows**2).sum(axis=0)
            count += len(rows)
        found.append(np.maximum(1, total // max(count, 1)))
    return found


def _chunks(split: StoredSplit, column: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield the quantised valid positions of some samples, int64 [K, d], and their counts [n]."""
    size = np.maximum(split.valid_lengths[:, column], 1) * split.modalities[column].dim
    part = (np.cumsum(size) - size) // _TOGETHER
    for begin, end in zip(*_runs(part), strict=True):
        rows, counts = split.valid_rows(column, np.arange(begin, end))
        yield quantised(rows), counts


def _runs(part: IntArray) -> tuple[list[int], list[int]]:
    edges = np.flatnonzero(np.diff(part)) + 1
    return [0, *edges.tolist()], [*edges.tolist(), len(part)]
