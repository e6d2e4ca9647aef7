"""What MulT and HHMPN have in common: any modalities, batches of any kind, missing modalities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from harness.model import ModelPlugin
from harness.specs import LabelKind, TaskInfo
from harness_baselines.hhmpn import Hhmpn, HhmpnConfig
from harness_baselines.mult import Mult, MultConfig
from tests.unit.baselines.crossmodal_made import batch_of, rows, task_of, widened, without

Build = Callable[..., ModelPlugin]


def mult(task: TaskInfo, max_frames: int = 0) -> ModelPlugin:
    torch.manual_seed(0)
    config = MultConfig(
        size=8,
        heads=2,
        layers=1,
        memory_layers=2,
        readout="last_valid",
        key_padding="mask",
        max_frames=max_frames,
    )
    return Mult(config, task)


def hhmpn(task: TaskInfo, max_frames: int = 0) -> ModelPlugin:
    torch.manual_seed(0)
    return Hhmpn(
        HhmpnConfig(
            size=8,
            encoder_heads=2,
            encoder_layers=1,
            memory_layers=2,
            decoder_heads=2,
            feed_forward=8,
            max_frames=max_frames,
        ),
        task,
    )


both = pytest.mark.parametrize("build", [mult, hhmpn])


@both
@pytest.mark.parametrize("kind", ["multilabel", "singlelabel"])
@pytest.mark.parametrize(
    ("names", "lengths"),
    [
        (("a.voice",), (5,)),
        (("text", "face"), (4, 4)),
        (("text", "visual", "audio"), (3, 7, 5)),
        (("text", "visual", "audio", "pulse"), (4, 2, 6, 1)),
    ],
)
def test_any_modalities_train_and_predict(
    build: Build, kind: LabelKind, names: tuple[str, ...], lengths: tuple[int, ...]
) -> None:
    task = task_of(lengths, kind, names)
    model, batch = build(task), batch_of(task, 5)
    model.training_step(batch, None).loss.backward()  # type: ignore[arg-type]
    without_grad = {n for n, p in model.named_parameters() if p.grad is None}
    assert not without_grad
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    with torch.no_grad():
        scores = model.eval().predict_step(batch.without_labels())
    assert scores.shape == (5, 4)
    assert ((scores >= 0) & (scores <= 1)).all()
    if kind == "singlelabel":
        torch.testing.assert_close(scores.sum(1), torch.ones(5))


@both
@pytest.mark.parametrize("lengths", [(6, 6, 6), (3, 7, 5)])
@torch.no_grad()
def test_a_score_does_not_depend_on_the_batch(build: Build, lengths: tuple[int, ...]) -> None:
    task = task_of(lengths)
    model, batch = build(task).eval(), batch_of(task, 5, padded=True)
    scores = model.predict_step(batch)
    order = torch.tensor([3, 0, 4, 2, 1])
    torch.testing.assert_close(model.predict_step(rows(batch, order)), scores[order])
    for i in range(5):
        alone = model.predict_step(rows(batch, torch.tensor([i])))
        torch.testing.assert_close(alone, scores[i : i + 1])


@both
def test_batch_of_one_and_odd_last_batch_train(build: Build) -> None:
    task = task_of()
    model = build(task).train()
    for size in (1, 3):
        assert model.training_step(batch_of(task, size), None).loss.isfinite()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("build", "lengths"),
    # HHMPN's first stage has no padding mask: where a source is shorter than its target, late
    # queries see its padding, as published.
    [(mult, (6, 6, 6)), (mult, (3, 7, 5)), (hhmpn, (6, 6, 6))],
)
@torch.no_grad()
def test_more_padding_changes_nothing(build: Build, lengths: tuple[int, ...]) -> None:
    task = task_of(lengths)
    model, batch = build(task).eval(), batch_of(task, 5, padded=True)
    scores = model.predict_step(batch)
    torch.testing.assert_close(model.predict_step(widened(batch, 4)), scores)


@both
@pytest.mark.parametrize("lengths", [(6, 6, 6), (3, 7, 5)])
def test_a_missing_modality_stays_finite_and_local(build: Build, lengths: tuple[int, ...]) -> None:
    task = task_of(lengths)
    model, batch = build(task), batch_of(task, 4, padded=True)
    for name in ("text", "visual", "audio"):
        holed = without(batch, task, name, 2)
        model.train().zero_grad()
        model.training_step(holed, None).loss.backward()  # type: ignore[arg-type]
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        with torch.no_grad():
            scores, full = model.eval().predict_step(holed), model.predict_step(batch)
        others = torch.tensor([0, 1, 3])
        torch.testing.assert_close(scores[others], full[others])
        assert not torch.allclose(scores[2], full[2])


@both
@torch.no_grad()
def test_everything_missing_is_finite_even_without_null_positions(build: Build) -> None:
    task = task_of()
    model, batch = build(task).eval(), batch_of(task, 2)
    for m in task.modalities:
        batch.features[m.name][1] = 0.0
        batch.mask[m.name][1] = False
    assert model.predict_step(batch).isfinite().all()


@both
def test_learns_a_made_rule(build: Build) -> None:
    task = task_of()
    model, batch = build(task), batch_of(task, 32)
    batch.targets.copy_((batch.features["text"].mean(1)[:, [0, 1, 2, 0]] > 0).float())
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        loss = model.training_step(batch, None).loss  # type: ignore[arg-type]
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.45


@both
@torch.no_grad()
def test_long_streams_are_averaged(build: Build) -> None:
    task = task_of((3, 12, 6))
    short = replace(task, modalities=tuple(replace(m, max_length=3) for m in task.modalities))
    model, plain = build(task, 3).eval(), build(short).eval()
    batch = batch_of(task, 4)
    means = {
        n: x.unflatten(1, (3, -1)).mean(2)  # type: ignore[no-untyped-call]
        for n, x in batch.features.items()
    }
    averaged = replace(batch, features=means, mask={n: x[:, :3] for n, x in batch.mask.items()})
    torch.testing.assert_close(model.predict_step(batch), plain.predict_step(averaged))
