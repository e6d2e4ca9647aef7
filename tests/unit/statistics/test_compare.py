"""Report blocks: what they hold, what they refuse, and how often equal models differ."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.errors import UnknownNameError, UsageError
from harness.statistics.compare import Block, Options, compare, standings
from harness.statistics.entrants import Entrant

QUICK = Options(resamples=100, permutations=199)


def entrant(name: str, wrong: float, rng: np.random.Generator, **fields: Any) -> Entrant:
    """Return a model with an error rate, whose seeds differ by more than chance."""
    seeds, samples = fields.pop("seeds", (0, 1, 2, 3, 4)), 120
    truth = (np.random.default_rng(9).random((samples, 2)) < 0.5).astype(np.int8)
    spread = fields.pop("spread", 0.0)
    rates = np.clip(rng.normal(wrong, spread, len(seeds)), 0, 1)
    errors = rng.random((len(seeds), samples, 2)) < rates[:, None, None]
    return Entrant(
        name, seeds, tuple(f"{i:03d}" for i in range(samples)),
        tuple(f"g{i % 40:02d}" for i in range(samples)), ("a", "b"), "digest", "video", truth,
        (truth[None] ^ errors).astype(np.int8), **fields,
    )  # fmt: skip


def pair(**fields: Any) -> list[Entrant]:
    rng = np.random.default_rng(0)
    return [entrant("good", 0.1, rng, **fields), entrant("bad", 0.4, rng)]


def test_block_holds_what_the_card_asks_for() -> None:
    good, bad = compare(pair(), "bad", "micro_f1", QUICK)
    assert (good.n_seeds, good.ddof, good.B, good.R, good.holm_m) == (5, 1, 100, 199, 1)
    assert (good.cluster_key, good.n_clusters, good.n_samples) == ("video", 40, 120)
    assert good.delta == pytest.approx(good.mean - bad.mean)
    assert good.delta_ci is not None and 0 < good.delta_ci[0] < good.delta < good.delta_ci[1]
    assert good.p_perm == good.p_holm == 1 / 200 and good.told_apart
    assert (good.p_improve, good.aso_eps_min, good.tau) == (1.0, 0.0, 0.2)
    assert good.detectable is not None and 0 < good.detectable < good.delta
    assert good.sample_ci[0] < good.mean < good.sample_ci[1]
    assert bad.delta is None and bad.p_perm is None and bad.detectable is None
    assert compare(pair(), "bad", "micro_f1", QUICK)[0] == good


def test_a_block_is_the_same_after_json() -> None:
    for block in compare(pair(), "bad", "micro_f1", QUICK):
        assert Block.from_dict(json.loads(json.dumps(block.as_dict()))) == block


def test_a_deterministic_entrant_needs_no_seeds() -> None:
    """Its one run stands for every seed: its uncertainty is the samples' alone."""
    rng = np.random.default_rng(0)
    good = entrant("good", 0.1, rng)
    fixed = entrant("fixed", 0.4, rng, seeds=(0,), deterministic=True)
    other = entrant("other", 0.3, rng, seeds=(7,), deterministic=True)
    first, last = compare([good, fixed], "fixed", "micro_f1", QUICK)
    assert (last.n_seeds, last.std, last.t_ci) == (1, None, None)
    assert last.sample_ci[0] < last.mean < last.sample_ci[1]
    assert first.shared_seeds == good.seeds and first.told_apart
    assert first.delta == pytest.approx(first.mean - last.mean)
    assert first.p_seeds is not None and 0 < first.p_seeds < 0.01
    same, _ = compare([fixed, other], "other", "micro_f1", QUICK)
    assert same.p_seeds == 0.0 and same.p_perm is not None and same.p_perm > 1 / 200
    lonely = entrant("lonely", 0.3, rng, seeds=(0,))
    with pytest.raises(UsageError, match="lonely has 1 seed"):
        compare([lonely, fixed], "fixed", "micro_f1", QUICK)


def test_stochastic_order_is_not_given_below_five_seeds() -> None:
    good, bad = pair()
    few = [replace(e, seeds=(0, 1, 2, 3), decided=e.decided[:4]) for e in (good, bad)]
    assert compare(few, "bad", "micro_f1", QUICK)[0].aso_eps_min is None
    assert compare([good, bad], "bad", "micro_f1", QUICK)[0].aso_eps_min == 0.0


