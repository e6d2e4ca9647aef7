from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from harness.data.batch import Batch
from harness.errors import ConfigError
from harness.nn.discrepancy import central_moment_discrepancy, difference_loss
from harness.specs import ModalitySpec, TaskInfo
from harness_baselines.misa import Misa, MisaConfig

SMALL = MisaConfig(hidden_size=8, rnn_hidden=4, feed_forward=16)
NAMES = ("text", "face", "a.voice")


def made(names: tuple[str, ...] = NAMES, config: MisaConfig = SMALL, **task: Any) -> Misa:
    torch.manual_seed(0)
    streams = tuple(ModalitySpec(n, n[0], 3 + i, 6 + i) for i, n in enumerate(names))
    return Misa(config, TaskInfo("made", streams, ("joy", "anger", "fear"), **task))


def batch_for(model: Misa, size: int, seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    features, mask = {}, {}
    for m in model.task.modalities:
        x = torch.randn(size, m.max_length, m.dim, generator=generator)
        lengths = torch.randint(1, m.max_length, (size, 1), generator=generator)
        mask[m.name] = torch.arange(m.max_length) < lengths
        features[m.name] = torch.where(mask[m.name][..., None], x, 0.0)
    labels = torch.eye(3)[torch.randint(0, 3, (size,), generator=generator)]
    present = torch.ones(size, len(features), dtype=torch.bool)
    return Batch(features, mask, present, present, tuple(map(str, range(size))), labels)


def rows(batch: Batch, index: list[int]) -> Batch:
    return replace(
        batch,
        features={k: v[index] for k, v in batch.features.items()},
        mask={k: v[index] for k, v in batch.mask.items()},
        present=batch.present[index],
        natural=batch.natural[index],
        ids=tuple(batch.ids[i] for i in index),
        labels=None if batch.labels is None else batch.labels[index],
    )


def without(batch: Batch, index: int, name: str, row: int) -> Batch:
    present = batch.present.clone()
    present[row, index] = False
    features, mask = dict(batch.features), dict(batch.mask)
    features[name], mask[name] = features[name].clone(), mask[name].clone()
    features[name][row], mask[name][row] = 0.0, False
    return replace(batch, features=features, mask=mask, present=present)


@pytest.mark.parametrize("names", [("text",), NAMES, ("w", "x", "y", "z")])
@pytest.mark.parametrize("kind", ["multilabel", "singlelabel"])
@pytest.mark.parametrize("similarity", ["cmd", "adversarial"])
def test_any_modalities_train_and_predict(
    names: tuple[str, ...], kind: Any, similarity: Any
) -> None:
    model = made(names, replace(SMALL, similarity=similarity), label_kind=kind)
    batch = batch_for(model, 5)
    model.training_step(batch, None).loss.backward()  # type: ignore[arg-type]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    with torch.no_grad():
        scores = model.eval().predict_step(batch.without_labels())
    assert scores.shape == (5, 3)
    assert ((scores >= 0) & (scores <= 1)).all()
    if kind == "singlelabel":
        torch.testing.assert_close(scores.sum(1), torch.ones(5))


@torch.no_grad()
def test_score_is_the_sample_s_own() -> None:
    """Alone, in another order, in an odd last batch and under more padding."""
    model = made().eval()
    batch = batch_for(model, 5)
    scores = model.predict_step(batch)
    torch.testing.assert_close(model.predict_step(rows(batch, [3])), scores[3:4])
    torch.testing.assert_close(model.predict_step(rows(batch, [4, 2, 0])), scores[[4, 2, 0]])
    longer = replace(
        batch,
        features={
            k: torch.nn.functional.pad(v, (0, 0, 0, 7), value=9.0)
            for k, v in batch.features.items()
        },
        mask={k: torch.nn.functional.pad(v, (0, 7)) for k, v in batch.mask.items()},
    )
    torch.testing.assert_close(model.predict_step(longer), scores)


def test_batch_of_one_has_finite_gradients() -> None:
    model = made()
    out = model.training_step(batch_for(model, 1), None)  # type: ignore[arg-type]
    out.loss.backward()
    assert out.terms["diff"] == 0
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_missing_modality_with_and_without_a_null_position() -> None:
    model = made(config=replace(SMALL, dropout=0.0, fusion_dropout=0.0))
    batch = without(without(batch_for(model, 4), 1, "face", 2), 2, "a.voice", 2)
    found = []
    for seen in (batch, batch.with_null_positions()):
        out = model.training_step(seen, None)  # type: ignore[arg-type]
        out.loss.backward()
        found.append(out.loss)
    torch.testing.assert_close(found[0], found[1])
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_a_modality_missing_everywhere_leaves_the_losses_beside_the_task() -> None:
    """The rest is what a model of the other two modalities would count."""
    model = made()
    batch = batch_for(model, 4)
    for row in range(4):
        batch = without(batch, 2, "a.voice", row)
    parts = model.split(batch)
    terms = model.losses(parts, batch.targets)
    assert all(t.isfinite() for t in terms.values())
    everyone = torch.ones(2, 4, dtype=torch.bool)
    alike = central_moment_discrepancy(parts.shared[:2], everyone, [(0, 1)])
    torch.testing.assert_close(terms["sim"], alike)
    both = torch.cat([parts.private[:2], parts.shared[:2]])
    pairs = [(0, 2), (1, 3), (0, 1)]
    apart = difference_loss(both, torch.cat([everyone, everyone]), pairs)
    torch.testing.assert_close(terms["diff"], apart)


def test_invalid_rows_enter_no_statistic() -> None:
    x = torch.rand(2, 6, 5, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(2, 6, dtype=torch.bool)
    valid[:, 4:] = False
    kept = torch.ones(2, 4, dtype=torch.bool)
    for loss in (difference_loss, central_moment_discrepancy):
        torch.testing.assert_close(loss(x, valid, [(0, 1)]), loss(x[:, :4], kept, [(0, 1)]))


def test_equal_distributions_have_no_discrepancy_and_no_nan() -> None:
    x = torch.rand(1, 6, 5).expand(2, 6, 5).clone().requires_grad_()
    loss = central_moment_discrepancy(x, torch.ones(2, 6, dtype=torch.bool), [(0, 1)])
    loss.backward()
    assert loss == 0 and x.grad is not None and x.grad.isfinite().all()


def test_pooled_modality_reads_the_mean_of_valid_steps() -> None:
    model = made(config=replace(SMALL, pooled=("text",), max_frames=2)).eval()
    batch = batch_for(model, 3)
    vectors, _ = model.utterances(batch)
    steps = batch.features["text"][1][batch.mask["text"][1]]
    torch.testing.assert_close(vectors[0][1], steps.mean(0))
    assert vectors[1].shape == (3, 16)


def test_wrong_options_are_named() -> None:
    with pytest.raises(ConfigError, match="'speech'"):
        made(config=replace(SMALL, pooled=("speech",)))


def test_size_at_the_published_hyper_parameters() -> None:
    streams = (
        ModalitySpec("text", "t", 300, 60),
        ModalitySpec("visual", "v", 35, 60),
        ModalitySpec("audio", "a", 74, 60),
    )
    model = Misa(MisaConfig(), TaskInfo("mosei", streams, tuple("abcdef")))
    # The measured model also has a discriminator that enters no loss, and 300 more: by that
    # number, one row of a word table.
    unused = 128 * 4 + 4 + 300
    assert sum(p.numel() for p in model.parameters()) + unused == 5_100_354
