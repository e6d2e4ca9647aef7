"""A BERT encoder over feature vectors, as in CARAT, TAILOR and RAMer's public code.

Post-norm layers, exact GELU, LayerNorm with epsilon 1e-12. The last layer has no further norm and
there is no pooler: the authors' is never read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.nn.attention import attend
from harness.nn.dropout import Dropout, dropout
from harness.nn.encoder_stack import run, stackable
from harness.nn.heads import split_heads
from harness.nn.init import normal_
from harness.nn.token_groups import Packing, grouped

LAYER_NORM_EPS = 1e-12
MASKED = -10000.0


class InputNorm(nn.LayerNorm):
    """LayerNorm over the feature axis of one modality, epsilon 1e-12.

    A zero row becomes the bias vector. Unlike an encoder's own norms its gain is decayed by
    BertAdam, because of its name in the authors' code (`harness.nn.optim.decays`).
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim, eps=LAYER_NORM_EPS)

    def project(self, x: Tensor, linear: nn.Linear) -> Tensor:
        """Return ``linear`` of the normalised x [B, T, d].

        Gain and bias are folded into the linear's: where x needs no gradient, as features do, the
        backward pass then has one product instead of two, and nothing of the norm.
        """
        standard = F.layer_norm(x, self.normalized_shape, eps=self.eps)
        bias = F.linear(self.bias, linear.weight, linear.bias)
        return F.linear(standard, linear.weight * self.weight, bias)


