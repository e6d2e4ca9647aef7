"""Skill: small cases by hand, the same resamples for all three predictors, coverage."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.statistics.bootstrap import resample_weights
from harness.statistics.counts import GroupSums, group_sums
from harness.statistics.skill import Skill, SkillPart, best_constant, resample_all, skill

TRUTH = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], dtype=np.int8)
FULL = TRUTH.copy()
LACKING = np.ones_like(TRUTH)
MODEL = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], dtype=np.int8)


def sums(truth: NDArray[np.int8], *decided: NDArray[np.int8]) -> GroupSums:
    names = [f"{i:05d}" for i in range(len(truth))]
    return group_sums("micro_f1", truth, np.stack(decided), names)


def of(
    truth: NDArray[np.int8],
    model: list[NDArray[np.int8]],
    full: NDArray[np.int8],
    lacking: NDArray[np.int8],
    resamples: int = 500,
) -> Skill:
    drawn = resample_all(
        [sums(truth, *model), sums(truth, full), sums(truth, lacking)], resamples=resamples
    )
    return skill([SkillPart(*drawn)])


def f1(truth: NDArray[np.int8], decided: NDArray[np.int8], weights: NDArray[np.float64]) -> float:
    each = weights[:, None]
    hits = (each * (truth & decided)).sum()
    return float(2 * hits / ((each * truth).sum() + (each * decided).sum()))


def test_a_skill_by_hand() -> None:
    # F of the model: 3 hits, 4 said, 4 true: .75. F0: 4 hits, 8 said: 8 / 12. F1: 1.
    found = of(TRUTH, [MODEL], FULL, LACKING)
    assert (found.model, found.full, found.lacking) == (0.75, 1.0, pytest.approx(2 / 3))
    assert found.value == pytest.approx(0.25)
    assert of(TRUTH, [FULL], FULL, LACKING).value == 1.0
    assert of(TRUTH, [LACKING], FULL, LACKING).value == 0.0
    none = of(TRUTH, [np.zeros_like(TRUTH)], FULL, LACKING)
    assert none.value == pytest.approx(-2.0) and none.interval is not None  # nothing is clipped
    assert of(TRUTH, [FULL, LACKING], FULL, LACKING).value == pytest.approx(0.5)  # mean over seeds


def test_all_three_have_the_same_weights_in_a_resample() -> None:
    found = of(np.tile(TRUTH, (5, 1)), [np.tile(MODEL, (5, 1))], np.tile(FULL, (5, 1)),
               np.tile(LACKING, (5, 1)))  # fmt: skip
    truth, model, full, lacking = (np.tile(d, (5, 1)) for d in (TRUTH, MODEL, FULL, LACKING))
    values = []
    for weights in resample_weights(20, 500):
        low = f1(truth, lacking, weights)
        assert f1(truth, full, weights) > low
        values.append((f1(truth, model, weights) - low) / (f1(truth, full, weights) - low))
    assert found.interval == pytest.approx(np.quantile(values, [0.025, 0.975]))
    assert found.above(found.interval[0] - 0.01) and not found.above(found.interval[0])
    exact = of(truth, [full], full, lacking)
    assert exact.interval == (1.0, 1.0)


def test_a_range_that_says_nothing_is_refused() -> None:
    found = of(TRUTH, [MODEL], LACKING, LACKING)
    assert found.value is None and found.interval is None
    assert not found.above(-9.0) and found.model == 0.75


def test_splits_count_by_their_seeds_and_are_resampled_apart() -> None:
    one = resample_all([sums(TRUTH, MODEL, MODEL), sums(TRUTH, FULL), sums(TRUTH, LACKING)], 300)
    other = resample_all([sums(TRUTH, FULL), sums(TRUTH, FULL), sums(TRUTH, LACKING)], 300, seed=1)
    found = skill([SkillPart(*one), SkillPart(*other)])
    assert found.value == pytest.approx((2 * 0.25 + 1) / 3)
    assert not np.array_equal(one[2].values, other[2].values)


def test_weights_in_parts_are_those_of_one_drawing() -> None:
    rng = np.random.Generator(np.random.PCG64(3))
    drawn = rng.integers(0, 7, size=(600, 7))
    whole = np.stack([np.bincount(row, minlength=7) for row in drawn])
    assert np.array_equal(resample_weights(7, 600, seed=3), whole)


def test_no_constant_set_is_better_than_the_best() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        truth = (rng.random((9, 4)) < rng.random(4)).astype(np.int8)
        every = [np.tile(np.array(s, dtype=np.int8), (9, 1)) for s in product((0, 1), repeat=4)]
        ones = np.ones(9)
        best = max(f1(truth, s, ones) for s in every if s.any())
        found = best_constant(truth)
        assert (found == found[0]).all()
        assert f1(truth, found.astype(np.int8), ones) == pytest.approx(best)


@pytest.mark.full
def test_intervals_cover_the_skill() -> None:
    """200 splits of 1,000 samples; a model with two thirds of the evidence that the skill adds."""
    rng = np.random.default_rng(1)

    def drawn(count: int) -> list[NDArray[np.int8]]:
        truth = rng.random((count, 6)) < 0.3
        shown = np.where(truth, 1.0, -1.0)[None] + rng.normal(size=(3, count, 6))
        said = [shown[0], shown[0] + 0.6 * shown[1], shown[0] + shown[1] + 0.5 * shown[2]]
        cut = [0.1, 0.2, 0.3]
        return [truth.astype(np.int8)] + [
            (s > c).astype(np.int8) for s, c in zip(said, cut, strict=True)
        ]

    truth, lacking, model, full = drawn(400_000)
    low, middle, high = (f1(truth, d, np.ones(len(truth))) for d in (lacking, model, full))
    true = (middle - low) / (high - low)
    inside = 0
    for _ in range(200):
        truth, lacking, model, full = drawn(1000)
        found = of(truth, [model], full, lacking, resamples=400)
        assert found.interval is not None
        inside += found.interval[0] <= true <= found.interval[1]
    assert 0.90 <= inside / 200 <= 0.99
