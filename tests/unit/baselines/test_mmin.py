"""MMIN beyond its golden files: what has a target, the stages, the teacher."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.errors import ConfigError
from harness.specs import TrainingConfig
from harness_baselines.mmin import IMAGINES, Mmin, MminConfig
from tests.unit.baselines.sequences import Context, made_batch, made_task

NAMES = ("text", "visual", "audio")
SMALL = MminConfig(
    embedding=4,
    channels=3,
    cascade=[6, 3],
    blocks=2,
    classifier=[5],
    dropout=0.0,
    text_dropout=0.0,
    pretrain_dropout=0.0,
)


def made(stage: int = IMAGINES, **config: object) -> tuple[Mmin, Batch]:
    task = made_task(NAMES, max_length=6, step=0)
    torch.manual_seed(0)
    model = Mmin(replace(SMALL, **config), task)  # type: ignore[arg-type]
    model.stage.fill_(stage)
    return model, made_batch(task, 6, lengths=True)


def absent(batch: Batch, row: int, slot: int) -> Batch:
    kept = torch.ones(len(batch), 3, dtype=torch.bool)
    kept[row, slot] = False
    return batch.keeping(kept).with_null_positions()


def test_what_the_data_lacks_has_no_target() -> None:
    """The teacher's view of an absent modality enters no loss; of a hidden one it does."""
    model, batch = made()
    kept = torch.ones(6, 3, dtype=torch.bool)
    kept[:, 1] = False
    lacking = absent(batch, 0, 1)
    with torch.no_grad():
        before = model.losses(lacking, kept & lacking.present)["mse"]
        for parameter in model.teacher[1].parameters():
            parameter.zero_()
        after = model.losses(lacking, kept & lacking.present)["mse"]
        only = model.losses(absent_everywhere(batch, 1), kept)["mse"]
        again, _ = made()
        wanted = again.losses(absent_everywhere(batch, 1), kept)["mse"]
    assert not torch.isclose(before, after)
    torch.testing.assert_close(only, wanted)


def absent_everywhere(batch: Batch, slot: int) -> Batch:
    kept = torch.ones(len(batch), 3, dtype=torch.bool)
    kept[:, slot] = False
    return batch.keeping(kept).with_null_positions()


def test_an_absent_modality_is_a_constant_whatever_its_length() -> None:
    model, batch = made()
    encoded = model.eval().encode(absent_everywhere(batch, 0))["text"][0]
    torch.testing.assert_close(encoded, model.nulls(model.encoder_list)[0].expand_as(encoded))


def test_the_teacher_is_the_first_stage_and_stays() -> None:
    model, batch = made(1)
    ctx = Context(model, list(model.configure_optimizers(TrainingConfig(lr=1e-2), 10)))

    def epoch(number: int, step: int) -> Tensor:
        ctx.epoch, ctx.step = number, step
        model.on_epoch_start(ctx)
        model.on_step_start(ctx)
        model.train().training_step(batch, ctx)
        return model.teacher[2].rnn.weight_ih_l0.clone()

    start = model.teacher[2].rnn.weight_ih_l0.clone()
    assert torch.equal(epoch(0, 0), start) and model.stage == 1
    student = model.encoder_list[2].rnn.weight_ih_l0.clone()
    taught = epoch(1, 5)
    assert model.stage == IMAGINES and torch.equal(taught, student)
    assert torch.equal(epoch(1, 6), taught)
    assert not torch.equal(model.encoder_list[2].rnn.weight_ih_l0, student)
    assert not model.teacher.training and model.selects_from == 1


def test_the_rate_is_constant_and_then_falls_in_each_stage() -> None:
    model, _ = made(1)
    optimizers = list(model.configure_optimizers(TrainingConfig(lr=1.0), 80))

    def rate(step: int, stage: int) -> float:
        model.stage.fill_(stage)
        model.on_step_start(
            SimpleNamespace(step=step, total_steps=80, optimizers=optimizers)  # type: ignore[arg-type]
        )
        return float(optimizers[stage - 1].param_groups[0]["lr"])

    assert [rate(s, 1) for s in (0, 10, 15, 20)] == pytest.approx([1, 1, 0.5, 0])
    assert [rate(s, 2) for s in (20, 50, 65, 80)] == pytest.approx([1, 1, 0.5, 0])


def test_an_unknown_encoder_is_named() -> None:
    with pytest.raises(ConfigError, match=r"model.encoders.v: 'gru' is none of lstm"):
        made(encoders={"v": "gru"})
