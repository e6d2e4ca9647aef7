from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.errors import ConfigError, DataFormatError, DataMissingError
from harness.nn.label_graph import label_graph, propagation
from harness.specs import ModalitySpec, TaskInfo, TrainingConfig
from harness_baselines.ml_gcn import MlGcn, MlGcnConfig

SMALL = MlGcnConfig(gcn_hidden=6, feature_dim=8, conv_hidden=5, dropout=0.0)
LABELS = ("Joy", "anger", "fear")
NAMES = ("text", "face", "a.voice")
WAYS = [(True, 0), (False, 0), (False, 9)]


class Split:
    """Anger and fear nearly always together, joy apart."""

    labels = torch.tensor([[1, 0, 0]] * 5 + [[0, 1, 1]] * 3 + [[0, 0, 1]] * 6).float()


def made(names: tuple[str, ...] = NAMES, config: MlGcnConfig = SMALL, **task: Any) -> MlGcn:
    torch.manual_seed(0)
    aligned = task.setdefault("aligned", True)
    lengths = [7 if aligned else 7 + i for i in range(len(names))]
    streams = tuple(
        ModalitySpec(n, n[0], 3 + i, t) for i, (n, t) in enumerate(zip(names, lengths, strict=True))
    )
    model = MlGcn(config, TaskInfo("made", streams, LABELS, **task))
    model.setup_fit(Split())  # type: ignore[arg-type]
    return model


