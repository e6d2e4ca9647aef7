"""The orthogonality penalty between two representations (TAILOR; RAMer eq. 4)."""

from __future__ import annotations

from torch import Tensor


def orthogonality(a: Tensor, b: Tensor) -> Tensor:
    """Return mean over the batch of ||a b^T||_F^2, a scalar, for a [B, S, H] and b [B, T, H]."""
    return (a @ b.transpose(1, 2)).square().sum((1, 2)).mean()
