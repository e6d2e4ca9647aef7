"""Decisions that are optimal for one metric each, from what is believed of whole label sets.

The decisions that maximise micro-F1 bound no other metric: each has a ceiling of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness_corpora.twins.frames import Floats
from harness_corpora.twins.labels import all_sets


def decisions(
    sets: NDArray[np.uint8], belief: Floats, labels: Sequence[float]
) -> dict[str, NDArray[np.uint8]]:
    """Return the decisions, uint8 [N, L], of each metric that has decisions of its own.

    Args:
        sets: uint8 [K, L].
        belief: probability of each set, float64 [N, K].
        labels: L thresholds, for macro-F1.
    """
    scores = belief @ sets
    return {
        "macro_f1": (scores >= np.asarray(labels)).astype(np.uint8),
        "hamming": (scores >= 0.5).astype(np.uint8),
        "subset": most_probable(sets, belief),
        "jaccard": best_jaccard(sets, belief),
    }


def most_probable(sets: NDArray[np.uint8], belief: Floats) -> NDArray[np.uint8]:
    """Return the decisions, uint8 [N, L], that maximise subset accuracy.

    Args:
        sets: uint8 [K, L].
        belief: probability of each set, float64 [N, K].
    """
    return np.asarray(sets[belief.argmax(axis=1)])


def best_jaccard(sets: NDArray[np.uint8], belief: Floats) -> NDArray[np.uint8]:
    """Return the decisions, uint8 [N, L], of the largest expected Jaccard index.

    All 2^L sets are tried. An empty set against an empty set counts 0, as in the protocols'
    ``jaccard``.

    Args:
        sets: uint8 [K, L].
        belief: probability of each set, float64 [N, K].
    """
    tried = all_sets(sets.shape[1])
    true, decided = sets.astype(np.float64), tried.astype(np.float64)
    both = true @ decided.T
    either = true.sum(axis=1)[:, None] + decided.sum(axis=1) - both
    gain = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return np.asarray(tried[(belief @ gain).argmax(axis=1)])


def best_threshold(truth: NDArray[np.uint8], scores: Floats) -> tuple[float, float]:
    """Return the largest F1 that one threshold reaches on these decisions, and that threshold.

    Args:
        truth: 0/1, any shape.
        scores: of the same shape; the decision is ``score >= threshold``.
    """
    order = np.argsort(-scores, axis=None, kind="stable")
    ranked = scores.ravel()[order]
    hits = np.cumsum(truth.ravel()[order], dtype=np.int64)
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + hits[-1])
    # Equal scores are decided alike: a threshold stands at the last of them.
    f1[:-1][ranked[:-1] == ranked[1:]] = -1.0
    best = int(f1.argmax())
    return float(f1[best]), float(ranked[best])
