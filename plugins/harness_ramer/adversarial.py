"""Adversarial specificity and commonality (paper 4.2, eq. 1-5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.nn.gradient_reversal import reverse_gradient
from harness.nn.orthogonality import orthogonality
from harness_ramer.losses import masked_mean


class Specificity(nn.Module):
    """f_m: Linear, dropout, tanh; own weights for each modality."""

    def __init__(self, modalities: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(modalities))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return S [B, M, L, d] of X_alpha [B, M, L, d]."""
        parts = [linear(part) for linear, part in zip(self.linears, x.unbind(1), strict=True)]
        return torch.tanh(self.dropout(torch.stack(parts, dim=1)))


class Generator(nn.Module):
    """G: Linear, dropout, tanh; ONE for all modalities."""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return C [B, M, L, d] of X_gamma [B, M, L, d]."""
        return torch.tanh(self.dropout(self.linear(x)))


class Discriminator(nn.Module):
    """D: d to d/2 to M logits; which modality does this label token come from?"""

    def __init__(self, modalities: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(hidden, hidden // 2)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden // 2, modalities)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [..., M] of tokens [..., d]."""
        logits: Tensor = self.output(torch.relu(self.dropout(self.hidden(x))))
        return logits


def modality_loss(logits: Tensor, keep: Tensor | None = None) -> Tensor:
    """Return the cross entropy of telling the modality (eq. 1, 2), one mean a modality, [M].

    Args:
        logits: D's output, float [B, M, L, M]; axis 1 is the true modality.
        keep: bool [B, M]; rows that count. None: all.
    """
    batch, modalities, labels, _ = logits.shape
    truth = torch.arange(modalities, device=logits.device)[None, :, None]
    tokens = F.cross_entropy(
        logits.flatten(0, 2), truth.expand(batch, -1, labels).flatten(), reduction="none"
    )
    return masked_mean(tokens.view(batch, modalities, labels).mean(dim=2), keep)


def specificity_loss(
    discriminator: Discriminator, specificity: Tensor, keep: Tensor | None = None
) -> Tensor:
    """Return L_S (eq. 2): f_m and D both want the modality to be told."""
    return modality_loss(discriminator(specificity), keep).sum()


def commonality_loss(discriminator: Discriminator, commonality: Tensor) -> Tensor:
    """Return L_C (eq. 1): D wants it told; behind the reversal G wants it hidden."""
    return modality_loss(discriminator(reverse_gradient(commonality, 1.0))).sum()


def orthogonality_loss(commonality: Tensor, specificity: Tensor) -> Tensor:
    """Return L_orth (eq. 4): mean over samples of the sum over m of |C^m (S^m)^T|_F^2.

    The minus sign printed in eq. 4 contradicts its text ("minimizing their overlap").
    """
    pairs = zip(commonality.unbind(1), specificity.unbind(1), strict=True)
    return torch.stack([orthogonality(c, s) for c, s in pairs]).sum()


def pairwise_orthogonality(specificity: Tensor) -> Tensor:
    """Return the same between the S [B, M, L, d] of every two modalities (TAILOR); 0 if M is 1."""
    parts = specificity.unbind(1)
    pairs = [orthogonality(a, b) for i, a in enumerate(parts) for b in parts[i + 1 :]]
    return torch.stack(pairs).sum() if pairs else specificity.new_zeros(())
