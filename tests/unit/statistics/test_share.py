"""The normalised share: its range, its interval on the same resamples, several twins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.statistics.counts import group_sums
from harness.statistics.measured import Measured, Part
from harness.statistics.share import LEAST_RANGE, against, share

GROUPS = tuple(f"{i // 4:03d}" for i in range(400))


def made(name: str, right: float, twins: tuple[int, ...] = (1,), seeds: int = 1) -> Measured:
    """Return decisions of which a share is right, on the samples of each twin."""
    parts = []
    for twin in twins:
        truth = np.random.default_rng(twin).random((400, 3)) < 0.4
        rng = np.random.default_rng([twin, *name.encode()])
        decided = np.where(rng.random((seeds, 400, 3)) < right, truth, ~truth)
        sums = group_sums("micro_f1", truth.astype(int), decided.astype(int), GROUPS)
        parts.append(Part(twin, tuple(range(seeds)), f"samples {twin}", sums))
    return Measured(name, tuple(parts))


def test_share_is_refused_without_a_range() -> None:
    assert share(0.6, 0.4, 0.8) == pytest.approx(0.5)
    assert share(0.3, 0.4, 0.8) == pytest.approx(-0.25)
    assert share(0.42, 0.4, 0.4 + LEAST_RANGE / 2) is None


def test_constant_and_ceiling_themselves_have_no_uncertainty() -> None:
    low, top = (replace(made(n, p), deterministic=True) for n, p in (("c", 0.5), ("top", 0.95)))
    for one, value in ((low, 0.0), (top, 1.0)):
        found = against(one, low, top)
        assert found is not None and found.share == value and found.interval == (value, value)
    model = against(made("model", 0.75, seeds=3), low, top)
    assert model is not None and model.interval is not None and model.share is not None
    assert model.interval[0] < model.share < model.interval[1] and model.above
    assert model.interval[0] > 0 and model.interval[1] < 1
    again = against(made("model", 0.75, seeds=3), low, top)
    assert again == model  # the same resamples


def test_a_row_near_the_constant_is_not_told_from_it() -> None:
    low = replace(made("c", 0.5), deterministic=True)
    near = against(made("near", 0.5), low)
    assert near is not None and not near.above and near.share is None and near.interval is None


def test_only_twins_that_all_have_count() -> None:
    low = replace(made("c", 0.5, (1, 2)), deterministic=True)
    top = replace(made("top", 0.95, (1, 3)), deterministic=True)
    model = made("model", 0.75, (1, 2, 3))
    alone = against(made("model", 0.75, (1,)), low, top)
    found = against(model, low, top)
    assert found is not None and alone is not None
    assert found.share == alone.share and found.interval == alone.interval
    assert against(made("model", 0.75, (4,)), low, top) is None
    other = replace(low, parts=(replace(low.parts[0], samples="other"),))
    assert against(made("model", 0.75, (1,)), other, top) is None
