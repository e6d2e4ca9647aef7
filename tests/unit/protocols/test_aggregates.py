"""Aggregates of missing@1 by hand, and what holds of any scores."""

from __future__ import annotations

import numpy as np
import pytest

from harness.protocols.aggregates import AGGREGATES, MISSING, aggregates_of, weights_of
from harness.protocols.dropout import Traits
from harness.protocols.suites import members

NAMES = [name.partition("@")[0] for name in members(MISSING, Traits())]
RATES = {n: min(float(n[7:]), 2 / 3) if n.startswith("random") else 0.0 for n in NAMES}


def made(seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    return {name: float(rng.uniform(0.1, 0.9)) for name in NAMES}


def test_missing_mean_by_hand() -> None:
    scores = dict.fromkeys(NAMES, 0.9)
    scores |= {n: 0.3 for n in NAMES if n.startswith(("only", "drop"))}
    scores |= {n: 0.9 - 0.6 * RATES[n] for n in NAMES if n.startswith("random")}
    scores |= {"exclusive-0.5": 0.4, "patterns-0.5": 0.6, "mcar-0.3": 0.55}
    scores |= {f"mnar-{word}-0.3": s for word, s in
               (("high", 0.4), ("low", 0.5), ("long", 0.6), ("short", 0.7))}  # fmt: skip
    scores |= {n: 0.2 for n in NAMES if n.startswith(("frames", "burst"))}
    found = aggregates_of(MISSING, scores, RATES)
    assert found["avg_incomplete"] == pytest.approx(0.3)
    assert found["nauilc"] == pytest.approx(0.9 - 0.6 / 3)
    assert (found["avg_some"], found["avg_mnar"]) == pytest.approx((0.5, 0.55))
    assert found["delta_mnar"] == pytest.approx(0.0) and found["avg_inside"] == pytest.approx(0.2)
    assert found["missing_mean"] == pytest.approx((0.3 + 0.7 + 0.5 + 0.55 + 0.2) / 5)
    assert found["worst"] == 0.2
    assert found["retention"] == pytest.approx(found["missing_mean"] / 0.9)


def test_a_block_without_members_leaves_no_mean_and_keeps_the_others() -> None:
    scores = {n: s for n, s in made(0).items() if not n.startswith(("mnar", "mcar"))}
    found = aggregates_of(MISSING, scores, RATES)
    assert not {"missing_mean", "avg_mnar", "delta_mnar", "retention"} & found.keys()
    assert {"avg_incomplete", "nauilc", "avg_some", "avg_inside", "worst"} <= found.keys()
    assert aggregates_of("noise@1", scores, RATES) == {}


@pytest.mark.parametrize("seed", range(5))
def test_aggregates_are_means_whatever_the_scores(seed: int) -> None:
    """Equal scores are their own mean, a shift is kept, weights give the value again."""
    scores = made(seed)
    found = aggregates_of(MISSING, scores, RATES)
    more = aggregates_of(MISSING, {n: s + 0.05 for n, s in scores.items()}, RATES)
    flat = aggregates_of(MISSING, dict.fromkeys(NAMES, 0.4), RATES)
    for aggregate in AGGREGATES[MISSING]:
        name = aggregate.name
        if aggregate.linear:
            weights = weights_of(aggregate, NAMES, RATES)
            assert weights is not None
            value = sum(w * scores[n] for w, n in zip(weights, NAMES, strict=True))
            total = 0.0 if name == "delta_mnar" else 1.0
            assert value == pytest.approx(found[name])
            assert sum(weights) == pytest.approx(total)
            assert more[name] - found[name] == pytest.approx(0.05 * total)
            assert flat[name] == pytest.approx(0.4 * total)
    assert found["worst"] <= found["missing_mean"] <= max(scores.values())
