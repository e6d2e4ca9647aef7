"""A weighted sum over protocols is resampled and tested as the sum of its parts."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import UsageError
from harness.statistics.bootstrap import resample_weights, resampled
from harness.statistics.combined import combined, pooled
from harness.statistics.counts import GroupSums, group_sums
from harness.statistics.permutation import paired_permutation

GROUPS = [f"g{i // 3}" for i in range(30)]


def sums(seed: int, metric: str = "micro_f1") -> GroupSums:
    truth = np.random.default_rng(0).integers(0, 2, (30, 4))
    return group_sums(metric, truth, np.random.default_rng(seed).integers(0, 2, (2, 30, 4)), GROUPS)


@pytest.mark.parametrize("metric", ["micro_f1", "macro_f1"])
def test_values_and_resamples_are_weighted_sums(metric: str) -> None:
    each, weights = [sums(seed, metric) for seed in (1, 2, 3)], [0.5, 0.75, -0.25]
    one = combined(each, weights)
    wanted = np.array(weights) @ np.array([part.per_seed() for part in each])
    assert one.per_seed() == pytest.approx(wanted.tolist())
    drawn = resample_weights(10, 50)
    parts = np.stack([resampled(part, drawn) for part in each])
    assert resampled(one, drawn) == pytest.approx(np.array(weights) @ parts)


def test_one_protocol_alone_is_tested_as_the_metric_itself() -> None:
    a, b = sums(1), sums(2)
    alone = paired_permutation(combined([a], [1.0]), combined([b], [1.0]), 500)
    assert alone == paired_permutation(a, b, 500)


def test_pooled_adds_counts_not_scores() -> None:
    each = [sums(1), sums(2)]
    rows = sum(part.rows.sum(axis=1) for part in each)
    assert pooled(each).per_seed() == pytest.approx((rows[:, 0] / rows[:, 1]).tolist())


def test_sums_that_differ_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot be combined"):
        combined([sums(1), sums(2, "macro_f1")], [1.0, 1.0])
    with pytest.raises(UsageError, match="cannot be combined"):
        combined([sums(1)], [1.0, 1.0])
