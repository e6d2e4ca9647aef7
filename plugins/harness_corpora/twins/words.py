"""Random draws that are the same bytes on every machine: integer words, and normals on a grid.

A stream is named by a text; its words are the raw
output of PCG64, which NumPy freezes (NEP 19), and everything drawn from them is integer arithmetic.
A quantity of a list is one call: the halves of 64-bit outputs that a call leaves over are thrown
away at its end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Integers = NDArray[np.int64]

GRID = 256
"""Normals are multiples of 1/256."""
WHOLE = 1 << 32
THRESHOLDS_SHA256 = "910b5a804d4e6b2b8da08532dc0a0bc00505b4206351ae5eb61fab70113ca2b0"
_BITS = 256
_GUIDE_SHIFT = 15


class Stream:
    """The words of a named stream, in order.

    Args:
        name: for example ``twins-v2/mosei-aligned/0/test/17/t``.
    """

    def __init__(self, name: str) -> None:
        digest = hashlib.sha256(name.encode()).digest()
        self._bits = np.random.PCG64()
        self._bits.state = {
            "bit_generator": "PCG64",
            "state": {
                "state": int.from_bytes(digest[:16], "little"),
                "inc": int.from_bytes(digest[16:], "little") | 1,
            },
            "has_uint32": 0,
            "uinteger": 0,
        }

    def words(self, count: int) -> Words:
        """Return the next words, uint64 [count], each in [0, 2^32): one call."""
        raw = np.atleast_1d(self._bits.random_raw(-(-count // 2)))
        return np.stack([raw & 0xFFFFFFFF, raw >> np.uint64(32)], axis=1).reshape(-1)[:count]

    def normals(self, *shape: int) -> Integers:
        """Return standard normals times 256, int64 of this shape: one call of words."""
        return normals(self.words(int(np.prod(shape)))).reshape(shape)

    def below(self, limit: int) -> int:
        """Return an integer in [0, limit): one word."""
        return int(self.words(1)[0]) * limit >> 32

    def happens(self, limit: int) -> bool:
        """Return whether the event of this `threshold` happens: one word."""
        return int(self.words(1)[0]) < limit

    def shuffle(self, count: int, first: int) -> list[int]:
        """Return the first entries of a random order of 0..count-1 (Fisher-Yates): one call.

        Args:
            count: length of the order.
            first: how many of it are drawn.
        """
        order = list(range(count))
        for i, word in enumerate(self.words(first).tolist()):
            j = i + (word * (count - i) >> 32)
            order[i], order[j] = order[j], order[i]
        return order[:first]


def threshold(probability: float) -> int:
    """Return the integer P such that a word below P has this probability."""
    return round(WHOLE * probability)


def choose(word: int, sums: Sequence[int] | Integers) -> int:
    """Return the choice that a word makes among integer weights.

    Args:
        word: in [0, 2^32).
        sums: running sums of the weights.
    """
    total = int(sums[-1])
    target = word if total == WHOLE else word * total >> 32
    return int(np.searchsorted(np.asarray(sums, dtype=np.int64), target, side="right"))


def normals(words: Words) -> Integers:
    """Return the normal, times 256, that each word stands for: its lowest bit is the sign.

    The magnitude is the number of thresholds H_j = 2^31 (2 Phi((2j+1)/512) - 1) that the other 31
    bits reach.
    """
    table, guide = _tables()
    size = words >> np.uint64(1)
    cell = (size >> np.uint64(_GUIDE_SHIFT)).astype(np.int64)
    magnitude = guide[cell]
    open_ = np.flatnonzero(guide[cell + 1] != magnitude)
    magnitude[open_] = np.searchsorted(table, size[open_], side="right")
    return np.where(words & np.uint64(1), -magnitude, magnitude)


@cache
def _tables() -> tuple[Words, Integers]:
    """Return the thresholds, and per value of the upper bits how many lie below its cell."""
    table = np.array(thresholds(), dtype=np.uint64)
    found = hashlib.sha256(table.astype("<u4").tobytes()).hexdigest()
    if found != THRESHOLDS_SHA256:
        raise AssertionError(f"the table of normal thresholds has the digest {found}")
    starts = np.arange((1 << (31 - _GUIDE_SHIFT)) + 1, dtype=np.uint64) << np.uint64(_GUIDE_SHIFT)
    # A cell's magnitude counts thresholds up to its first value.
    return table, np.searchsorted(table, starts, side="right")


def thresholds() -> list[int]:
    """Return H_0, H_1, ... below 2^31, from integers with 256 fractional bits alone."""
    one = 1 << _BITS
    scale = isqrt((2 * one << _BITS) * one // _pi())  # sqrt(2/pi)
    found: list[int] = []
    while True:
        j = len(found)
        x = (2 * j + 1) * one // 512
        term, total, i = x, 0, 0
        while term:
            part = term // (2 * i + 1)
            total += -part if i % 2 else part
            i += 1
            term = (term * x >> _BITS) * x // (2 * i) >> _BITS
        value = scale * total >> _BITS  # 2 Phi(x) - 1
        rounded = ((value << 31) + (one >> 1)) >> _BITS
        if rounded >= 1 << 31:
            return found
        found.append(rounded)


def _pi() -> int:
    """Return pi with 256 fractional bits, by Machin's formula."""
    guard = 32
    one = 1 << (_BITS + guard)

    def arctan_inverse(n: int) -> int:
        term = total = one // n
        k, sign = 1, -1
        while term:
            term //= n * n
            k += 2
            total += sign * (term // k)
            sign = -sign
        return total

    return 4 * (4 * arctan_inverse(5) - arctan_inverse(239)) >> guard
