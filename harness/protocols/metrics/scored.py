"""Scores with their truth, and average precision.

Average precision comes from torchmetrics, imported on use; it takes floats outside [0, 1] for
logits batch by batch, so it is given the ranks of the scores.
"""

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
    def ranks(self) -> NDArray[np.float64]:
        """Return dense ranks of all scores scaled to [0, 1], [N, L]: same order, same ties."""
        distinct, ranks = np.unique(self.scores, return_inverse=True)
        scaled: NDArray[np.float64] = ranks.reshape(self.scores.shape) / max(len(distinct) - 1, 1)
        return scaled

    @cached_property
    def label_ap(self) -> list[float | None]:
        """Return the average precision of each label; None where a label has no positives."""
        columns = range(self.truth.shape[1])
        return [_binary_ap(self.truth[:, j], self.ranks[:, j]) for j in columns]

    @cached_property
    def micro_ap(self) -> float:
        """Return the average precision over all scores; 0 without positives."""
        return _binary_ap(self.truth.ravel(), self.ranks.ravel()) or 0.0


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


def _binary_ap(truth: NDArray[np.bool_], ranks: NDArray[np.float64]) -> float | None:
    if not truth.any():
        return None
    import torch
    from torchmetrics.functional import classification

    found = classification.binary_average_precision(
        torch.from_numpy(np.ascontiguousarray(ranks)), torch.from_numpy(truth.astype(np.int64))
    )
    return float(found)
