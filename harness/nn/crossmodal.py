"""The cross-modal transformer of MulT (Tsai et al., ACL 2019), also the first stage of HHMPN.

Pre-norm layers whose query comes from a target sequence and whose keys and values come from a
source sequence that no layer updates; one LayerNorm serves query, key and value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.nn.attention import attend
from harness.nn.dropout import dropout


@dataclass(frozen=True)
class CrossModalSettings:
    """What the encoders of one stack share.

    ``causal``: query i sees keys j <= i + |T_q - T_k|, with T the nominal lengths.
    """

    heads: int
    relu_dropout: float = 0.1
    residual_dropout: float = 0.1
    embed_dropout: float = 0.25
    causal: bool = True


def sinusoids(length: int, dim: int, device: torch.device | None = None) -> Tensor:
    """Return position codes, float32 [T, d]: sines, then cosines, a zero column where d is odd.

    Step t has position t + 1; frequencies are exp(-k ln 10000 / (d/2 - 1)).

    Args:
        length: T.
        dim: d.
        device: where the codes are made; None: the CPU.
    """
    half = dim // 2
    scale = -math.log(10000.0) / max(half - 1, 1)
    frequencies = torch.exp(torch.arange(half, device=device) * scale)
    # Integers first: half precision cannot count past 256.
    steps = torch.arange(1, length + 1, device=device)
    angles = steps[:, None].float() * frequencies
    return F.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, dim % 2))


def position_codes(x: Tensor) -> Tensor:
    """Return the codes [B, T, d] of x [B, T, d]; a step whose first channel is 0 gets zeros."""
    codes = sinusoids(x.shape[1], x.shape[2], x.device).to(x.dtype)
    return torch.where(x[..., :1] != 0, codes, torch.zeros_like(codes))


def visible_keys(
    queries: int,
    keys: int,
    *,
    offset: int | None,
    key_mask: Tensor | None = None,
    read: Tensor | None = None,
    device: torch.device | None = None,
) -> Tensor | None:
    """Return which keys each query sees, bool [B or 1, 1, Tq, Tk]; None: all.

    Args:
        queries: Tq.
        keys: Tk.
        offset: query i sees keys j <= i + offset; None: no such limit.
        key_mask: bool [B, Tk], or None. A query that would see no key sees key 0.
        read: int64 [B], the one query of each sample that is computed; None: all.
        device: where to build it.
    """
    mask = None
    if offset is not None and (read is not None or offset < keys - 1):
        row = torch.arange(queries, device=device)[None] if read is None else read[:, None]
        mask = torch.arange(keys, device=device) <= row[..., None] + offset
    if key_mask is not None:
        mask = key_mask[:, None, :] if mask is None else mask & key_mask[:, None, :]
        first = mask[..., :1] | ~mask.any(-1, keepdim=True)
        mask = torch.cat([first, mask[..., 1:]], dim=-1)
    return None if mask is None else mask[:, None]


class CrossModalLayer(nn.Module):
    """One layer: z += MHA(LN z; LN source), then z += FFN(LN z) with a ReLU of size 4d.

    Args:
        dim: d.
        settings: heads and dropout rates.
        attention_dropout: rate on the attention weights.

    Raises:
        ValueError: d is not a multiple of the heads.
    """

    def __init__(self, dim: int, settings: CrossModalSettings, attention_dropout: float) -> None:
        super().__init__()
        if dim % settings.heads:
            raise ValueError(f"size {dim} is not a multiple of {settings.heads} heads")
        self.settings, self.attention_dropout = settings, attention_dropout
        self.attention_norm = nn.LayerNorm(dim)
        self.projection = nn.Linear(dim, 3 * dim)
        self.output = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, 4 * dim)
        self.contract = nn.Linear(4 * dim, dim)
        for linear in (self.projection, self.output, self.expand, self.contract):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def _heads(self, x: Tensor) -> Tensor:
        batch, length, dim = x.shape
        heads = self.settings.heads
        return x.view(batch, length, heads, dim // heads).transpose(1, 2)

    def _project(
        self, queries: Tensor, sources: tuple[Tensor, Tensor] | None, read: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return q, k, v, each [B, T, d], from LN(queries) and LN(sources)."""
        dim = queries.shape[-1]
        if sources is None and read is None:
            q, k, v = self.projection(queries).chunk(3, dim=-1)
            return q, k, v
        weight, bias = self.projection.weight, self.projection.bias
        q = F.linear(queries if read is None else take(queries, read), weight[:dim], bias[:dim])
        key, value = (queries, queries) if sources is None else sources
        if key is value:
            k, v = F.linear(key, weight[dim:], bias[dim:]).chunk(2, dim=-1)
        else:
            k = F.linear(key, weight[dim : 2 * dim], bias[dim : 2 * dim])
            v = F.linear(value, weight[2 * dim :], bias[2 * dim :])
        return q, k, v

    def forward(
        self,
        z: Tensor,
        sources: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        read: Tensor | None = None,
    ) -> Tensor:
        """Return the updated target [B, Tq, d], or [B, 1, d] under ``read``.

        Args:
            z: [B, Tq, d].
            sources: embedded key and value sources [B, Tk, d] (one tensor twice in evaluation);
                None is self-attention.
            mask: bool, broadcast over [B, heads, Tq, Tk] (`visible_keys`).
            causal: query i sees keys j <= i; instead of a mask.
            read: int64 [B], the one step of each sample to compute.
        """
        x = self.attention_norm(z)
        if sources is not None:
            key, value = sources
            key_norm = self.attention_norm(key)
            sources = (key_norm, key_norm if key is value else self.attention_norm(value))
        q, k, v = self._project(x, sources, read)
        rate = self.attention_dropout if self.training else 0.0
        heads = attend(
            self._heads(q), self._heads(k), self._heads(v), mask, dropout=rate, causal=causal
        )
        z = z if read is None else take(z, read)
        z = z + self._drop(self.output(heads.transpose(1, 2).flatten(2)))
        hidden = dropout(
            self.expand(self.norm(z)).relu_(), self.settings.relu_dropout, self.training
        )
        return z + self._drop(self.contract(hidden))

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.settings.residual_dropout, self.training)


