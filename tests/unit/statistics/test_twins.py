"""Models on several twins: every training has the samples and the truth of its own twin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import UsageError
from harness.statistics.bootstrap import percentile_interval, resample_weights, resampled
from harness.statistics.compare import Options, compare, standings
from harness.statistics.entrants import Entrant, TwinsEntrant
from harness.statistics.seeds import MANY, differ_over_seeds, paired

QUICK = Options(resamples=200, permutations=199)


def part(name: str, twin: int, wrong: float, seeds: Sequence[int], **fields: object) -> Entrant:
    """Return a model on one twin: sizes, ids, groups and truth are the twin's own."""
    own = np.random.default_rng(100 + twin)
    count = 60 + 10 * twin
    truth = (own.random((count, 2)) < 0.4).astype(np.int8)
    luck = np.random.default_rng([twin, *name.encode()])
    errors = luck.random((len(seeds), count, 2)) < wrong
    ids = tuple(f"{twin}-{i:03d}" for i in range(count))
    groups = tuple(f"{twin}-g{i // 2:02d}" for i in range(count))
    made = Entrant(
        name, tuple(seeds), ids, groups, ("a", "b"), f"masks of {twin}", "video", truth,
        (truth[None] ^ errors).astype(np.int8), twin=twin,
    )  # fmt: skip
    return replace(made, **fields)  # type: ignore[arg-type]


def on_twins(name: str, wrong: float, twins: Sequence[int] = (1, 2, 3)) -> TwinsEntrant:
    return TwinsEntrant(tuple(part(name, twin, wrong, [twin - 1]) for twin in twins))


def test_figures_are_means_over_twins_and_groups_are_drawn_inside_each() -> None:
    good, bad = compare([on_twins("good", 0.1), on_twins("bad", 0.4)], "bad", "micro_f1", QUICK)
    each = [part("good", twin, 0.1, [twin - 1]).sums("micro_f1") for twin in (1, 2, 3)]
    assert (good.seeds, good.twins, good.shared_twins) == ((0, 1, 2), (1, 2, 3), (1, 2, 3))
    assert good.mean == pytest.approx(np.mean([s.per_seed()[0] for s in each]))
    drawn = [
        resampled(sums, resample_weights(sums.rows.shape[1], 200, (0, twin)))
        for twin, sums in zip((1, 2, 3), each, strict=True)
    ]
    assert good.sample_ci == pytest.approx(percentile_interval(np.mean(drawn, axis=0)))
    assert (good.n_samples, good.n_clusters) == (70 + 80 + 90, 35 + 40 + 45)
    assert good.delta == pytest.approx(good.mean - bad.mean) and good.p_perm == 1 / 200


def test_a_comparison_uses_the_twins_that_both_have() -> None:
    """Draws of a twin do not depend on which others a model has."""
    many, some = on_twins("many", 0.1, (1, 2, 3, 4, 5)), on_twins("some", 0.3, (5, 3, 1))
    found = compare([many, some], "some", "micro_f1", QUICK)[0]
    fewer = compare([on_twins("many", 0.1, (1, 3, 5)), some], "some", "micro_f1", QUICK)[0]
    assert (found.shared_twins, found.twins) == ((1, 3, 5), (1, 2, 3, 4, 5))
    assert (found.delta, found.p_perm, found.p_seeds) == (fewer.delta, fewer.p_perm, fewer.p_seeds)
    assert found.delta_ci == fewer.delta_ci
    with pytest.raises(UsageError, match=r"different twins \(1, 2, 3 and 4, 5, 6\)"):
        compare([on_twins("a", 0.1), on_twins("b", 0.1, (4, 5, 6))], "b", "micro_f1", QUICK)
    with pytest.raises(UsageError, match=r"on twins 3, 4, 5; a paired test needs 3 seeds"):
        compare([on_twins("a", 0.1), on_twins("b", 0.1, (3, 4, 5))], "b", "micro_f1", QUICK)


def test_other_samples_of_one_twin_are_refused() -> None:
    a, b = on_twins("a", 0.1), on_twins("b", 0.1)
    other = replace(b, parts=(*b.parts[:2], replace(b.parts[2], mask_digest="other")))
    with pytest.raises(UsageError, match="b and a, twin 3, were scored under different dropout"):
        compare([other, a], "a", "micro_f1", QUICK)
    assert [s.rank for s in standings([a, other], "micro_f1", QUICK)] == [(), ()]


def test_a_deterministic_entrant_stands_on_each_twin_for_every_seed() -> None:
    """Two seeds on one twin are against the one run there, never against another twin's."""
    twice = TwinsEntrant(tuple(part("m", t, 0.1, [t - 1, t + 9]) for t in (1, 2)))
    fixed = TwinsEntrant(tuple(part("c", t, 0.4, [0], deterministic=True) for t in (1, 2, 3)))
    block = compare([twice, fixed], "c", "micro_f1", QUICK)[0]
    assert block.shared_seeds == (0, 10, 1, 11) and block.shared_twins == (1, 2)
    one, two = fixed.measured("micro_f1").scores[:2]
    assert block.delta == pytest.approx(block.mean - (one + two) / 2)


def test_ranks_are_of_trained_models_alone_where_others_are_left_out() -> None:
    models = [on_twins(f"m{i}", 0.02 if i < 6 else 0.4) for i in range(MANY + 2)]
    found = standings(models, "micro_f1", Options(100, 1999), unranked={0})
    assert not found[0].rank and found[0].sample_ci[0] > 0.5
    assert found[1].rank and found[-1].rank and found[1].rank != found[-1].rank


def test_what_is_hard_about_a_twin_is_no_part_of_a_difference() -> None:
    rng = np.random.default_rng(0)
    twins = rng.normal(0, 0.1, 3)
    scores = [[0.5 + t + rng.normal(0, 0.002) for t in twins] for _ in range(MANY + 2)]
    scores[0] = [s + 0.03 for s in scores[0]]
    where, fixed, rows = [[1, 2, 3]] * len(scores), [False] * len(scores), ([0, 1, 2], [0, 1, 2])
    pairs = [((0, 1), rows), ((1, 2), rows)]
    far, near = (test.p for test in differ_over_seeds(scores, where, fixed, pairs))
    assert far < 1e-4 and near > 0.05
    shifted = [[s + 0.2 * (i == 1) for i, s in enumerate(own)] for own in scores]
    again = [test.p for test in differ_over_seeds(shifted, where, fixed, pairs)]
    assert again == pytest.approx([far, near])
    scores[5][2] = 0.0  # one seed of one model collapsed: that is no twin's mean, and no floor
    beside = [test.p for test in differ_over_seeds(scores, where, fixed, pairs)]
    assert beside[0] < 1e-4 and beside[1] == pytest.approx(near, abs=0.1)
    real = [[] for _ in scores]  # Welch's test on real data has the twins' variance as noise
    assert differ_over_seeds(scores, real, fixed, [((0, 1), rows)])[0].p > 0.3


def test_few_models_are_tested_by_their_differences() -> None:
    scipy = pytest.importorskip("scipy.stats")
    a, b = [0.61, 0.55, 0.72, 0.5], [0.6, 0.52, 0.7, 0.49]
    rows = (range(4), range(4))
    (found,) = differ_over_seeds([a, b], [[1, 2, 3, 4]] * 2, [False] * 2, [((0, 1), rows)])
    assert found.p == pytest.approx(scipy.ttest_rel(a, b).pvalue)
    assert (paired([0.0, 0.0]).p, paired([0.1, 0.1]).p) == (1.0, 0.0)
