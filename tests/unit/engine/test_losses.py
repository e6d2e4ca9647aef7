"""Losses of an epoch: the same means and the same error whenever they are read."""

from __future__ import annotations

import math

import pytest
import torch

from harness.engine.losses import READ_EVERY, EpochLosses, LossNotFiniteError
from harness.model import StepOutput


def outputs(count: int) -> list[StepOutput]:
    values = torch.rand(count, 2, generator=torch.Generator().manual_seed(0))
    return [StepOutput(loss, {"term": term.reshape(1)}) for loss, term in values]


def means(at_once: bool, steps: list[StepOutput]) -> dict[str, float]:
    losses = EpochLosses(0, at_once=at_once)
    for number, output in enumerate(steps):
        losses.add(number, output, (f"s{number}",))
        if at_once:
            assert losses.last == float(output.loss)
    return losses.means()


def test_means_are_sums_in_float64_whenever_they_are_read() -> None:
    steps = outputs(2 * READ_EVERY + 3)
    exact = torch.stack([s.loss for s in steps]).double().cumsum(0)[-1] / len(steps)
    assert means(True, steps) == means(False, steps)
    assert means(True, steps)["loss"] == pytest.approx(float(exact), rel=1e-15)


def test_terms_may_come_and_go() -> None:
    steps = [StepOutput(torch.tensor(1.0)), *outputs(1)]
    assert means(True, steps) == means(False, steps)
    assert list(means(True, steps)) == ["loss", "term"]


@pytest.mark.parametrize("at_once", [True, False])
def test_the_first_loss_that_is_not_finite_is_told_of(at_once: bool) -> None:
    steps = outputs(READ_EVERY)
    for place in (5, 7):
        steps[place] = StepOutput(torch.tensor(math.inf), {"term": torch.tensor(2.0)})
    with pytest.raises(LossNotFiniteError, match=r"became inf in epoch 0, step 5 .*s5") as told:
        means(at_once, steps)
    assert told.value.failure["terms"] == {"loss": math.inf, "term": 2.0}


def test_a_term_alone_may_be_nan() -> None:
    steps = [StepOutput(torch.tensor(1.0), {"term": torch.tensor(math.nan)})]
    assert math.isnan(means(False, steps)["term"])
