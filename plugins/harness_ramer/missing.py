"""What RAMer does where a sample lacks a modality; the paper gives no formula for it.

The missing modality is rebuilt from the others: its intrinsic vector D~ stands in for its decoded
vector X~ in every slot of eq. 6, and for X_alpha where an ablation leaves nothing later. It is no
target of L_rec, moves no prototype, and its Z_alpha enters no contrast. Its X_beta, X_gamma and C,
made from the others, take part everywhere.

Nor does Z_alpha enter it where label attention has no choice of positions (a sequence of one, a
grid's target cell): X_alpha is then the same vector for every label, or nearly, and eq. 11 would
ask equal vectors to be apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.nn.prototypes import Prototypes


def positions_left(batch: Batch, names: Sequence[str]) -> Tensor:
    """Return how many positions of a sequence each modality has, int64 [B, M]; 0: missing.

    Args:
        batch: sequences.
        names: the modalities, in the task's order.
    """
    counts = torch.stack([batch.mask[m].sum(dim=1) for m in names], dim=1)
    return torch.where(batch.present, counts, 0)


def stand_in(x: Tensor, substitute: Tensor | float, available: Tensor) -> Tensor:
    """Return x [B, M, L, ...] with the substitute where a modality is missing.

    Args:
        x: [B, M, L, H].
        substitute: [B, M, L, H], or a number.
        available: bool [B, M].
    """
    return torch.where(available[:, :, None, None], x, substitute)


def borrow(latent: Tensor, prototypes: nn.ModuleList, available: Tensor, *, hard: bool) -> Tensor:
    """Return delta of eq. 9 for modalities that are missing, float [B, M, L, P].

    They have no z to ask with. The polarity of label j is the mean of o_{j,pos} over the
    modalities that the sample has (one half if it has none); the prototypes are their own.

    Args:
        latent: Z_alpha, float [B, M, L, P].
        prototypes: one `Prototypes` a modality.
        available: bool [B, M].
        hard: take the likelier prototype, not the mix.
    """
    # Copies: the update overwrites the buffers before the backward pass needs these values.
    pairs = [(p.positive, p.negative) for p in cast("Iterable[Prototypes]", prototypes)]
    positive, negative = (torch.stack(side) for side in zip(*pairs, strict=True))
    share = (F.normalize(latent, dim=-1) * (positive - negative)).sum(-1).sigmoid()
    seen = available[:, :, None]
    count = seen.sum(dim=1).clamp(min=1)
    polarity = torch.where(seen, share - 0.5, 0.0).sum(dim=1) / count + 0.5
    if hard:
        polarity = (polarity > 0.5).to(polarity.dtype)
    polarity = polarity[:, None, :, None]
    return polarity * positive + (1.0 - polarity) * negative


def masked_mean(rows: Tensor, keep: Tensor) -> Tensor:
    """Return the column means of rows [B, M] over the kept samples, [M]; 0 where none is kept.

    Args:
        rows: float [B, M].
        keep: bool [B, M].
    """
    kept = torch.where(keep, rows, 0.0).sum(dim=0)
    return kept / keep.sum(dim=0).clamp(min=1)


NORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "frobenius": lambda x: torch.linalg.vector_norm(x, dim=(2, 3)),
    "mse": lambda x: x.square().mean(dim=(2, 3)),
}
"""A number [B, M] for each L x H matrix of [B, M, L, H]."""


def distance(norm: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, available: Tensor) -> Tensor:
    """Return a term of eq. 7: the mean over samples of |x - y|, the sum over modalities.

    The gradient reaches both x and y [B, M, L, H]. A missing modality (bool [B, M]) has none.
    """
    return masked_mean(norm(x - y), available).sum()
