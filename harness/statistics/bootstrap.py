"""Cluster bootstrap over groups of the seed-averaged metric."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from harness.statistics.counts import Floats, GroupSums
from harness.statistics.intervals import LEVEL, Interval

RESAMPLES = 2000
_CHUNK = 250


Seed = int | Sequence[int]
"""Of PCG64: a number, or a number and that of a twin."""


def resample_weights(groups: int, resamples: int = RESAMPLES, seed: Seed = 0) -> Floats:
    """Return how often each group is in each resample, float64 [B, G]; every row sums to G.

    The same for every model with as many groups: common random numbers, so that differences of
    resampled metrics add up (A-B and B-C to A-C).
    """
    return np.concatenate(list(weight_parts(groups, resamples, seed)))


def weight_parts(groups: int, resamples: int, seed: Seed = 0) -> Iterator[Floats]:
    """Yield `resample_weights` a few hundred resamples at a time: what memory can hold."""
    rng = np.random.Generator(np.random.PCG64(seed))
    for first in range(0, resamples, _CHUNK):
        count = min(_CHUNK, resamples - first)
        drawn = rng.integers(0, groups, size=(count, groups))
        flat = (drawn + np.arange(count)[:, None] * groups).ravel()
        yield np.bincount(flat, minlength=count * groups).reshape(count, groups).astype(float)


def resampled(sums: GroupSums, weights: Floats) -> Floats:
    """Return the metric, averaged over seeds, of each resample [B, G]: float64 [B].

    Seeds are not resampled: this is the uncertainty of the test set, not of training.
    """
    seeds, groups, width = sums.rows.shape
    flat = sums.rows.transpose(1, 0, 2).reshape(groups, seeds * width)
    found = [
        sums.value((weights[i : i + _CHUNK] @ flat).reshape(-1, seeds, width)).mean(axis=1)
        for i in range(0, len(weights), _CHUNK)
    ]
    return np.concatenate(found)


def percentile_interval(values: Floats, level: float = LEVEL) -> Interval:
    """Return the percentile interval of resampled values."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