def test_holm_counts_the_models_beside_the_reference() -> None:
    rng = np.random.default_rng(1)
    many = [entrant(f"m{i}", 0.3, rng) for i in range(4)]
    blocks = compare(many, "m0", "micro_f1", QUICK)
    assert [b.holm_m for b in blocks] == [None, 3, 3, 3]
    assert all(b.p_holm >= b.p_perm for b in blocks[1:])  # type: ignore[operator]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask_digest": "other"}, "different dropout masks"),
        ({"labels": ("b", "a")}, "labels"),
        ({"ids": tuple(f"x{i:03d}" for i in range(120))}, "different test samples"),
        ({"groups": ("g",) * 120}, "groups or the truth"),
        ({"seeds": (5, 6, 7, 8, 9)}, "both have"),
    ],
)
def test_what_must_not_be_tested_is_refused(change: dict[str, Any], message: str) -> None:
    good, bad = pair()
    with pytest.raises(UsageError, match=message):
        compare([replace(good, **change), bad], "bad", "micro_f1", QUICK)
    found = standings([replace(good, **change), bad], "micro_f1", QUICK)
    assert [s.rank for s in found] == [(), ()] and found[0].sample_ci[0] > found[1].sample_ci[1]


def test_fewer_than_three_seeds_an_unknown_reference_and_one_model_are_refused() -> None:
    with pytest.raises(UsageError, match="2 seeds"):
        compare(pair(seeds=(0, 1)), "bad", "micro_f1", QUICK)
    with pytest.raises(UnknownNameError, match="bda"):
        compare(pair(), "bda", "micro_f1", QUICK)
    with pytest.raises(UsageError, match="two models"):
        compare(pair()[:1], "good", "micro_f1", QUICK)


def test_pairs_are_tested_on_the_seeds_both_have() -> None:
    good, bad = pair()
    fewer = replace(bad, seeds=(4, 2, 0, 9), decided=bad.decided[[4, 2, 0, 1]])
    block = compare([good, fewer], "bad", "micro_f1", QUICK)[0]
    assert block.shared_seeds == (0, 2, 4) and block.n_seeds == 5


def test_equal_models_share_a_rank_and_better_ones_do_not() -> None:
    rng = np.random.default_rng(2)
    models = [entrant(n, w, rng) for n, w in (("a", 0.05), ("b", 0.05), ("c", 0.4))]
    lonely = entrant("d", 0.3, rng, seeds=(0,))
    found = standings([*models, lonely], "micro_f1", QUICK)
    assert [s.rank for s in found] == [("a",), ("a",), ("b",), ()]
    assert found[3].sample_ci[0] < found[3].sample_ci[1]


def test_training_luck_alone_does_not_tell_models_apart() -> None:
    """A/A: one code, seeds that differ by more than the test set's noise."""
    rng = np.random.default_rng(3)
    told, by_permutation = [], []
    for run in range(120):
        models = [entrant(n, 0.3, rng, spread=0.1) for n in "ab"]
        block = compare(models, "b", "micro_f1", Options(20, 99, seed=run))[0]
        told.append(block.told_apart)
        by_permutation.append((block.p_perm or 0) < 0.05)
    assert np.mean(told) <= 0.05 + 3 * (0.05 * 0.95 / 120) ** 0.5
    assert np.mean(by_permutation) > 0.2


def test_of_many_models_the_best_are_ranked_and_all_have_intervals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(4)
    models = [entrant(f"m{i}", 0.4 - 0.05 * i, rng) for i in range(5)]
    whole = standings(models, "micro_f1", QUICK)
    assert all(s.rank for s in whole) and sum(len(s.against) for s in whole) == 10
    monkeypatch.setattr("harness.statistics.compare.MOST_RANKED", 3)
    found = standings(models, "micro_f1", QUICK)
    assert [bool(s.rank) for s in found] == [False, False, True, True, True]
    assert [s.sample_ci for s in found] == [s.sample_ci for s in whole]
    assert sum(len(s.against) for s in found) == 3
    measured = [m.measured("micro_f1") for m in models]
    assert standings(measured, "micro_f1", QUICK) == found


def test_permutations_do_not_depend_on_how_many_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    models = [entrant(f"m{i}", 0.4 - 0.02 * i, rng) for i in range(3)]
    whole = [s.against for s in standings(models, "micro_f1")]
    monkeypatch.setattr("harness.statistics.permutation._VALUES", 1)
    assert [s.against for s in standings(models, "micro_f1")] == whole
