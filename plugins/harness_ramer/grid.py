"""Section 4.1 on grids: personality and the other persons in X_alpha (as AMER, Shen et al. 2020).

A fourth encoder embeds personality; it is concatenated to every modality on the feature axis. Then
two attentions without parameters, each residual, queries = keys = values, scale 1/sqrt(2H):
between persons inside each segment, then over the segments of each person. A Linear leads back to
H. A key whose modality is missing scores -1e9, a padding key -inf.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.data.grid import Grid
from harness.nn.cell_attention import between_persons
from harness.nn.encoder import ModalityEncoder, encode
from harness.nn.label_attention import LabelAttention
from harness.specs import TaskInfo
from harness_ramer.config import RamerConfig

PLACES = 64
"""Distances from the target segment that the bias of label attention tells apart."""
FAR = 8.0
"""What that bias starts at for every cell but the target's, negated."""


def distances(grid: Grid) -> Tensor:
    """Return how far each segment is from the target segment, int64 [B, R].

    0 is the target segment, 2k - 1 the k-th before it, 2k the k-th after it: so the encoders'
    learned positions say which segment is asked about and in which order the others are.
    """
    segments = torch.arange(grid.exists.shape[2], device=grid.exists.device)
    offset = segments - grid.target_segment[:, None]
    return torch.where(offset < 0, -2 * offset - 1, 2 * offset)


def encoded_cells(encoder: ModalityEncoder, grid: Grid, name: str) -> Tensor:
    """Return E_m over each person's segments, [B, N, R, H]; zero for padding persons.

    Only the batch's distinct valid rows, and the zero row that every missing cell is, pass the
    wide first layer; only real persons pass the transformer. A person who never has the modality
    attends evenly over the real segments.

    Args:
        encoder: of the modality.
        grid: the samples.
        name: the modality's.
    """
    bert = encoder.encoder
    # The norm of a zero row is its bias.
    missing = bert.embed(encoder.norm.bias)
    x = grid.cells(name, encoder.norm.project(grid.rows[name], bert.embed), missing)
    # Segments beyond the table share its last position.
    place = distances(grid).clamp(max=bert.positions.num_embeddings - 1)
    x = x + bert.positions(place)[:, None]
    persons, valid = grid.persons, grid.valid(name)
    seen = torch.where(valid.any(2, keepdim=True), valid, grid.segments[:, None])[persons]
    hidden = bert.dropout(bert.norm(x[persons]))
    out = hidden.new_zeros(x.shape)
    out[persons] = encode(bert.layers, hidden, seen)
    return out


class PersonMixing(nn.Module):
    """One modality: [e^m; e^p], attention between persons, over segments, then 2H back to H.

    Without personality x is e^m alone, and the scale stays, as in AMER without it.
    """

    def __init__(self, hidden: int, *, personality: bool) -> None:
        super().__init__()
        self.scale = 1.0 / math.sqrt(2 * hidden)
        self.project = nn.Linear(2 * hidden if personality else hidden, hidden)

    def forward(
        self, cells: Tensor, person: Tensor | None, valid: Tensor, persons: Tensor, segments: Tensor
    ) -> Tensor:
        """Return mixed cells [B, N, R, H].

        Args:
            cells: e^m, float [B, N, R, H].
            person: e^p, float [B, N, H], or None.
            valid: bool [B, N, R], where the modality is there.
            persons: bool [B, N], real persons. segments: bool [B, R], real segments; of both at
                least one a sample.
        """
        x = cells
        if person is not None:
            wide = person.to(x.dtype)[:, :, None].expand(-1, -1, x.shape[2], -1)
            x = torch.cat([x, wide], dim=-1)
        seen = valid[None]
        y = between_persons(x[None].transpose(2, 3), seen.transpose(2, 3), persons, self.scale)
        # The same block along the other axis: here the segments of a person see each other.
        z = between_persons(y.transpose(2, 3), seen, segments, self.scale)[0]
        out: Tensor = self.project(z)
        return out


