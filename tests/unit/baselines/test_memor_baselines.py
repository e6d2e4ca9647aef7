"""AMER, MDL and MDAE on made grids and sequences: what all three promise, and their own rules."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.model import ModelPlugin
from harness.nn.hiding import draw_kept
from harness.plugins import load
from harness.specs import ModalitySpec, TrainingConfig
from harness_baselines.amer import Amer, AmerConfig
from harness_baselines.mdae import Mdae, MdaeConfig
from harness_baselines.mdl import Mdl, MdlConfig
from tests.unit.baselines.grids import (
    LABELS,
    MODALITIES,
    batch_of,
    made_batch,
    made_cells,
    made_sequences,
    sparse,
    take,
    task,
)

MODELS: list[tuple[type[ModelPlugin], Any]] = [
    (Amer, AmerConfig(d_e=4)),
    (Amer, AmerConfig(d_e=4, personality=False, standardize=True)),
    (Mdl, MdlConfig(d_e=4)),
    (Mdl, MdlConfig(d_e=4, context="mean", mask_flags=False, personality=False, standardize=True)),
    (Mdae, MdaeConfig(d_e=4)),
    (Mdae, MdaeConfig(d_e=4, personality=False)),
]
IDS = ["amer", "amer-alone", "mdl", "mdl-context", "mdae", "mdae-alone"]
ODD = (ModalitySpec("face", "f", 6, 6), ModalitySpec("b.io", "b", 3, 6))
every_model = pytest.mark.parametrize(("kind", "config"), MODELS, ids=IDS)


class Data:
    """The made grids as a training split."""

    labels = made_batch().targets

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def batches(self, batch_size: int) -> list[Batch]:
        """Return the one batch."""
        return [self.batch]

    def __len__(self) -> int:
        return len(self.batch)


def ctx(epoch: int = 0, seed: int = 0) -> Any:
    return SimpleNamespace(epoch=epoch, generator=torch.Generator().manual_seed(seed))


def build(model_class: type[ModelPlugin], config: Any, batch: Batch, **options: Any) -> ModelPlugin:
    torch.manual_seed(0)
    model = model_class(config, task(**options))
    model.setup_fit(Data(batch))  # type: ignore[arg-type]
    return model


@torch.no_grad()
def predict(model: ModelPlugin, batch: Batch) -> Tensor:
    return model.eval().predict_step(batch.without_labels())


@every_model
@pytest.mark.parametrize("label_kind", ["singlelabel", "multilabel"])
@pytest.mark.parametrize("modalities", [MODALITIES, MODALITIES[2:], ODD], ids=["vat", "t", "odd"])
def test_grids_train_and_predict(
    kind: type[ModelPlugin], config: Any, label_kind: Any, modalities: Any
) -> None:
    batch = made_batch(modalities)
    model = build(kind, config, batch, modalities=modalities, kind=label_kind).train()
    output = model.training_step(batch, ctx())
    output.loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    scores = predict(model, batch)
    assert scores.shape == (6, len(LABELS)) and scores.min() >= 0 and scores.max() <= 1
    if label_kind == "singlelabel":
        torch.testing.assert_close(scores.sum(1), torch.ones(6))


@every_model
@pytest.mark.parametrize("aligned", [True, False])
def test_sequences_train_and_predict(kind: type[ModelPlugin], config: Any, aligned: bool) -> None:
    batch = made_sequences(aligned=aligned)
    model = build(kind, config, batch, kind="multilabel", personality_dim=0).train()
    model.training_step(batch, ctx()).loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    scores = predict(model, batch)
    longer = replace(
        batch,
        features={m: torch.nn.functional.pad(x, (0, 0, 0, 3)) for m, x in batch.features.items()},
        mask={m: torch.nn.functional.pad(x, (0, 3)) for m, x in batch.mask.items()},
    )
    torch.testing.assert_close(predict(model, longer), scores)


@every_model
def test_a_score_is_the_sample_s_own(kind: type[ModelPlugin], config: Any) -> None:
    batch = made_batch()
    model = build(kind, config, batch)
    scores = predict(model, batch)
    order = [4, 0, 5, 2, 1, 3]
    torch.testing.assert_close(predict(model, take(batch, order)), scores[order])
    torch.testing.assert_close(predict(model, take(batch, order, grow=2)), scores[order])
    for alone in range(6):
        torch.testing.assert_close(predict(model, take(batch, [alone]))[0], scores[alone])


@every_model
@pytest.mark.parametrize("gone", [["audio"], ["visual", "audio", "text"]])
def test_missing_everywhere_stays_finite(
    kind: type[ModelPlugin], config: Any, gone: list[str]
) -> None:
    dense, valid, *rest = made_cells()
    for m in gone:
        valid[m] = torch.zeros_like(valid[m])
    batch = batch_of(sparse(dense, valid, *rest))
    model = build(kind, config, made_batch()).train()
    model.training_step(batch, ctx()).loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    scores = predict(model, batch)
    assert scores.isfinite().all()
    if kind is not Amer:
        encoder = model.encoders.encoders[gone[0]]  # type: ignore[operator,union-attr]
        assert all(not p.grad.any() for p in encoder.parameters())


@every_model
def test_every_model_learns_the_made_samples(kind: type[ModelPlugin], config: Any) -> None:
    batch = made_batch(seed=3)
    if hasattr(config, "dropout"):
        config = replace(config, dropout=0.0)
    if kind is Mdae:
        config = replace(config, keep_all=1.0)
    model = build(kind, replace(config, d_e=16), batch).train()
    recipe = TrainingConfig(optimizer="adam", lr=1e-2, amsgrad=True)
    (optimizer,) = model.configure_optimizers(recipe, 60)
    first = model.training_step(batch, ctx()).terms["cls"].item()
    for _ in range(60):
        optimizer.zero_grad()
        output = model.training_step(batch, ctx())
        output.loss.backward()
        optimizer.step()
    assert output.terms["cls"].item() < 0.6 * first


@pytest.mark.parametrize("name", ["amer", "amer-no-personality", "mdl", "mdae"])
def test_listed_with_both_layouts_and_a_reported_row(name: str) -> None:
    spec = load().model(name)
    assert spec.layouts == ("grid", "sequence") and spec.reported_as == name and spec.deviations


def test_personality_reaches_the_scores_unless_switched_off() -> None:
    batch = made_batch()
    assert batch.grid is not None
    other = replace(batch, grid=replace(batch.grid, personality=batch.grid.personality.flip(2)))
    for kind, config in MODELS:
        model = build(kind, config, batch)
        same = torch.allclose(predict(model, batch), predict(model, other))
        assert same is not config.personality


def test_amer_looks_at_the_others_and_mdl_does_not() -> None:
    dense, valid, shapes, people, target = made_cells()
    target[:] = torch.tensor([0, 0])
    batch = batch_of(sparse(dense, valid, shapes, people, target))
    elsewhere = {m: x + 1.0 for m, x in dense.items()}
    for m in dense:
        elsewhere[m][:, 0, 0] = dense[m][:, 0, 0]
    other = batch_of(sparse(elsewhere, valid, shapes, people, target))
    mdl, amer = (build(k, c, batch) for k, c in (MODELS[2], MODELS[0]))
    assert torch.equal(predict(mdl, batch), predict(mdl, other))
    assert not torch.allclose(predict(amer, batch), predict(amer, other))
    context = build(*MODELS[3], batch)
    assert not torch.allclose(predict(context, batch), predict(context, other))


@pytest.mark.parametrize(("kind", "config"), MODELS[2:], ids=IDS[2:])
def test_of_a_whole_clip_no_cell_stands_out(kind: type[ModelPlugin], config: Any) -> None:
    dense, valid, shapes, people, target = made_cells()
    batch = batch_of(sparse(dense, valid, shapes, people, target))
    elsewhere = batch_of(sparse(dense, valid, shapes, people, torch.zeros_like(target)))
    model = build(kind, config, batch, kind="multilabel")
    scores = predict(model, batch)
    torch.testing.assert_close(predict(model, elsewhere), scores)
    for i, (persons, segments) in enumerate(shapes.tolist()):
        for n, r in ((n, r) for n in range(persons) for r in range(segments)):
            for m, x in dense.items():
                other = {**dense, m: x.clone()}
                other[m][i, n, r] += 3.0
                changed = predict(model, batch_of(sparse(other, valid, shapes, people, target)))
                assert torch.allclose(changed, scores) is not bool(valid[m][i, n, r])


def test_kept_subsets_have_the_stated_frequencies() -> None:
    valid = torch.tensor([[True, True, True]] * 21_000 + [[False, True, False], [False] * 3])
    generator = torch.Generator().manual_seed(0)
    kept = draw_kept(valid, 1 / 3, generator)
    codes = (kept[:21_000].long() * torch.tensor([1, 2, 4])).sum(1).bincount(minlength=8) / 21_000
    wanted = torch.tensor([0.0] + [2 / 21] * 6 + [1 / 3 + 2 / 21])
    torch.testing.assert_close(codes, wanted, atol=0.01, rtol=0)
    assert kept[-2].tolist() == [False, True, False] and not kept[-1].any()
    assert torch.equal(kept, draw_kept(valid, 1 / 3, torch.Generator().manual_seed(0)))
    some = torch.tensor([[True, False, True]] * 9_000)
    proper = draw_kept(valid, 0.0, generator, proper=True)
    single = torch.tensor([[False, True, False], [False, False, False]])
    assert torch.equal(draw_kept(single, 0.0, generator, proper=True), single)
    full = valid.sum(1) > 1
    count = proper.sum(1)[full]
    assert bool((count >= 1).all()) and bool((count < valid.sum(1)[full]).all())
    kept = draw_kept(some, 0.0, generator)
    assert not kept[:, 1].any() and kept.any(1).all()
    torch.testing.assert_close(
        kept.float().mean(0), torch.tensor([2 / 3, 0.0, 2 / 3]), atol=0.02, rtol=0
    )


def test_mdae_rebuilds_what_exists_and_nothing_else() -> None:
    batch = made_batch()
    model = build(Mdae, MdaeConfig(d_e=4), batch)
    assert isinstance(model, Mdae)
    cells = model.inputs(batch)
    code = torch.randn(6, 16)
    total = torch.zeros(())
    names = [*cells.rows, "personality"]
    for k, name in enumerate(names):
        there = cells.valid[:, k] if k < 3 else torch.ones(6, dtype=torch.bool)
        x = cells.place(k, cells.rows[name]) if k < 3 else cells.personality
        error = (model.decoder_list[k](code) - x).square().mean(1)
        total = total + error[there].sum() / max(1, int(there.sum())) / len(names)
    torch.testing.assert_close(model.reconstruction(code, cells), total)


def test_mdae_without_reconstruction_is_a_plain_classifier() -> None:
    batch = made_batch()
    config = MdaeConfig(d_e=4, lambda_rec=0.0, dropout=0.0, keep_all=1.0)
    model = build(Mdae, config, batch).train()
    loss = model.training_step(batch, ctx()).loss
    scores = model.predict_step(batch)
    torch.testing.assert_close(loss, -scores.log()[batch.targets.bool()].mean())


def test_mdae_in_two_stages() -> None:
    batch = made_batch()
    model = build(Mdae, MdaeConfig(d_e=4, two_stage=True), batch).train()
    assert model.selects_from == 20
    (optimizer,) = model.configure_optimizers(TrainingConfig(optimizer="adam", lr=1e-2), 9)

    def moved(epoch: int) -> set[str]:
        before = {k: v.clone() for k, v in model.state_dict().items()}
        optimizer.zero_grad()
        model.training_step(batch, ctx(epoch)).loss.backward()
        optimizer.step()
        now = model.state_dict()
        return {k.split(".")[0] for k, v in before.items() if not torch.equal(v, now[k])}

    assert moved(0) == {"encoders", "shared", "decoder_list"}
    assert moved(20) == moved(21) == {"classifier"}
