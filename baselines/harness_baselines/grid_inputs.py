"""Grids as the MEmoR baselines of context take them: windows of sequences, one person's row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch

from harness.data.batch import Batch
from harness.data.grid import Grid, grid_of_sequence
from harness.nn.windows import window_mean, window_size
from harness.specs import ModalitySpec, TaskInfo

Readout = Literal["auto", "cell", "person", "all"]


def readout_of(chosen: Readout, task: TaskInfo) -> Readout:
    """Return what ``auto`` means for a task.

    ``cell`` reads the target cell: single-label grids. ``person`` reads the mean over the target
    person's row: sequences, which are one person's. ``all`` reads the mean over everybody:
    multi-label grids, which ask about whole clips.
    """
    if chosen != "auto":
        return chosen
    if not task.cells:
        return "person"
    return "cell" if task.label_kind == "singlelabel" else "all"


def grid_of_batch(batch: Batch, modalities: Sequence[ModalitySpec], max_frames: int) -> Grid:
    """Return the batch's grid; sequences as grids of one person.

    Args:
        batch: B samples.
        modalities: of the task.
        max_frames: sequences are averaged over windows to at most so many segments per modality
            first (which also brings unaligned ones side by side); 0: never. Grids stay as are.
    """
    if batch.grid is not None:
        return batch.grid
    features, mask = dict(batch.features), dict(batch.mask)
    for m in modalities:
        size = window_size(m.max_length, max_frames)
        features[m.name], mask[m.name] = window_mean(features[m.name], mask[m.name], size)
    return grid_of_sequence(features, mask, batch.personality)


def of_target_person(grid: Grid) -> Grid:
    """Return the target persons' rows as grids of one person; other rows of features are left out.

    Of N persons' features one part in N is encoded then.
    """
    if grid.exists.shape[1] == 1:
        return grid
    index = {m: grid.target_row(x)[:, None] for m, x in grid.index.items()}
    return replace(
        grid.indexed(index),
        exists=grid.target_row(grid.exists)[:, None],
        characters=grid.target_row(grid.characters)[:, None],
        personality=grid.target_row(grid.personality)[:, None],
        target_person=torch.zeros_like(grid.target_person),
        num_persons=torch.ones_like(grid.num_persons),
    )
