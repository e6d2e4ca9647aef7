"""MoMKE beyond its golden files: stages, what is absent, the order of positions."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from harness.data.batch import Batch
from harness_baselines.momke import JOINT, Momke, MomkeConfig
from tests.unit.baselines.sequences import made_batch, made_task, rows

NAMES = ("text", "visual", "audio")
SMALL = MomkeConfig(hidden_size=8, heads=2, layers=2, dropout=0.0, standardize=False)


def made(stage: int = JOINT, **config: object) -> tuple[Momke, Batch]:
    task = made_task(NAMES, max_length=6, step=0)
    torch.manual_seed(0)
    model = Momke(replace(SMALL, **config), task)  # type: ignore[arg-type]
    model.stage.fill_(stage)
    return model.eval(), made_batch(task, 5, lengths=True)


def scores(model: Momke, batch: Batch) -> Tensor:
    with torch.no_grad():
        return model.predict_step(batch.without_labels())


def keeping(batch: Batch, *names: str) -> Batch:
    kept = torch.tensor([n in names for n in NAMES]).expand(len(batch), -1)
    return batch.keeping(kept)


@pytest.mark.parametrize("stage", [1, JOINT])
@pytest.mark.parametrize("readout", ["position", "pooled"])
def test_what_is_absent_cannot_be_seen(stage: int, readout: str) -> None:
    model, batch = made(stage, readout=readout)
    left = keeping(batch, "text", "audio")
    other = {**batch.features, "visual": torch.randn_like(batch.features["visual"])}
    changed = replace(left, features={**left.features, "visual": other["visual"]})
    torch.testing.assert_close(scores(model, changed), scores(model, left))
    assert not torch.allclose(scores(model, batch), scores(model, left), atol=1e-4)


@pytest.mark.parametrize("stage", [1, JOINT])
def test_samples_without_anything_share_one_finite_answer(stage: int) -> None:
    model, batch = made(stage)
    nothing = scores(model, keeping(batch))
    assert torch.isfinite(nothing).all()
    torch.testing.assert_close(nothing, nothing[:1].expand_as(nothing))


def test_the_order_of_positions_is_invisible() -> None:
    model, batch = made()
    flipped = replace(
        batch,
        features={n: x.flip(1) for n, x in batch.features.items()},
        mask={n: m.flip(1) for n, m in batch.mask.items()},
    )
    torch.testing.assert_close(scores(model, flipped), scores(model, batch), atol=1e-6, rtol=0)


def test_a_sample_scores_as_in_company() -> None:
    model, batch = made()
    whole = scores(model, batch)
    for i in range(len(batch)):
        alone = scores(model, rows(batch, torch.tensor([i])))
        torch.testing.assert_close(alone, whole[i : i + 1], atol=1e-6, rtol=0)


def test_half_of_the_steps_train_experts_alone() -> None:
    model, batch = made(1)
    seen = []
    for epoch in range(5):
        step = epoch * 7
        model.on_epoch_start(
            SimpleNamespace(epoch=epoch, step=step, total_steps=35, progress=step / 35)  # type: ignore[arg-type]
        )
        seen.append(int(model.stage))
    assert seen == [1, 1, 1, JOINT, JOINT]
    assert model.selects_from == 3
    model.stage.fill_(1)
    assert set(model.losses(batch)) == set(NAMES)
    assert all(p.grad is None for p in model.mix.parameters())
    torch.stack([*model.losses(batch).values()]).sum().backward()
    assert all(p.grad is None for p in [*model.mix.parameters(), *model.head.parameters()])
    assert all(p.grad is not None for p in model.experts.parameters())


def test_a_modality_that_nobody_has_costs_nothing_in_the_first_stage() -> None:
    model, batch = made(1)
    terms = model.losses(keeping(batch, "text"))
    assert terms["visual"].item() == 0.0 and terms["text"].item() > 0.1


def test_features_are_standardised_with_the_training_split() -> None:
    model, batch = made(standardize=True)
    plain = scores(model, batch)
    scaled = replace(batch, features={n: 100 * x for n, x in batch.features.items()})

    class Fit:
        def batches(self, batch_size: int) -> list[Batch]:
            return [scaled]

    model.setup_fit(Fit())  # type: ignore[arg-type]
    seen = torch.cat([model.standardizer("text", scaled.features["text"], scaled.mask["text"])])  # type: ignore[misc]
    inside = seen[scaled.mask["text"]]
    torch.testing.assert_close(inside.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(inside.std(0, correction=0), torch.ones(3), atol=1e-5, rtol=0)
    assert not torch.allclose(scores(model, scaled), plain)
