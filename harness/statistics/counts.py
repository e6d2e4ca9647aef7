"""A metric's sums over groups of samples, from which its value on any resample follows.

A metric of decisions is a function of sums over samples (`harness.specs.Metric`). So a resample or
a swap of whole groups is a weighted sum of the groups' rows, and thousands of them are one matrix
product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.protocols import metrics

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GroupSums:
    """The parts of a metric summed over each of G groups, for S seeds.

    Attributes:
        metric: the metric.
        rows: float64 [S, G, K], the parts side by side.
        splits: where in K each part but the first starts.
    """

    metric: metrics.Metric
    rows: Floats
    splits: tuple[int, ...]

    def at(self, seeds: Sequence[int]) -> GroupSums:
        """Return the sums of the seeds at these places."""
        return replace(self, rows=self.rows[list(seeds)])

    def within(self, before: int, groups: int) -> GroupSums:
        """Return the sums as those of some among more groups; the others' are zero.

        Args:
            before: number of groups before these.
            groups: number of all of them.
        """
        seeds, own, width = self.rows.shape
        rows = np.zeros((seeds, groups, width))
        rows[:, before : before + own] = self.rows
        return replace(self, rows=rows)

    def value(self, totals: Floats) -> Floats:
        """Return the metric of sums over groups [..., K] as [...]."""
        assert self.metric.value is not None
        found: Floats = self.metric.value(*np.split(totals, self.splits, axis=-1))
        return found

    def per_seed(self) -> list[float]:
        """Return the metric of each seed over all groups."""
        found: list[float] = self.value(self.rows.sum(axis=1)).tolist()
        return found


def group_sums(
    metric: str,
    truth: NDArray[np.integer],
    decided: NDArray[np.integer],
    groups: Sequence[str],
) -> GroupSums:
    """Sum the parts of a metric over groups, in the order of the groups' names.

    Args:
        metric: a metric of decisions with one value (`harness.protocols.metrics.summed`).
        truth: [N, L] in {0, 1}.
        decided: [S, N, L] in {0, 1}.
        groups: N names.

    Raises:
        UsageError: the shapes do not fit together, or the metric does not follow from sums.
        UnknownNameError: there is no such metric.
    """
    if decided.ndim != 3 or decided.shape[1:] != truth.shape or len(groups) != len(truth):
        raise UsageError(
            f"decisions {decided.shape}, truth {truth.shape} and {len(groups)} groups do not fit."
        )
    definition = metrics.metric(metric)
    if definition.sums is None or definition.per_label:
        raise UsageError(
            f"metric {metric!r} cannot be resampled; these can: {', '.join(metrics.summed())}."
        )
    predicted = decided.astype(np.bool_)
    true = np.broadcast_to(truth.astype(np.bool_), predicted.shape)
    parts = [p.astype(np.float64) for p in definition.sums(true, predicted)]
    _, inverse = np.unique(np.asarray(groups), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    starts = np.flatnonzero(np.diff(inverse[order], prepend=-1))
    rows = np.add.reduceat(np.concatenate(parts, axis=2)[:, order], starts, axis=1)
    return GroupSums(definition, rows, tuple(accumulate(p.shape[2] for p in parts))[:-1])
