"""MDL: what the target shows, and who they are, through one feed-forward network.

The multimodal deep-learning row of MEmoR's table. Neither code nor a description is public: this
is our own design of early fusion at the target cell, without context, on the encoders of AMER.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.data.grid import Grid
from harness.model import FitData
from harness.nn.cell_encoder import CellEncoders
from harness.nn.dropout import Dropout
from harness.nn.standardize import GridStandardizer
from harness.nn.target_cell import target_cells
from harness.specs import TaskInfo, bounded
from harness_baselines.dialogue import as_one_person
from harness_baselines.grid_inputs import readout_of
from harness_baselines.logits_model import LogitsModel


@dataclass(frozen=True)
class MdlConfig:
    """Hyper-parameters.

    Attributes:
        d_e: D; cells are encoded to 2 D.
        dropout: after each hidden layer of the head.
        mask_flags: append which modalities are there, one number each.
        context: ``mean`` appends, per modality, the means over the target person's segments and
            over the other persons' cells.
        personality: use it where the data has it.
        standardize: features in units of the training split's deviations.
    """

    d_e: int = bounded(128, least=1)
    dropout: float = bounded(0.3, least=0, most=1)
    mask_flags: bool = True
    context: Literal["none", "mean"] = "none"
    personality: bool = True
    standardize: bool = False


class Mdl(LogitsModel):
    """MDL for any number of modalities, under any names.

    A missing modality is the zero vector; so no null position is needed. Of a sequence the mean
    over valid positions stands for the target cell, of a whole clip that asks about nobody the
    mean over everybody's cells. Single-label data: softmax and cross entropy; multi-label data:
    sigmoids.
    """

    Config: ClassVar[type] = MdlConfig
    config: MdlConfig
    needs_nonempty_mask: ClassVar[bool] = False
    fused_optimizer: ClassVar[bool] = True

    def __init__(self, config: MdlConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        d, count = config.d_e, len(task.modalities)
        people = task.personality_dim if config.personality else 0
        self.everybody = readout_of("auto", task) == "all"
        self.encoders = CellEncoders(task.modalities, people, d)
        self.standardizer: GridStandardizer | None = None
        if config.standardize:
            self.standardizer = GridStandardizer(task.modalities, task.personality_dim)
        views = 3 if config.context == "mean" else 1
        width = 2 * d * (views * count + bool(people)) + count * config.mask_flags
        self.head = nn.Sequential(
            nn.Linear(width, 4 * d),
            nn.ReLU(),
            Dropout(config.dropout),
            nn.Linear(4 * d, 2 * d),
            nn.ReLU(),
            Dropout(config.dropout),
            nn.Linear(2 * d, task.num_labels),
        )

    def setup_fit(self, data: FitData) -> None:
        """Take the statistics of the features, where they are asked for."""
        if self.standardizer is not None:
            self.standardizer.fit(data.batches(256))

    def logits(self, batch: Batch) -> Tensor:
        """Return label logits [B, L]."""
        grid = batch.as_grid()
        if self.standardizer is not None:
            grid = self.standardizer(grid)
        names = self.encoders.names
        if self.everybody:
            grid = as_one_person(grid)
        cells = target_cells(grid, names, mean=self.everybody or batch.grid is None)
        parts = [
            cells.place(k, encoder(cells.rows[m]))
            for k, (m, encoder) in enumerate(self.encoders.encoders.items())
        ]
        if self.config.context == "mean":
            encoded = self.encoders.cells(grid, missing="zero")
            parts += [x for m in names for x in _context(encoded[m], grid, m)]
        if self.encoders.person is not None:
            parts.append(self.encoders.person(cells.personality))
        if self.config.mask_flags:
            parts.append(cells.valid.to(parts[0].dtype))
        logits: Tensor = self.head(torch.cat(parts, dim=-1))
        return logits


def _context(encoded: Tensor, grid: Grid, modality: str) -> tuple[Tensor, Tensor]:
    """Return the means over the target person's and the others' valid cells, [B, h] each.

    Args:
        encoded: [B, N, R, h], zero where the modality is missing.
        grid: the samples.
        modality: its name.
    """
    counts, sums = grid.valid(modality).sum(2), encoded.sum(2)
    own, shown = grid.target_row(sums), grid.target_row(counts)
    others, seen = sums.sum(1) - own, counts.sum(1) - shown
    return own / shown.clamp(min=1)[:, None], others / seen.clamp(min=1)[:, None]
