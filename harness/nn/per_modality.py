"""One module a modality, applied to stacked modalities."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class PerModality(nn.ModuleList):
    """Module m for slice m of the second axis."""

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, M, ...] of x [B, M, ...]: slice m through module m."""
        return self.each("__call__", x)

    def each(self, method: str, x: Tensor, *args: Any) -> Tensor:
        """Return [B, M, ...]: ``method`` of module m applied to slice m of x [B, M, ...].

        Args:
            method: name of a method of every module.
            x: float [B, M, ...].
            *args: further arguments, the same for every module.
        """
        parts = zip(self, x.unbind(1), strict=True)
        return torch.stack([getattr(module, method)(part, *args) for module, part in parts], dim=1)
