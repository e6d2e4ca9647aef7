"""Pre-norm transformer blocks with ReLU and interleaved sinusoidal positions (Vaswani et al. 2017).

Attention is split into projecting a memory and attending to it, so that a decoder projects each
memory once however many queries and steps read it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.nn.dropout import Dropout
from harness.nn.heads import split_heads

LAYER_NORM_EPS = 1e-6

KeyValue = tuple[Tensor, Tensor]
"""Projected keys and values, each [B, heads, T, d / heads]."""


def sinusoidal_positions(length: int, dim: int, device: torch.device | None = None) -> Tensor:
    """Return position codes, float32 [T, d]: sine and cosine interleaved, position 0 first.

    Frequency k is 10000^(-2k/d); the last column of an odd d is a sine.

    Args:
        length: T.
        dim: d.
        device: where the codes are made; None: the CPU.
    """
    frequencies = torch.exp(torch.arange(0, dim, 2, device=device) * (-math.log(10000.0) / dim))
    angles = torch.arange(length, device=device)[:, None].float() * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :dim]


def all_matrices_xavier_(module: nn.Module) -> None:
    """Draw every parameter of two or more axes Xavier-uniform, embeddings included."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention with four projections, all with bias, no dropout on weights.

    Raises:
        ValueError: the size is not a multiple of the heads.
    """

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        if size % heads:
            raise ValueError(f"size {size} is not a multiple of {heads} heads")
        self.heads = heads
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)
        self.output = nn.Linear(size, size)

    def project(self, memory: Tensor) -> KeyValue:
        """Return keys and values of a memory [B, T, d]."""
        keys, values = self.key(memory), self.value(memory)
        return split_heads(keys, self.heads), split_heads(values, self.heads)

    def forward(
        self, x: Tensor, memory: KeyValue, mask: Tensor | None = None, *, causal: bool = False
    ) -> Tensor:
        """Return [B, Tq, d] for queries x [B, Tq, d].

        Args:
            x: queries.
            memory: projected keys and values.
            mask: bool, broadcast over [B, heads, Tq, Tk]; no row may be empty.
            causal: query i sees keys up to i; instead of a mask.
        """
        keys, values = memory
        heads = F.scaled_dot_product_attention(
            split_heads(self.query(x), self.heads), keys, values, mask, 0.0, causal
        )
        out: Tensor = self.output(heads.transpose(1, 2).flatten(2))
        return out


class FeedForward(nn.Module):
    """W_2 Drop(ReLU(W_1 x)), position by position.

    Args:
        size: d.
        inner: size of the hidden layer.
        dropout: rate on the hidden layer.
    """

    def __init__(self, size: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.expand = nn.Linear(size, inner)
        self.contract = nn.Linear(inner, size)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return [..., d]."""
        out: Tensor = self.contract(self.dropout(self.expand(x).relu()))
        return out


class PreNormLayer(nn.Module):
    """z += Drop(SelfAttention(LN z)), then z += Drop(FFN(LN z)).

    Args:
        size: d.
        heads: they divide d.
        inner: width of the feed-forward block.
        dropout: rate on the outputs of both parts.
    """

    def __init__(self, size: int, *, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(size, eps=LAYER_NORM_EPS)
        self.attention = MultiHeadAttention(size, heads)
        self.norm = nn.LayerNorm(size, eps=LAYER_NORM_EPS)
        self.feed_forward = FeedForward(size, inner, dropout)
        self.dropout = Dropout(dropout)

    def forward(self, z: Tensor, mask: Tensor | None) -> Tensor:
        """Return [B, T, d]; ``mask`` is bool [B, 1, 1, T] or None."""
        x = self.attention_norm(z)
        z = z + self.dropout(self.attention(x, self.attention.project(x), mask))
        out: Tensor = z + self.dropout(self.feed_forward(self.norm(z)))
        return out


class PreNormEncoder(nn.Module):
    """Linear embedding plus sinusoidal positions, dropout, N pre-norm layers, a final LayerNorm.

    Args:
        input_dim: d_in.
        size: d.
        layers: N.
        heads: they divide d.
        inner: width of the feed-forward blocks.
        dropout: rate on embedding and outputs.
    """

    def __init__(
        self, input_dim: int, size: int, *, layers: int, heads: int, inner: int, dropout: float
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(input_dim, size)
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(
            PreNormLayer(size, heads=heads, inner=inner, dropout=dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(size, eps=LAYER_NORM_EPS)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return the encoded sequence [B, T, d] of x [B, T, d_in].

        ``mask`` is bool [B, 1, 1, T], true where a position may be attended to and in no sample
        false throughout; None: everywhere.
        """
        z = self.embed(x)
        z = self.dropout(z + sinusoidal_positions(z.shape[1], z.shape[2], z.device).to(z.dtype))
        for layer in self.layers:
            z = layer(z, mask)
        return self.norm(z)  # type: ignore[no-any-return]
