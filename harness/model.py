"""The contract of a model plugin, and what its steps are given.

A plugin imports from here, from `harness.nn`, `harness.specs` and `harness.data.batch`, never
from `harness.engine`. The whole minimum is a frozen ``Config`` dataclass, ``training_step`` and
``predict_step``: two entry points rather than one forward, because these models need labels in
training (contrastive queues, shuffles, teacher forcing) and must not have them in prediction.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.specs import TaskInfo, TrainingConfig


@dataclass(frozen=True)
class StepOutput:
    """The result of a training step.

    Attributes:
        loss: scalar tensor to minimise (already stepped, and detached, with manual stepping).
        terms: named, unweighted loss terms as scalar tensors, for the log.
    """

    loss: Tensor
    terms: Mapping[str, Tensor] = field(default_factory=dict)


class FitData(Protocol):
    """The training split as `setup_fit` and `fit` see it. Validation and test are out of reach."""

    @property
    def labels(self) -> Tensor:
        """Return the labels of the training split, float32 [N, L], in fixed order."""

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yield the training split once, labelled, in fixed order, without dropping any sample."""

    def __len__(self) -> int:
        """Return N."""


class StepContext(Protocol):
    """What a training step may use of the loop.

    ``generator`` is the seeded CPU generator for a model's own draws (shuffles, masks);
    ``epoch`` and ``step`` count from 0, ``total_steps`` is their end.
    """

    optimizers: Sequence[torch.optim.Optimizer]
    generator: torch.Generator
    epoch: int
    step: int
    total_steps: int

    @property
    def progress(self) -> float:
        """Return the share of all steps done, in [0, 1]."""

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the autocast context of the run's precision."""

    def zero_grad(self) -> None:
        """Clear the gradients of all optimisers."""

    def backward(self, loss: Tensor, *, retain_graph: bool = False) -> None:
        """Accumulate gradients of ``loss``."""

    def clip(self) -> Tensor:
        """Clip the gradients as the recipe says; return their norm before clipping."""

    def step_optimizer(self, index: int = 0) -> None:
        """Apply one optimiser's update (clip first where wanted)."""


class ModelPlugin(nn.Module):
    """Base class of every model: a torch module built from (config, task).

    Class attributes:
        Config: the frozen dataclass that holds every hyper-parameter of the model.
        automatic_optimization: true: the loop does zero_grad, backward, clip and step. False:
            ``training_step`` does so through ``ctx`` and returns a detached loss.
        iterative: true: trained by the loop. False: ``fit`` is called once instead.
        needs_nonempty_mask: true: a modality without positions gets one null position.
        fused_optimizer: true: the recipe's Adam or AdamW runs as one pass over the memory; the same
            rule to rounding, worth it where steps are small and parameters many.
        selects_from: the first epoch that may be selected, and from which patience counts; for
            models whose first epochs train no classifier (set it in ``__init__``).
        analysis_axes: axes of the tensors that `analysis` gives for embeddings, by name: a letter
            an axis, as in ``"BMLH"``. ``B`` samples, ``M`` modalities, ``L`` labels, ``T``
            positions; the last letter is the vector. Without it sizes decide, which cannot tell
            labels from modalities where there are as many.
    """

    Config: ClassVar[type]
    automatic_optimization: ClassVar[bool] = True
    iterative: ClassVar[bool] = True
    needs_nonempty_mask: ClassVar[bool] = True
    fused_optimizer: ClassVar[bool] = False
    selects_from: int = 0
    analysis_axes: ClassVar[Mapping[str, str]] = {}

    def __init__(self, config: Any, task: TaskInfo) -> None:
        super().__init__()
        self.config = config
        self.task = task

    @abstractmethod
    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        """Return the loss of a labelled batch."""
        raise TypeError(f"{type(self).__name__} defines no training_step")

    @abstractmethod
    def predict_step(self, batch: Batch) -> Tensor:
        """Return scores [B, L] in [0, 1] for a batch without labels.

        Called in evaluation mode without gradients. Must not draw random numbers, and the score
        of a sample must not depend on the others in its batch. Single-label models return
        probabilities that sum to 1.
        """
        raise TypeError(f"{type(self).__name__} defines no predict_step")

    def setup_fit(self, data: FitData) -> None:
        """Take statistics of the training split (label co-occurrence, priors). Called once."""

    def fit(self, data: FitData, ctx: StepContext) -> None:
        """Train without the loop; only called where ``iterative`` is false."""
        raise TypeError(f"{type(self).__name__} sets iterative=False but defines no fit")

    def configure_optimizers(
        self, training: TrainingConfig, total_steps: int
    ) -> Sequence[torch.optim.Optimizer]:
        """Return the optimisers; by default the one the recipe names, over all parameters."""
        from harness.nn.optim import build_optimizer

        return [build_optimizer(self, training, total_steps, fused=self.fused_optimizer)]

    def on_epoch_start(self, ctx: StepContext) -> None:
        """Called when an epoch starts (annealing, own schedules)."""

    def on_step_start(self, ctx: StepContext) -> None:
        """Called when a training step starts (schedules of ``ctx.optimizers`` step by step).

        Never compiled, unlike ``training_step``, whose code should not read an optimiser's groups.
        """

    def analysis(self, batch: Batch) -> dict[str, Tensor]:
        """Return named tensors for figures (embeddings, winning modality per label)."""
        return {}

    def describe(self) -> dict[str, Any]:
        """Return JSON facts fixed at fit time for the record (chain order, label graph)."""
        return {}
