"""Pooling over valid positions."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Return the mean [B, H] of x [B, T, H] over valid positions, mask bool [B, T].

    A sample without any valid position gives zeros. Invalid positions are selected away, so
    that infinities under the mask do no harm.
    """
    kept = torch.where(mask[..., None], x, 0.0)
    return kept.sum(1) / mask.sum(1, keepdim=True).clamp(min=1).to(x.dtype)
