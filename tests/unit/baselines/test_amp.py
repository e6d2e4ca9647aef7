from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harness.data.batch import Batch
from harness.model import StepOutput
from harness.specs import TaskInfo, TrainingConfig
from harness_baselines.amp import Amp, AmpConfig
from harness_baselines.amp_mask import soft_lowest_k
from tests.unit.baselines.sequences import (
    NAMES,
    Context,
    cropped,
    made_batch,
    made_task,
    rows,
    score,
    without,
)

SMALL = AmpConfig(
    hidden_size=8, heads=2, feedforward=8, encoder_layers=1, masked_positions=2, warmup_epochs=0
)
RECIPE = TrainingConfig(epochs=10, lr=1e-3, weight_decay=0.01, clip_norm=1.0)


def made(task: TaskInfo, config: AmpConfig = SMALL) -> Amp:
    torch.manual_seed(0)
    return Amp(config, task)


def trained(model: Amp, batch: Batch) -> tuple[StepOutput, Context]:
    ctx = Context(model, list(model.configure_optimizers(RECIPE, 10)))
    model.on_epoch_start(ctx)  # type: ignore[arg-type]
    return model.train().training_step(batch, ctx), ctx  # type: ignore[arg-type]


@pytest.mark.parametrize("names", [("text",), ("x", "y"), (*NAMES, "pulse")])
@pytest.mark.parametrize("kind", ["multilabel", "singlelabel"])
@pytest.mark.parametrize("length", [1, 6])
def test_any_modalities_train_and_predict(names: tuple[str, ...], kind: str, length: int) -> None:
    task = made_task(names, max_length=length, label_kind=kind)
    model, batch = made(task), made_batch(task, 4)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    out, ctx = trained(model, batch)
    assert out.loss.isfinite() and not out.loss.requires_grad
    assert len(ctx.norms) == 1
    still = [n for n, p in model.named_parameters() if torch.equal(p, before[n])]
    # Where a modality has one position its mask is fixed, so its scorer gets no gradient; weight
    # decay alone moves matrices, not all biases.
    assert all(".scorer.bias" in n or "in_proj_bias" in n or "norm" in n for n in still), still
    scores = score(model, batch)
    assert scores.shape == (4, 3)
    assert (scores >= 0).all() and (scores <= 1).all()
    if kind == "singlelabel":
        torch.testing.assert_close(scores.sum(1), torch.ones(4))


def test_scores_do_not_depend_on_company_or_order() -> None:
    task = made_task()
    model, batch = made(task), made_batch(task, 5)
    together = score(model, batch)
    torch.testing.assert_close(score(model, rows(batch, torch.tensor([2]))), together[2:3])
    order = torch.tensor([4, 2, 0, 3, 1])
    torch.testing.assert_close(score(model, rows(batch, order)), together[order])


def test_batch_of_one_and_odd_last_batch_train() -> None:
    task = made_task()
    model, batch = made(task), made_batch(task, 5)
    for index in ([0], [0, 1, 2]):
        out, _ = trained(model, rows(batch, torch.tensor(index)))
        assert all(term.isfinite() for term in out.terms.values())


@pytest.mark.parametrize("missing", NAMES)
def test_missing_modality_stays_finite_and_concerns_its_sample_only(missing: str) -> None:
    task = made_task()
    model, batch = made(task), made_batch(task, 3)
    torn = without(batch, missing, 1)
    whole, scores = score(model, batch), score(model, torn)
    torch.testing.assert_close(scores[[0, 2]], whole[[0, 2]])
    assert scores.isfinite().all() and not torch.equal(scores[1], whole[1])
    trained(model, torn)
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("max_frames", [0, 4])
def test_padding_beyond_the_mask_changes_neither_scores_nor_gradients(max_frames: int) -> None:
    task = made_task(max_length=20)
    config = replace(SMALL, dropout=0.0, max_frames=max_frames)
    batch = made_batch(task, 4, lengths=True, longest=9)
    model, grads = made(task, config), []
    for seen in (batch, cropped(batch, 9)):
        model.zero_grad()
        model.train().gradients(seen, Context(model, []))  # type: ignore[arg-type]
        grads.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(score(model, cropped(batch, 9)), score(model, batch))


def test_prediction_is_the_clean_branch_of_training() -> None:
    task = made_task()
    model, batch = made(task).eval(), made_batch(task, 3)
    with torch.no_grad():
        logits, masked, _ = model.both(batch)
    torch.testing.assert_close(logits.sigmoid(), score(model, batch))
    assert not torch.allclose(logits, masked)


