"""What BiLSTM+TFN, BiLSTM+LMF, DialogueGCN and DialogueCRN have in common, and their inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.data.grid import Grid
from harness.model import ModelPlugin
from harness.nn.packed_recurrent import PackedRecurrent
from harness.specs import ModalitySpec, TaskInfo
from harness_baselines.bilstm_lmf import BilstmLmf, BilstmLmfConfig
from harness_baselines.bilstm_tfn import BilstmTfn, BilstmTfnConfig
from harness_baselines.dialogue import as_one_person, nodes_of
from harness_baselines.dialoguecrn import DialogueCrn, DialogueCrnConfig
from harness_baselines.dialoguegcn import DialogueGcn, DialogueGcnConfig
from harness_baselines.grid_inputs import grid_of_batch, of_target_person
from tests.unit.baselines import grids

Build = Callable[..., ModelPlugin]
FRONT: dict[str, Any] = {"d_e": 3, "bilstm_hidden": 3, "fusion_dim": 3}
READ: dict[str, Any] = {"d_e": 3, "hidden": 3}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def tfn(task: TaskInfo, **options: Any) -> ModelPlugin:
    return BilstmTfn(BilstmTfnConfig(**(FRONT | {"post_fusion_dim": 4} | options)), task)


def lmf(task: TaskInfo, **options: Any) -> ModelPlugin:
    return BilstmLmf(BilstmLmfConfig(**(FRONT | options)), task)


def gcn(task: TaskInfo, **options: Any) -> ModelPlugin:
    small = READ | {"graph_hidden": 4, "bases": 3, "window_past": 1, "window_future": 2}
    return DialogueGcn(DialogueGcnConfig(**(small | options)), task)


def crn(task: TaskInfo, **options: Any) -> ModelPlugin:
    return DialogueCrn(DialogueCrnConfig(**(READ | options)), task)


MODELS = pytest.mark.parametrize("build", [tfn, lmf, gcn, crn])


def loss_of(model: ModelPlugin, batch: Batch) -> Tensor:
    return model.training_step(batch, None).loss  # type: ignore[arg-type]


@torch.no_grad()
def scores_of(model: ModelPlugin, batch: Batch) -> Tensor:
    return model.eval().predict_step(batch.without_labels())


def made_grid() -> Grid:
    grid = grids.made_batch().grid
    assert grid is not None
    return grid


@MODELS
@pytest.mark.parametrize("modalities", [1, 3])
@pytest.mark.parametrize("kind", ["singlelabel", "multilabel"])
@pytest.mark.parametrize("people", [0, 3])
def test_trains_and_predicts_on_grids(
    build: Build, modalities: int, kind: Any, people: int
) -> None:
    streams = grids.MODALITIES[:modalities]
    batch = grids.made_batch(streams)
    if not people:
        assert batch.grid is not None
        empty = batch.grid.personality[..., :0]
        batch = replace(batch, grid=replace(batch.grid, personality=empty))
    model = build(grids.task(streams, kind, people))
    loss_of(model, batch).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    scores = scores_of(model, batch)
    assert scores.shape == (6, 3)
    assert ((scores >= 0) & (scores <= 1)).all()
    if kind == "singlelabel":
        torch.testing.assert_close(scores.sum(1), torch.ones(6))


@MODELS
@pytest.mark.parametrize("kind", ["singlelabel", "multilabel"])
def test_score_is_the_sample_s_own(build: Build, kind: Any) -> None:
    """Alone, in another order, in an odd batch and under more padding."""
    model, batch = build(grids.task(kind=kind)), grids.made_batch()
    scores = scores_of(model, batch)
    for chosen in ([3], [4, 2, 0], [5, 4, 3, 2, 1]):
        found = scores_of(model, grids.take(batch, chosen, grow=2))
        torch.testing.assert_close(found, scores[chosen])


@MODELS
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("frames", [0, 3])
def test_sequences(build: Build, aligned: bool, frames: int) -> None:
    """Also with a modality missing; padding and company change nothing."""
    task = TaskInfo("made", grids.MODALITIES, grids.LABELS, aligned=aligned)
    batch = grids.made_sequences(aligned=aligned)
    model = build(task, max_frames=frames)
    loss_of(model, batch).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    scores = scores_of(model, batch)
    longer = replace(
        batch,
        features={
            k: torch.nn.functional.pad(x, (0, 0, 0, 5), value=7.0)
            for k, x in batch.features.items()
        },
        mask={k: torch.nn.functional.pad(x, (0, 5)) for k, x in batch.mask.items()},
    )
    torch.testing.assert_close(scores_of(model, longer), scores)


@MODELS
def test_a_grid_that_shows_nothing_is_finite(build: Build) -> None:
    batch = grids.take(grids.made_batch(), [0])
    grid = batch.grid
    assert grid is not None
    index = {m: torch.full_like(i, -1) for m, i in grid.index.items()}
    rows = {m: x[:0] for m, x in grid.rows.items()}
    batch = replace(batch, grid=replace(grid, rows=rows, index=index))
    model = build(grids.task())
    loss = loss_of(model, batch)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert scores_of(model, batch).isfinite().all()


@MODELS
def test_personality_matters_where_it_is_used(build: Build) -> None:
    batch = grids.made_batch()
    assert batch.grid is not None
    other = replace(batch, grid=replace(batch.grid, personality=batch.grid.personality + 1.0))
    off: Any = "off" if build in (tfn, lmf) else False
    used, unused = build(grids.task()), build(grids.task(), personality=off)
    assert not torch.allclose(scores_of(used, batch), scores_of(used, other))
    torch.testing.assert_close(scores_of(unused, batch), scores_of(unused, other))


def test_nodes_are_the_active_cells_in_the_order_of_speaking() -> None:
    grid = made_grid()
    for choice in ("active", "all"):
        nodes = nodes_of(grid, choice)  # type: ignore[arg-type]
        for b in range(len(grid)):
            wanted = []
            for r in range(int(grid.num_segments[b])):
                for n in range(int(grid.num_persons[b])):
                    target = (n, r) == (int(grid.target_person[b]), int(grid.target_segment[b]))
                    shows = any(grid.index[m][b, n, r] >= 0 for m in grid.index)
                    if shows or target or choice == "all":
                        wanted.append((r, n, target))
            length = int(nodes.dialogue.lengths[b])
            found = zip(
                nodes.dialogue.segment[b, :length].tolist(),
                nodes.dialogue.party[b, :length].tolist(),
                (torch.arange(length) == nodes.target[b]).tolist(),
                strict=True,
            )
            assert list(found) == wanted
            assert int(nodes.dialogue.real[b].sum()) == length
            assert nodes.own[b].sum() == sum(n == grid.target_person[b] for _, n, _ in wanted)


def test_only_the_target_person_s_rows_are_left() -> None:
    grid = made_grid()
    own = of_target_person(grid)
    for m in grid.rows:
        torch.testing.assert_close(own.dense(m)[:, 0], grid.target_row(grid.dense(m)))
        assert len(own.rows[m]) == int((own.index[m] >= 0).sum())
    torch.testing.assert_close(own.personality[:, 0], grid.target_row(grid.personality))
    assert own.exists.shape == (6, 1, 6)


def test_a_whole_clip_as_one_person_keeps_every_cell() -> None:
    grid = made_grid()
    one = as_one_person(grid)
    for m in grid.rows:
        held = one.dense(m)[:, 0].sum(1)
        torch.testing.assert_close(held, grid.dense(m).sum((1, 2)))
    torch.testing.assert_close(one.target(one.dense("text")), grid.target(grid.dense("text")))


def test_windows_of_long_sequences() -> None:
    streams = (ModalitySpec("text", "t", 4, 6),)
    batch = grids.made_sequences(streams)
    grid = grid_of_batch(batch, streams, 3)
    assert grid.exists.shape[2] == 3
    mean = batch.features["text"][0, :2][batch.mask["text"][0, :2]].mean(0)
    torch.testing.assert_close(grid.dense("text")[0, 0, 0], mean)


def test_packed_states_equal_each_sequence_alone() -> None:
    recurrent = PackedRecurrent(3, 2, layers=2)
    x, lengths = torch.randn(4, 5, 3), torch.tensor([5, 0, 2, 1])
    states = recurrent(x, lengths)
    for b, length in enumerate(lengths.tolist()):
        assert (states[b, length:] == 0).all()
        if length:
            alone = recurrent.rnn(x[b : b + 1, :length])[0][0]
            torch.testing.assert_close(states[b, :length], alone)
    assert (recurrent(x, torch.zeros(4, dtype=torch.int64)) == 0).all()
