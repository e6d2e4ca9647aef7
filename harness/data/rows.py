"""Samples of rows [T_i, d], handled in blocks: what preparation reads, checks and writes.

Memory holds a block, never a split: `FlatRows` may lie on disk, and pages are let go of behind the
block that is looked at.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from harness.data.mapped import Scratch, release

# Bytes of float32 rows that are looked at together; a processor's cache holds them.
BLOCK_BYTES = 1 << 22
# Rows of more bytes than this are gathered on disk.
IN_MEMORY = 1 << 26


class FlatRows(Sequence[NDArray[np.float32]]):
    """Samples one after another in one array.

    Attributes:
        flat: float32 [sum of T_i, d].
        lengths: int64 [N], the T_i.
    """

    def __init__(self, flat: NDArray[np.float32], lengths: NDArray[np.int64]) -> None:
        self.flat, self.lengths = flat, lengths
        self._ends = np.concatenate([[0], np.cumsum(lengths)])

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.float32]: ...
    @overload
    def __getitem__(self, index: slice) -> FlatRows: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Return a sample's rows, or consecutive samples; views."""
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise ValueError("only consecutive samples can be taken together")
            stop = max(start, stop)
            return FlatRows(self.flat[self._ends[start] : self._ends[stop]], self.lengths[index])
        place = range(len(self))[index]
        return self.flat[self._ends[place] : self._ends[place + 1]]


class Block(NamedTuple):
    """Consecutive samples: index of the first, their rows float32 [K, d], their lengths."""

    start: int
    flat: NDArray[np.float32]
    lengths: NDArray[np.int64]


def lengths_of(rows: Any) -> NDArray[np.int64]:
    """Return the number of rows of each sample, int64 [N]."""
    if isinstance(rows, FlatRows):
        return rows.lengths
    return np.fromiter((len(x) for x in rows), dtype=np.int64, count=len(rows))


def flat_of(rows: Any, dim: int) -> Block:
    """Return all of some samples as one block; without a copy where they are `FlatRows`."""
    if isinstance(rows, FlatRows):
        return Block(0, rows.flat, rows.lengths)
    none = np.zeros((0, dim), dtype=np.float32)
    return Block(0, np.concatenate([none, *rows]), lengths_of(rows))


def blocks(rows: Any, dim: int) -> Iterator[Block]:
    """Yield samples in blocks of about `BLOCK_BYTES`; pages of a block are let go of after it."""
    lengths = lengths_of(rows)
    number = np.cumsum(lengths * (4 * dim)) // BLOCK_BYTES
    cuts = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(lengths)]
    for start, stop in itertools.pairwise(cuts):
        if stop > start:
            block = flat_of(rows[start:stop], dim)
            yield block._replace(start=start)
            release(block.flat)


def filled(rows: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which rows [..., d] are not all zero, bool [...]."""
    return np.asarray(rows.any(axis=-1))


def all_finite(values: NDArray[Any]) -> bool:
    """Return whether no value is NaN or infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum()  # quicker than looking at each, and finite only if they are
    return bool(np.isfinite(total) or np.isfinite(values).all())


def per_sample(values: NDArray[Any], lengths: NDArray[np.int64]) -> NDArray[Any]:
    """Return the sums over each sample's rows [K, ...] -> [N, ...], 0 for samples without rows."""
    out = np.zeros((len(lengths), *values.shape[1:]), dtype=values.dtype)
    some = lengths > 0
    starts = (np.cumsum(lengths) - lengths)[some]
    if len(starts):
        out[some] = np.add.reduceat(values, starts, axis=0)
    return out


class RowGatherer:
    """Puts blocks of rows together to `FlatRows`, on disk where they may be large.

    Args:
        most: the number of rows that will be given at most.
        dim: the number of features d.
    """

    def __init__(self, most: int, dim: int) -> None:
        self._dim = dim
        size = 4 * most * dim
        self._scratch = Scratch(size) if size > IN_MEMORY else None
        self._parts: list[NDArray[np.float32]] = [np.zeros((0, dim), dtype=np.float32)]
        self._lengths: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]

    def add(self, rows: NDArray[np.float32], lengths: NDArray[np.int64]) -> None:
        """Add samples: contiguous rows float32 [K, d], the number of each sample's.

        Raises:
            StorageError: the disk is full.
        """
        self._lengths.append(lengths)
        if self._scratch is None:
            self._parts.append(rows)
        else:
            self._scratch.append(rows)

    def finish(self) -> FlatRows:
        """Return all of them."""
        lengths = np.concatenate(self._lengths)
        if self._scratch is None:
            return FlatRows(np.concatenate(self._parts), lengths)
        count = self._scratch.end // 4
        flat = self._scratch.array(0, np.float32, count).reshape(-1, self._dim)
        return FlatRows(flat, lengths)
