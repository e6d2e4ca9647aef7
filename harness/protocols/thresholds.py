"""From scores to decisions: a strict threshold for many labels, argmax for one.

Scores are compared in float32, the precision in which predictions are stored, so that scoring a
stored run again gives the same decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import UsageError

TUNED = "tuned_micro_f1"
"""Name of a validation figure: micro-F1 at the threshold that is tuned on the same predictions."""
MATCHED = "matched"
"""Kind of a threshold: tuned on validation under the same dropout protocol that is scored."""
GRID: tuple[float, ...] = tuple(k / 20 for k in range(1, 20))
"""Candidates of a tuned threshold: 0.05 to 0.95 in steps of 0.05."""


def under(thresholds: Mapping[str, Any], protocol: str) -> dict[str, float | None]:
    """Return thresholds by kind under a dropout protocol.

    Args:
        thresholds: of a run: ``declared``, ``tuned`` and, by protocol, those `MATCHED`.
        protocol: id of the dropout protocol; without a matched threshold there is no such kind.
    """
    found = {kind: thresholds[kind] for kind in ("declared", "tuned")}
    matched = thresholds.get(MATCHED, {})
    return found | ({MATCHED: matched[protocol]} if protocol in matched else {})


def apply(scores: ArrayLike, threshold: float) -> NDArray[np.uint8]:
    """Return 1 where the score is strictly above the threshold, uint8 of the same shape."""
    above = np.asarray(scores, dtype=np.float32) > np.float32(threshold)
    return above.astype(np.uint8)


def argmax(scores: ArrayLike) -> NDArray[np.uint8]:
    """Return the highest score of each row as a one-hot row, uint8 [N, L]; ties: the first."""
    values = np.asarray(scores, dtype=np.float32)
    chosen = np.zeros(values.shape, dtype=np.uint8)
    chosen[np.arange(len(values)), values.argmax(axis=1)] = 1
    return chosen


def best_on_grid(scores: ArrayLike, truth: ArrayLike) -> tuple[float, float]:
    """Return the threshold of `GRID` with the best micro-F1, and that micro-F1.

    Ties go to the smallest threshold. Give it validation data, never test data.

    Args:
        scores: float [N, L].
        truth: 0/1 [N, L].
    """
    values = np.asarray(scores, dtype=np.float32)
    labels = np.asarray(truth).astype(np.bool_)
    if values.shape != labels.shape:
        raise UsageError(
            f"scores have shape {values.shape}, labels {labels.shape}: cannot tune a threshold"
        )
    # A score exceeds exactly the candidates before its insertion point, so one pass counts all.
    exceeded = np.searchsorted(np.asarray(GRID, dtype=np.float32), values.ravel(), side="left")
    exceeded[np.isnan(values.ravel())] = 0
    positive = labels.ravel()
    bins = len(GRID) + 1

    def above(counts: NDArray[np.int64]) -> NDArray[np.int64]:
        return counts[::-1].cumsum()[::-1][1:]

    predicted = above(np.bincount(exceeded, minlength=bins))
    hits = above(np.bincount(exceeded[positive], minlength=bins))
    f1 = 2.0 * hits / np.maximum(predicted + positive.sum(), 1)
    best = int(np.argmax(f1))
    return GRID[best], float(f1[best])


def tuned_micro_f1(scores: Sequence[ArrayLike], truth: ArrayLike) -> float:
    """Return the mean micro-F1 of several scorings of the same samples at one tuned threshold.

    It is the threshold of `GRID` with the best micro-F1 over all of them together.

    Args:
        scores: float [N, L] each.
        truth: 0/1 [N, L].
    """
    every = [np.asarray(one, dtype=np.float32) for one in scores]
    labels = np.asarray(truth).astype(np.bool_)
    threshold, best = best_on_grid(np.concatenate(every), np.concatenate([labels] * len(every)))
    if len(every) == 1:
        return best
    found = []
    for one in every:
        decided = apply(one, threshold).astype(np.bool_)
        both = int(decided.sum()) + int(labels.sum())
        found.append(2.0 * int((decided & labels).sum()) / max(both, 1))
    return float(np.mean(found))


def reaching(threshold: float) -> float:
    """Return the threshold that scores equal to ``threshold`` are above, as float32 numbers."""
    return float(np.nextafter(np.float32(threshold), np.float32(-1)))


def best_expected(scores: ArrayLike) -> float:
    """Return the threshold with the largest expected micro-F1 of probabilities, without any truth.

    Args:
        scores: p(label | input), calibrated, of any shape.
    """
    values = np.sort(np.asarray(scores, dtype=np.float32), axis=None)[::-1].astype(np.float64)
    if not len(values):
        return 0.5
    hits = values.cumsum()
    f1 = 2 * hits / np.maximum(np.arange(1, len(values) + 1) + hits[-1], 1e-12)
    # Equal scores are decided alike: a threshold stands at the last of them.
    f1[:-1][values[:-1] == values[1:]] = -1.0
    return reaching(values[int(f1.argmax())])


def tune(scores: ArrayLike, truth: ArrayLike) -> float:
    """Return the threshold of `GRID` with the best validation micro-F1; ties: the smallest."""
    return best_on_grid(scores, truth)[0]
