"""Ratios of sums in float64, as the definitions of metrics use them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """Return the elementwise ratio; a zero denominator gives 0."""
    n, d = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(n, d, out=np.zeros(np.broadcast(n, d).shape), where=d != 0)


def mean_ratio(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """Return the mean over the last axis of the elementwise ratio, [..., K] -> [...]."""
    mean: Floats = ratio(numerator, denominator).mean(axis=-1)
    return mean


def weighted_ratio(numerator: ArrayLike, denominator: ArrayLike, weight: ArrayLike) -> Floats:
    """Return the mean over the last axis of the ratio, weighted: [..., K] each -> [...]."""
    weights = np.asarray(weight)
    return ratio((ratio(numerator, denominator) * weights).sum(axis=-1), weights.sum(axis=-1))
