"""Ranks: those shared by models that cannot be told apart, and mean ranks over data sets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def rank_groups(means: Sequence[float], apart: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """Return per model the numbers of its rank groups, from 1.

    Two models share a number exactly where they cannot be told apart. "Not told apart" does not
    carry over (A like B, B like C, A better than C), so a model may be in several groups: here B
    has (1, 2). Groups are the largest sets of models among which nothing is told apart, ordered by
    their members' means, best first.

    Args:
        means: k figures, higher is better.
        apart: bool [k, k], symmetric.
    """
    groups = _cliques(~np.asarray(apart, dtype=np.bool_))
    groups.sort(key=lambda g: sorted(-means[i] for i in g))
    return [
        tuple(number for number, group in enumerate(groups, 1) if model in group)
        for model in range(len(means))
    ]


def rank_text(numbers: Sequence[int]) -> str:
    """Return rank groups as people read them: ``1``, ``1-3`` or ``1,3``; empty: not tested."""
    if len(numbers) > 1 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ",".join(map(str, numbers))


def mean_ranks(scores: ArrayLike) -> list[float]:
    """Return the mean rank over data sets of each model, 1 is best, ties averaged.

    With fewer than ten data sets no critical difference is meaningful: print ranks, no bar.

    Args:
        scores: [data sets, models], higher is better, complete.
    """
    from scipy.stats import rankdata

    ranks = rankdata(-np.asarray(scores, dtype=np.float64), axis=1, method="average")
    found: list[float] = ranks.mean(axis=0).tolist()
    return found


def _cliques(alike: NDArray[np.bool_]) -> list[frozenset[int]]:
    """Return the maximal cliques of a graph (Bron and Kerbosch 1973)."""
    near = [frozenset(np.flatnonzero(row).tolist()) - {i} for i, row in enumerate(alike)]
    found: list[frozenset[int]] = []

    def grow(clique: frozenset[int], open_: frozenset[int], done: frozenset[int]) -> None:
        if not open_ and not done:
            found.append(clique)
            return
        pivot = max(open_ | done, key=lambda v: (len(near[v] & open_), -v))
        for vertex in sorted(open_ - near[pivot]):
            grow(clique | {vertex}, open_ & near[vertex], done & near[vertex])
            open_, done = open_ - {vertex}, done | {vertex}

    grow(frozenset(), frozenset(range(len(near))), frozenset())
    return found
