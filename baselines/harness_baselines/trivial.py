"""The four trivial predictors of every board: what a score is worth without seeing the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.model import FitData, ModelPlugin, StepContext
from harness.specs import TaskInfo


@dataclass(frozen=True)
class TrivialConfig:
    """Trivial predictors have nothing to set."""


class ConstantPredictor(ModelPlugin):
    """Scores every sample alike.

    Attributes:
        scores: buffer float32 [L] in [0, 1], fixed by `fit` from the training labels alone.
    """

    Config = TrivialConfig
    iterative = False
    needs_nonempty_mask = False
    scores: Tensor

    def __init__(self, config: TrivialConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        self.register_buffer("scores", torch.zeros(task.num_labels))

    def constant(self, labels: Tensor) -> Tensor:
        """Return the scores [L] that training labels [N, L] lead to."""
        raise TypeError(f"{type(self).__name__} defines no constant")

    def fit(self, data: FitData, ctx: StepContext) -> None:
        """Fix the scores; single-label data gets probabilities that sum to 1."""
        scores = self.constant(data.labels.cpu())
        if self.task.label_kind == "singlelabel":
            total = scores.sum()
            scores = scores / total if total > 0 else torch.full_like(scores, 1 / len(scores))
        self.scores = scores.to(self.scores)

    def predict_step(self, batch: Batch) -> Tensor:
        """Return the same scores for every sample, float32 [B, L]."""
        return self.scores.expand(len(batch), -1)

    def describe(self) -> dict[str, Any]:
        """Return the constant scores by label."""
        return {"scores": dict(zip(self.task.labels, self.scores.tolist(), strict=True))}


class AllAbsent(ConstantPredictor):
    """No label, ever: the floor of every recall and F1."""

    def constant(self, labels: Tensor) -> Tensor:
        """Return zeros [L]."""
        return torch.zeros(labels.shape[1])


class Prior(ConstantPredictor):
    """The training frequency of each label as its score."""

    def constant(self, labels: Tensor) -> Tensor:
        """Return the label frequencies [L]."""
        return labels.float().mean(dim=0)


class MostFrequent(ConstantPredictor):
    """The one label most frequent in training; of equal ones the first."""

    def constant(self, labels: Tensor) -> Tensor:
        """Return 1 for the most frequent label, else 0, [L]."""
        return _top(labels.sum(dim=0), 1)


class BestConstant(ConstantPredictor):
    """The constant label set with the highest micro-F1 on the training split.

    Among sets of k labels the k most frequent have the most true positives and equally many
    predictions, so one of these L sets is the best of all 2^L: micro-F1 is
    2 * sum of their counts / (k N + all counts). Ties take the smaller set. Single-label data
    admits k = 1 only.
    """

    def constant(self, labels: Tensor) -> Tensor:
        """Return 1 for the labels of the best set, else 0, [L]."""
        counts = labels.double().sum(dim=0)
        if self.task.label_kind == "singlelabel":
            return _top(counts, 1)
        hits = counts.sort(descending=True, stable=True).values.cumsum(dim=0)
        sizes = torch.arange(1, len(counts) + 1, dtype=torch.float64)
        f1 = 2 * hits / (sizes * len(labels) + counts.sum())
        return _top(counts, int(f1.argmax()) + 1)


def _top(counts: Tensor, k: int) -> Tensor:
    """Return a 0/1 vector [L] that marks the k largest counts, earlier labels first on ties."""
    chosen = torch.zeros(len(counts))
    chosen[counts.sort(descending=True, stable=True).indices[:k]] = 1.0
    return chosen
