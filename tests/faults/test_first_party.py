"""Every first-party model keeps the contract that a run holds it to, on every layout it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.engine.checks import RunChecks
from harness.engine.device import Compute
from harness.model import ModelPlugin
from harness.plugins import load
from tests.gpu.made import CPU, cases, made_batch, trained

# Of the quick tier; the others, too, are checked by each of their runs there.
QUICK = ("cc", "lf-lstm", "prior")


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        pytest.param(*case, marks=() if case[0] in QUICK else pytest.mark.full)
        for case in (*cases(), *cases("trivial"))
    ],
)
def test_a_first_party_model_passes_every_check(name: str, layout: str, tmp_path: Path) -> None:
    made: list[RunChecks] = []

    def checks(model: ModelPlugin, compute: Compute) -> RunChecks:
        made.append(RunChecks(model, compute))
        return made[-1]

    model, _ = trained(name, layout, CPU, tmp_path, epochs=3, checks=checks)
    (one,) = made
    with one.surroundings():
        one.prediction(model, [made_batch(layout)])
    # A card may announce, with its reason, that its optimisers share parameters.
    spec = load().model(name)
    assert [w for w in one.warnings if not spec.announces(w)] == []
