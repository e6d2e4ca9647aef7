"""Splitting features among the heads of an attention."""

from __future__ import annotations

from torch import Tensor


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Return [B, heads, T, d / heads] of x [B, T, d]; d is a multiple of ``heads``."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)
