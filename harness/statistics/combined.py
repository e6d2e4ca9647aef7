"""A weighted sum of one metric under several dropout protocols, resampled and tested as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.protocols.metrics import Metric
from harness.statistics.counts import GroupSums


def combined(each: Sequence[GroupSums], weights: Sequence[float]) -> GroupSums:
    """Return the sums whose value is the weighted sum of the values of each of P sums.

    A group that is drawn or exchanged is so under every protocol at once, for it is the same
    samples that were scored. The weights stand beside the sums, shared out over the groups, so that
    twins whose missing rates differ have weights of their own.

    Args:
        each: sums of one metric for the same S seeds and G groups.
        weights: P numbers.

    Raises:
        UsageError: metrics or shapes differ.
    """
    first = each[0]
    if len(weights) != len(each) or any(
        one.metric.name != first.metric.name
        or one.splits != first.splits
        or one.rows.shape != first.rows.shape
        for one in each
    ):
        raise UsageError("sums of different metrics, seeds or groups cannot be combined.")
    seeds, groups, width = first.rows.shape
    rows = np.stack([one.rows for one in each], axis=-1).reshape(seeds, groups, -1)
    shared = np.broadcast_to(np.asarray(weights) / groups, (seeds, groups, len(each)))
    ends = [place * len(each) for place in (*first.splits, width)]
    return replace(
        first,
        metric=_metric(first.metric, len(each)),
        rows=np.concatenate([rows, shared], axis=-1),
        splits=tuple(ends),
    )


def pooled(each: Sequence[GroupSums]) -> GroupSums:
    """Return the sums over all samples of each: the metric of all decisions together."""
    return replace(each[0], rows=np.sum([one.rows for one in each], axis=0))


@cache
def _metric(base: Metric, count: int) -> Metric:
    assert base.value is not None
    inner = base.value

    def value(*parts: NDArray[Any]) -> NDArray[Any]:
        *sums, weights = parts
        apart = [p.reshape(*p.shape[:-1], -1, count).swapaxes(-1, -2) for p in sums]
        found: NDArray[Any] = (inner(*apart) * weights).sum(axis=-1)
        return found

    return replace(base, value=value)