class PersonEmbedding(nn.Module):
    """X_alpha where a sample has persons: encoders, `PersonMixing`, and label attention.

    The label queries attend to the target person's segments with a learned bias for each label
    and distance from the target segment, which starts at zero for the target cell and at -`FAR`
    elsewhere: the paper does not say which cells go on, and a query that has to find the cell
    asked about by content alone learns far less (docs/twins.md). The other persons are in these
    cells by the two attentions, so that a modality is available if anybody in the sample has it. A
    sample without a target asks about nobody in particular: everybody's segments are attended to,
    without a bias.

    A sequence with personality is a grid of one person, whose target is the last position.
    """

    def __init__(self, config: RamerConfig, task: TaskInfo) -> None:
        super().__init__()
        personality = config.uses_personality(task)
        self.names = tuple(m.name for m in task.modalities)
        self.encoders = nn.ModuleList(
            ModalityEncoder(m.dim, **config.encoder(m.name, m.max_length)) for m in task.modalities
        )
        self.mixing = nn.ModuleList(
            PersonMixing(config.hidden_size, personality=personality) for _ in task.modalities
        )
        self.attention = nn.ModuleList(
            LabelAttention(config.hidden_size, task.num_labels) for _ in task.modalities
        )
        self.nearness = nn.ModuleList(nearness(task.num_labels) for _ in task.modalities)
        self.personality: ModalityEncoder | None = None
        if personality:
            options = config.encoder("personality")
            self.personality = ModalityEncoder(task.personality_dim, **options)

    def positions(self, batch: Batch) -> Tensor:
        """Return how many cells the label queries choose from freely, int64 [B, M]; 0: missing.

        With a target that is one, its own: the others start behind it, and X_alpha differs little
        between labels.
        """
        grid = batch.as_grid()
        there = torch.stack([grid.valid(m).any(dim=(1, 2)) for m in self.names], dim=1)
        cells = torch.where(grid.has_target, 1, grid.exists.sum(dim=(1, 2)))
        return there * cells[:, None]

    def forward(self, batch: Batch) -> Tensor:
        """Return X_alpha [B, M, L, H]; of what is not available the values mean nothing."""
        grid = batch.as_grid()
        person, cells = self.persons(grid), attended(grid).flatten(1)
        place = distances(grid).clamp(max=PLACES - 1)
        pooled = []
        for name, encoder, mixing, attention, near in zip(
            self.names, self.encoders, self.mixing, self.attention, self.nearness, strict=True
        ):
            x = encoded_cells(cast("ModalityEncoder", encoder), grid, name)
            x = mixing(x, person, grid.valid(name), grid.persons, grid.segments)
            bias = near(place) * grid.has_target[:, None, None]
            bias = bias.transpose(1, 2).repeat(1, 1, x.shape[1])
            pooled.append(attention(x.flatten(1, 2), cells, bias)[0])
        return torch.stack(pooled, dim=1)

    def persons(self, grid: Grid) -> Tensor | None:
        """Return e^p of every person [B, N, H], zero where it is unknown; None: not used.

        Raises:
            ValueError: the model was built with personality and the batch has none.
        """
        if self.personality is None:
            return None
        traits = grid.personality.flatten(0, 1)[:, None]
        if not traits.shape[2]:
            raise ValueError("a model built with personality got a batch without it")
        known = traits.ne(0).any(dim=2)
        encoded, _ = self.personality(traits, torch.ones_like(known))
        return torch.where(known[..., None], encoded, 0.0).view(*grid.persons.shape, -1)


def nearness(labels: int) -> nn.Embedding:
    """Return the bias of each distance (`distances`) for each label, [PLACES, L]."""
    table = nn.Embedding(PLACES, labels)
    nn.init.constant_(table.weight, -FAR)
    nn.init.zeros_(table.weight[0])
    return table


def attended(grid: Grid) -> Tensor:
    """Return the cells that label attention pools, bool [B, N, R].

    The target person's segments; without a target those of everybody.
    """
    persons = torch.arange(grid.exists.shape[1], device=grid.exists.device)
    own = (persons == grid.target_person[:, None]) | ~grid.has_target[:, None]
    return grid.exists & own[:, :, None]
