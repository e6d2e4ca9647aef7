"""The two classifiers: label-wise linear scorers with max pooling (eq. 8), and c_zeta (eq. 12)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class LabelScorer(nn.Module):
    """Per-modality label-wise scorer, shared by X_alpha, X_beta and X_gamma (eq. 8).

    The logit of label c from modality m is <x[c], w^m[c]>: no bias, weights U(+-1/sqrt(d)).
    """

    def __init__(self, modalities: int, labels: int, hidden: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(hidden)
        self.weight = nn.Parameter(torch.empty(modalities, labels, hidden).uniform_(-bound, bound))

    def forward(self, x: Tensor, available: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return max-pooled logits and the winning modality per label.

        Args:
            x: float [B, M, L, d].
            available: bool [B, M]: modalities that may win; None: all. A sample without any
                lets all of them compete.

        Returns:
            logits float [B, L] and the index of the winning modality, int64 [B, L].
        """
        logits = (x * self.weight).sum(-1)
        if available is not None:
            allowed = available | ~available.any(dim=1, keepdim=True)
            logits = logits.masked_fill(~allowed[:, :, None], -torch.inf)
        pooled = logits.max(dim=1)
        return pooled.values, pooled.indices


class SlotClassifier(nn.Module):
    """c_zeta: one slot's L x d features, flattened, to L logits through one hidden layer."""

    def __init__(self, labels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(labels * hidden, hidden)
        self.output = nn.Linear(hidden, labels)
        nn.init.xavier_uniform_(self.hidden.weight)
        nn.init.xavier_uniform_(self.output.weight)

    def forward(self, slots: Tensor) -> Tensor:
        """Return logits [..., L] of slots [..., L, d]."""
        logits: Tensor = self.output(torch.relu(self.hidden(slots.flatten(-2))))
        return logits


class CommonalityScorer(nn.Module):
    """Label-wise linear scorer on C^m (eq. 3): L x d weights, L biases, shared by modalities."""

    def __init__(self, labels: int, hidden: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(hidden)
        self.weight = nn.Parameter(torch.empty(labels, hidden).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(labels))

    def forward(self, commonality: Tensor) -> Tensor:
        """Return logits [B, M, L] of C [B, M, L, d]."""
        return (commonality * self.weight).sum(-1) + self.bias
