"""What comes before tensor fusion: one vector per modality of the person asked about.

Nothing is published of how these baselines read MEmoR; this front end is the benchmark's own
design. It reads the target person's segments only, which is what sets it apart from AMER.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.data.grid import Grid
from harness.errors import ConfigError
from harness.model import Encoded
from harness.nn.cell_encoder import CellEncoders, RowEncoder
from harness.nn.packed_recurrent import PackedRecurrent
from harness.nn.pooling import masked_mean
from harness.nn.task_loss import task_scores
from harness.specs import TaskInfo, bounded
from harness_baselines.dialogue import as_one_person
from harness_baselines.fusion_subnets import ReferenceFront
from harness_baselines.grid_inputs import Readout, grid_of_batch, of_target_person, readout_of
from harness_baselines.logits_model import LogitsModel


@dataclass(frozen=True)
class FrontConfig:
    """Hyper-parameters before the fusion.

    Attributes:
        subnets: ``context``: cell encoders and a BiLSTM per modality. ``reference``: the public
            code's sub-networks, for sequences only: text through an LSTM, others averaged.
        d_e: D of the cell encoders, whose output is 2 D.
        bilstm_hidden: per direction.
        fusion_dim: size of each modality's vector; ``sizes``: of some, by name.
        personality: ``concat``: beside every cell of each modality. ``mode``: a factor of its own
            in the fusion. ``off``: unused. Data without personality is ``off``.
        personality_dim: size of that factor.
        dropout: before the fused vector is read (TFN), or on each modality's vector (LMF); with
            the reference's sub-networks also in them.
        readout: `harness_baselines.grid_inputs.readout_of`; ``all`` reads everybody's cells as
            one person's.
        max_frames: sequences are averaged to at most so many steps first; 0: never.
        text_hidden: LSTM size of the reference's text sub-network.
        padded_text: read the last padded step, as the public code does; else the last valid one.
    """

    subnets: Literal["context", "reference"] = "context"
    d_e: int = bounded(128, least=1)
    bilstm_hidden: int = bounded(64, least=1)
    fusion_dim: int = bounded(32, least=1)
    sizes: dict[str, int] = field(default_factory=dict)
    personality: Literal["concat", "mode", "off"] = "concat"
    personality_dim: int = bounded(8, least=1)
    dropout: float = bounded(0.3, least=0, most=1)
    readout: Readout = "auto"
    max_frames: int = bounded(0, least=0)
    text_hidden: int = bounded(128, least=1)
    padded_text: bool = False


def vector_sizes(config: FrontConfig, task: TaskInfo) -> list[int]:
    """Return the size of each modality's vector.

    Raises:
        ConfigError: ``sizes`` names a modality that the data set does not have.
    """
    names = [m.name for m in task.modalities]
    if unknown := [n for n in config.sizes if n not in names]:
        raise ConfigError(
            f"model.sizes: {task.dataset} has no modality {unknown[0]!r}; it has "
            f"{', '.join(names)}."
        )
    return [config.sizes.get(n, config.fusion_dim) for n in names]


class PersonContext(nn.Module):
    """The target person's segments, modality by modality, through a BiLSTM each.

    ``dims`` are the sizes of what `forward` returns.
    """

    def __init__(self, config: FrontConfig, task: TaskInfo) -> None:
        super().__init__()
        self.config, self.modalities, self.cells = config, task.modalities, task.cells
        self.readout = readout_of(config.readout, task)
        people = 0 if config.personality == "off" else task.personality_dim
        self.encoders = CellEncoders(task.modalities, people, config.d_e)
        size = self.encoders.size
        self.beside = people > 0 and config.personality == "concat"
        width = 2 * size if self.beside else size
        hidden, outs = config.bilstm_hidden, vector_sizes(config, task)
        self.recurrent = nn.ModuleList(PackedRecurrent(width, hidden) for _ in task.modalities)
        self.project = nn.ModuleList(nn.Linear(2 * hidden, out) for out in outs)
        self.factor: nn.Linear | None = None
        self.dims = list(outs)
        if people > 0 and config.personality == "mode":
            self.factor = nn.Linear(size, config.personality_dim)
            self.dims.append(config.personality_dim)

    def forward(self, batch: Batch) -> list[Tensor]:
        """Return h_m [B, d_m] per modality, then personality's factor where it is one.

        A modality the person has in no segment gives zeros.
        """
        grid = self._grid(batch)
        return self._vectors(self._cells(grid), grid) + self._factors(grid)

    def encode(self, batch: Batch) -> list[tuple[Tensor, ...]]:
        """Return for `fuse` what each modality is without the others.

        On grids its vector. A sequence ends where its longest modality does: there its cells
        [B, T, 2D or 4D], and whether there are any, bool [B, 1].
        """
        grid = self._grid(batch)
        cells = self._cells(grid)
        return [(h,) for h in self._vectors(cells, grid)] if self.cells else cells

    def fuse(self, encoded: Iterable[tuple[Tensor, ...]], batch: Batch) -> list[Tensor]:
        """Return what `forward` returns of what `encode` gives."""
        if self.cells and self.factor is None:
            return [h for (h,) in encoded]
        grid = self._grid(batch)
        vectors = [h for (h,) in encoded] if self.cells else self._vectors(encoded, grid)
        return vectors + self._factors(grid)

    def _grid(self, batch: Batch) -> Grid:
        grid = grid_of_batch(batch, self.modalities, self.config.max_frames)
        return as_one_person(grid) if self.readout == "all" else of_target_person(grid)

    def _person(self, grid: Grid) -> Tensor | None:
        if isinstance(self.encoders.person, RowEncoder):
            return self.encoders.personality(grid)[:, 0]
        return None

    def _cells(self, grid: Grid) -> list[tuple[Tensor, ...]]:
        """Return each modality's cells [B, R, 2D or 4D] and whether there are any, bool [B, 1]."""
        cells = self.encoders.cells(grid, missing="zero")
        person = self._person(grid) if self.beside else None
        found: list[tuple[Tensor, ...]] = []
        for name in self.encoders.names:
            x = cells[name][:, 0]
            if person is not None:
                x = torch.cat([x, person[:, None].expand_as(x).to(x.dtype)], dim=-1)
            found.append((x, grid.valid(name).any(dim=2)))
        return found

    def _vectors(self, cells: Iterable[tuple[Tensor, ...]], grid: Grid) -> list[Tensor]:
        lengths = grid.num_segments.cpu()
        vectors: list[Tensor] = []
        for (x, there), recurrent, project in zip(cells, self.recurrent, self.project, strict=True):
            states = recurrent(x, lengths)
            if self.readout == "cell":
                read = grid.target(states[:, None])
            else:
                read = masked_mean(states, grid.segments)
            vectors.append(torch.where(there, project(read).relu(), 0.0))
        return vectors

    def _factors(self, grid: Grid) -> list[Tensor]:
        person = None if self.factor is None else self._person(grid)
        return [] if self.factor is None or person is None else [self.factor(person).relu()]


