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

Encoded = Mapping[str, tuple[Tensor, ...]]
"""Encodings by modality name, each one or several tensors [B, ...]."""


@dataclass(frozen=True)
class StepOutput:
    """The result of a training step.

    Attributes:
        loss: scalar tensor to minimise (already stepped, and detached, with manual stepping).
        terms: named, unweighted loss terms as scalar tensors, for the log.
    """

    loss: Tensor
    terms: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Diagnostics:
    """Vectors that show what a model's mechanisms make of B samples (`ModelPlugin.diagnostics`).

    Attributes:
        valid: bool [B, M], or [B, M, K] where some of a modality's K vectors are padding; only
            vectors that are valid are measured.
        parts: by name, float [B, M, H] or [B, M, K, H]: vectors that a fresh linear probe is asked
            to tell the modality from.
        levels: by name, a reconstruction and its target, each float [B, M, H] or [B, M, K, H] with
            a K that does not depend on the batch; it is compared with the target's mean.
    """

    valid: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    levels: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


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
    ``epoch`` and ``step`` count from 0, ``total_steps`` is their end. ``complete`` is the step's
    batch as it was before the training protocol dropped anything: the same samples in the same
    order, labelled; only under ``train-paired@1`` for a model with ``wants_complete``, else None.
    Prediction has no step and no such view.
    """

    optimizers: Sequence[torch.optim.Optimizer]
    generator: torch.Generator
    epoch: int
    step: int
    total_steps: int
    complete: Batch | None

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
        wants_complete: true: under ``train-paired@1`` a training step is given the complete batch
            beside the incomplete one (`StepContext.complete`).
        shares_encodings: true: evaluation may share what `encode` gives between dropout protocols.
            Set it in ``__init__`` where it depends on the configuration.
        reads_padding: true: masked positions at a sequence's end change what it computes, as where
            a recurrent layer reads the padded batch. Its batches then hold them and are drawn
            without regard to length. Set it in ``__init__`` where the configuration decides.
        selects_from: the first epoch that may be selected, and from which patience counts; for
            models whose first epochs train no classifier (set it in ``__init__``).
        analysis_axes: axes of the tensors that `analysis` gives for embeddings, by name: a letter
            an axis, as in ``"BMLH"``. ``B`` samples, ``M`` modalities, ``L`` labels, ``T``
            positions; the last letter is the vector. Without it sizes decide, which cannot tell
            labels from modalities where there are as many.
        shared_parameters: patterns (`fnmatch`) of the names of parameters that several losses
            train; gradients of `loss_terms` are compared on these.
    """

    Config: ClassVar[type]
    automatic_optimization: ClassVar[bool] = True
    iterative: ClassVar[bool] = True
    needs_nonempty_mask: ClassVar[bool] = True
    fused_optimizer: ClassVar[bool] = False
    wants_complete: ClassVar[bool] = False
    shares_encodings: bool = False
    reads_padding: bool = False
    selects_from: int = 0
    analysis_axes: ClassVar[Mapping[str, str]] = {}
    shared_parameters: ClassVar[tuple[str, ...]] = ("*",)

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
        probabilities that sum to 1. A model that defines `encode` and `fuse` need not define it.
        """
        kind = type(self)
        if kind.encode is ModelPlugin.encode or kind.fuse is ModelPlugin.fuse:
            raise TypeError(f"{kind.__name__} defines no predict_step")
        return self.fuse(self.encode(batch), batch)

    def encode(self, batch: Batch) -> Encoded:
        """Return what each modality becomes before it meets the others, by modality name.

        Optional, with `fuse`, and used where ``shares_encodings`` is set: evaluation under many
        dropout protocols then encodes a modality once as it is and once as missing, and only
        fuses under each protocol. Row i of a modality's tensors [B, ...] is a function of that
        modality of sample i and of what no protocol for whole modalities changes: personality,
        the shape of a grid.
        """
        raise TypeError(f"{type(self).__name__} defines no encode")

    def fuse(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return scores [B, L] in [0, 1] of a batch and its encodings.

        ``fuse(encode(batch), batch)`` is `predict_step`. Where evaluation shares encodings, those
        of missing modalities come from another call of `encode`; ``batch`` is then what
        `predict_step` would be given.
        """
        raise TypeError(f"{type(self).__name__} defines no fuse")

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

    def loss_terms(self, batch: Batch, ctx: StepContext) -> Mapping[str, Tensor]:
        """Return the weighted terms of the loss of a labelled batch, scalars with their graph.

        Optional: `harness runs diagnose` measures the share of each in the gradient. Their sum is
        the loss of `training_step` for the same batch, state and random numbers. Called in training
        mode on a copy of the trained model, of which nothing is kept.
        """
        return {}

    def diagnostics(self, batch: Batch) -> Diagnostics | None:
        """Return what the model's mechanisms make of a batch without labels; None: nothing.

        Optional: `harness runs diagnose` asks `Diagnostics.parts` for the modality by a linear
        probe, and compares `Diagnostics.levels` with their targets. Called as `predict_step` is.
        """
        return None

    def describe(self) -> dict[str, Any]:
        """Return JSON facts fixed at fit time for the record (chain order, label graph)."""
        return {}


class SharedEncodings:
    """The encodings of a batch, as it is and with everything missing, to be fused at will.

    Args:
        model: a model that `shares encodings <ModelPlugin.shares_encodings>`, in evaluation mode.
        batch: B samples without labels, on the model's device.
    """

    def __init__(self, model: ModelPlugin, batch: Batch) -> None:
        self._model, self._batch = model, batch
        self._there: Encoded = model.encode(batch)
        self._missing: Encoded = model.encode(self._keeping(batch, torch.zeros_like(batch.present)))

    @property
    def encodings(self) -> tuple[Encoded, Encoded]:
        """Return the encodings as the batch is, and of missing modalities."""
        return self._there, self._missing

    def scores(self, kept: Tensor, rows: Sequence[int] | None = None) -> Tensor:
        """Return the scores [B, L] with some modalities left, or [R, L] of some samples.

        Args:
            kept: bool [B, M], or [R, M] with ``rows``, on the batch's device.
            rows: which samples; None: all of them.
        """
        model, batch, there, missing = self._model, self._batch, self._there, self._missing
        if rows is not None:
            chosen = torch.as_tensor(list(rows), device=kept.device)
            batch = batch.select(rows)
            there, missing = (
                {m: tuple(t[chosen] for t in parts) for m, parts in x.items()}
                for x in (there, missing)
            )
        columns = {m.name: kept[:, i] for i, m in enumerate(model.task.modalities)}
        encoded = {m: _mixed(columns[m], x, missing[m]) for m, x in there.items()}
        return model.fuse(encoded, self._keeping(batch, kept))

    def _keeping(self, batch: Batch, kept: Tensor) -> Batch:
        left = batch.keeping(kept)
        return left.with_null_positions() if self._model.needs_nonempty_mask else left


def _mixed(
    kept: Tensor, there: tuple[Tensor, ...], missing: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Return the rows of one encoding where kept, bool [B], of the other elsewhere."""
    pairs = zip(there, missing, strict=True)
    return tuple(torch.where(kept.view(-1, *[1] * (a.ndim - 1)), a, b) for a, b in pairs)
