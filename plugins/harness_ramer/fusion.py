"""The slots of V: their fusion in the order of table 4, and what is left of an ablated part."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.nn.dropout import Dropout


class ProgressiveFusion(nn.Module):
    """h is slot 1, then Fuse(h, slot k) for each following one; h is appended to the slots.

    Fuse: cross-attention over the label axis, residual, LayerNorm; the same in every step.
    """

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(hidden, heads, dropout=dropout, batch_first=True)
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(hidden, eps=1e-12)

    def forward(self, slots: Tensor) -> Tensor:
        """Return V [B, K + 1, L, H] of slots [B, K, L, H]."""
        fused, *others = slots.unbind(1)
        for slot in others:
            attended, _ = self.attention(fused, slot, slot, need_weights=False)
            fused = self.norm(fused + self.dropout(attended))
        return torch.cat([slots, fused[:, None]], dim=1)


class NoSlots(nn.Module):
    """In the place of f_m or G where S or C is ablated: of x [B, M, L, H] no slot is left."""

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, 0, L, H]."""
        return x[:, :0]


def unshuffled(v: Tensor, labels: Tensor, _: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return V and Y [B, K, L] as they are (the ablation w/o-shuffle)."""
    return v, labels[:, None].expand(v.shape[:3])