class FusionModel(LogitsModel):
    """A front end, and a fusion that reads its vectors as label logits.

    A missing modality's vector is zero, so that no null position is needed. Single-label data:
    softmax and cross entropy; multi-label data: sigmoids and binary cross entropy.
    """

    shares_encodings = True
    needs_nonempty_mask = False
    fused_optimizer = True

    def __init__(self, config: FrontConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        # Everybody's cells are those in which anybody has anything: there no modality is alone.
        self.shares_encodings = not (task.cells and readout_of(config.readout, task) == "all")
        self.reads_padding = config.subnets == "reference" and config.padded_text
        self.front: PersonContext | ReferenceFront
        if config.subnets == "reference":
            self.front = ReferenceFront(
                task,
                config.text_hidden,
                vector_sizes(config, task),
                config.dropout,
                config.padded_text,
            )
        else:
            self.front = PersonContext(config, task)

    @abstractmethod
    def read(self, vectors: Sequence[Tensor]) -> Tensor:
        """Return label logits [B, L] of one vector per modality, each [B, d_m]."""

    def logits(self, batch: Batch) -> Tensor:
        """Return label logits [B, L]."""
        return self.read(self.front(batch))

    def encode(self, batch: Batch) -> Encoded:
        """Return the front end's encodings: vectors, or cells of sequences."""
        names = (m.name for m in self.task.modalities)
        return dict(zip(names, self.front.encode(batch), strict=True))

    def fuse(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return scores [B, L]."""
        logits = self.read(self.front.fuse(encoded.values(), batch))
        return task_scores(logits, self.task.label_kind)
