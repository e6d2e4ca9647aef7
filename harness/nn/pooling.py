"""Selecting and pooling valid positions."""

from __future__ import annotations

import torch
from torch import Tensor


def cleared(x: Tensor, mask: Tensor) -> Tensor:
    """Return x [B, T, H] with zeros at invalid positions, mask bool [B, T], whatever they hold.

    On a CPU a mask that is all true returns x itself.
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return torch.where(mask[..., None], x, 0.0)
    # Looking costs nothing here, and filling rows half of selecting values.
    if bool(mask.all()):
        return x
    empty = mask.logical_not().flatten().nonzero().squeeze(1)
    return x.flatten(0, 1).index_fill(0, empty, 0.0).view(x.shape)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Return the mean [B, H] of x [B, T, H] over valid positions, mask bool [B, T].

    A sample without any valid position gives zeros. Invalid positions are selected away, so
    that infinities under the mask do no harm.
    """
    return cleared(x, mask).sum(1) / mask.sum(1, keepdim=True).clamp(min=1).to(x.dtype)