def batch_for(model: MlGcn, size: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    features, mask = {}, {}
    for m in model.task.modalities:
        lengths = torch.randint(1, m.max_length, (size, 1), generator=generator)
        mask[m.name] = torch.arange(m.max_length) < lengths
        x = torch.randn(size, m.max_length, m.dim, generator=generator)
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


@pytest.mark.parametrize("names", [("text",), NAMES, ("text", "x", "y", "z")])
@pytest.mark.parametrize("kind", ["multilabel", "singlelabel"])
@pytest.mark.parametrize(("aligned", "aligner"), WAYS)
def test_any_modalities_train_and_predict(
    names: tuple[str, ...], kind: Any, aligned: bool, aligner: int
) -> None:
    model = made(names, replace(SMALL, aligner=aligner), aligned=aligned, label_kind=kind)
    batch = batch_for(model, 5)
    model.training_step(batch, None).loss.backward()  # type: ignore[arg-type]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    with torch.no_grad():
        scores = model.eval().predict_step(batch.without_labels())
    assert scores.shape == (5, 3)
    if kind == "singlelabel":
        torch.testing.assert_close(scores.sum(1), torch.ones(5))


@torch.no_grad()
@pytest.mark.parametrize(("aligned", "aligner"), WAYS)
def test_score_is_the_sample_s_own(aligned: bool, aligner: int) -> None:
    """Alone, in another order, in an odd last batch and under more padding."""
    model = made(config=replace(SMALL, aligner=aligner), aligned=aligned).eval()
    batch = batch_for(model, 5)
    scores = model.predict_step(batch)
    torch.testing.assert_close(model.predict_step(rows(batch, [3])), scores[3:4])
    torch.testing.assert_close(model.predict_step(rows(batch, [4, 2, 0])), scores[[4, 2, 0]])
    longest = max(x.shape[1] for x in batch.features.values())
    short = {k: longest + 2 - v.shape[1] for k, v in batch.mask.items()}
    longer = replace(
        batch,
        features={k: F.pad(v, (0, 0, 0, short[k]), value=9.0) for k, v in batch.features.items()},
        mask={k: F.pad(v, (0, short[k])) for k, v in batch.mask.items()},
    )
    if not aligner:
        torch.testing.assert_close(model.predict_step(longer), scores)


@pytest.mark.parametrize(("aligned", "aligner"), WAYS)
def test_missing_modalities_with_and_without_null_positions(aligned: bool, aligner: int) -> None:
    model = made(config=replace(SMALL, aligner=aligner), aligned=aligned)
    batch = batch_for(model, 4)
    for row, index in ((1, 1), (2, 0), (2, 1), (2, 2)):
        batch.mask[NAMES[index]][row] = False
        batch.features[NAMES[index]][row] = 0.0
        batch.present[row, index] = False
    losses = []
    for seen in (batch, batch.with_null_positions()):
        loss = model.training_step(seen, None).loss  # type: ignore[arg-type]
        loss.backward()
        losses.append(loss)
    torch.testing.assert_close(losses[0], losses[1])
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_graph_points_from_the_label_that_makes_the_other_likely() -> None:
    model = made()
    assert model.describe() == {"tau": 0.4, "edges": [["anger", "fear"]]}
    assert made(config=replace(SMALL, tau=0.3)).describe()["edges"] == [
        ["anger", "fear"],
        ["fear", "anger"],
    ]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(5)
    again = MlGcn(SMALL, model.task)
    again.load_state_dict(state)
    assert again.describe() == model.describe()


def literal_graph(labels: Tensor, tau: float, share: float) -> Tensor:
    size = labels.shape[1]
    edge = torch.zeros(size, size)
    for i in range(size):
        has = labels[labels[:, i] > 0]
        for j in range(size):
            edge[i, j] = float(i != j and len(has) > 0 and has[:, j].mean() >= tau)
    return torch.eye(size) + share * edge / (edge.sum(0) + 1e-6)


def test_graph_against_its_definition_with_a_label_that_never_occurs() -> None:
    labels = (torch.rand(40, 5, generator=torch.Generator().manual_seed(2)) < 0.4).float()
    labels[:, 3] = 0
    graph = label_graph(labels, 0.4, 0.25)
    torch.testing.assert_close(graph, literal_graph(labels, 0.4, 0.25))
    assert graph[3].tolist() == [0, 0, 0, 1, 0]
    assert propagation(graph).isfinite().all()


def test_infinities_become_zero() -> None:
    model = made().eval()
    batch = batch_for(model, 2)
    batch.features["face"][0, 0, 0] = 0.0
    want = model.predict_step(batch)
    batch.features["face"][0, 0, 0] = -torch.inf
    torch.testing.assert_close(model.predict_step(batch), want)


def test_label_vectors_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("the 9 9\nhappy 1 2\nanger 3 4\nfear 5 6\n", encoding="utf-8")
    words = {"Joy": "happy"}
    config = replace(
        SMALL, label_vectors="file", label_file=str(path), label_vector_dim=2, label_words=words
    )
    wanted = torch.tensor([[1.0, 2], [3, 4], [5, 6]])
    assert torch.equal(made(config=config).classifiers.vectors, wanted)
    with pytest.raises(DataFormatError, match="no vector for joy"):
        made(config=replace(config, label_words={}))
    with pytest.raises(DataFormatError, match="2 values"):
        made(config=replace(config, label_vector_dim=3))
    with pytest.raises(DataMissingError, match="label_file"):
        made(config=replace(config, label_file=str(tmp_path / "none.txt")))
    with pytest.raises(ValueError, match="label_file"):
        MlGcnConfig(label_vectors="file")


def test_branch_has_its_own_rate() -> None:
    model = made(config=replace(SMALL, branch_rate=0.1))
    graph, branch = model.configure_optimizers(TrainingConfig(optimizer="sgd", lr=0.1), 1)
    held = [p for o in (graph, branch) for g in o.param_groups for p in g["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters()}
    assert branch.param_groups[0]["lr"] == pytest.approx(0.01)
    assert len(made().configure_optimizers(TrainingConfig(), 1)) == 1


def test_aligner_needs_its_anchor() -> None:
    with pytest.raises(ConfigError, match="anchor"):
        made(config=replace(SMALL, aligner=9, aligner_anchor="speech"), aligned=False)
    with pytest.raises(ConfigError, match="fewer"):
        made(config=replace(SMALL, aligner=3), aligned=False)
