from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.model import StepOutput
from harness.nn.aligner import monotone_ctc
from harness.specs import TaskInfo
from harness_baselines.tailor import Tailor, TailorConfig
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

SMALL = TailorConfig(
    hidden_size=8, intermediate_size=8, heads=2, default_layers=1, cross_layers=1, dropout=0.1
)


def made(task: TaskInfo, config: TailorConfig = SMALL) -> Tailor:
    torch.manual_seed(0)
    model = Tailor(config, task)
    for parameter in model.parameters():
        if parameter.dim() > 1:  # the published 0.02 leaves scores that hardly depend on the input
            torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
    return model


def trained(model: Tailor, batch: Batch) -> StepOutput:
    return model.train().training_step(batch, Context(model, []))  # type: ignore[arg-type]


@pytest.mark.parametrize("names", [("text",), ("x", "y"), (*NAMES, "pulse")])
@pytest.mark.parametrize("kind", ["multilabel", "singlelabel"])
@pytest.mark.parametrize("aligner", [0, 3])
def test_any_modalities_train_and_predict(names: tuple[str, ...], kind: str, aligner: int) -> None:
    task = made_task(names, label_kind=kind)
    model, batch = made(task, replace(SMALL, aligner=aligner)), made_batch(task, 4)
    trained(model, batch).loss.backward()
    grads = {n: p.grad for n, p in model.named_parameters()}
    assert all(g is not None and g.isfinite().all() for g in grads.values())
    scores = score(model, batch)
    assert scores.shape == (4, 3)
    assert (scores >= 0).all() and (scores <= 1).all()
    if kind == "singlelabel":
        torch.testing.assert_close(scores.sum(1), torch.ones(4))


def test_fusion_starts_with_the_last_two_and_ends_with_the_first() -> None:
    task = made_task(("a", "b", "c", "d"), step=0)
    model = made(task).eval()
    for cross in model.fusion:
        cross.forward = lambda first, second, mask, length: torch.cat([first, second], dim=1)  # type: ignore[method-assign]
    parts = tuple(torch.full((1, 1, 8), float(i)) for i in range(4))
    masks = [torch.tensor([[i != 1]]) for i in range(4)]
    fused, mask = model.fused(parts, masks)
    assert fused[0, :, 0].tolist() == [0.0, 1.0, 3.0, 2.0]
    assert mask[0].tolist() == [True, False, True, True]


def test_scores_do_not_depend_on_company_or_order() -> None:
    task = made_task()
    model, batch = made(task), made_batch(task, 5)
    together = score(model, batch)
    assert trained(model, rows(batch, torch.tensor([2]))).loss.isfinite()
    torch.testing.assert_close(score(model, rows(batch, torch.tensor([2]))), together[2:3])
    order = torch.tensor([4, 2, 0, 3, 1])
    torch.testing.assert_close(score(model, rows(batch, order)), together[order])


def test_last_batch_of_another_size_trains() -> None:
    task = made_task()
    model, batch = made(task), made_batch(task, 5)
    for part in (batch, rows(batch, torch.tensor([0, 1, 2]))):
        assert trained(model, part).loss.isfinite()


@pytest.mark.parametrize("aligner", [0, 4])
@pytest.mark.parametrize("missing", NAMES)
def test_missing_modality_stays_finite_and_concerns_its_sample_only(
    missing: str, aligner: int
) -> None:
    task = made_task()
    model, batch = made(task, replace(SMALL, aligner=aligner)), made_batch(task, 3)
    torn = without(batch, missing, 1)
    whole, scores = score(model, batch), score(model, torn)
    torch.testing.assert_close(scores[[0, 2]], whole[[0, 2]])
    assert scores.isfinite().all() and not torch.equal(scores[1], whole[1])
    out = trained(model, torn)
    out.loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("options", [{}, {"aligner": 4}, {"max_frames": 4}])
def test_padding_beyond_the_mask_changes_no_score(options: dict[str, int]) -> None:
    task = made_task(max_length=20)
    batch = made_batch(task, 4, lengths=True, longest=9)
    model = made(task, replace(SMALL, **options))  # type: ignore[arg-type]
    full = score(model, batch)
    for length in (9, 13):
        torch.testing.assert_close(score(model, cropped(batch, length)), full, rtol=1e-4, atol=1e-5)


def test_padding_without_a_mask_changes_scores() -> None:
    task = made_task(max_length=20)
    batch = made_batch(task, 4, lengths=True, longest=9)
    for mask in batch.mask.values():
        mask[:] = True
    model = made(task)
    assert not torch.allclose(score(model, cropped(batch, 9)), score(model, batch), atol=1e-3)


def test_attending_to_all_common_positions_is_the_authors_way() -> None:
    task = made_task()
    batch = made_batch(task, 4, lengths=True)
    masked, unmasked = made(task), made(task, replace(SMALL, mask_common=False))
    assert not torch.allclose(score(masked, batch), score(unmasked, batch), atol=1e-8)
    full = made_batch(task, 4)
    full.mask["a.voice"][:] = True
    torch.testing.assert_close(score(masked, full), score(unmasked, full))


def test_closed_form_of_the_alignment_equals_ctc() -> None:
    logits = torch.randn(3, 9, 6, generator=torch.Generator().manual_seed(0))
    lengths = torch.full((3,), 5)
    targets = torch.arange(1, 6).expand(3, -1)
    ctc = F.ctc_loss(
        logits.log_softmax(-1).transpose(0, 1), targets, lengths, lengths, reduction="sum"
    )
    torch.testing.assert_close(monotone_ctc(logits), ctc)


def test_reversal_sets_the_common_extractor_against_the_discriminator() -> None:
    task = made_task(step=0)
    quiet = replace(SMALL, dropout=0.0, common_dropout=0.0, private_dropout=0.0, head_dropout=0.0)
    model, batch = made(task, quiet), made_batch(task, 4)
    f = model.features(batch)
    weights = [model.common.weight, model.discriminator[0].weight]
    reversed_ = torch.autograd.grad(
        model.losses(f, batch.targets)["adv_common"], weights, retain_graph=True
    )
    plain = torch.autograd.grad(model.tell_modality(torch.stack(f.common)), weights)
    torch.testing.assert_close(reversed_[0], -plain[0])
    torch.testing.assert_close(reversed_[1], plain[1])
