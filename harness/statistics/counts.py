"""Decisions as sums over groups, from which every metric of any resample follows.

A metric of ours is a function of sums over samples. So a resample or a swap of whole groups is a
weighted sum of the groups' rows, and thousands of them are one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError

Floats = NDArray[np.float64]

METRICS = ("micro_f1", "macro_f1", "weighted_f1", "jaccard", "subset", "accuracy", "micro_p",
           "micro_r")  # fmt: skip


@dataclass(frozen=True)
class GroupCounts:
    """Sums of S seeds over G groups (in name order), float64 [S, G, 3 L + 3].

    The columns are per label true positives, predicted and true ones, then the sum of Jaccard
    indices (both sets empty: 0), exact matches and samples.
    """

    groups: tuple[str, ...]
    sums: Floats

    @property
    def num_labels(self) -> int:
        """Return L."""
        return (int(self.sums.shape[2]) - 3) // 3

    def at(self, seeds: Sequence[int]) -> GroupCounts:
        """Return the sums of the seeds at these places."""
        return GroupCounts(self.groups, self.sums[list(seeds)])


def count(
    truth: NDArray[np.integer], decided: NDArray[np.integer], groups: Sequence[str]
) -> GroupCounts:
    """Return the sums of decisions [S, N, L] on truth [N, L], both in {0, 1}, over N group names.

    Raises:
        UsageError: the shapes do not fit together.
    """
    if decided.ndim != 3 or decided.shape[1:] != truth.shape or len(groups) != len(truth):
        raise UsageError(
            f"decisions {decided.shape}, truth {truth.shape} and {len(groups)} groups do not fit."
        )
    y, p = truth.astype(bool)[None], decided.astype(bool)
    both, either = (y & p).sum(axis=2), (y | p).sum(axis=2)
    rows = np.concatenate(
        [
            (y & p).astype(np.float64),
            p.astype(np.float64),
            np.broadcast_to(y, p.shape).astype(np.float64),
            (both / np.maximum(either, 1))[..., None],
            (y == p).all(axis=2)[..., None],
            np.ones((*both.shape, 1)),
        ],
        axis=2,
    )
    names, inverse = np.unique(np.asarray(groups), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    starts = np.searchsorted(inverse[order], np.arange(len(names)))
    return GroupCounts(tuple(names.tolist()), np.add.reduceat(rows[:, order], starts, axis=1))


def features(counts: GroupCounts, metric: str) -> Floats:
    """Return the sums that a metric is a function of, float64 [S, G, K].

    Raises:
        UsageError: there is no such metric here.
    """
    labels = counts.num_labels
    hits, predicted, true = (counts.sums[..., i * labels : (i + 1) * labels] for i in range(3))
    jaccard, exact, samples = (counts.sums[..., [3 * labels + i]] for i in range(3))

    def total(values: Floats) -> Floats:
        summed: Floats = values.sum(axis=2, keepdims=True)
        return summed

    parts = {
        "micro_f1": (2 * total(hits), total(predicted + true)),
        "micro_p": (total(hits), total(predicted)),
        "micro_r": (total(hits), total(true)),
        "macro_f1": (2 * hits, predicted + true),
        "weighted_f1": (2 * hits, predicted + true, true),
        "jaccard": (jaccard, samples),
        "subset": (exact, samples),
        "accuracy": (exact, samples),
    }
    if metric not in parts:
        raise UsageError(f"metric {metric!r} is not one of: {', '.join(METRICS)}.")
    return np.concatenate(parts[metric], axis=2)


def value(metric: str, sums: Floats) -> Floats:
    """Return a metric of summed features [..., K] as [...]; a zero denominator gives 0."""
    if metric == "weighted_f1":
        labels = sums.shape[-1] // 3
        support = sums[..., 2 * labels :]
        f1 = _ratio(sums[..., :labels], sums[..., labels : 2 * labels])
        return _ratio((f1 * support).sum(axis=-1), support.sum(axis=-1))
    half = sums.shape[-1] // 2
    mean: Floats = _ratio(sums[..., :half], sums[..., half:]).mean(axis=-1)
    return mean


def per_seed(counts: GroupCounts, metric: str) -> list[float]:
    """Return a metric of each seed over all samples."""
    found: list[float] = value(metric, features(counts, metric).sum(axis=1)).tolist()
    return found


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)
