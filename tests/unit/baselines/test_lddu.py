"""LDDU beyond its golden files: absent modalities, single labels, the floor of its calibration."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.nn.optim import BertAdam
from harness_baselines.lddu import Heads, Latent, Lddu, LdduConfig
from tests.unit.baselines.sequences import made_batch, made_task

SMALL = LdduConfig(
    hidden_size=8,
    intermediate_size=8,
    heads=2,
    default_layers=1,
    dropout=0.0,
    head_dropout=0.0,
    projection=6,
    latent=4,
    queue=64,
)


def made(**task: object) -> tuple[Lddu, Batch]:
    about = made_task(("text", "visual", "audio"), max_length=6, step=0)
    about = replace(about, **task)  # type: ignore[arg-type]
    torch.manual_seed(0)
    return Lddu(SMALL, about), made_batch(about, 5)


def test_an_absent_modality_leaves_contrast_and_queue_alone() -> None:
    model, batch = made()
    present = torch.ones(5, 3, dtype=torch.bool)
    present[1, 2] = False
    latent = model.latent(model.encode(batch))
    before = model.queue.queue_ptr.item()
    model._contrast(latent, batch.targets, present)
    rows = (5 * 3 - 1) * model.task.num_labels
    assert (model.queue.queue_ptr.item() - before) % 64 == rows % 64

    changed = Latent(
        *(_with_other(x, 1, 2) for x in (latent.pooled, latent.mean, latent.deviation))
    )
    fresh, _ = made()
    again, _ = made()
    one = fresh._contrast(latent, batch.targets, present)
    other = again._contrast(changed, batch.targets, present)
    torch.testing.assert_close(one, other)


def _with_other(level: Tensor, sample: int, slot: int) -> Tensor:
    level = level.clone()
    level[sample, slot] = level[sample, slot] + 3.0
    return level


def test_absence_does_not_read_as_certainty() -> None:
    """With equal deviations in all modalities, a sample that lacks one has the same size."""
    model, _ = made()
    shape = (5, 3, model.task.num_labels, SMALL.latent)
    latent = Latent(torch.zeros(shape), torch.zeros(shape), torch.full(shape, 0.7))
    gate = torch.zeros(5, model.task.num_labels)
    present = torch.ones(5, 3, dtype=torch.bool)
    whole = model._calibration(latent, gate, present)
    present[0, 1] = False
    torch.testing.assert_close(model._calibration(latent, gate, present), whole)
    # Equal sizes and equal shares: p = 1/(B L), q = 1/L, the least value there is.
    floor = 4 * math.log(5) / (2 * 5 * model.task.num_labels)
    assert whole.item() == pytest.approx(floor, rel=1e-6)


def test_single_label_scores_sum_to_one_and_train() -> None:
    model, batch = made(label_kind="singlelabel")
    scores = model.predict_step(batch.without_labels())
    torch.testing.assert_close(scores.sum(1), torch.ones(5))
    truth = torch.eye(model.task.num_labels)[torch.arange(5) % model.task.num_labels]
    terms, _, heads = model.losses(replace(batch, labels=truth))
    wanted = -(model.log_scores(heads)[0] * truth).sum(1).mean()
    torch.testing.assert_close(terms["final"], wanted)


def test_saturated_heads_keep_a_finite_loss() -> None:
    model, _ = made()
    far = torch.full((5, model.task.num_labels), 200.0)
    loss = model._final(Heads(far, far, far), torch.zeros_like(far))
    assert torch.isfinite(loss) and loss.item() == pytest.approx(200.0, rel=1e-3)


def test_the_cosine_descent_starts_below_the_peak() -> None:
    assert BertAdam.factor(0.05, 0.1, "cosine") == pytest.approx(0.5)
    assert BertAdam.factor(0.1, 0.1, "cosine") == pytest.approx(0.5 * (1 + math.cos(0.1 * math.pi)))
    assert BertAdam.factor(1.0, 0.1, "cosine") == pytest.approx(0.0)
