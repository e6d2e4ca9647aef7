"""Laws of the missingness families: survivors, nesting, rates, and what ranks change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.errors import UnknownNameError, UsageError
from harness.protocols.dropout import (
    MaskRequest,
    Traits,
    expand,
    parse,
    suite,
    training_masks,
    training_protocol,
)
from harness.protocols.dropout.families.patterns import TIERS
from harness.protocols.suites import members

Ask = Callable[..., MaskRequest]
N = 4000
LEVELS = {
    "exclusive-{}": (0.2, 0.5, 0.9, 1.0),
    "patterns-{}": (0.2, 0.5, 0.9, 1.0),
    "lose-t-{}": (0.2, 0.5, 0.9, 1.0),
    "mcar-{}": (0.1, 0.4, 0.7, 0.95),
    "mnar-high-{}": (0.1, 0.3, 0.5),
    "mnar-short-{}": (0.1, 0.3, 0.5),
    "tiers-{}": tuple(TIERS),
}


def ranks(count: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    r = {s: (rng.integers(0, 2001, (count, 3)), np.full(3, 1000)) for s in ("energy", "length")}
    return {"ranks": r, "lengths": rng.integers(1, 20, (count, 3))}


def natural(count: int) -> np.ndarray:
    return np.random.default_rng(1).random((count, 3)) < 0.7


@pytest.mark.parametrize("pattern", LEVELS)
def test_one_survives_and_masks_are_nested(ask: Ask, pattern: str) -> None:
    request = ask(N, **ranks(N), natural=natural(N))
    before = request.natural
    for level in LEVELS[pattern]:
        kept = parse(pattern.format(level)).masks(request).keep
        assert (kept <= before).all(), "what is gone comes back at a higher rate"
        assert (kept.any(axis=1) == request.natural.any(axis=1)).all()
        single = request.natural.sum(axis=1) == 1
        assert (kept[single] == request.natural[single]).all()
        before = kept
    assert (before != request.natural).any()


@pytest.mark.parametrize(
    ("name", "law"),
    [
        ("exclusive-0.6", lambda p, k: p * (k - 1) / k),
        ("patterns-0.6", lambda p, k: p / 2),
        ("lose-t-0.6", lambda p, k: p / k),
        ("mcar-0.6", lambda p, k: p - p**k / k),
        ("tiers-0.6", lambda p, k: p),
    ],
)
def test_realised_rates(ask: Ask, name: str, law: Callable[[float, int], float]) -> None:
    found = parse(name).masks(ask(20000)).eta_hat
    assert found == pytest.approx(law(0.6, 3), abs=0.01)


def test_patterns_are_alike_and_exclusive_leaves_one(ask: Ask) -> None:
    code = parse("patterns-1.0").masks(ask(12000)).keep @ [1, 2, 4]
    counts = np.bincount(code, minlength=8)
    assert counts[0] == counts[7] == 0 and abs(counts[1:7] - 2000).max() < 180
    assert (parse("exclusive-1.0").masks(ask(N)).keep.sum(axis=1) == 1).all()


def test_mnar_at_the_middle_rank_is_mcar(ask: Ask) -> None:
    middle = (np.full((N, 3), 1000), np.full(3, 1000))
    request = ask(N, ranks={"energy": middle}, natural=natural(N))
    for direction in ("high", "low"):
        found = parse(f"mnar-{direction}-0.3").masks(request)
        assert (found.keep == parse("mcar-0.3").masks(request).keep).all()


def test_high_and_low_exchange_where_ranks_are_turned_round(ask: Ask) -> None:
    request = ask(N, **ranks(N))
    assert request.ranks is not None
    r, n = request.ranks["energy"]
    turned = replace(request, ranks={"energy": (2 * n - r, n)})
    high, low = (parse(f"mnar-{d}-0.4") for d in ("high", "low"))
    assert (high.masks(request).keep == low.masks(turned).keep).all()
    assert (high.masks(request).keep != low.masks(request).keep).any()
    gone = ~high.masks(request).keep
    assert r[gone].mean() > r[~gone].mean() + 300


def test_ranks_change_masks_and_digests_of_mnar_alone(ask: Ask) -> None:
    request = ask(N, **ranks(N))
    other = replace(request, ranks=ranks(N, seed=5)["ranks"])
    one, two = (parse("mnar-long-0.3").masks(r) for r in (request, other))
    assert one.digest != two.digest and one.rank_digest != two.rank_digest
    assert one.facts["rank_digest"] == one.rank_digest
    assert parse("mnar-low-0.3").masks(request).informative and not one.informative
    plain = [parse("mcar-0.3").masks(r) for r in (request, other)]
    assert plain[0].digest == plain[1].digest and "rank_digest" not in plain[0].facts


@pytest.mark.parametrize("name", ["exclusive-0.5", "mnar-high-0.3", "tiers-0.4", "lose-a-0.5"])
def test_order_and_subset_change_no_mask(ask: Ask, name: str) -> None:
    request, facts = ask(50, **ranks(50)), ranks(50)
    order = np.random.default_rng(2).permutation(50)[:20]
    cut = ask(
        [request.ids[i] for i in order],
        ranks={s: (r[order], n) for s, (r, n) in facts["ranks"].items()},
        lengths=facts["lengths"][order],
    )
    whole = parse(name).masks(request).keep
    assert (parse(name).masks(cut).keep == whole[order]).all()


def test_a_modality_that_no_training_sample_has_never_goes(ask: Ask) -> None:
    r, n = np.zeros((N, 3), np.int64), np.array([10, 10, 0])
    r[:, :2] = 20
    kept = parse("mnar-high-0.5").masks(ask(N, ranks={"energy": (r, n)})).keep
    assert kept[:, 2].all() and not kept[:, :2].all()


def test_missing_suite() -> None:
    found = members("missing@1", Traits())
    assert len(found) == len(set(found)) == 27
    assert len(set(found) & set(members("core@1", Traits()))) == 14
    constant = members("missing", Traits(varying=False))
    assert set(found) - set(constant) == {"mnar-long-0.3@1", "mnar-short-0.3@1"}
    assert members("missing", Traits.of_protocols(found)) == found
    assert members("missing", Traits.of_protocols(constant)) == constant


def test_missing_suite_of_two_modalities_has_each_keep_set_once(ask: Ask) -> None:
    keys = ("a", "t")
    facts = ranks(400)
    request = ask(
        400,
        modalities=keys,
        ranks={s: (r[:, :2], n[:2]) for s, (r, n) in facts["ranks"].items()},
        lengths=facts["lengths"][:, :2],
    )
    digests = [p.masks(request).digest for p in suite("missing", Traits(keys=keys))]
    assert len(digests) == len(set(digests)) == 21


def test_training_protocols_are_refused_outside_training(ask: Ask) -> None:
    for name in ("train-patterns", "train-paired", "train-frames", "train-frame-rates"):
        with pytest.raises(UsageError, match="for training only"):
            parse(name).masks(ask(3))
        with pytest.raises(UsageError, match="for training only"):
            expand([name], Traits())
        first, again, later = (training_masks(parse(name), ask(60), e) for e in (0, 0, 1))
        assert first.digest == again.digest != later.digest
    with pytest.raises(UsageError, match="for scoring only"):
        training_protocol("mnar-high-0.3", Traits())
    with pytest.raises(UsageError, match="no modality 'z'"):
        training_protocol("lose-z-0.3", Traits())
    assert not training_protocol("random-0.5", Traits()).for_training


def test_train_frames_is_a_coin_and_frame_rates_leave_half_whole(ask: Ask) -> None:
    request = ask(1500, lengths=np.full((1500, 3), 40))
    coin = training_masks(parse("train-frames"), request, 0).frames
    rates = training_masks(parse("train-frame-rates"), request, 0).frames
    assert coin is not None and rates is not None
    assert np.mean([f.mean() for f in coin["a"]]) == pytest.approx(0.5, abs=0.01)
    assert np.mean([f.all() for f in rates["a"]]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([f.mean() for f in rates["a"]]) == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tiers-0.35", "one of 0.1, 0.2, 0.3"),
        ("mnar-high-0.6", "above 0 and at most 0.5"),
        ("exclusive-1.5", "above 0 and at most 1"),
        ("mcar-1.0", "between 0 and 1"),
        ("lose-t-0", "above 0 and at most 1"),
    ],
)
def test_numbers_out_of_range(name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mnar-hgih-0.3", "mnar-high-0.3@1"),
        ("los-t-0.4", "lose-t-0.4@1"),
        ("tier-0.2", "tiers-0.2@1"),
        ("exclusiv-0.4", "exclusive-0.4@1"),
        ("train-pattern", "train-patterns@1"),
    ],
)
def test_unknown_names_suggest_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UnknownNameError, match=f"Did you mean '{hint}'"):
        parse(name)


def test_words_and_numbers_have_one_spelling() -> None:
    found = parse("lose-my-view-0.30")
    assert found.id == "lose-my-view-0.3@1"
    assert (found.word, found.level) == ("my-view", 0.3)
    assert (parse("mnar-long-0.3").word) == "long"
    assert parse("noise-snr--5").word == "" and parse("only-t").word == "t"


@pytest.mark.parametrize(
    ("name", "traits", "says"),
    [
        ("tiers-0.3", Traits(keys=("a", "t")), "2 modalities"),
        ("lose-z-0.3", Traits(), "no modality 'z'"),
        ("mnar-long-0.3", Traits(varying=False), "same number of valid positions"),
        ("mnar-high-0.3", Traits(ranked=False), "no training split"),
        ("mcar-0.3", Traits(keys=("t",)), "only modality"),
    ],
)
def test_data_that_cannot_have_it(name: str, traits: Traits, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        expand([name], traits)