def take(x: Tensor, steps: Tensor) -> Tensor:
    """Return one step of each sample, [B, 1, d], of x [B, T, d]; ``steps`` is int64 [B]."""
    return x.gather(1, steps[:, None, None].expand(-1, 1, x.shape[-1]))


class CrossModalEncoder(nn.Module):
    """Scaled inputs plus position codes, N layers, a final LayerNorm.

    Args:
        dim: d.
        layers: N.
        settings: of every layer.
        attention_dropout: rate on the attention weights.
    """

    def __init__(
        self, dim: int, layers: int, settings: CrossModalSettings, attention_dropout: float
    ) -> None:
        super().__init__()
        self.dim, self.settings = dim, settings
        self.layers = nn.ModuleList(
            CrossModalLayer(dim, settings, attention_dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim)

    def _embed(self, x: Tensor) -> Tensor:
        return math.sqrt(self.dim) * x + position_codes(x)

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.settings.embed_dropout, self.training)

    def forward(
        self,
        target: Tensor,
        source: Tensor | None = None,
        *,
        offset: int = 0,
        key_mask: Tensor | None = None,
        read: Tensor | None = None,
    ) -> Tensor:
        """Return the encoded target [B, Tq, d], or [B, 1, d] under ``read``.

        Args:
            target: [B, Tq, d].
            source: [B, Tk, d]; None is self-attention.
            offset: |T_q - T_k| of the causal mask. Taken from nominal lengths it makes the result
                independent of how far a batch was padded.
            key_mask: bool [B, Tk], keys that may be attended to; None: all.
            read: int64 [B], the one step of each sample that the caller reads. Spares the last
                layer the others, exactly.
        """
        sources = None
        if source is not None:
            embedded = self._embed(source)
            key = self._drop(embedded)
            # Two masks, as published; without dropout one tensor serves both.
            twice = self.training and self.settings.embed_dropout > 0
            sources = (key, self._drop(embedded) if twice else key)
        z = self._drop(self._embed(target))
        queries, keys = target.shape[1], target.shape[1] if source is None else source.shape[1]
        limit = offset if self.settings.causal else None
        causal = limit == 0 and key_mask is None and queries == keys
        mask = None
        if not causal:
            mask = visible_keys(
                queries, keys, offset=limit, key_mask=key_mask, device=target.device
            )
        *lower, last = self.layers
        for layer in lower:
            z = layer(z, sources, mask, causal=causal)
        if read is not None:
            causal = False
            mask = visible_keys(
                queries, keys, offset=limit, key_mask=key_mask, read=read, device=target.device
            )
        return self.norm(last(z, sources, mask, causal=causal, read=read))  # type: ignore[no-any-return]
