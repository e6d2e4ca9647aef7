"""Parts A1 to A4 of recipe v2 without NumPy: hashlib, struct and Python's integers.

Written from the recipe's text (`docs/twins.md`), not from `harness_corpora.twins`, so that both can
only agree where they do what the text says.
"""

from __future__ import annotations

import hashlib
import struct
from bisect import bisect_right
from functools import cache
from math import isqrt

MASK64, MASK128 = (1 << 64) - 1, (1 << 128) - 1
MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
GAINS = (1, 3, 4, 6, 8, 9, 11, 13, 16, 18, 21, 25, 30, 36, 47, 78)


class Words:
    """PCG64 (XSL-RR 128/64) under the SHA-256 of a name."""

    def __init__(self, name: str) -> None:
        seed = hashlib.sha256(name.encode()).digest()
        self.state = int.from_bytes(seed[:16], "little")
        self.increment = int.from_bytes(seed[16:], "little") | 1

    def words(self, count: int) -> list[int]:
        """Return 32-bit words; a surplus half is thrown away."""
        found: list[int] = []
        while len(found) < count:
            self.state = (self.state * MULTIPLIER + self.increment) & MASK128
            mixed, turn = (self.state >> 64) ^ (self.state & MASK64), self.state >> 122
            out = ((mixed >> turn) | (mixed << (64 - turn))) & MASK64
            found += [out & 0xFFFFFFFF, out >> 32]
        return found[:count]

    def normals(self, count: int) -> list[int]:
        """Return normals times 256."""
        return [
            (-1 if u & 1 else 1) * bisect_right(thresholds(), u >> 1) for u in self.words(count)
        ]

    def shuffle(self, count: int, first: int) -> list[int]:
        """Return the first entries of a random order."""
        order = list(range(count))
        for i, word in enumerate(self.words(first)):
            j = i + (word * (count - i) >> 32)
            order[i], order[j] = order[j], order[i]
        return order[:first]


@cache
def thresholds() -> tuple[int, ...]:
    """Return round(2^31 (2 Phi((2j+1)/512) - 1)), by fixed point of 320 fractional bits."""
    bits = 320
    one = 1 << bits
    pi = 16 * _arctan_of_inverse(5, one) - 4 * _arctan_of_inverse(239, one)
    root = isqrt((2 * one * one // pi) << bits)
    found: list[int] = []
    for odd in range(1, 1 << 20, 2):
        # sqrt(2/pi) sum_i (-1)^i x^(2i+1) / (2^i i! (2i+1)), x = odd/512.
        term, total, i = odd * one // 512, 0, 0
        while term:
            total += (-1) ** i * (term // (2 * i + 1))
            i += 1
            term = term * odd * odd // (2 * i * 512 * 512)
        size = ((root * total >> bits) + (one >> 32)) >> (bits - 31)
        if size >= 1 << 31:
            break
        found.append(size)
    return tuple(found)


def _arctan_of_inverse(n: int, one: int) -> int:
    power, total, k = one // n, 0, 0
    while power:
        total += (-1) ** k * (power // (2 * k + 1))
        power //= n * n
        k += 1
    return total


def basis(prefix: str, dim: int, rows: int, reserved: int | None) -> tuple[list[list[int]], int]:
    """Return the signs of the rows, 0 outside the block, and the root of the block's size."""
    free = [i for i in range(dim) if i != reserved]
    root = 1
    while 4 * root * root <= len(free):
        root *= 2
    index = [1 + i for i in Words(f"{prefix}/rows").shuffle(root * root - 1, rows)]
    place = [free[i] for i in Words(f"{prefix}/columns").shuffle(len(free), root * root)]
    signs = [[0] * dim for _ in range(rows)]
    for row, number in zip(signs, index, strict=True):
        for column, coordinate in enumerate(place):
            row[coordinate] = -1 if (number & column).bit_count() % 2 else 1
    return signs, root


def frames(
    name: str,
    signs: list[list[int]],
    root: int,
    *,
    length: int,
    max_length: int,
    window: int,
    mean: list[int],
    offset: list[int],
    speaker: int,
    tail: int,
    floor: int,
    reserved: int | None,
) -> bytes:
    """Return the float32 bytes, little-endian, of a sample's frames.

    Everything is an integer over 256 · 256 · root²: exact until the last step.
    """
    stream, dim, rank, axes = Words(name), len(signs[0]), len(offset), len(mean)
    seen = min(length, max_length)
    width = min(window, seen)
    start = stream.words(1)[0] * (seen - width + 1) >> 32
    gain = GAINS[stream.words(1)[0] >> 28]
    limit = round(0.02 * 2**32)
    broken = [False] * length
    if reserved is not None:
        broken = [word < limit for word in stream.words(length)]
    code, heavy = stream.normals(length * axes), stream.normals(length * rank)
    noise = stream.normals(length * dim)
    out: list[float] = []
    for t in range(length):
        event = start <= t < start + width
        known = [256 * (code[t * axes + k] + (mean[k] if event else 0)) for k in range(axes)]
        known += [16 * speaker * x for x in offset]
        known += [tail * gain * x for x in heavy[t * rank : (t + 1) * rank]]
        z = [8 * floor * x for x in noise[t * dim : (t + 1) * dim]]
        value = [x * root * root for x in z]
        for row, goal in zip(signs, known, strict=True):
            change = goal * root - sum(s * x for s, x in zip(row, z, strict=True))
            value = [v + s * change for v, s in zip(value, row, strict=True)]
        exact = [v / (256 * 256 * root * root) for v in value]
        if reserved is not None:
            exact[reserved] = float("-inf") if broken[t] else z[reserved] / 65536
        out += exact
    return struct.pack(f"<{len(out)}f", *out)
