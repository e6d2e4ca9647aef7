"""Classification and reconstruction losses of RAMer, for multi-label and single-label data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.specs import LabelKind

Norm = Literal["mse", "frobenius"]


@dataclass
class Objective:
    """The weighted sum of named terms (eq. 13); ``terms`` stay unweighted, for the log."""

    terms: dict[str, Tensor] = field(default_factory=dict)
    weighted: list[Tensor] = field(default_factory=list)

    def add(self, name: str, weight: float, term: Tensor) -> None:
        """Add ``weight * term``; a term of weight 0 is logged and takes no part."""
        self.terms[name] = term.detach()
        if weight:
            self.weighted.append(weight * term)

    @property
    def total(self) -> Tensor:
        """Return the loss to minimise."""
        return torch.stack(self.weighted).sum()


def classification_loss(logits: Tensor, targets: Tensor, kind: LabelKind) -> Tensor:
    """Return the mean loss of logits [..., L] against targets [..., L] in {0, 1}.

    Multi-label: binary cross entropy, the mean over every element. Single-label: cross entropy
    over L, the mean over rows. A shuffled row may hold several ones or none: the ones share the
    target mass, and a row without any has no target and is left out.
    """
    if kind == "multilabel":
        return F.binary_cross_entropy_with_logits(logits, targets)
    count = targets.sum(-1)
    rows = -(targets * F.log_softmax(logits, dim=-1)).sum(-1) / count.clamp(min=1.0)
    return rows.sum() / (count > 0).sum().clamp(min=1)


def probabilities(logits: Tensor, kind: LabelKind) -> Tensor:
    """Return sigmoid (multi-label) or softmax (single-label) of logits [..., L]."""
    return logits.sigmoid() if kind == "multilabel" else logits.softmax(-1)


def reconstruction_error(
    target: Tensor, output: Tensor, available: Tensor | None, norm: Norm
) -> Tensor:
    """Return one term of eq. 7: the sum over modalities of the distance target to output.

    Args:
        target: X_alpha, float [B, M, L, d]; not detached, as in the authors' code.
        output: what it is compared with, same shape.
        available: bool [B, M]; a modality a sample does not have is no target. None: all are.
        norm: ``mse``: mean squared error a modality; ``frobenius``: the mean over samples of the
            Frobenius norm of each sample's L x d difference.
    """
    difference = target - output
    if norm == "mse":
        rows = difference.square().mean(dim=(2, 3))
    else:
        rows = torch.linalg.vector_norm(difference, dim=(2, 3))
    return masked_mean(rows, available).sum()


def masked_mean(rows: Tensor, keep: Tensor | None) -> Tensor:
    """Return the column means of rows [B, M] over the kept samples, [M]; 0 where none is kept."""
    if keep is None:
        return rows.mean(dim=0)
    kept = torch.where(keep, rows, torch.zeros_like(rows)).sum(dim=0)
    return kept / keep.sum(dim=0).clamp(min=1)
