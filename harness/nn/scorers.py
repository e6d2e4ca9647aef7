"""Label-wise linear scorers on one vector per modality and label (CARAT, RAMer eq. 8)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from harness.nn.init import xavier_


class LabelScorer(nn.Module):
    """Score every label of every modality, then take the maximum over the modalities.

    The logit of label l from modality m is <x[m, l], w[m, l]>: no bias, weights U(+-1/sqrt(H)).

    Args:
        modalities: M.
        labels: L.
        hidden: H.
    """

    def __init__(self, modalities: int, labels: int, hidden: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(hidden)
        self.weight = nn.Parameter(torch.empty(modalities, labels, hidden).uniform_(-bound, bound))

    def forward(self, x: Tensor, available: Tensor) -> tuple[Tensor, Tensor]:
        """Return max-pooled logits and the winning modality of each label.

        Args:
            x: float [B, M, L, H].
            available: bool [B, M], modalities that may win. A sample without any lets all of
                them compete.

        Returns:
            logits float [B, L] and the index of the winning modality, int64 [B, L].
        """
        allowed = available | ~available.any(dim=1, keepdim=True)
        logits = (x * self.weight).sum(-1).masked_fill(~allowed[:, :, None], -torch.inf)
        pooled = logits.max(dim=1)
        return pooled.values, pooled.indices


class SharedLabelScorer(nn.Module):
    """Score every label of a vector: L x H weights and L biases, the same for all modalities."""

    def __init__(self, labels: int, hidden: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(hidden)
        self.weight = nn.Parameter(torch.empty(labels, hidden).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(labels))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [..., L] of x [..., L, H]."""
        return (x * self.weight).sum(-1) + self.bias


def slot_classifier(labels: int, hidden: int) -> nn.Sequential:
    """Return a classifier of L x H features at once: [..., L * H] to logits [..., L].

    One hidden layer of width H; Xavier weights, default biases.
    """
    classifier = nn.Sequential(
        nn.Linear(labels * hidden, hidden), nn.ReLU(), nn.Linear(hidden, labels)
    )
    xavier_(classifier)
    return classifier
