"""Paired permutation test over groups (approximate randomisation) of seed-averaged metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from harness.statistics.counts import Floats, GroupSums

PERMUTATIONS = 10_000
_CHUNK = 500
# Numbers that are held at a time, 32 MB: few large operations, and bounded memory.
_VALUES = 4_000_000
# Differences that are equal but for rounding count as equal: the test must not be liberal.
_TOLERANCE = 1e-12


def paired_permutation(
    a: GroupSums, b: GroupSums, permutations: int = PERMUTATIONS, seed: int = 0
) -> float:
    """Return the two-sided p of the difference of two models, (1 + #) / (R + 1).

    H0: in every group the two models could be exchanged. A permutation exchanges whole groups, all
    seeds of a group together, each with probability 1/2; the metric is averaged over seeds within.

    Args:
        a: the sums of a metric, S seeds and G groups.
        b: alike; seed i of ``a`` is exchanged with seed i of ``b``.
        permutations: R.
        seed: of the generator (PCG64).
    """
    return all_pairs([a, b], [((0, 1), (slice(None), slice(None)))], permutations, seed)[0]


Rows = slice | Sequence[int]
Pair = tuple[tuple[int, int], tuple[Rows, Rows]]


def all_pairs(
    models: Sequence[GroupSums],
    pairs: Sequence[Pair],
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> list[float]:
    """Return the p of several pairs under the same permutations, as `paired_permutation`.

    A pair is ``((i, j), (rows of i, rows of j))``: the rows are the seeds that are exchanged with
    each other. What a permutation takes from a model does not depend on the other model, so each
    model is multiplied once, whatever the number of pairs.
    """
    totals, value = [m.rows.sum(axis=1) for m in models], models[0].value
    observed = [
        value(totals[i][ri]).mean() - value(totals[j][rj]).mean() for (i, j), (ri, rj) in pairs
    ]
    hits = np.zeros(len(pairs), dtype=np.int64)
    shapes = [m.rows.shape for m in models]
    flat = [
        m.rows.transpose(1, 0, 2).reshape(s[1], s[0] * s[2])
        for m, s in zip(models, shapes, strict=True)
    ]
    widest = max(sum(f.shape[1] for f in flat), shapes[0][1])
    for swap in _swaps(shapes[0][1], permutations, seed, max(_VALUES // widest, _CHUNK)):
        moved = [(swap @ f).reshape(-1, s[0], s[2]) for f, s in zip(flat, shapes, strict=True)]
        for number, ((i, j), (ri, rj)) in enumerate(pairs):
            gained = moved[j][:, rj] - moved[i][:, ri]
            first = value(totals[i][ri] + gained).mean(axis=1)
            second = value(totals[j][rj] - gained).mean(axis=1)
            far = np.abs(first - second) >= abs(observed[number]) - _TOLERANCE
            hits[number] += int(far.sum())
    return [float((1 + h) / (permutations + 1)) for h in hits]


def every_pair(count: int) -> list[tuple[int, int]]:
    """Return the pairs i < j of ``count`` models."""
    return list(combinations(range(count), 2))


def _swaps(groups: int, permutations: int, seed: int, most: int) -> Iterator[Floats]:
    """Yield the permutations, about ``most`` at a time; the draws do not depend on it."""
    rng = np.random.Generator(np.random.PCG64(seed))
    drawn: list[NDArray[np.uint8]] = []
    for start in range(0, permutations, _CHUNK):
        size = (min(_CHUNK, permutations - start), groups)
        drawn.append(rng.integers(0, 2, size=size, dtype=np.uint8))
        if (len(drawn) + 1) * _CHUNK > most or start + _CHUNK >= permutations:
            yield np.concatenate(drawn).astype(np.float64)
            drawn = []
