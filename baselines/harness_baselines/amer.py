"""AMER (Shen et al., ACM MM 2020): attention between persons, over segments, between persons.

Every cell of a grid is encoded; attention without parameters gathers, per modality, what the
others show in a segment and what a person shows over time; the modalities are fused, and the
person asked about attends to the others. Equal to the authors' code to 1e-5
(``tests/parity/test_amer.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.data.grid import Grid
from harness.model import Encoded, FitData
from harness.nn.cell_attention import between_persons, over_segments
from harness.nn.cell_encoder import CellEncoders
from harness.nn.standardize import GridStandardizer
from harness.nn.task_loss import task_scores
from harness.specs import TaskInfo, bounded
from harness_baselines.logits_model import LogitsModel


@dataclass(frozen=True)
class AmerConfig:
    """Hyper-parameters; defaults are those of the authors' code.

    Attributes:
        d_e: D; cells are encoded to 2 D.
        personality: use it where the data has it. Off: the published row without it, which the
            authors' released code cannot run.
        standardize: features in units of the training split's deviations; not published.
    """

    d_e: int = bounded(128, least=1)
    personality: bool = True
    standardize: bool = False


class Amer(LogitsModel):
    """AMER for any number of modalities, under any names.

    A missing cell is the encoding of a zero row and is never attended to unless everybody of the
    segment misses the modality; so no null position is needed. A sequence is a grid of one person
    whose last position asks: there the attention between persons doubles its input, as in the
    authors' code. Where no cell is the target (a moment outside all segments, a whole clip) the
    last person's last segment asks, as there. Single-label data: softmax and cross entropy;
    multi-label data: sigmoids.
    """

    Config: ClassVar[type] = AmerConfig
    config: AmerConfig
    shares_encodings = True
    needs_nonempty_mask: ClassVar[bool] = False
    fused_optimizer: ClassVar[bool] = True

    def __init__(self, config: AmerConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        d, count = config.d_e, len(task.modalities)
        people = task.personality_dim if config.personality else 0
        self.encoders = CellEncoders(task.modalities, people, d)
        self.standardizer: GridStandardizer | None = None
        if config.standardize:
            self.standardizer = GridStandardizer(task.modalities, task.personality_dim)
        parts = 2 * count + 1 if people else count
        self.fusion_layer = nn.Linear(parts * 2 * d, 4 * d)
        self.out_layer = nn.Sequential(
            nn.Linear(4 * d, 2 * d), nn.ReLU(), nn.Linear(2 * d, task.num_labels)
        )
        # One temperature for all three attentions, also where cells are only 2 D wide.
        self.scale = 1.0 / math.sqrt(4 * d)

    def setup_fit(self, data: FitData) -> None:
        """Take the statistics of the features, where they are asked for."""
        if self.standardizer is not None:
            self.standardizer.fit(data.batches(256))

    def logits(self, batch: Batch) -> Tensor:
        """Return label logits [B, L]."""
        grid = self._grid(batch)
        person = self._person(grid)
        y, valid = self._beside_others(grid, person)
        return self._read(y, valid, person, grid)

    def encode(self, batch: Batch) -> Encoded:
        """Return each modality's cells after the attention between persons, and where it is there.

        They are [B, R, N, 2D or 4D] and bool [B, R, N]. What is asked about comes later: the last
        position of a sequence depends on all modalities.
        """
        grid = self._grid(batch)
        y, valid = self._beside_others(grid, self._person(grid))
        rows = zip(self.encoders.names, y, valid, strict=True)
        return {name: (cells, there) for name, cells, there in rows}

    def fuse(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return scores [B, L]."""
        grid = self._grid(batch)
        y, valid = (torch.stack(x) for x in zip(*encoded.values(), strict=True))
        logits = self._read(y, valid, self._person(grid), grid)
        return task_scores(logits, self.task.label_kind)

    def _grid(self, batch: Batch) -> Grid:
        grid = batch.as_grid()
        return grid if self.standardizer is None else self.standardizer(grid)

    def _person(self, grid: Grid) -> Tensor | None:
        """Return e^p of every person, [B, N, 2D]; None: personality is not used."""
        return None if self.encoders.person is None else self.encoders.personality(grid)

    def _beside_others(self, grid: Grid, person: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return y [M, B, R, N, 2D or 4D] and where a modality is there, bool [M, B, R, N]."""
        names = self.encoders.names
        encoded = self.encoders.cells(grid)
        x = torch.stack([encoded[m] for m in names]).transpose(2, 3)
        valid = torch.stack([grid.valid(m) for m in names]).transpose(2, 3)
        if person is not None:
            person = person.to(x.dtype)
            x = torch.cat([x, person[:, None].expand_as(x)], dim=-1)
        return between_persons(x, valid, grid.persons, self.scale), valid

    def _read(self, y: Tensor, valid: Tensor, person: Tensor | None, grid: Grid) -> Tensor:
        z = over_segments(y, valid, grid.segments, grid.target_segment, self.scale)
        parts = list(z) if person is None else [*z, person.to(z.dtype)]
        logits: Tensor = self.out_layer(self._ask(self.fusion_layer(torch.cat(parts, -1)), grid))
        return logits

    def _ask(self, fused: Tensor, grid: Grid) -> Tensor:
        """Return what the target person knows of all, [B, 4D], of fused persons [B, N, 4D]."""
        own = grid.target_row(fused)
        scores = torch.einsum("be,bne->bn", own, fused) * self.scale
        weights = torch.where(grid.persons, scores, -torch.inf).softmax(-1).to(fused.dtype)
        others = torch.einsum("bn,bne->be", weights, fused)
        return torch.where(grid.num_persons[:, None] > 1, own + others, own)
