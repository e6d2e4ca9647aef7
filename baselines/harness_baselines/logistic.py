"""Logistic regression on pooled features, one per label: the floor that a network has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.errors import ConfigError
from harness.model import FitData, ModelPlugin, StepContext
from harness.specs import TaskInfo, bounded
from harness_baselines.cc_links import LogisticBase, constants, learnable, probability
from harness_baselines.cc_pooling import pool_one

FIT_BATCH = 1024
TRAITS = "personality"


@dataclass(frozen=True)
class LogisticConfig:
    """Hyper-parameters of the logistic regression.

    Attributes:
        c: inverse strength of the L2 penalty.
        views: names of the modalities that are read, and ``personality`` for the target person's
            traits; empty: all that the data has.
        missing_indicator: add one 0/1 column per view that says it is missing.
    """

    c: float = bounded(1.0, above=0)
    views: tuple[str, ...] = ()
    missing_indicator: bool = False


class Logistic(ModelPlugin):
    """p(label | x) = sigmoid(w . standardised(x) + b) per label, fitted once.

    x joins the means over the valid positions of each view, zeros where a view is missing, and the
    target person's traits. Single-label data: probabilities normalised to sum to 1.

    Attributes:
        mean, scale: float64 [D], of the training rows.
        weight, bias: float64 [L, D] and [L].
        constant: float64 [L], the probability of a label with one class in training, else NaN.
    """

    Config = LogisticConfig
    iterative = False
    needs_nonempty_mask = False
    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor
    constant: Tensor

    def __init__(self, config: LogisticConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        names = [m.name for m in task.modalities] + [TRAITS] * (task.personality_dim > 0)
        for view in config.views:
            if view not in names:
                raise ConfigError(
                    f"model.views: {task.dataset} has no view {view!r}; it has: {', '.join(names)}."
                )
        chosen = config.views or tuple(names)
        self.views = [m for m in task.modalities if m.name in chosen]
        self.traits = TRAITS in chosen
        for name in ("mean", "scale", "weight", "bias", "constant"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.float64))

    def rows(self, batch: Batch) -> Tensor:
        """Return what is read of each sample, float64 [B, D], not yet standardised."""
        columns = [pool_one(batch, view, "mean") for view in self.views]
        if self.config.missing_indicator:
            names = [m.name for m in self.task.modalities]
            own = [names.index(view.name) for view in self.views]
            columns.append((~batch.present[:, own]).double())
        if self.traits and batch.personality is not None and batch.personality_mask is not None:
            known = batch.personality_mask[:, :1]
            columns.append(torch.where(known, batch.personality[:, 0], 0.0).double())
        return torch.cat(columns, dim=1)

    def fit(self, data: FitData, ctx: StepContext) -> None:
        """Fit all labels on the training split."""
        x = torch.cat([self.rows(batch).cpu() for batch in data.batches(FIT_BATCH)])
        targets = data.labels.double().cpu()
        mean, spread = x.mean(dim=0), x.std(dim=0, correction=0)
        scale = torch.where(spread > 0, spread, 1.0)
        constant = constants(targets)
        none = torch.zeros(targets.shape[1], targets.shape[1], dtype=torch.bool)
        fitted = LogisticBase(self.config.c).fit(
            (x - mean) / scale, targets, learnable(targets, constant.isnan()), none
        )
        learned = {"mean": mean, "scale": scale, "constant": constant}
        learned |= {"weight": fitted["weight_x"], "bias": fitted["bias"]}
        for name, value in learned.items():
            self.register_buffer(name, value.to(self.mean.device))

    def predict_step(self, batch: Batch) -> Tensor:
        """Return scores float32 [B, L]."""
        x = (self.rows(batch) - self.mean) / self.scale
        scores = probability(x @ self.weight.T + self.bias, self.constant)
        if self.task.label_kind == "singlelabel":
            total = scores.sum(dim=1, keepdim=True)
            scores = torch.where(total > 0, scores / total, 1.0 / self.task.num_labels)
        return scores.float()

    def describe(self) -> dict[str, Any]:
        """Return the views and the width of a row."""
        views = [view.name for view in self.views] + [TRAITS] * self.traits
        return {"views": views, "columns": len(self.mean)}
