"""The training recipe, and the task that a model is built for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from harness.specs.data import LAYOUTS, DatasetSpec, ModalitySpec
from harness.specs.kinds import LabelKind, Layout, Sampler, Schedule


def bounded(
    default: float,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    divides: str | None = None,
) -> Any:
    """Return a dataclass field of a configuration whose values must lie in a range.

    The harness refuses others with the key's name before anything is built.

    Args:
        default: the field's default.
        least: smallest value. above: lower bound, exclusive.
        most: largest value. below: upper bound, exclusive.
        divides: name of the field of the same class that is a multiple of this one.

    Example:
        >>> @dataclass(frozen=True)
        ... class Config:
        ...     dropout: float = bounded(0.1, least=0, below=1)
    """
    given = {"least": least, "above": above, "most": most, "below": below, "divides": divides}
    return field(default=default, metadata={k: v for k, v in given.items() if v is not None})


@dataclass(frozen=True)
class TrainingConfig:
    """The recipe of the harness's one training loop; every field can be set per model and run.

    Of ``epochs`` and ``steps`` the one that is set later holds.

    Attributes:
        epochs: passes over the training split.
        steps: training ends after that many optimiser steps; an epoch stays one pass over the data
            and the last one may be shorter. 0: after ``epochs``.
        batch_size: samples of a training step.
        eval_batch_size: samples of a batch when a split is scored.
        optimizer: ``bertadam`` is Adam without bias correction, with decoupled decay.
        lr: learning rate, after the warm-up.
        weight_decay: decoupled with ``adamw`` and ``bertadam``, else added to the gradient.
        momentum: of ``sgd``.
        amsgrad: the variant of ``adam`` and ``adamw``.
        warmup: with ``bertadam``: share of all steps in which the rate rises from 0.
        schedule: the descent after the warm-up with ``bertadam``: linear or by a cosine.
        clip_norm: gradients are scaled down to this norm; 0: off.
        clip_value: each entry of a gradient is cut at this size; 0: off.
        drop_last: an incomplete last batch of an epoch is left out.
        patience: epochs without improvement on validation that end a run; 0: none do.
        lr_step_epochs: epochs after which the rate is multiplied by ``lr_step_gamma``; 0: never.
        lr_step_gamma: what it is multiplied by.
        sampler: ``shuffle``, or ``class-balanced``: with replacement, weight 1/class count
            (single-label data).
        train_dropout: dropout protocol that training batches are masked under.
    """

    epochs: int = bounded(20, least=1)
    steps: int = bounded(0, least=0)
    batch_size: int = bounded(64, least=1)
    eval_batch_size: int = bounded(64, least=1)
    optimizer: Literal["adamw", "adam", "bertadam", "sgd"] = "adamw"
    lr: float = bounded(1e-3, least=0)
    weight_decay: float = bounded(0.0, least=0)
    momentum: float = bounded(0.0, least=0)
    amsgrad: bool = False
    warmup: float = bounded(0.1, least=0, below=1)
    schedule: Schedule = "linear"
    clip_norm: float = bounded(0.0, least=0)
    clip_value: float = bounded(0.0, least=0)
    drop_last: bool = True
    patience: int = bounded(0, least=0)
    lr_step_epochs: int = bounded(0, least=0)
    lr_step_gamma: float = bounded(1.0, least=0)
    sampler: Sampler = "shuffle"
    train_dropout: str = "full@1"


@dataclass(frozen=True)
class TaskInfo:
    """What a model is built for: the data set's spec as far as a network needs it.

    A checkpoint stores it, so that a model can be rebuilt without its data set. ``layout`` is the
    layout the model is given: ``grid`` only where both the data and the model have it, for a grid
    has a sequence view. ``speakers``: batches say who speaks at each position
    (`harness.data.batch.Batch.speakers`).
    """

    dataset: str
    modalities: tuple[ModalitySpec, ...]
    labels: tuple[str, ...]
    label_kind: LabelKind = "multilabel"
    layout: Layout = "sequence"
    aligned: bool = True
    personality_dim: int = 0
    threshold: float = 0.5
    extras: dict[str, str] = field(default_factory=dict)
    speakers: bool = False

    @property
    def num_labels(self) -> int:
        """Return L, the number of labels."""
        return len(self.labels)

    @property
    def cells(self) -> bool:
        """Return whether the model is given cells of persons x segments (`Batch.grid`)."""
        return LAYOUTS[self.layout].cells

    @classmethod
    def of(
        cls, spec: DatasetSpec, threshold: float, layouts: tuple[Layout, ...] = ("sequence",)
    ) -> TaskInfo:
        """Return the task of a data set at a declared decision threshold.

        ``layouts`` are those the model takes (`ModelSpec.layouts`).
        """
        return cls(
            dataset=spec.name,
            modalities=spec.modalities,
            labels=spec.labels,
            label_kind=spec.label_kind,
            layout=next((view for view in spec.layouts if view in layouts), spec.layout),
            aligned=spec.aligned,
            personality_dim=spec.personality_dim,
            threshold=threshold,
            speakers=bool(spec.party_column),
        )
