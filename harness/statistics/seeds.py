"""Tests over training seeds: Welch's test, with a floor of variances among many models.

What is easy or hard about a twin is the same for all models and no part of their difference:
`differ_over_seeds` takes it off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MANY = 10
"""Number of models with variance from which on variances have a floor."""
COLLAPSED = 5
"""Deviations of the median model above which a model's own is no measure of the others'."""
# More models than one in so many that deviate so much are no exception.
_EXCEPTION = 8

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
    degrees of freedom are taken. A model some of whose seeds collapsed says nothing about the
    others: one that deviates more than `COLLAPSED` times as much as the median keeps its own
    variance and degrees of freedom, and has no part in the mean, unless more than an eighth of the
    models do. Simulated with equal models
    (deviations equal, log-normal, of two sizes ten times apart, one six or twenty times the others,
    three four times; 12 and 19 models, 3 seeds) at most 4.7 % of the boards had any false
    difference at 5 %, and a gap of ten deviations was found in 80 % and more. A model
    without variance has no random part and keeps none.
    """
    found = [SeedVariance(float(np.var(s, ddof=1)), len(s) - 1.0) for s in scores]
    varying = [v.value for v in found if v.value > _NONE]
    if len(varying) < MANY:
        return found
    most = _most(varying)
    kept = [value for value in varying if value <= most]
    floor = math.fsum(kept) / len(kept)
    return [
        SeedVariance(max(v.value, floor), _FREEDOM * v.freedom) if _NONE < v.value <= most else v
        for v in found
    ]


def _most(variances: Sequence[float]) -> float:
    """Return the variance above which a model is an exception."""
    most = COLLAPSED**2 * float(np.median(variances))
    many = sum(value > most for value in variances) > len(variances) // _EXCEPTION
    return math.inf if many else most


@dataclass(frozen=True)
class SeedTest:
    """A t-test of a difference: two-sided p, standard error, degrees of freedom.

    Without any variance p is 1 for equal means and 0 for unequal ones, and the error is 0.
    """

    p: float
    error: float
    freedom: float


def t_test(gap: float, variance: float, freedom: float) -> SeedTest:
    """Return the test of a difference with a variance.

    Args:
        gap: the difference.
        variance: of the difference.
        freedom: degrees of freedom.
    """
    if variance < _NONE:
        return SeedTest(1.0 if abs(gap) < math.sqrt(_NONE) else 0.0, 0.0, math.inf)
    from scipy.special import stdtr

    error = math.sqrt(variance)
    return SeedTest(float(2 * stdtr(freedom, -abs(gap) / error)), error, freedom)


def seeds_differ(
    a: Sequence[float], b: Sequence[float], of_a: SeedVariance, of_b: SeedVariance
) -> SeedTest:
    """Return the t-test between two models' means over seeds.

    With each model's own variance it is Welch's test.

    Args:
        a: scores of one model, one a seed.
        b: scores of the other.
        of_a: variance of the first model (`seed_variances`).
        of_b: variance of the other.
    """
    gap = math.fsum(a) / len(a) - math.fsum(b) / len(b)
    va, vb = of_a.value / len(a), of_b.value / len(b)
    none = va + vb < _NONE
    spread = 1.0 if none else va**2 / of_a.freedom + vb**2 / of_b.freedom
    return t_test(gap, va + vb, (va + vb) ** 2 / spread)


Pair = tuple[tuple[int, int], tuple[Sequence[int], Sequence[int]]]


def differ_over_seeds(
    scores: Sequence[Sequence[float]],
    twins: Sequence[Sequence[int]],
    deterministic: Sequence[bool],
    pairs: Sequence[Pair],
) -> list[SeedTest]:
    """Return the test of each pair of models over their trainings.

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
        scores, count = _without_twins(scores, twins, deterministic)
        scale = count / (count - 1)
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


def paired(differences: Sequence[float]) -> SeedTest:
    """Return the t-test of differences."""
    n = len(differences)
    mean = math.fsum(differences) / n
    variance = float(np.var(differences, ddof=1)) / n if n > 1 else 0.0
    return t_test(mean, variance, n - 1)


def _without_twins(
    scores: Sequence[Sequence[float]],
    twins: Sequence[Sequence[int]],
    deterministic: Sequence[bool],
) -> tuple[list[list[float]], int]:
    """Return scores without the mean of each twin, and over how many models it is.

    Models without a random part have none in the means, nor have those with collapsed seeds.
    """
    random = [i for i, fixed in enumerate(deterministic) if not fixed]
    middle = _without(scores, twins, _by_twin(scores, twins, random, np.median))
    spread = {i: float(np.var(middle[i])) for i in random}
    most = _most(list(spread.values()))
    kept = [i for i in random if spread[i] <= most]
    return _without(scores, twins, _by_twin(scores, twins, kept, np.mean)), len(kept)


def _by_twin(
    scores: Sequence[Sequence[float]],
    twins: Sequence[Sequence[int]],
    models: Sequence[int],
    middle: Callable[[list[float]], Any],
) -> dict[int, float]:
    found: dict[int, list[float]] = {}
    for i in models:
        for score, twin in zip(scores[i], twins[i], strict=True):
            found.setdefault(twin, []).append(score)
    return {twin: float(middle(known)) for twin, known in found.items()}


def _without(
    scores: Sequence[Sequence[float]], twins: Sequence[Sequence[int]], means: Mapping[int, float]
) -> list[list[float]]:
    return [
        [score - means.get(twin, 0.0) for score, twin in zip(own, where, strict=True)]
        for own, where in zip(scores, twins, strict=True)
    ]
