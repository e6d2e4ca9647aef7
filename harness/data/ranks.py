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
_TOGETHER = 1 << 20


def quantised(rows: NDArray[np.float32]) -> IntArray:
    """Return features in steps of 1/1024, int64, within -65536..65536; no number counts 0."""
    finite = np.where(np.isfinite(rows), rows, np.float32(0.0))
    steps = np.rint(np.clip(finite, -_LARGEST, _LARGEST) * np.float32(_UNIT))
    return np.asarray(steps, dtype=np.int64)


def scaled(quantities: IntArray, scale: IntArray) -> IntArray:
    """Return the sum over features of floor(256 q^2 / scale), int64 [K].

    Args:
        quantities: int64 [K, d].
        scale: int64 [d], mean square of each feature over the training split.
    """
    # Exact: the quotient of integers below 2^40 never rounds up to the next integer.
    squares = 256.0 * quantities.astype(np.float64) ** 2
    return np.asarray(np.floor(squares / scale).astype(np.int64).sum(axis=1))


def energies(of_rows: IntArray, counts: IntArray) -> IntArray:
    """Return the mean of `scaled` over the positions of each sample, rounded down, int64 [N].

    Args:
        of_rows: int64 [S], of the valid positions of N samples one after the other.
        counts: int64 [N], positions of each; the energy of none is 0.
    """
    totals = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(of_rows)])
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
        columns = []
        for column, scale in enumerate(self._training.mean_squares):
            numbers, counts = self._split.valid_positions(column)
            distinct, place = np.unique(numbers, return_inverse=True)
            each = [scaled(rows, scale) for rows in _quantised(self._split, column, distinct)]
            own = np.concatenate([np.zeros(0, dtype=np.int64), *each])
            columns.append(energies(own[place], counts))
        return np.stack(columns, axis=1)


def mean_squares(split: StoredSplit) -> list[IntArray]:
    """Return the mean square of each feature over valid positions, int64 [d] per modality.

    It is rounded down, and at least 1.
    """
    found = []
    for column, modality in enumerate(split.modalities):
        numbers, _ = split.valid_positions(column)
        distinct, times = np.unique(numbers, return_counts=True)
        total, done = np.zeros(modality.dim, dtype=np.int64), 0
        for rows in _quantised(split, column, distinct):
            total += (rows**2 * times[done : done + len(rows), None]).sum(axis=0)
            done += len(rows)
        found.append(np.maximum(1, total // max(len(numbers), 1)))
    return found


def _quantised(split: StoredSplit, column: int, numbers: IntArray) -> Iterator[IntArray]:
    """Yield quantised rows, int64 [K, d], some at a time."""
    size = max(1, _TOGETHER // split.modalities[column].dim)
    for begin in range(0, len(numbers), size):
        yield quantised(split.rows_at(column, numbers[begin : begin + size]))
