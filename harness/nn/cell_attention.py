"""Attention without parameters between the cells of a grid (AMER, Shen et al., ACM MM 2020).

Queries, keys and values are the cells themselves. Two masks that must stay different things: a
missing cell's score is -1e9, a padding cell's is -inf. Where everybody misses the modality the
weights are then uniform over the real cells, never over padding.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MISSING = -1e9


def masked_weights(scores: Tensor, valid: Tensor, real: Tensor) -> Tensor:
    """Return softmax weights over the last axis.

    Args:
        scores: [..., K].
        valid: bool, broadcastable to scores; false where a key is missing.
        real: bool, broadcastable; false where a key is padding. At least one key of each row is.
    """
    masked = torch.where(valid, scores, _MISSING)
    return torch.where(real, masked, -torch.inf).softmax(-1)


def between_persons(x: Tensor, valid: Tensor, persons: Tensor, scale: float) -> Tensor:
    """Return y = x + Σ_j A_ij x_j within each segment, over persons; [M, B, R, N, E].

    Args:
        x: [M, B, R, N, E], M modalities.
        valid: bool [M, B, R, N]. persons: bool [B, N], which are real.
        scale: what scores are multiplied by, 1/τ.
    """
    scores = torch.matmul(x, x.transpose(-1, -2)) * scale
    weights = masked_weights(scores, valid[..., None, :], persons[:, None, None, :])
    return x + torch.matmul(weights.to(x.dtype), x)


def over_segments(
    y: Tensor, valid: Tensor, segments: Tensor, target: Tensor, scale: float
) -> Tensor:
    """Return z = y_* + Σ_s A_*s y_s of each person at the target segment *; [M, B, N, E].

    Args:
        y: [M, B, R, N, E].
        valid: bool [M, B, R, N]. segments: bool [B, R], which are real.
        target: int64 [B], the target segment.
        scale: what scores are multiplied by, 1/τ.
    """
    own = y[:, torch.arange(len(target), device=target.device), target]
    scores = torch.einsum("mbne,mbrne->mbnr", own, y) * scale
    weights = masked_weights(scores, valid.transpose(-1, -2), segments[:, None])
    return own + torch.einsum("mbnr,mbrne->mbne", weights.to(y.dtype), y)
