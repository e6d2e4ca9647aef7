"""GCNet (Lian et al., TPAMI 2023): graph completion of conversations with missing modalities.

A BiLSTM reads utterances whose missing modalities are zeros; two graph networks over near
utterances, one that knows who comes before whom and one that knows who speaks, each followed by a
larger BiLSTM; their sum is classified and also rebuilds the modalities that were removed. The
network equals the authors' code to 1e-5 (``tests/parity/test_gcnet.py``).

Shapes: B samples, T utterances (nodes), M modalities, e hidden size per direction, h graph size,
w = 2 e + h. A relation goes from a sender j to a receiver i.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.data.grid import Grid
from harness.model import FitData, ModelPlugin, StepContext, StepOutput
from harness.nn.cell_encoder import CellEncoders
from harness.nn.pooling import masked_mean
from harness.nn.standardize import GridStandardizer
from harness.nn.task_loss import task_loss, task_scores
from harness.nn.windows import window_size
from harness.specs import TaskInfo
from harness_baselines.dialogue import Nodes, nodes_of
from harness_baselines.gcnet_network import GcnetConfig, GcnetNetwork, MaskUnit
from harness_baselines.grid_inputs import grid_of_batch, readout_of


def anchored(valid: Tensor, rate: Tensor, anchor: Tensor, keep: Tensor) -> Tensor:
    """Return which of k valid modalities are kept, bool [..., M]: one of them, others with q.

    q = max(0, 1 - rate k / (k - 1)), so that 1 - rate are kept on average; all where k is 1.

    Args:
        valid: bool [..., M].
        rate: [...].
        anchor: uniform draws [...]. keep: uniform draws [..., M].
    """
    k = valid.sum(-1)
    q = (1.0 - rate * k / (k - 1).clamp(min=1)).clamp(min=0.0)
    q = torch.where(k > 1, q, 1.0)
    rank = valid.long().cumsum(-1) - 1
    chosen = rank == (anchor * k).floor().long()[..., None]
    return valid & (chosen | (keep < q[..., None]))


def draw_kept(
    valid: Tensor, rate: float | None, unit: MaskUnit, generator: torch.Generator
) -> Tensor:
    """Return what training leaves of the valid modalities, bool [B, T, M].

    Args:
        valid: bool [B, T, M].
        rate: of removal; None: 0 for half of the samples, else uniform in [0, (M - 1) / M).
        unit: what a modality is removed from.
        generator: on the CPU.
    """
    size, length, count = valid.shape

    def drawn(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator).to(valid.device, non_blocking=True)

    if rate is None:
        rates = torch.where(drawn(size) < 0.5, 0.0, drawn(size) * (count - 1) / count)
    else:
        rates = torch.full((size,), rate, device=valid.device)
    whole = valid
    if unit != "position":
        there = valid.any(dim=1)
        whole = valid & anchored(there, rates, drawn(size), drawn(size, count))[:, None]
    if unit == "sample":
        return whole
    each = rates[:, None].expand(-1, length)
    single = anchored(valid, each, drawn(size, length), drawn(size, length, count))
    if unit == "position":
        return single
    return torch.where(drawn(size)[:, None, None] < 0.5, whole, single)


@dataclass(frozen=True)
class Utterances:
    """The utterances of B samples.

    Attributes:
        nodes: who speaks when, and which utterance is asked about.
        x: [B, T, d], what is left of them; zeros where a modality is missing or removed.
        removed: bool [B, T, M].
        targets: per modality what was removed, [K_m, d_m], in units of deviations.
    """

    nodes: Nodes
    x: Tensor
    removed: Tensor
    targets: list[Tensor]


class Gcnet(ModelPlugin):
    """GCNet for any modalities, on sequences and grids.

    A node is a position of a sequence or a cell of a grid; a missing modality is zeros in it, so no
    null position is needed. Features are in units of the training split's deviations. In training
    the model removes modalities itself and rebuilds only those; what a protocol dropped, or the
    data lacks, is never a target. A sequence's answer is the mean over its nodes.
    """

    Config: ClassVar[type] = GcnetConfig
    needs_nonempty_mask: ClassVar[bool] = False
    fused_optimizer: ClassVar[bool] = True
    shared_parameters: ClassVar = ("network.context.*", "network.temporal.*", "network.speaker.*")
    config: GcnetConfig

    def __init__(self, config: GcnetConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        self.reads_padding = not config.packed
        dims = [m.dim for m in task.modalities]
        people = task.personality_dim if config.personality and task.cells else 0
        self.standardizer = GridStandardizer(task.modalities, people)
        # Wide rows of a clip's cells are encoded first; vectors of a sequence are read as they are.
        self.encoders = CellEncoders(task.modalities, people, config.d_e) if task.cells else None
        inputs = sum(dims)
        if self.encoders is not None:
            inputs = self.encoders.size * (len(dims) + (people > 0))
        self.readout = readout_of(config.readout, task)
        speakers = config.speakers if task.cells or task.speakers else 1
        self.network = GcnetNetwork(config, inputs, task.num_labels, dims, speakers)

    def setup_fit(self, data: FitData) -> None:
        """Take the statistics of the features."""
        self.standardizer.fit(data.batches(256))

    def utterances(self, batch: Batch, generator: torch.Generator | None = None) -> Utterances:
        """Return the utterances; with a generator modalities are removed, for training."""
        names, config = self.standardizer.names, self.config
        grid = grid_of_batch(batch, self.task.modalities, config.max_frames)
        grid = self.standardizer(grid)
        nodes = self.nodes(batch, grid)
        index = {m: nodes.of_cells(grid.index[m], padding=-1) for m in names}
        valid = torch.stack([i >= 0 for i in index.values()], dim=-1)
        kept = valid
        if generator is not None:
            kept = draw_kept(valid, config.rate(), config.mask_unit, generator)
        removed = valid & ~kept
        left = {m: torch.where(kept[..., k], i, -1)[:, None] for k, (m, i) in enumerate(
            index.items()
        )}  # fmt: skip
        shown = replace(grid, index=left)
        if self.encoders is None:
            parts = [shown.dense(m).squeeze(1) for m in names]
        else:
            cells = self.encoders.cells(shown, missing="zero")
            parts = [cells[m].squeeze(1) for m in names]
            if self.encoders.person is not None:
                person = self.encoders.personality(grid)
                party = nodes.dialogue.party[..., None].expand(-1, -1, person.shape[-1])
                parts.append(person.gather(1, party).to(parts[0].dtype))
        x = torch.where(nodes.dialogue.real[..., None], torch.cat(parts, dim=-1), 0.0)
        targets = [grid.rows[m][index[m][removed[..., k]]] for k, m in enumerate(names)]
        return Utterances(nodes, x, removed, targets)

    def nodes(self, batch: Batch, grid: Grid) -> Nodes:
        """Return the utterances of a grid, with the speakers that a batch of sequences names."""
        nodes = nodes_of(grid, self.config.nodes if self.task.cells else "all")
        known = batch.speakers
        if known is None or self.network.speakers == 1:
            return nodes
        # A window is said by whoever speaks first.
        size = max(window_size(m.max_length, self.config.max_frames) for m in self.task.modalities)
        known = known[:, ::size]
        spoken = known.gather(1, nodes.dialogue.segment.clamp(max=known.shape[1] - 1))
        speaker = torch.where(nodes.dialogue.real, spoken, 0)
        return replace(nodes, dialogue=replace(nodes.dialogue, speaker=speaker))

    def logits(self, z: Tensor, nodes: Nodes) -> Tensor:
        """Return label logits [B, L] of states [B, T, w]."""
        if self.readout == "cell":
            asked = z[torch.arange(len(z), device=z.device), nodes.target]
        else:
            asked = masked_mean(z, nodes.own if self.readout == "person" else nodes.dialogue.real)
        logits: Tensor = self.network.classifier(asked)
        return logits

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the terms ``cls`` and ``rec``, unweighted."""
        said = self.utterances(batch, generator)
        dialogue = said.nodes.dialogue
        z = self.network(said.x, dialogue)
        cls = task_loss(self.logits(z, said.nodes), batch.targets, self.task.label_kind)
        rec = self.network.reconstruction(z, said.removed, said.targets, dialogue.real)
        return {"cls": cls, "rec": rec}

    def loss_terms(self, batch: Batch, ctx: StepContext) -> dict[str, Tensor]:
        """Return the weighted terms."""
        terms = self.losses(batch, ctx.generator)
        return terms | {"rec": self.config.lambda_rec * terms["rec"]}

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        """Return the weighted loss and its terms ``cls`` and ``rec``."""
        terms = self.losses(batch, ctx.generator)
        loss = terms["cls"] + self.config.lambda_rec * terms["rec"]
        return StepOutput(loss, {name: term.detach() for name, term in terms.items()})

    def predict_step(self, batch: Batch) -> Tensor:
        """Return scores [B, L]."""
        said = self.utterances(batch)
        z = self.network(said.x, said.nodes.dialogue)
        return task_scores(self.logits(z, said.nodes), self.task.label_kind)
