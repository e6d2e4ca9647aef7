"""Small grids of persons and segments for RAMer's unit tests."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.data.grid import Grid
from harness.specs import TaskInfo
from tests.unit.ramer.made import task_of

TRAITS = 4


def grid_task(labels: int = 4, personality: int = TRAITS) -> TaskInfo:
    return replace(
        task_of(labels=labels, kind="singlelabel", personality=personality), layout="grid"
    )


def grid_batch(
    task: TaskInfo, sizes: tuple[tuple[int, int], ...], seed: int = 0, share: float = 0.5
) -> Batch:
    """Return a labelled batch of grids of ``sizes`` (persons, segments); cells exist by chance."""
    draw = torch.Generator().manual_seed(seed)
    persons, segments = torch.tensor(sizes).unbind(1)
    n, r = int(persons.max()), int(segments.max())
    real = torch.arange(n) < persons[:, None]
    exists = real[:, :, None] & (torch.arange(r) < segments[:, None])[:, None]
    rows, index = {}, {}
    for m in task.modalities:
        valid = exists & (torch.rand(exists.shape, generator=draw) < share)
        count = int(valid.sum())
        rows[m.name] = torch.randn(count, m.dim, generator=draw)
        place = torch.full(exists.shape, -1)
        place[valid] = torch.randperm(count, generator=draw)
        index[m.name] = place
    traits = torch.randn(len(sizes), n, task.personality_dim, generator=draw)
    grid = Grid(
        rows=rows,
        index=index,
        exists=exists,
        characters=torch.where(real, torch.arange(n), -1),
        personality=torch.where(real[..., None], traits, 0.0),
        target_person=(torch.rand(len(sizes), generator=draw) * persons).long(),
        target_segment=(torch.rand(len(sizes), generator=draw) * segments).long(),
        num_persons=persons,
        num_segments=segments,
        has_target=torch.ones(len(sizes), dtype=torch.bool),
    )
    chosen = torch.randint(task.num_labels, (len(sizes),), generator=draw)
    present = torch.stack([grid.target_row(grid.valid(m.name)).any(1) for m in task.modalities], 1)
    return Batch(
        features={},
        mask={},
        present=present,
        natural=present,
        ids=tuple(str(i) for i in range(len(sizes))),
        labels=torch.nn.functional.one_hot(chosen, task.num_labels).float(),
        grid=grid,
    )


def with_grid(batch: Batch, **changes: object) -> Batch:
    assert batch.grid is not None
    return replace(batch, grid=replace(batch.grid, **changes))  # type: ignore[arg-type]


def permuted(grid: Grid, order: Tensor) -> Grid:
    """Return the same samples with persons in another order, int64 [B, N], real ones first."""
    samples = torch.arange(len(order))[:, None]
    moved = order.argsort(dim=1)
    return replace(
        grid,
        index={m: x[samples, order] for m, x in grid.index.items()},
        exists=grid.exists[samples, order],
        characters=grid.characters[samples, order],
        personality=grid.personality[samples, order],
        target_person=moved[samples[:, 0], grid.target_person],
    )
