"""AMP's soft choice of k positions: entropic optimal transport with two anchors.

Xie et al., "Differentiable Top-k with Optimal Transport", NeurIPS 2020, as AMP uses it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _SoftLowestK(torch.autograd.Function):
    """Sinkhorn iterations forward, implicit differentiation of their fixed point backward."""

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, valid: Tensor, k: Tensor, epsilon: float, iterations: int
    ) -> Tensor:
        cost = torch.stack([scores.square(), (scores - 1.0).square()], dim=-1)
        count = valid.sum(dim=1, keepdim=True).clamp(min=1).to(scores.dtype)
        # One scale for the whole batch, as published; only training sees it.
        scale = torch.where(valid[..., None], cost, 0.0).max().clamp(min=1e-12)
        kernel = torch.exp(-cost / scale / epsilon)
        rows = torch.where(valid, 1.0 / count, 0.0)
        columns = torch.cat([k / count, (count - k) / count], dim=1)
        v = torch.full_like(columns, 0.5)
        u = rows
        for _ in range(iterations):
            u = rows / (kernel @ v[..., None]).squeeze(-1)
            v = columns / (kernel.transpose(1, 2) @ u[..., None]).squeeze(-1)
        plan = count[..., None] * u[..., None] * kernel * v[:, None, :]
        ctx.save_for_backward(scores, plan, count, columns[:, :1], scale)
        ctx.epsilon = epsilon
        return plan[..., 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        scores, plan, count, chosen, scale = ctx.saved_tensors
        near, far = plan.unbind(-1)
        # Row potentials are eliminated; the column potential of the first anchor is one number a
        # sample, and `capacity` its coefficient in the remaining equation.
        capacity = chosen - near.square().sum(dim=1, keepdim=True) / count
        pull = grad * near / ctx.epsilon
        shift = (pull * (1.0 - near)).sum(dim=1, keepdim=True)
        weight = pull - shift * near / (count * capacity.clamp(min=1e-12))
        slope_near, slope_far = 2.0 * scores / scale, 2.0 * (scores - 1.0) / scale
        result = weight * (far * slope_far - (1.0 - near) * slope_near)
        return result, None, None, None, None


def soft_lowest_k(
    scores: Tensor, valid: Tensor, k: int, *, epsilon: float = 0.1, iterations: int = 100
) -> Tensor:
    """Return a soft 0/1 mask [B, T] that is near 1 at the k lowest scores of each sample.

    With enough iterations it is ``sigmoid((1 - 2 s) / (epsilon c) + b)``, c the largest cost of
    the batch and b such that the mask sums to k. Costs are s² and (s - 1)² over c; c counts as a
    constant in the gradient. Computed in float32.

    Args:
        scores: [B, T] in [0, 1].
        valid: bool [B, T]; other positions get 0. A sample with fewer than 2 k valid positions
            has half of them chosen instead: k must stay below their number.
        k: how many positions to choose.
        epsilon: of the entropic term; at 0.1 the kernel stays within [e⁻¹⁰, 1].
        iterations: of Sinkhorn's algorithm; the published 100 are not always converged.
    """
    with torch.autocast(scores.device.type, enabled=False):
        half = valid.sum(dim=1, keepdim=True).clamp(min=1).float() / 2
        mask: Tensor = _SoftLowestK.apply(  # type: ignore[no-untyped-call]
            scores.float(), valid, half.clamp(max=float(k)), epsilon, iterations
        )
    return mask
