"""Label prototypes: moving averages of latent codes with and without a label (RAMer eq. 9-10).

The published code updates sample after sample; the same result has a closed form in n matching
samples, mu <- k^n mu + (1 - k) sum_i k^(n - i) u_i, which needs no loop.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Prototypes(nn.Module):
    """A positive and a negative prototype for each label of one modality.

    Buffers ``positive`` and ``negative`` [L, P] start at zero and are never renormalised.

    Args:
        num_labels: L.
        projection: P.
        momentum: k, the share that stays.
    """

    positive: Tensor
    negative: Tensor

    def __init__(self, num_labels: int, projection: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("positive", torch.zeros(num_labels, projection))
        self.register_buffer("negative", torch.zeros(num_labels, projection))

    def read(self, z: Tensor, hard: bool) -> Tensor:
        """Return the read-out delta [B, L, P] for latent codes ``z`` [B, L, P].

        Soft: both prototypes weighted by a softmax of their dot products with the normalised
        code; gradients flow through the code. Hard: the likelier one, the negative on a tie.
        """
        unit = F.normalize(z, dim=-1)
        # Copies, because `update` writes the buffers before the backward pass needs these values.
        positive, negative = self.positive.clone(), self.negative.clone()
        similarity = torch.stack([(unit * positive).sum(-1), (unit * negative).sum(-1)], dim=-1)
        share = similarity.softmax(-1)
        if hard:
            chosen = (share[..., :1] > share[..., 1:]).expand_as(z)
            return torch.where(chosen, positive, negative)
        return share[..., :1] * positive + share[..., 1:] * negative

    @torch.no_grad()
    def update(self, z: Tensor, labels: Tensor, valid: Tensor | None = None) -> None:
        """Move the prototypes towards a batch's codes, in batch order.

        Args:
            z: latent codes [B, L, P]; normalised here.
            labels: [B, L] in {0, 1}.
            valid: bool [B] or [B, L]; where false the sample moves nothing. None: all count.
        """
        unit = F.normalize(z.detach().to(self.positive.dtype), dim=-1)
        has = labels > 0.5
        counts = torch.ones_like(has)
        if valid is not None:
            counts = (valid[:, None] if valid.dim() == 1 else valid).expand_as(has)
            unit = torch.where(counts[..., None], unit, 0.0)
        for prototype, chosen in ((self.positive, has & counts), (self.negative, ~has & counts)):
            ones = chosen.to(unit.dtype)
            later = ones.flip(0).cumsum(0).flip(0) - ones
            weight = ones * (1.0 - self.momentum) * self.momentum**later
            kept = self.momentum ** ones.sum(0)
            # No matrix product, which autocast would round to half precision.
            moved = (weight[..., None] * unit).sum(0)
            prototype.copy_(kept[:, None] * prototype + moved)
