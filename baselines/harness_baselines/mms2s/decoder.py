"""The label decoder: causal over labels, cross attention per modality, soft modality attention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from harness.nn.dropout import Dropout
from harness.nn.transformer import (
    LAYER_NORM_EPS,
    FeedForward,
    KeyValue,
    MultiHeadAttention,
    sinusoidal_positions,
)
from harness_baselines.mms2s.rows import Rows

Past = list[list[KeyValue]]
"""Self-attention keys and values of the labels so far, by branch and layer."""


@dataclass(frozen=True)
class Memory:
    """What the decoder reads of a batch, projected once.

    Attributes:
        projected: keys and values, by branch, layer and modality of the branch.
        masks: M masks bool [B, 1, 1, T_m] without an empty row.
        usable: bool [B, M], modalities that are there.
    """

    projected: list[list[list[KeyValue]]]
    masks: tuple[Tensor, ...]
    usable: Tensor


@dataclass(frozen=True)
class Decoded:
    """Logits float32 [N, S, L + 1], modality weights [N, S, heads, M] of the last layer, cache."""

    logits: Tensor
    weights: Tensor
    past: Past = field(default_factory=list)


class ModalityAttention(nn.Module):
    """Multi-head attention of each step over its modality contexts."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)
        self.output = nn.Linear(size, size)

    def forward(self, query: Tensor, contexts: Tensor, usable: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mixed context [N, S, d] and weights [N, S, heads, M].

        Args:
            query: [N, S, d].
            contexts: [N, S, M, d].
            usable: bool [N, M]; others get weight 0. A row without any gets zeros throughout.
        """
        q = self.query(query).unflatten(-1, (self.heads, -1))
        k = self.key(contexts).unflatten(-1, (self.heads, -1))
        v = self.value(contexts).unflatten(-1, (self.heads, -1))
        scores = torch.einsum("nshe,nsmhe->nshm", q, k).float() / math.sqrt(q.shape[-1])
        open_ = usable[:, None, None, :]
        weights = scores.masked_fill(~open_, torch.finfo(scores.dtype).min).softmax(-1)
        weights = weights.masked_fill(~open_, 0.0)
        mixed = self.output(torch.einsum("nshm,nsmhe->nshe", weights.to(v.dtype), v).flatten(2))
        return torch.where(usable.any(1)[:, None, None], mixed, 0.0), weights


class DecoderLayer(nn.Module):
    """Labels so far, then what every modality says of them, then a feed-forward block.

    With ``soft`` the modalities' contexts go through `ModalityAttention`; without it the layer
    belongs to a branch of one modality and adds its context as it is.

    Args:
        modalities: number of memories read.
        size: d.
        heads: they divide d.
        inner: width of the feed-forward block.
        dropout: rate on the outputs of all parts.
        soft: see above.
    """

    def __init__(
        self, modalities: int, size: int, *, heads: int, inner: int, dropout: float, soft: bool
    ) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(size, eps=LAYER_NORM_EPS)
        self.self_attention = MultiHeadAttention(size, heads)
        self.cross_norm = nn.LayerNorm(size, eps=LAYER_NORM_EPS)
        self.cross = nn.ModuleList(MultiHeadAttention(size, heads) for _ in range(modalities))
        self.mix = ModalityAttention(size, heads) if soft else None
        self.norm = nn.LayerNorm(size, eps=LAYER_NORM_EPS)
        self.feed_forward = FeedForward(size, inner, dropout)
        self.dropout = Dropout(dropout)

    def project(self, memories: Sequence[Tensor]) -> list[KeyValue]:
        """Return keys and values of the branch's memories [B, T_m, d]."""
        attentions = cast("list[MultiHeadAttention]", list(self.cross))
        return [a.project(m) for a, m in zip(attentions, memories, strict=True)]

    def forward(
        self,
        x: Tensor,
        rows: Rows,
        memory: Sequence[tuple[KeyValue, Tensor]],
        usable: Tensor,
        past: KeyValue | None,
    ) -> tuple[Tensor, KeyValue, Tensor]:
        """Return the new states [N, S, d], self-attention keys and values, modality weights.

        Args:
            x: [N, S, d]; S = 1 when ``past`` is given.
            rows: which sample each row belongs to.
            memory: keys and values and mask of the branch's modalities.
            usable: bool [N, modalities of the branch].
            past: keys and values of earlier steps.
        """
        y = self.self_norm(x)
        keys, values = self.self_attention.project(y)
        if past is not None:
            keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
        causal = past is None and x.shape[1] > 1
        x = x + self.dropout(self.self_attention(y, (keys, values), causal=causal))
        query = self.cross_norm(x)
        wide = rows.spread(query)
        contexts = torch.stack(
            [
                rows.collect(attention(wide, projected, mask))
                for attention, (projected, mask) in zip(self.cross, memory, strict=True)
            ],
            dim=2,
        )
        if self.mix is None:
            context = torch.where(usable[:, None, :], contexts[:, :, 0], 0.0)
            weights = usable[:, None, None, :].to(x.dtype)
        else:
            context, weights = self.mix(query, contexts, usable)
        x = x + self.dropout(context)
        return x + self.dropout(self.feed_forward(self.norm(x))), (keys, values), weights


class Branch(nn.Module):
    """A full decoder over some of the modalities, with its own label embedding.

    Args:
        modalities: indices of those it reads.
        symbols: rows of the label embedding.
        size: d.
        layers: number of layers.
        heads: they divide d.
        inner: width of the feed-forward blocks.
        dropout: rate of every layer.
        soft: of `DecoderLayer`.
    """

    def __init__(
        self,
        modalities: Sequence[int],
        symbols: int,
        size: int,
        *,
        layers: int,
        heads: int,
        inner: int,
        dropout: float,
        soft: bool,
    ) -> None:
        super().__init__()
        self.modalities = list(modalities)
        self.embedding = nn.Embedding(symbols, size)
        self.layer_list = nn.ModuleList(
            DecoderLayer(
                len(self.modalities), size, heads=heads, inner=inner, dropout=dropout, soft=soft
            )
            for _ in range(layers)
        )

    @property
    def layers(self) -> list[DecoderLayer]:
        """Return the layers, lowest first."""
        return cast("list[DecoderLayer]", list(self.layer_list))


class Decoder(nn.Module):
    """Next-symbol logits over L labels and the end symbol.

    Symbols: labels 0 .. L-1, then `end`, `begin`, `pad`. Two forms: ``gate=False``, one branch
    whose layers attend softly over all modalities; ``gate=True`` (MESGN's), one branch per
    modality, weighed at the very end by softmax_m(w . x_m).

    Args:
        modalities: M.
        labels: L.
        size: d.
        layers: number of layers.
        heads: they divide d.
        inner: width of the feed-forward blocks.
        dropout: rate of every layer.
        gate: see above.
        positions: add position codes to symbols.
    """

    def __init__(
        self,
        modalities: int,
        labels: int,
        size: int,
        *,
        layers: int,
        heads: int,
        inner: int,
        dropout: float,
        gate: bool,
        positions: bool,
    ) -> None:
        super().__init__()
        self.labels, self.size, self.heads, self.positions = labels, size, heads, positions
        self.end, self.begin, self.pad = labels, labels + 1, labels + 2
        groups = [[m] for m in range(modalities)] if gate else [list(range(modalities))]
        self.branch_list = nn.ModuleList(
            Branch(
                group,
                labels + 3,
                size,
                layers=layers,
                heads=heads,
                inner=inner,
                dropout=dropout,
                soft=not gate,
            )
            for group in groups
        )
        self.norm = nn.LayerNorm(size, eps=LAYER_NORM_EPS)
        self.gate = nn.Linear(size, 1, bias=False) if gate else None
        self.output = nn.Linear(size, labels + 1, bias=False)

    @property
    def branches(self) -> list[Branch]:
        """Return the branches."""
        return cast("list[Branch]", list(self.branch_list))

    def remember(
        self, memories: Sequence[Tensor], masks: Sequence[Tensor], usable: Tensor
    ) -> Memory:
        """Project M memories [B, T_m, d] for every layer.

        Args:
            memories: encoded modalities.
            masks: bool [B, 1, 1, T_m] without an empty row.
            usable: bool [B, M].
        """
        projected = [
            [layer.project([memories[m] for m in branch.modalities]) for layer in branch.layers]
            for branch in self.branches
        ]
        return Memory(projected, tuple(masks), usable)

    def forward(
        self, symbols: Tensor, rows: Rows, memory: Memory, past: Past | None = None
    ) -> Decoded:
        """Return logits for the symbol after each of ``symbols``, int64 [N, S].

        With ``past`` (or an empty one to start with) ``symbols`` is one step, [N, 1], and the
        result carries the extended cache.

        Args:
            symbols: int64 [N, S].
            rows: which sample each of the N sequences belongs to.
            memory: what `remember` returned.
            past: keys and values of earlier steps, or None.
        """
        usable = memory.usable[rows.sample]
        states, attended, caches = [], [], []
        for index, branch in enumerate(self.branches):
            known = past[index] if past else []
            x = self._embed(branch, symbols, known[0][0].shape[2] if known else 0)
            cache: list[KeyValue] = []
            weights = usable
            for depth, layer in enumerate(branch.layers):
                sources = [
                    (kv, memory.masks[m])
                    for kv, m in zip(memory.projected[index][depth], branch.modalities, strict=True)
                ]
                x, kept, weights = layer(
                    x, rows, sources, usable[:, branch.modalities], known[depth] if known else None
                )
                cache.append(kept)
            states.append(self.norm(x))
            attended.append(weights)
            caches.append(cache)
        fused, weights = self._fuse(states, attended, usable)
        return Decoded(self.output(fused).float(), weights, caches)

    def _embed(self, branch: Branch, symbols: Tensor, start: int) -> Tensor:
        x: Tensor = branch.embedding(symbols) * math.sqrt(self.size)
        if not self.positions:
            return x
        stop = start + symbols.shape[1]
        return x + sinusoidal_positions(stop, self.size, x.device)[start:].to(x.dtype)

    def _fuse(
        self, states: list[Tensor], attended: list[Tensor], usable: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return fused states [N, S, d] and modality weights [N, S, heads, M] (gate: heads = 1)."""
        if self.gate is None:
            return states[0], attended[0]
        stacked = torch.stack(states, dim=2)
        scores = self.gate(stacked).squeeze(-1).float()
        # With nothing usable all branches know the labels only; the softmax is then even.
        weights = scores.masked_fill(~usable[:, None], torch.finfo(scores.dtype).min).softmax(-1)
        fused = torch.einsum("nsm,nsmd->nsd", weights.to(stacked.dtype), stacked)
        return fused, weights[:, :, None]


def next_log_probs(logits: Tensor, produced: Tensor) -> Tensor:
    """Return log-probabilities [..., L + 1]; labels already produced, bool [..., L], get -inf."""
    blocked = torch.cat([produced, torch.zeros_like(produced[..., :1])], dim=-1)
    return logits.masked_fill(blocked, -torch.inf).log_softmax(-1)
