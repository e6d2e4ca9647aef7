"""Loss and scores of a plain label head, by the kind of label."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from harness.specs import LabelKind


def task_loss(logits: Tensor, labels: Tensor, kind: LabelKind) -> Tensor:
    """Return the mean loss of logits [..., L] under labels float [..., L] in {0, 1}.

    Single-label: cross entropy over the labels. Multi-label: binary cross entropy of each.

    Args:
        logits: float [..., L].
        labels: float [..., L]; single-label: one-hot.
        kind: kind of the labels.
    """
    if kind == "singlelabel":
        return F.cross_entropy(logits.flatten(0, -2), labels.flatten(0, -2))
    return F.binary_cross_entropy_with_logits(logits, labels)


def task_scores(logits: Tensor, kind: LabelKind) -> Tensor:
    """Return scores float32 [..., L]: a softmax over single labels, else one sigmoid each."""
    logits = logits.float()
    return logits.softmax(-1) if kind == "singlelabel" else logits.sigmoid()
