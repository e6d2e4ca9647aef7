"""Letters that models share which cannot be told apart, and mean ranks over data sets."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def letters(means: Sequence[float], apart: NDArray[np.bool_]) -> list[tuple[str, ...]]:
    """Return per model its letters: two models share one exactly where they are not told apart.

    A compact letter display (Piepho 2004), built by Kellerman's clique growing and reduced by
    leaving out what other letters say already (Gramm et al. 2007). "Not told apart" does not carry
    over (A like B, B like C, A better than C), so a model may have several letters: here B has "a"
    and "b". Letters are in the order of their models' means, best first.

    Args:
        means: k figures, higher is better.
        apart: bool [k, k], symmetric.
    """
    told = np.asarray(apart, dtype=np.bool_)
    order = sorted(range(len(means)), key=lambda i: -means[i])
    alike = {
        i: {j for j in range(len(means)) if j != i and not told[i, j]} for i in range(len(means))
    }
    groups = _needed(_grown(order, alike))
    groups.sort(key=lambda group: sorted(order.index(i) for i in group))
    return [
        tuple(_letter(number) for number, group in enumerate(groups) if model in group)
        for model in range(len(means))
    ]


def rank_text(found: Sequence[str]) -> str:
    """Return letters as people read them, ``ab``; empty: not tested."""
    return "".join(found)


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


def _grown(order: Sequence[int], alike: Mapping[int, set[int]]) -> list[set[int]]:
    """Return cliques that cover every pair of models that are alike, and every model."""
    groups: list[set[int]] = []
    before: set[int] = set()
    for model in order:
        near = alike[model] & before
        left = set(near)
        if not near:
            groups.append({model})
        for group in groups:
            if near and group <= near:
                left -= group
                group.add(model)
        while left:
            most = max(groups, key=lambda group: len(group & left))
            left -= most
            groups.append((most & near) | {model})
        before.add(model)
    return groups


def _needed(groups: list[set[int]]) -> list[set[int]]:
    """Return the groups without those whose models and pairs others hold, smallest first."""
    kept = sorted(groups, key=len)
    for group in list(kept):
        others = [other for other in kept if other is not group]
        held = {i: set().union(*(other for other in others if i in other)) for i in group}
        if all(group <= held[i] for i in group):
            kept = others
    return kept


def _letter(number: int) -> str:
    """Return ``a`` to ``z``, then ``a1`` to ``z1`` and so on."""
    name = string.ascii_lowercase[number % 26]
    return name if number < 26 else f"{name}{number // 26}"
