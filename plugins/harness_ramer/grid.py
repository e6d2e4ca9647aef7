"""Section 4.1 on grids: personality and the other persons in X_alpha (as AMER, Shen et al. 2020).

A fourth encoder embeds personality; it is concatenated to every modality on the feature axis. Then
two attentions without parameters, each residual, queries = keys = values, scale 1/sqrt(2d):
between persons inside each segment, then over the segments of each person. A Linear leads back to
d. A key whose modality is missing scores -1e9, a padding key -inf.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.data.grid import Grid
from harness.nn.cell_attention import between_persons
from harness.nn.encoder import ModalityEncoder, key_bias
from harness.nn.label_attention import LabelAttention
from harness.specs import TaskInfo
from harness_ramer.config import RamerConfig
from harness_ramer.missing import frames_left


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
    x = grid.cells(name, bert.embed(encoder.norm(grid.rows[name])), missing)
    # Segments beyond the table share its last position.
    place = distances(grid).clamp(max=bert.positions.num_embeddings - 1)
    x = x + bert.positions(place)[:, None]
    persons, valid = grid.persons, grid.valid(name)
    seen = torch.where(valid.any(2, keepdim=True), valid, grid.segments[:, None])[persons]
    hidden = bert.dropout(bert.norm(x[persons]))
    bias = key_bias(seen, hidden.dtype)
    for layer in bert.layers:
        hidden = layer(hidden, bias)
    out = hidden.new_zeros(x.shape)
    out[persons] = hidden
    return out


class PersonMixing(nn.Module):
    """One modality: [e^m; e^p], attention between persons, over segments, then 2d back to d.

    Without personality x is e^m alone, and the scale stays, as in AMER without it.
    """

    def __init__(self, hidden: int, *, personality: bool) -> None:
        super().__init__()
        self.scale = 1.0 / math.sqrt(2 * hidden)
        self.project = nn.Linear(2 * hidden if personality else hidden, hidden)

    def forward(
        self, cells: Tensor, person: Tensor | None, valid: Tensor, persons: Tensor, segments: Tensor
    ) -> Tensor:
        """Return mixed cells [B, N, R, d].

        Args:
            cells: e^m, float [B, N, R, d].
            person: e^p, float [B, N, d], or None.
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
    """X_alpha where a sample has persons: `UniModalEmbedding` with `PersonMixing` in between.

    On a grid the target cell goes on: its context is in it by the two attentions, and what the
    target lacks comes from the others, so that a modality is available if anybody in the sample has
    it. The paper does not say which cells go on. Where label attention pools the target's whole row
    instead, it has to find the cell asked about by its position alone, and learned far less on
    MEmoR's twin (docs/twins.md). With one cell X_alpha starts equal for all labels. A sample
    without a target cell asks about nobody in particular: everybody's segments go on.

    A sequence with personality tokens is a person alone: the attention between persons then
    doubles its input, attention over segments is over frames, and e^p is the mean of the tokens.
    An unknown personality, all zero, gives e^p = 0.
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
        self.personality: ModalityEncoder | None = None
        if personality:
            options = config.encoder("personality")
            self.personality = ModalityEncoder(task.personality_dim, **options)

    def available(self, batch: Batch) -> Tensor:
        """Return which modalities a sample has, bool [B, M]."""
        if batch.grid is None:
            return frames_left(batch, self.names)
        return torch.stack([batch.grid.valid(m).any(dim=(1, 2)) for m in self.names], dim=1)

    def forward(self, batch: Batch) -> Tensor:
        """Return X_alpha [B, M, L, d]; of what is not available the values mean nothing."""
        grid = batch.grid
        pooled = []
        for name, encoder, mixing, attention in zip(
            self.names, self.encoders, self.mixing, self.attention, strict=True
        ):
            if grid is None:
                tokens, valid = encoder(batch.features[name], batch.mask[name])
                x, chosen = self._alone(mixing, tokens, valid, batch), valid
            else:
                cells = encoded_cells(cast("ModalityEncoder", encoder), grid, name)
                valid = grid.valid(name)
                x = mixing(cells, self._persons(grid), valid, grid.persons, grid.segments)
                x, chosen = x.flatten(1, 2), asked(grid).flatten(1)
            pooled.append(attention(x, chosen)[0])
        return torch.stack(pooled, dim=1)

    def _alone(self, mixing: nn.Module, tokens: Tensor, valid: Tensor, batch: Batch) -> Tensor:
        one = torch.ones_like(valid[:, :1])
        person = self._person(batch)
        # Padding of a sequence is no segment; one without any frame is not available anyway.
        segments = valid | ~valid.any(dim=1, keepdim=True)
        mixed: Tensor = mixing(tokens[:, None], person, valid[:, None], one, segments)
        return mixed[:, 0]

    def _persons(self, grid: Grid) -> Tensor | None:
        """Return e^p of every person [B, N, d]: one token each, whatever the others are."""
        if self.personality is None:
            return None
        traits = grid.personality.flatten(0, 1)[:, None]
        known = traits.ne(0).any(dim=2)
        encoded = self.personality(traits, torch.ones_like(known))[0]
        return torch.where(known[..., None], encoded, 0.0).view(*grid.persons.shape, -1)

    def _person(self, batch: Batch) -> Tensor | None:
        """Return e^p of sequences, [B, 1, d]: the mean of the known tokens."""
        if self.personality is None:
            return None
        if batch.personality is None:
            raise ValueError("a model built with personality got a batch without it")
        known = batch.personality.ne(0).any(dim=2)
        if batch.personality_mask is not None:
            known = known & batch.personality_mask
        encoded = torch.where(known[..., None], self.personality(batch.personality, known)[0], 0.0)
        total = encoded.sum(dim=1, keepdim=True)
        return total / known.sum(dim=1).clamp(min=1)[:, None, None]


def asked(grid: Grid) -> Tensor:
    """Return the cells a sample asks about, bool [B, N, R]: the target cell, or every cell."""
    persons, segments = (torch.arange(n, device=grid.exists.device) for n in grid.exists.shape[1:])
    own = persons == grid.target_person[:, None]
    now = segments == grid.target_segment[:, None]
    cell = own[:, :, None] & now[:, None, :]
    return grid.exists & (cell | ~grid.has_target[:, None, None])