def test_perturbation_has_unit_length_spares_tensors_without_gradient_and_is_undone() -> None:
    task = made_task()
    model = made(task)
    joint = dict(model.tri_modal_encoder.named_parameters())
    generator = torch.Generator().manual_seed(0)
    for name, parameter in joint.items():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
        if name == "norm.bias":
            parameter.grad.zero_()
        if name == "norm.weight":
            parameter.grad.fill_(float("nan"))
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    old = model.perturb()
    for name, parameter in model.named_parameters():
        moved = (parameter.detach() - before[name]).norm().item()
        hit = "tri_modal_encoder" in name and not name.startswith("tri_modal_encoder.norm.")
        assert moved == pytest.approx(1.0 if hit else 0.0, abs=1e-5), name
    model.restore(old)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())


def test_rates_are_the_published_ones() -> None:
    model = made(made_task(), replace(SMALL, warmup_epochs=10, warmup_lr=5e-6))
    model.configure_optimizers(replace(RECIPE, lr=5e-5), 10)
    rates = [model.rate(epoch) for epoch in range(10)]
    assert rates[:3] == pytest.approx([5e-6, 5e-6, 9.5e-6])
    assert rates[9] == pytest.approx(4.1e-5)
    assert model.rate(11) == pytest.approx(0.0, abs=1e-12)


def test_epoch_start_sets_the_rate_of_the_optimiser() -> None:
    model = made(made_task(), replace(SMALL, warmup_epochs=5, warmup_lr=1e-4))
    ctx = Context(model, list(model.configure_optimizers(RECIPE, 10)))
    ctx.epoch = 3
    model.on_epoch_start(ctx)  # type: ignore[arg-type]
    assert ctx.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-4 + 2 * 9e-4 / 5)


@settings(max_examples=25)
@given(st.integers(2, 12), st.integers(1, 5), st.integers(0, 10_000))
def test_soft_mask_sums_to_k_and_prefers_low_scores(length: int, k: int, seed: int) -> None:
    scores = torch.rand(3, length, generator=torch.Generator().manual_seed(seed))
    valid = torch.ones(3, length, dtype=torch.bool)
    mask = soft_lowest_k(scores, valid, k, iterations=2000)
    wanted = torch.full((3,), min(float(k), length / 2))
    torch.testing.assert_close(mask.sum(1), wanted, rtol=1e-3, atol=1e-3)
    by_score = mask.gather(1, scores.argsort(1))
    assert (by_score.diff(dim=1) <= 1e-5).all()


def closed_form(scores: Tensor, k: float, epsilon: float = 0.1) -> Tensor:
    """Return the converged mask by bisection on its offset, differentiable in nothing."""
    scale = torch.maximum(scores.square(), (scores - 1.0).square()).max()
    slope = (1.0 - 2.0 * scores) / (epsilon * scale)
    low, high = torch.full((len(scores), 1), -60.0).double(), torch.full((len(scores), 1), 60.0)
    high = high.double()
    for _ in range(100):
        middle = (low + high) / 2
        over = (slope + middle).sigmoid().sum(1, keepdim=True) > k
        low, high = torch.where(over, low, middle), torch.where(over, middle, high)
    return (slope + low).sigmoid()


def test_soft_mask_equals_its_closed_form() -> None:
    scores = torch.rand(2, 9, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    mask = soft_lowest_k(scores.float(), torch.ones(2, 9, dtype=torch.bool), 3, iterations=2000)
    torch.testing.assert_close(mask, closed_form(scores, 3.0).float(), rtol=1e-4, atol=1e-5)


def test_gradient_of_the_soft_mask_equals_differences_at_a_fixed_scale() -> None:
    generator = torch.Generator().manual_seed(5)
    scores = torch.rand(2, 9, generator=generator, dtype=torch.float64)
    scores[0, 0] = 1.0  # the largest cost stays where it is
    weight = torch.rand(2, 9, generator=generator)
    given_ = scores.float().requires_grad_()
    valid = torch.ones(2, 9, dtype=torch.bool)
    (soft_lowest_k(given_, valid, 3, iterations=2000) * weight).sum().backward()
    assert given_.grad is not None
    step = 1e-5
    for row, column in ((0, 3), (1, 0), (1, 7)):
        nudge = torch.zeros_like(scores)
        nudge[row, column] = step
        gap = closed_form(scores + nudge, 3.0) - closed_form(scores - nudge, 3.0)
        wanted = (gap * weight).sum().item() / (2 * step)
        assert given_.grad[row, column].item() == pytest.approx(wanted, rel=1e-3, abs=1e-4)


def test_soft_mask_looks_at_valid_positions_only() -> None:
    generator = torch.Generator().manual_seed(6)
    scores = torch.rand(2, 9, generator=generator)
    valid = torch.arange(9) < torch.tensor([[6], [1]])
    mask = soft_lowest_k(scores, valid, 3)
    assert (mask[~valid] == 0).all()
    other = torch.where(valid, scores, torch.rand(2, 9, generator=generator))
    torch.testing.assert_close(soft_lowest_k(other, valid, 3), mask)
    assert mask[1, 0].item() == pytest.approx(0.5, abs=1e-4)