def key_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the additive attention bias [B, 1, 1, T] of a key mask, bool [B, T].

    Masked keys get -10000 and not -inf: the authors' form, and a row without any valid key stays
    finite (it attends evenly).
    """
    bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return bias.masked_fill(~mask, MASKED)[:, None, None, :]


class Attention(nn.Module):
    """Multi-head attention with separate query, key and value projections, then add and norm.

    Args:
        hidden: H.
        heads: they divide H.
        dropout: rate on weights and output.
    """

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        if hidden % heads:
            raise ValueError(f"hidden size {hidden} is not a multiple of {heads} heads")
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden, eps=LAYER_NORM_EPS)

    def forward(self, queries: Tensor, tokens: Tensor, bias: Tensor | None) -> Tensor:
        """Return [B, Tq, H]; ``bias`` is broadcast over [B, heads, Tq, Tk].

        Args:
            queries: [B, Tq, H].
            tokens: [B, Tk, H], which are attended to.
            bias: added to the scores, broadcast over [B, heads, Tq, Tk]; None: nothing.
        """
        q = split_heads(self.query(queries), self.heads)
        rate = self.dropout if self.training else 0.0
        if queries is not tokens and self.heads * queries.shape[1] < tokens.shape[2]:
            context = self._read(q, tokens, bias, rate)
        else:
            k = split_heads(self.key(tokens), self.heads)
            v = split_heads(self.value(tokens), self.heads)
            context = attend(q, k, v, None if bias is None else bias.to(q.dtype), dropout=rate)
        out = self.output(context.transpose(1, 2).flatten(2))
        return self.norm(dropout(out, self.dropout, self.training) + queries)  # type: ignore[no-any-return]

    def _read(self, q: Tensor, tokens: Tensor, bias: Tensor | None, rate: float) -> Tensor:
        """Return the context [B, heads, Tq, d] of few queries q [B, heads, Tq, d].

        q (W m)^T = (q W) m^T and P (W m) = (P m) W: with fewer queries over all heads than H, it is
        the queries and what they read that are projected, not every token m.
        """
        width, shape = q.shape[-1], (self.heads, q.shape[-1], tokens.shape[-1])
        asked = torch.einsum("bhqd,hdc->bhqc", q, self.key.weight.view(shape))
        scores = (asked.flatten(1, 2) @ tokens.transpose(1, 2)).view(*q.shape[:3], -1)
        scores = scores + (q * self.key.bias.view(-1, 1, width)).sum(-1, keepdim=True)
        scores = scores * width**-0.5
        if bias is not None:
            scores = scores + bias
        weights = dropout(scores.softmax(-1), rate)
        pooled = (weights.flatten(1, 2) @ tokens).view(*q.shape[:3], -1)
        read = torch.einsum("bhqc,hdc->bhqd", pooled, self.value.weight.view(shape))
        return read + weights.sum(-1, keepdim=True) * self.value.bias.view(-1, 1, width)


class BertLayer(nn.Module):
    """One post-norm transformer layer: attention, then a feed-forward block with exact GELU.

    Args:
        hidden: H.
        heads: they divide H.
        intermediate: width of the feed-forward block.
        dropout: rate on attention weights and outputs.
    """

    def __init__(self, hidden: int, *, heads: int, intermediate: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(hidden, heads, dropout)
        self.expand = nn.Linear(hidden, intermediate)
        self.contract = nn.Linear(intermediate, hidden)
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(hidden, eps=LAYER_NORM_EPS)

    def forward(
        self, queries: Tensor, bias: Tensor | None = None, tokens: Tensor | None = None
    ) -> Tensor:
        """Return [B, Tq, H].

        Args:
            queries: [B, Tq, H].
            bias: additive attention bias over the attended tokens (`key_bias`), or None.
            tokens: attended tokens [B, Tk, H]; None is self-attention.
        """
        x = self.attention(queries, queries if tokens is None else tokens, bias)
        return self.norm(self.dropout(self.contract(F.gelu(self.expand(x)))) + x)  # type: ignore[no-any-return]


def encode(layers: Iterable[nn.Module], x: Tensor, mask: Tensor, *, padding: bool = True) -> Tensor:
    """Return what `BertLayer`s, one after the other, make of x [B, T, H].

    Args:
        layers: the layers; without any x itself is returned.
        x: [B, T, H].
        mask: bool [B, T], true where a position may be attended to.
        padding: whether the caller reads positions that may not be attended to. If not, a CPU
            does not compute them: they are 0, except in samples that have no other.
    """
    stack = cast("list[BertLayer]", list(layers))
    if not stackable(stack, x):
        bias = key_bias(mask, x.dtype)
        for layer in stack:
            x = layer(x, bias)
        return x
    whole = bool(mask.all())
    if whole or padding:
        added = None if whole else key_bias(mask, x.dtype).flatten()
        groups = grouped([x.shape[1]] * len(x), added)
        return run(stack, x.flatten(0, 1), groups).view(x.shape)
    packing = Packing.of(mask)
    return packing.put(run(stack, packing.take(x), packing.groups))


class BertEncoder(nn.Module):
    """Linear embedding plus learned positions, LayerNorm, dropout, then post-norm layers.

    Weights start from N(0, 0.02²), biases from 0.

    Args:
        input_dim: d.
        hidden: H.
        layers: number of layers.
        heads: they divide H.
        intermediate: width of the feed-forward blocks.
        max_positions: rows of the position table, the longest T.
        dropout: rate on embedding, attention weights and outputs.
    """

    def __init__(
        self,
        input_dim: int,
        hidden: int,
        *,
        layers: int,
        heads: int,
        intermediate: int,
        max_positions: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(input_dim, hidden)
        self.positions = nn.Embedding(max_positions, hidden)
        self.norm = nn.LayerNorm(hidden, eps=LAYER_NORM_EPS)
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(
            BertLayer(hidden, heads=heads, intermediate=intermediate, dropout=dropout)
            for _ in range(layers)
        )
        normal_(self)

    def forward(
        self, x: Tensor, mask: Tensor, *, padding: bool = True, norm: InputNorm | None = None
    ) -> Tensor:
        """Return the encoded sequence, float32 [B, T, H].

        Args:
            x: features [B, T, d].
            mask: bool [B, T], true where a position may be attended to.
            padding: whether the caller reads the other positions (`encode`).
            norm: of the features, applied first; None: they are normalised already.

        Raises:
            ValueError: the sequence is longer than the position table.
        """
        length = x.shape[1]
        if length > self.positions.num_embeddings:
            raise ValueError(
                f"sequence of {length} positions, but the position table holds "
                f"{self.positions.num_embeddings}; raise max_positions"
            )
        embedded = self.embed(x) if norm is None else norm.project(x, self.embed)
        hidden = self.dropout(self.norm(embedded + self.positions.weight[:length]))
        return encode(self.layers, hidden, mask, padding=padding)


class ModalityEncoder(nn.Module):
    """LayerNorm over the features of one modality, then its own encoder."""

    def __init__(self, dim: int, hidden: int, **encoder: Any) -> None:
        super().__init__()
        self.norm = InputNorm(dim)
        self.encoder = BertEncoder(dim, hidden, **encoder)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens [B, T, H] of features [B, T, d], and the mask of the tokens.

        The mask is for the reader to heed: tokens outside of it mean nothing (`encode`).

        Args:
            x: float [B, T, d].
            mask: bool [B, T], true where a position may be attended to.
        """
        return self.encoder(x, mask, padding=False, norm=self.norm), mask
