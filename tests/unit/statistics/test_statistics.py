"""Intervals, tests and ranks: against SciPy and statsmodels, by properties, by simulation."""

from __future__ import annotations

from itertools import combinations, combinations_with_replacement, pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.errors import UnknownNameError, UsageError
from harness.protocols.metrics import multilabel_metrics, summed
from harness.statistics.bootstrap import percentile_interval, resample_weights, resampled
from harness.statistics.counts import GroupSums, group_sums
from harness.statistics.intervals import over_seeds
from harness.statistics.multiplicity import holm
from harness.statistics.order import (
    almost_stochastic_order,
    probability_of_improvement,
    violation_ratio,
)
from harness.statistics.permutation import all_pairs, paired_permutation
from harness.statistics.power import detectable
from harness.statistics.ranks import letters, mean_ranks, rank_text
from harness.statistics.seeds import SeedVariance, seed_variances, seeds_differ

P = st.floats(0, 1, allow_nan=False)
SCORES = st.lists(st.floats(0, 1, allow_nan=False, width=16), min_size=2, max_size=7)


def made(
    seed: int, models: int = 2, seeds: int = 3, samples: int = 60, groups: int = 20,
    wrong: float = 0.3, metric: str = "micro_f1",
) -> list[GroupSums]:  # fmt: skip
    """Return the sums of equally good models whose errors are alike within a group."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((samples, 3)) < 0.4).astype(np.int8)
    group = np.arange(samples) % groups
    names = [f"g{g}" for g in group]
    found = []
    for _ in range(models):
        rate = np.clip(rng.normal(wrong, 0.15, groups), 0, 1)[group]
        errors = rng.random((seeds, samples, 3)) < rate[None, :, None]
        decided = (truth[None] ^ errors).astype(np.int8)
        found.append(group_sums(metric, truth, decided, names))
    return found


def test_t_interval_and_welch_agree_with_scipy() -> None:
    a, b = [0.58, 0.581, 0.575, 0.59, 0.584], [0.57, 0.579, 0.56, 0.571]
    found = over_seeds(a)
    want = stats.t.interval(0.95, 4, loc=np.mean(a), scale=stats.sem(a))
    assert found.t_interval == pytest.approx(want) and found.std == pytest.approx(np.std(a, ddof=1))
    own = seed_variances([a, b])
    want = stats.ttest_ind(a, b, equal_var=False).pvalue
    assert seeds_differ(a, b, *own).p == pytest.approx(want)
    assert over_seeds([0.5]).t_interval is None and over_seeds([0.5]).std is None
    none = seed_variances([[0.5, 0.5]])[0]
    assert seeds_differ([0.5, 0.5], [0.5, 0.5], none, none).p == 1.0
    assert seeds_differ([0.5, 0.5], [0.4, 0.4], none, none).p == 0.0


SPREADS = {
    "equal": lambda rng, k: np.ones(k),
    "log-normal": lambda rng, k: np.exp(rng.normal(0, 0.5, k)),
    "two sizes": lambda rng, k: np.where(np.arange(k) < k // 2, 0.2, 2.0),
    "one large": lambda rng, k: np.where(np.arange(k) == 0, 6.0, 1.0),
    "one collapsed": lambda rng, k: np.where(np.arange(k) == 0, 20.0, 1.0),
}


@pytest.mark.parametrize(
    "spread",
    [pytest.param(s, marks=() if s == "two sizes" else pytest.mark.full) for s in SPREADS],
)
def test_equal_models_differ_over_seeds_no_more_often_than_nominal(spread: str) -> None:
    """Family-wise: any pair of a board of twelve equal models, Holm over all pairs."""
    rng = np.random.default_rng(7)
    boards, wrong, found = 200, 0, 0
    for _ in range(boards):
        deviation = SPREADS[spread](rng, 12)
        scores = deviation[:, None] * rng.normal(size=(12, 3))
        variances = seed_variances(scores.tolist())
        pairs = list(combinations(range(12), 2))
        p = [seeds_differ(scores[i], scores[j], variances[i], variances[j]).p for i, j in pairs]
        wrong += min(holm(p)) < 0.05
        better = scores[11] + 10 * deviation[11]
        test = seeds_differ(better, scores[10], variances[11], variances[10])
        found += len(pairs) * test.p < 0.05
    assert wrong / boards <= 0.05
    assert found / boards > 0.8


def test_variances_have_a_floor_only_among_many_models_and_only_where_there_is_any() -> None:
    few = [[0.1, 0.2, 0.3], [0.5, 0.5, 0.5], [0.4, 0.5, 0.6]]
    assert [(v.value, v.freedom) for v in seed_variances(few)] == [
        (pytest.approx(0.01), 2),
        (0.0, 2),
        (pytest.approx(0.01), 2),
    ]
    many = [[0.0, 0.1 * k, 0.2 * k] for k in range(1, 11)] + [[0.3, 0.3, 0.3]]
    found = seed_variances(many)
    mean = np.mean([0.01 * k**2 for k in range(1, 11)])
    assert found[0] == SeedVariance(pytest.approx(mean), 6)
    assert found[9] == SeedVariance(pytest.approx(1.0), 6)
    assert found[10] == SeedVariance(0.0, 2)


def test_a_collapsed_row_does_not_raise_the_floor_of_the_others() -> None:
    rows = [[0.70, 0.71, 0.72 + k / 1000] for k in range(11)]
    alone = seed_variances(rows)
    beside = seed_variances([*rows, [0.70, 0.10, 0.71]])
    assert beside[:11] == alone
    assert beside[11] == SeedVariance(pytest.approx(np.var([0.70, 0.10, 0.71], ddof=1)), 2)


def test_differences_of_the_detectable_size_are_found_four_times_in_five() -> None:
    rng = np.random.default_rng(1)
    variance, seeds, comparisons = SeedVariance(1.0, 400.0), 5, 3
    test = seeds_differ([0.0] * seeds, [0.0] * seeds, variance, variance)
    least = detectable(test, np.zeros(3), comparisons)
    gap = least + rng.normal(0, (2 / seeds) ** 0.5, 4000)
    p = 2 * stats.t.sf(np.abs(gap) / test.error, test.freedom) * comparisons
    assert np.mean(p < 0.05) == pytest.approx(0.8, abs=0.02)
    wide = rng.normal(0, 10, 1000)  # the test over samples is the weaker one
    assert detectable(test, wide, comparisons) > 20
    none = SeedVariance(0.0, 1.0)
    assert detectable(seeds_differ([0.0], [0.0], none, none), np.zeros(3), comparisons) == 0.0


def test_every_metric_of_sums_is_that_of_the_point_values() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random((40, 4)) < 0.3).astype(np.int8)
    truth[:, 3] = 0
    decided = (rng.random((2, 40, 4)) < 0.3).astype(np.int8)
    decided[:, :, 3] = 0
    groups = [f"g{i % 7}" for i in range(40)]
    points = [multilabel_metrics(truth, d, None, list("abcd")) for d in decided]
    for name in summed():
        found = group_sums(name, truth, decided, groups)
        assert found.rows.shape[:2] == (2, 7)
        want = [p["subset" if name == "accuracy" else name] for p in points]
        assert found.per_seed() == pytest.approx(want, abs=1e-12), name
    with pytest.raises(UnknownNameError, match="micro_f1"):
        group_sums("micr_f1", truth, decided, groups)
    for name in ("f1", "macro_ap"):
        with pytest.raises(UsageError, match="cannot be resampled; these can: jaccard"):
            group_sums(name, truth, decided, groups)


@pytest.mark.parametrize("metric", ["micro_f1", "macro_f1", "weighted_f1", "jaccard"])
def test_a_resample_is_the_metric_of_the_repeated_groups(metric: str) -> None:
    rng = np.random.default_rng(1)
    truth = (rng.random((30, 3)) < 0.4).astype(np.int8)
    decided = (rng.random((2, 30, 3)) < 0.4).astype(np.int8)
    group = np.arange(30) % 5
    sums = group_sums(metric, truth, decided, [str(g) for g in group])
    weights = resample_weights(5, 4, seed=3)
    found = resampled(sums, weights)
    for row, got in zip(weights, found, strict=True):
        taken = np.concatenate([np.tile(np.flatnonzero(group == g), int(row[g])) for g in range(5)])
        each = [multilabel_metrics(truth[taken], d[taken], None, "abc")[metric] for d in decided]
        assert got == pytest.approx(np.mean(each), abs=1e-12)


def test_sample_bootstrap_agrees_with_scipy() -> None:
    rng = np.random.default_rng(2)
    truth = (rng.random((200, 1)) < 0.5).astype(np.int8)
    decided = (rng.random((1, 200, 1)) < 0.5).astype(np.int8)
    sums = group_sums("accuracy", truth, decided, [f"{i:03d}" for i in range(200)])
    low, high = percentile_interval(resampled(sums, resample_weights(200, 4000)))
    right = (truth == decided[0]).astype(float).ravel()
    want = stats.bootstrap((right,), np.mean, n_resamples=4000, method="percentile", rng=0)
    assert (low, high) == pytest.approx(tuple(want.confidence_interval), abs=0.008)


def test_groups_widen_the_interval_where_their_samples_are_alike() -> None:
    rng = np.random.default_rng(3)
    truth = np.repeat((rng.random((40, 1)) < 0.5).astype(np.int8), 10, axis=0)
    decided = np.repeat((rng.random((40, 1)) < 0.5).astype(np.int8), 10, axis=0)[None]
    widths = []
    for names in ([f"{i // 10}" for i in range(400)], [f"{i}" for i in range(400)]):
        sums = group_sums("accuracy", truth, decided, names)
        weights = resample_weights(sums.rows.shape[1], 1000)
        low, high = percentile_interval(resampled(sums, weights))
        widths.append(high - low)
    assert widths[0] > 2 * widths[1]


def test_differences_of_resamples_add_up_and_a_seed_repeats_them() -> None:
    a, b, c = (resampled(m, resample_weights(20, 50)) for m in made(4, models=3))
    np.testing.assert_allclose((a - b) + (b - c), a - c, atol=1e-12)
    assert (resample_weights(9, 5, 1) == resample_weights(9, 5, 1)).all()
    assert (resample_weights(9, 5, 1) != resample_weights(9, 5, 2)).any()
    assert (resample_weights(9, 5, 1).sum(axis=1) == 9).all()


def test_permutation_is_symmetric_and_agrees_with_scipy() -> None:
    a, b = made(5, seeds=1, groups=60, metric="jaccard")
    p = paired_permutation(a, b)
    assert p == paired_permutation(b, a)
    x, y = (m.value(m.rows[0]) for m in (a, b))
    want = stats.permutation_test(
        (x, y), lambda u, v, axis: u.mean(axis) - v.mean(axis), permutation_type="samples",
        vectorized=True, n_resamples=5000, rng=0,
    ).pvalue  # fmt: skip
    assert p == pytest.approx(want, abs=0.03)
    assert paired_permutation(a, a, 99) == 1.0


def test_clear_differences_get_the_smallest_p_and_pairs_do_not_depend_on_company() -> None:
    bad, middle = made(6)
    good = made(6, wrong=0.0)[0]
    rows = [good, bad, middle]
    assert paired_permutation(rows[0], rows[1], 999) == 1 / 1000
    every = slice(None)
    many = all_pairs(rows, [((i, j), (every, every)) for i, j in ((0, 1), (1, 2))], 999)
    assert many[1] == paired_permutation(rows[1], rows[2], 999)


def test_equal_models_are_rejected_no_more_often_than_the_level() -> None:
    p = []
    for run in range(300):
        a, b = made(1000 + run, samples=90, groups=30)
        p.append(paired_permutation(a, b, 199, seed=run))
    rejected = np.mean(np.asarray(p) <= 0.05)
    assert rejected <= stats.binom.ppf(0.999, 300, 0.05) / 300
    assert 0.4 < np.mean(p) < 0.62


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_holm_agrees_with_statsmodels() -> None:
    multipletests = pytest.importorskip("statsmodels.stats.multitest").multipletests
    p = np.random.default_rng(0).random(20) ** 3
    assert holm(p.tolist()) == pytest.approx(multipletests(p, method="holm")[1].tolist())


@given(st.lists(P, min_size=1, max_size=12))
def test_holm_never_lowers_keeps_order_and_stays_a_probability(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(a >= b - 1e-15 for a, b in zip(adjusted, p, strict=True))
    assert max(adjusted) <= 1.0
    by_p = [a for _, a in sorted(zip(p, adjusted, strict=True))]
    assert all(x <= y for x, y in pairwise(by_p))


@given(SCORES, SCORES)
def test_improvement_and_order_are_antisymmetric(a: list[float], b: list[float]) -> None:
    u = stats.mannwhitneyu(a, b, method="asymptotic").statistic
    assert probability_of_improvement(a, b) == pytest.approx(u / (len(a) * len(b)))
    assert violation_ratio(a, b) + violation_ratio(b, a) == pytest.approx(1.0)


def test_violation_ratio_by_literal_integration() -> None:
    a, b = [0.1, 0.4, 0.5], [0.2, 0.3]
    t = (np.arange(60_000) + 0.5) / 60_000
    qa, qb = np.sort(a)[np.ceil(t * 3).astype(int) - 1], np.sort(b)[np.ceil(t * 2).astype(int) - 1]
    want = (np.maximum(qb - qa, 0) ** 2).sum() / ((qb - qa) ** 2).sum()
    assert violation_ratio(a, b) == pytest.approx(want, abs=1e-6)
    assert violation_ratio([0.5, 0.6], [0.1, 0.2]) == 0.0


def test_almost_stochastic_order_has_the_error_the_card_measured() -> None:
    rng = np.random.default_rng(0)
    below = [
        almost_stochastic_order(*rng.normal(size=(2, 5)), resamples=300, seed=i) < 0.2
        for i in range(300)
    ]
    assert 0.02 < np.mean(below) < 0.12
    assert almost_stochastic_order([0.9, 0.91, 0.92], [0.1, 0.11, 0.12]) == 0.0
    assert almost_stochastic_order([0.5] * 3, [0.5] * 3) == 0.5


def test_models_that_cannot_be_told_apart_share_a_letter_and_others_do_not() -> None:
    # 0 like 1, 1 like 2, 0 better than 2; 3 worse than all.
    apart = np.array([[0, 0, 1, 1], [0, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 0]], dtype=bool)
    found = letters([0.9, 0.8, 0.7, 0.1], apart)
    assert [rank_text(r) for r in found] == ["a", "ab", "b", "c"]
    assert rank_text(()) == ""
    assert letters([0.1, 0.7, 0.9], np.zeros((3, 3), dtype=bool)) == [("a",)] * 3
    alone = letters(list(range(28)), ~np.eye(28, dtype=bool))
    assert (alone[27], alone[2], alone[1], alone[0]) == (("a",), ("z",), ("a1",), ("b1",))


@given(st.integers(1, 9), st.floats(0, 1), st.randoms(use_true_random=False))
def test_letters_say_exactly_what_was_told_apart(k: int, share: float, random: Random) -> None:
    drawn = [[random.random() < share for _ in range(k)] for _ in range(k)]
    apart = np.triu(np.array(drawn, dtype=bool), 1)
    apart |= apart.T
    means = [random.random() for _ in range(k)]
    found = letters(means, apart)
    for i in range(k):
        for j in range(k):
            assert bool(set(found[i]) & set(found[j])) is not bool(apart[i, j])
    assert "a" in found[int(np.argmax(means))]
    every = {letter for mine in found for letter in mine}
    for letter in every:  # no letter is left over
        rest = [set(mine) - {letter} for mine in found]
        pairs = combinations_with_replacement(range(k), 2)
        assert not all(apart[i, j] or rest[i] & rest[j] for i, j in pairs)


def test_mean_ranks_average_ties() -> None:
    assert mean_ranks([[0.9, 0.5, 0.5], [0.1, 0.3, 0.2]]) == [2.0, 1.75, 2.25]
