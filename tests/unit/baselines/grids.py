"""Made grid batches that several tests share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.data.grid import Grid
from harness.specs import LabelKind, ModalitySpec, TaskInfo

MODALITIES = (
    ModalitySpec("visual", "v", 5, 6),
    ModalitySpec("audio", "a", 7, 6),
    ModalitySpec("text", "t", 4, 6),
)
LABELS = ("joy", "anger", "fear")
PERSONALITY_DIM = 3
# Persons and segments of the made samples; one person, one segment, and targets of all kinds.
SHAPES = ((2, 3), (1, 4), (3, 1), (1, 1), (4, 5), (2, 6))


def task(
    modalities: Sequence[ModalitySpec] = MODALITIES,
    kind: LabelKind = "singlelabel",
    personality_dim: int = PERSONALITY_DIM,
) -> TaskInfo:
    """Return the task of the made grids."""
    return TaskInfo(
        "made", tuple(modalities), LABELS, kind, "grid", personality_dim=personality_dim
    )


def sparse(
    dense: dict[str, Tensor],
    valid: dict[str, Tensor],
    shapes: Tensor,
    personality: Tensor,
    target: Tensor,
) -> Grid:
    """Return a grid of dense cells.

    Args:
        dense: per modality, [B, N, R, d]. valid: per modality, bool [B, N, R].
        shapes: int64 [B, 2], persons and segments.
        personality: [B, N, d_p].
        target: int64 [B, 2], target person and segment.
    """
    some = next(iter(valid.values()))
    persons, segments = shapes.t()
    real = torch.arange(some.shape[1]) < persons[:, None]
    exists = real[:, :, None] & (torch.arange(some.shape[2]) < segments[:, None])[:, None]
    rows, index = {}, {}
    for m, there in valid.items():
        rows[m] = dense[m][there]
        index[m] = torch.where(there, there.flatten().cumsum(0).view_as(there) - 1, -1)
    return Grid(
        rows=rows,
        index=index,
        exists=exists,
        characters=torch.where(real, torch.arange(some.shape[1]), -1),
        personality=personality,
        target_person=target[:, 0],
        target_segment=target[:, 1],
        num_persons=persons,
        num_segments=segments,
        has_target=torch.ones(len(some), dtype=torch.bool),
    )


def made_cells(
    modalities: Sequence[ModalitySpec] = MODALITIES, seed: int = 0, dtype: torch.dtype | None = None
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor, Tensor, Tensor]:
    """Return the arguments of `sparse` for `SHAPES`; about half of the cells are missing."""
    g = torch.Generator().manual_seed(seed)
    shapes = torch.tensor(SHAPES)
    size, (n, r) = len(shapes), shapes.amax(0).tolist()
    real = torch.arange(n) < shapes[:, :1]
    exists = real[:, :, None] & (torch.arange(r) < shapes[:, 1:])[:, None]
    dense, valid = {}, {}
    for m in modalities:
        there = exists & (torch.rand(size, n, r, generator=g) < 0.5)
        x = torch.randn(size, n, r, m.dim, generator=g, dtype=dtype)
        dense[m.name], valid[m.name] = torch.where(there[..., None], x, 0.0), there
    people = torch.rand(size, n, PERSONALITY_DIM, generator=g, dtype=dtype)
    target = (torch.rand(size, 2, generator=g) * shapes).long()
    return dense, valid, shapes, torch.where(real[..., None], people, 0.0), target


def batch_of(grid: Grid) -> Batch:
    """Return a labelled batch of a grid."""
    own = [grid.target_row(grid.valid(m)).any(1) for m in grid.index]
    present, ids = torch.stack(own, 1), tuple(map(str, range(len(grid))))
    labels = torch.eye(len(LABELS))[torch.arange(len(grid)) % len(LABELS)]
    return Batch({}, {}, present, present, ids, labels, grid=grid)


def made_batch(modalities: Sequence[ModalitySpec] = MODALITIES, seed: int = 0) -> Batch:
    """Return a labelled batch of the made samples."""
    return batch_of(sparse(*made_cells(modalities, seed)))


def take(batch: Batch, samples: Sequence[int], grow: int = 0) -> Batch:
    """Return some samples of a batch of grids in this order, with ``grow`` more padding."""
    grid, chosen = batch.grid, torch.tensor(samples)
    assert grid is not None

    def pad(x: Tensor, axes: int, value: float) -> Tensor:
        widths = [0, 0] * (x.ndim - 1 - axes) + [0, grow] * axes
        return torch.nn.functional.pad(x[chosen], widths, value=value)

    smaller = replace(
        grid,
        index={m: pad(i, 2, -1) for m, i in grid.index.items()},
        exists=pad(grid.exists.long(), 2, 0).bool(),
        characters=pad(grid.characters, 1, -1),
        personality=pad(grid.personality, 1, 0.0),
        target_person=grid.target_person[chosen],
        target_segment=grid.target_segment[chosen],
        num_persons=grid.num_persons[chosen],
        num_segments=grid.num_segments[chosen],
        has_target=grid.has_target[chosen],
    )
    return replace(
        batch,
        present=batch.present[chosen],
        natural=batch.natural[chosen],
        ids=tuple(batch.ids[i] for i in samples),
        labels=batch.targets[chosen],
        grid=smaller,
    )


def made_sequences(
    modalities: Sequence[ModalitySpec] = MODALITIES, seed: int = 0, *, aligned: bool = True
) -> Batch:
    """Return a labelled batch of six sequences; the last misses the first modality."""
    g = torch.Generator().manual_seed(seed)
    features, mask = {}, {}
    lengths = torch.randint(1, 7, (6, 1), generator=g)
    for k, m in enumerate(modalities):
        own = lengths if aligned else torch.randint(1, 7, (6, 1), generator=g)
        there = torch.arange(6) < own
        if k == 0:
            there[-1] = False
        x = torch.randn(6, 6, m.dim, generator=g)
        features[m.name], mask[m.name] = torch.where(there[..., None], x, 0.0), there
    present = torch.stack([x.any(1) for x in mask.values()], 1)
    labels = torch.eye(len(LABELS))[torch.arange(6) % len(LABELS)]
    return Batch(features, mask, present, present, tuple(map(str, range(6))), labels)
