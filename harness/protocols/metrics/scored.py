"""Scores with their truth, and average precision: step-wise, ties as one step, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import UsageError


@dataclass(frozen=True)
class Scored:
    """Truth bool [N, L] and scores float32 [N, L] of any scale, without NaN or infinity."""

    truth: NDArray[np.bool_]
    scores: NDArray[np.float32]

    @cached_property
    def label_ap(self) -> list[float | None]:
        """Return the average precision of each label; None where a label has no positives."""
        return _average_precision(self.truth.T, self.scores.T)

    @cached_property
    def micro_ap(self) -> float:
        """Return the average precision over all scores; 0 without positives."""
        return _average_precision(self.truth.reshape(1, -1), self.scores.reshape(1, -1))[0] or 0.0


def average_precision(truth: ArrayLike, scores: ArrayLike) -> list[float | None]:
    """Return the average precision of each label; None where a label has no positives.

    Args:
        truth: 0/1 [N, L].
        scores: float [N, L]; compared in float32, the precision in which predictions are stored.

    Raises:
        UsageError: scores hold NaN or infinity.
    """
    return Scored(np.asarray(truth).astype(np.bool_), finite_scores(scores)).label_ap


def finite_scores(scores: ArrayLike) -> NDArray[np.float32]:
    """Return scores in float32, the precision in which predictions are stored.

    Raises:
        UsageError: they hold NaN or infinity.
    """
    values = np.asarray(scores, dtype=np.float32)
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise UsageError(f"scores hold NaN or infinity (first in row {row}); nothing was scored")
    return values


def _average_precision(truth: NDArray[np.bool_], scores: NDArray[np.float32]) -> list[float | None]:
    """Return the average precision of each row; None where a row has no positives.

    A step ends at the last of equal scores. Its precision counts once for each of its positives:
    the sum over positives, divided by their number, is the sum of recall gained times precision.

    Args:
        truth: bool [K, N].
        scores: float32 [K, N].
    """
    order = np.argsort(-scores, axis=1)
    ranked, hits = (np.take_along_axis(values, order, axis=1) for values in (scores, truth))
    found_so_far = hits.cumsum(axis=1)
    places = np.arange(1, scores.shape[1] + 1)
    ends = np.ones(scores.shape, dtype=np.bool_)
    ends[:, :-1] = ranked[:, :-1] != ranked[:, 1:]
    last = np.where(ends, places, len(places))[:, ::-1]
    last = np.minimum.accumulate(last, axis=1)[:, ::-1]
    precision = np.take_along_axis(found_so_far, last - 1, axis=1) / last
    total = np.where(hits, precision, 0.0).sum(axis=1)
    positives = truth.sum(axis=1)
    pairs = zip(total.tolist(), positives.tolist(), strict=True)
    return [value / count if count else None for value, count in pairs]
