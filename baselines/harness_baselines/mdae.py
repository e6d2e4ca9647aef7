"""MDAE: a multimodal deep autoencoder (Ngiam et al., ICML 2011) at the target cell.

One shared layer must rebuild every modality even while some are hidden, and carries a classifier.
The idea is the paper's; its pre-training by restricted Boltzmann machines and its linear support
vector machine are replaced by joint back-propagation. MEmoR's own version is not published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.model import FitData, ModelPlugin, StepContext, StepOutput
from harness.nn.cell_encoder import CellEncoders, RowEncoder
from harness.nn.dropout import Dropout
from harness.nn.hiding import draw_kept
from harness.nn.standardize import GridStandardizer
from harness.nn.target_cell import TargetCells, target_cells
from harness.nn.task_loss import task_loss, task_scores
from harness.specs import TaskInfo, bounded
from harness_baselines.dialogue import as_one_person
from harness_baselines.grid_inputs import readout_of

# Epochs of reconstruction alone under ``two_stage``, where the configuration does not say.
_TWO_STAGE_EPOCHS = 20


@dataclass(frozen=True)
class MdaeConfig:
    """Hyper-parameters.

    Attributes:
        d_e: D; inputs are encoded to 2 D, the shared layer has 4 D.
        dropout: in the classifier.
        lambda_rec: weight of the reconstruction.
        keep_all: the share of training samples that keep all their modalities; the others keep
            a uniformly drawn non-empty subset.
        pretrain_epochs: first epochs without the classifier's loss, hence without labels; none of
            them is selected, and patience counts after them.
        two_stage: pretrain (20 epochs if ``pretrain_epochs`` is 0), then train the classifier
            alone: closest to the paper's protocol.
        personality: use it where the data has it.
    """

    d_e: int = bounded(128, least=1)
    dropout: float = bounded(0.3, least=0, most=1)
    lambda_rec: float = 1.0
    keep_all: float = bounded(1 / 3, least=0, most=1)
    pretrain_epochs: int = bounded(0, least=0)
    two_stage: bool = False
    personality: bool = True

    @property
    def stage_one(self) -> int:
        """Return the number of epochs without labels."""
        return self.pretrain_epochs or (_TWO_STAGE_EPOCHS if self.two_stage else 0)


class Mdae(ModelPlugin):
    """MDAE for any number of modalities, under any names.

    A hidden or missing modality is the zero vector, a missing one is never rebuilt; so no null
    position is needed. Personality is never hidden. Inputs and targets are in units of the
    training split's deviations. Of a sequence the mean over valid positions stands for the target
    cell, of a whole clip that asks about nobody the mean over everybody's cells. Single-label
    data: softmax and cross entropy; multi-label data: sigmoids.
    """

    Config: ClassVar[type] = MdaeConfig
    config: MdaeConfig
    needs_nonempty_mask: ClassVar[bool] = False
    fused_optimizer: ClassVar[bool] = True

    def __init__(self, config: MdaeConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        self.selects_from = config.stage_one
        d, people = config.d_e, task.personality_dim if config.personality else 0
        self.everybody = readout_of("auto", task) == "all"
        self.standardizer = GridStandardizer(task.modalities, people)
        self.encoders = CellEncoders(task.modalities, people, d)
        found: list[RowEncoder] = list(self.encoders.encoders.values())
        dims = [m.dim for m in task.modalities]
        if self.encoders.person is not None:
            found.append(self.encoders.person)
            dims.append(people)
        self.shared = nn.Linear(2 * d * len(dims), 4 * d)
        # Mirrors of the encoders: their hidden widths in reverse.
        self.decoder_list = nn.ModuleList(
            RowEncoder(4 * d, [*encoder.hidden[::-1], dim])
            for encoder, dim in zip(found, dims, strict=True)
        )
        self.classifier = nn.Sequential(
            nn.Linear(4 * d, 2 * d),
            nn.ReLU(),
            Dropout(config.dropout),
            nn.Linear(2 * d, task.num_labels),
        )

    def setup_fit(self, data: FitData) -> None:
        """Take the statistics of the features."""
        self.standardizer.fit(data.batches(256))

    def inputs(self, batch: Batch) -> TargetCells:
        """Return the target cells in units of deviations."""
        grid = self.standardizer(batch.as_grid())
        if self.everybody:
            grid = as_one_person(grid)
        mean = self.everybody or batch.grid is None
        return target_cells(grid, self.encoders.names, mean=mean)

    def code(self, cells: TargetCells, kept: Tensor) -> Tensor:
        """Return the shared layer [B, 4D] with only the kept modalities, bool [B, M]."""
        parts = [
            torch.where(kept[:, k, None], cells.place(k, encoder(cells.rows[m])), 0.0)
            for k, (m, encoder) in enumerate(self.encoders.encoders.items())
        ]
        if self.encoders.person is not None:
            parts.append(self.encoders.person(cells.personality))
        code: Tensor = self.shared(torch.cat(parts, dim=-1)).tanh()
        return code

    def reconstruction(self, code: Tensor, cells: TargetCells) -> Tensor:
        """Return the mean over inputs of the mean squared error where the input exists."""
        targets = [cells.rows[m] for m in self.encoders.names]
        valid = list(cells.valid.unbind(1))
        if self.encoders.person is not None:
            known = cells.personality.any(dim=-1)
            targets.append(cells.personality[known])
            valid.append(known)
        errors = [
            (decoder(code[there]).float() - x).square().sum() / (x.shape[1] * max(1, len(x)))
            for decoder, there, x in zip(self.decoder_list, valid, targets, strict=True)
        ]
        return torch.stack(errors).mean()

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        """Return the weighted loss and its terms ``cls`` and ``rec``."""
        cells = self.inputs(batch)
        code = self.code(cells, draw_kept(cells.valid, self.config.keep_all, ctx.generator))
        rec = self.reconstruction(code, cells)
        if ctx.epoch < self.config.stage_one:
            return StepOutput(rec, {"rec": rec})
        if self.config.two_stage:
            # Without gradient, not with a gradient of zero: Adam would go on along its momentum.
            code, rec = code.detach(), rec.detach()
        cls = task_loss(self.classifier(code), batch.targets, self.task.label_kind)
        return StepOutput(cls + self.config.lambda_rec * rec, {"cls": cls, "rec": rec})

    def predict_step(self, batch: Batch) -> Tensor:
        """Return scores [B, L]."""
        cells = self.inputs(batch)
        return task_scores(self.classifier(self.code(cells, cells.valid)), self.task.label_kind)
