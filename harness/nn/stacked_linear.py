"""Several linear layers of one shape as one batched product."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class StackedLinear(nn.Module):
    """K linear layers, each on its own slice; they start as K `torch.nn.Linear` do.

    Parameters ``weight`` [K, out, in] and ``bias`` [K, out].

    Args:
        count: K.
        inputs: size of a layer's input.
        outputs: size of a layer's output.
    """

    def __init__(self, count: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(count, outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(count, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor, which: slice = slice(None)) -> Tensor:
        """Return [K, B, out] of [K, B, in]; ``which`` of the layers those K slices go through."""
        return torch.baddbmm(self.bias[which, None], x, self.weight[which].transpose(1, 2))
