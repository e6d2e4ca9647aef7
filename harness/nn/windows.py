"""Shorter sequences: the mean over windows of frames, for long streams on a small machine."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from harness.nn.pooling import cleared


def window_size(max_length: int, positions: int) -> int:
    """Return how many frames a window takes for at most ``positions`` windows; 0: no limit.

    It depends on the data set's ``max_length`` alone, not on a batch's padding, so that a sample
    has the same windows in every company.
    """
    return math.ceil(max_length / positions) if 0 < positions < max_length else 1


def window_mean(x: Tensor, mask: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Average non-overlapping windows of ``size`` frames over their valid frames.

    Args:
        x: [B, T, d].
        mask: bool [B, T].
        size: frames per window; 1 returns the arguments.

    Returns:
        Means [B, ceil(T / size), d], zero where no frame is valid, and their mask, bool
        [B, ceil(T / size)].
    """
    if size == 1:
        return x, mask
    batch, length, dim = x.shape
    short = -length % size
    kept = F.pad(cleared(x, mask), (0, 0, 0, short))
    counts = F.pad(mask, (0, short)).view(batch, -1, size).sum(dim=2)
    sums = kept.view(batch, -1, size, dim).sum(dim=2)
    return sums / counts.clamp(min=1)[..., None].to(x.dtype), counts > 0
