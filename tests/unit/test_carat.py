from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.specs import ModalitySpec, TaskInfo
from harness_baselines.carat import Carat, CaratConfig, draw_shuffle

SMALL = CaratConfig(
    hidden_size=8, intermediate_size=8, heads=2, default_layers=1, projection=4, queue=400
)


def made(
    names: tuple[str, ...] = ("text", "face", "a.voice"),
    *,
    config: CaratConfig = SMALL,
    **task: Any,
) -> Carat:
    torch.manual_seed(0)
    streams = tuple(ModalitySpec(n, n[0], 3 + i, 4 + i) for i, n in enumerate(names))
    return Carat(config, TaskInfo("made", streams, ("joy", "anger", "fear"), **task))


def batch_for(model: Carat, size: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    streams = model.task.modalities
    one_hot = model.task.label_kind == "singlelabel"
    labels = torch.randint(0, 2, (size, 3), generator=generator).float()
    if one_hot:
        labels = F.one_hot(labels.argmax(1), 3).float()
    present = torch.ones(size, len(streams), dtype=torch.bool)
    return Batch(
        features={
            m.name: torch.randn(size, m.max_length, m.dim, generator=generator) for m in streams
        },
        mask={m.name: torch.ones(size, m.max_length, dtype=torch.bool) for m in streams},
        present=present,
        natural=present,
        ids=tuple(map(str, range(size))),
        labels=labels,
    )


class Context:
    generator = torch.Generator().manual_seed(3)


@pytest.mark.parametrize("names", [("text",), ("x", "y"), ("text", "face", "a.voice", "pulse")])
@pytest.mark.parametrize("kind", ["multilabel", "singlelabel"])
@pytest.mark.parametrize("aligner", [0, 3])
def test_any_modalities_train_and_predict(names: tuple[str, ...], kind: str, aligner: int) -> None:
    model = made(names, config=replace(SMALL, aligner=aligner), label_kind=kind)
    batch = batch_for(model, 4)
    out = model.training_step(batch, Context())  # type: ignore[arg-type]
    out.loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    with torch.no_grad():
        scores = model.eval().predict_step(batch.without_labels())
    assert scores.shape == (4, 3)
    assert (scores >= 0).all() and (scores <= 1).all()
    if kind == "singlelabel":
        torch.testing.assert_close(scores.sum(1), torch.ones(4))


def test_batch_of_one_trains_and_scores_as_in_company() -> None:
    model = made()
    alone = batch_for(model, 1)
    assert model.training_step(alone, Context()).loss.isfinite()  # type: ignore[arg-type]
    model.eval()
    batch = batch_for(model, 5)
    one = replace(
        batch,
        features={k: v[2:3] for k, v in batch.features.items()},
        mask={k: v[2:3] for k, v in batch.mask.items()},
        present=batch.present[2:3],
        natural=batch.natural[2:3],
        ids=batch.ids[2:3],
        labels=None,
    )
    with torch.no_grad():
        torch.testing.assert_close(model.predict_step(one), model.predict_step(batch)[2:3])


def test_missing_modality_is_finite_with_and_without_a_null_position() -> None:
    model = made()
    batch = batch_for(model, 3)
    batch.mask["face"][1] = False
    batch.features["face"][1] = 0.0
    for seen in (batch, batch.with_null_positions()):
        out = model.training_step(seen, Context())  # type: ignore[arg-type]
        assert out.loss.isfinite()
        out.loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_half_precision_keeps_loss_and_buffers_in_float32() -> None:
    model = made()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model.training_step(batch_for(model, 4), Context())  # type: ignore[arg-type]
    out.loss.backward()
    exact = made().training_step(batch_for(model, 4), Context())  # type: ignore[arg-type]
    assert out.terms["supcon"].dtype == torch.float32
    assert all(b.dtype != torch.bfloat16 for b in model.buffers())
    torch.testing.assert_close(out.terms["supcon"], exact.terms["supcon"], rtol=0.05, atol=0)


def test_shuffle_draws_permutations_from_its_generator() -> None:
    samples, slots = draw_shuffle(5, 3, 4, torch.Generator().manual_seed(0))
    assert torch.equal(samples.sort(0).values, torch.arange(5)[:, None, None].expand(5, 3, 4))
    assert torch.equal(slots.sort(1).values, torch.arange(3)[None, :, None].expand(5, 3, 4))
    again, _ = draw_shuffle(5, 3, 4, torch.Generator().manual_seed(0))
    assert torch.equal(samples, again)
    assert not torch.equal(samples[:, 0, 0], samples[:, 1, 0])


def test_prediction_moves_no_buffer() -> None:
    model = made().eval()
    before = {k: v.clone() for k, v in model.named_buffers()}
    with torch.no_grad():
        model.predict_step(batch_for(model, 3))
    assert all(torch.equal(v, before[k]) for k, v in model.named_buffers())


def test_size_at_the_published_hyper_parameters() -> None:
    streams = (
        ModalitySpec("text", "t", 300, 60),
        ModalitySpec("visual", "v", 35, 500),
        ModalitySpec("audio", "a", 74, 500),
    )
    task = TaskInfo("mosei", streams, tuple("abcdef"))
    count = sum(p.numel() for p in Carat(CaratConfig(layers={"text": 6}), task).parameters())
    poolers = 3 * (256 * 256 + 256)
    assert count + poolers == 7_359_736
