"""Modalities that a model hides from itself in training."""

from __future__ import annotations

import torch
from torch import Tensor


def draw_kept(
    valid: Tensor, keep_all: float, generator: torch.Generator, *, proper: bool = False
) -> Tensor:
    """Return which modalities a training sample keeps, bool [B, M].

    With probability ``keep_all`` all valid ones, else a uniformly drawn non-empty subset of them;
    none where none is valid.

    Args:
        valid: bool [B, M], M at most 50.
        keep_all: a probability.
        generator: on the CPU.
        proper: the drawn subset lacks at least one valid modality; of a single one it does not.
    """
    draws = torch.rand(2, len(valid), generator=generator, dtype=torch.float64)
    draws = draws.to(valid.device, non_blocking=True)
    # Subset number 1..2^V - 1, the last of which is whole; bit r is the r-th valid modality.
    subsets = 2 ** valid.sum(1) - 1
    if proper:
        subsets = (subsets - 1).clamp(min=1)
    chosen = (draws[0] * subsets).long() + 1
    bit = (chosen[:, None] >> (valid.long().cumsum(1) - 1).clamp(min=0)) & 1
    return valid & ((bit > 0) | (draws[1] < keep_all)[:, None])
