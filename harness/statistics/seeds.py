"""Tests over training seeds: Welch's test, with a floor of variances among many models.

What is easy or hard about a twin is the same for all models and no part of their difference:
`differ_over_seeds` takes it off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MANY = 10
"""Number of models with variance from which on variances have a floor."""

# Factor on the degrees of freedom of a floored variance; by simulation.
_FREEDOM = 3
# Deviations of 1e-12 are rounding of equal figures, not variance.
_NONE = 1e-24


@dataclass(frozen=True)
class SeedVariance:
    """A model's variance between seeds, and its degrees of freedom in the test."""

    value: float
    freedom: float


def seed_variances(scores: Sequence[Sequence[float]]) -> list[SeedVariance]:
    """Return the variance of each model's scores over two or more seeds.

    Three seeds know a deviation to a factor of six, so that Welch's test, adjusted for the pairs of
    a board, tells almost nothing apart: at 19 models and a true gap of ten deviations it does so in
    30 % of the cases. It must allow for deviations that are small by chance. Among `MANY` models or
    more no variance therefore counts as smaller than the mean of all, and three times the
    degrees of freedom are taken. Simulated with equal models (deviations equal, log-normal, of two
    sizes ten times apart, one six times the others; 12 and 19 models, 3 and 5 seeds) at most 4.4 %
    of the boards had any false difference at 5 %, and a gap of ten deviations was found in 88 % and
    more. A model without variance has no random part and keeps none.
    """
    found = [SeedVariance(float(np.var(s, ddof=1)), len(s) - 1.0) for s in scores]
    varying = [v.value for v in found if v.value > _NONE]
    if len(varying) < MANY:
        return found
    floor = math.fsum(varying) / len(varying)
    return [
        SeedVariance(max(v.value, floor), _FREEDOM * v.freedom) if v.value > _NONE else v
        for v in found
    ]


def seeds_differ(
    a: Sequence[float], b: Sequence[float], of_a: SeedVariance, of_b: SeedVariance
) -> float:
    """Return the two-sided p of a t-test between two models' means over seeds.

    With each model's own variance it is Welch's test. Without any variance it is 1 for equal means
    and 0 for unequal ones.

    Args:
        a: scores of one model, one a seed.
        b: scores of the other.
        of_a: variance of the first model (`seed_variances`).
        of_b: variance of the other.
    """
    gap = math.fsum(a) / len(a) - math.fsum(b) / len(b)
    va, vb = of_a.value / len(a), of_b.value / len(b)
    if va + vb < _NONE:
        return 1.0 if abs(gap) < math.sqrt(_NONE) else 0.0
    from scipy.special import stdtr

    freedom = (va + vb) ** 2 / (va**2 / of_a.freedom + vb**2 / of_b.freedom)
    return float(2 * stdtr(freedom, -abs(gap) / math.sqrt(va + vb)))


Pair = tuple[tuple[int, int], tuple[Sequence[int], Sequence[int]]]


def differ_over_seeds(
    scores: Sequence[Sequence[float]],
    twins: Sequence[Sequence[int]],
    deterministic: Sequence[bool],
    pairs: Sequence[Pair],
) -> list[float]:
    """Return the two-sided p of each pair of models over their trainings.

    On real data it is `seeds_differ` with `seed_variances` of all models. On twins a pair is tested
    by the t-test of its differences, a twin and seed each: three of them tell little. Of `MANY`
    models or more the mean over models is taken off each twin first; what is left is tested as on
    real data, its variance times M / (M - 1) for the M models whose mean was taken off.

    Args:
        scores: per model, a score a training.
        twins: per model, the twin of each training; empty: real data.
        deterministic: which models have no random part: they do not make means of twins.
        pairs: ``((i, j), (trainings of i, trainings of j))``, the trainings that are paired.
    """
    random = [s for s, fixed in zip(scores, deterministic, strict=True) if not fixed]
    if any(twins) and len(random) < MANY:
        return [
            paired([scores[i][a] - scores[j][b] for a, b in zip(*rows, strict=True)])
            for (i, j), rows in pairs
        ]
    scale = 1.0
    if any(twins):
        scores = _without_twins(scores, twins, deterministic)
        scale = len(random) / (len(random) - 1)
    # One score twice: a deterministic model has no variance of its own.
    once = [fixed and not (any(twins) and len(s) > 1)
            for s, fixed in zip(scores, deterministic, strict=True)]  # fmt: skip
    known = seed_variances([[*s] * (1 + double) for s, double in zip(scores, once, strict=True)])
    known = [SeedVariance(v.value * scale, v.freedom) for v in known]
    return [
        seeds_differ(
            [scores[i][a] for a in mine], [scores[j][b] for b in theirs], known[i], known[j]
        )
        for (i, j), (mine, theirs) in pairs
    ]


def paired(differences: Sequence[float]) -> float:
    """Return the two-sided p of a t-test of differences; without variance as `seeds_differ`."""
    n = len(differences)
    mean = math.fsum(differences) / n
    variance = float(np.var(differences, ddof=1)) / n if n > 1 else 0.0
    if variance < _NONE:
        return 1.0 if abs(mean) < math.sqrt(_NONE) else 0.0
    from scipy.special import stdtr

    return float(2 * stdtr(n - 1, -abs(mean) / math.sqrt(variance)))


def _without_twins(
    scores: Sequence[Sequence[float]],
    twins: Sequence[Sequence[int]],
    deterministic: Sequence[bool],
) -> list[list[float]]:
    """Return scores without the mean of each twin over models that have a random part."""
    by_twin: dict[int, list[float]] = {}
    for own, where, fixed in zip(scores, twins, deterministic, strict=True):
        for score, twin in zip(own, where, strict=True) if not fixed else ():
            by_twin.setdefault(twin, []).append(score)
    means = {twin: math.fsum(known) / len(known) for twin, known in by_twin.items()}
    return [
        [score - means.get(twin, 0.0) for score, twin in zip(own, where, strict=True)]
        for own, where in zip(scores, twins, strict=True)
    ]
