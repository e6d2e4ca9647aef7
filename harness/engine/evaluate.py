"""Metrics of stored predictions: every part, threshold and slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.protocols.metrics import multilabel_metrics, singlelabel_metrics
from harness.protocols.thresholds import apply, argmax, tune
from harness.records.predictions import Predictions
from harness.specs import LabelKind

FULL = "full@1"
VALID = "valid"
TEST = "test"


def metrics_at(
    scores: NDArray[np.float32],
    truth: NDArray[np.integer],
    labels: Sequence[str],
    kind: LabelKind,
    threshold: float,
    *,
    ranked: bool = True,
) -> dict[str, Any]:
    """Return the metrics of scores, decided by threshold or, for single-label data, by arg max.

    Args:
        scores: float32 [N, L].
        truth: [N, L] in {0, 1}.
        labels: L names.
        kind: kind of the labels.
        threshold: a multi-label score is positive strictly above it.
        ranked: false: the scores are decisions, so there is no average precision.
    """
    gold, order = truth.astype(np.uint8), scores if ranked else None
    if kind == "singlelabel":
        return singlelabel_metrics(gold, argmax(scores), order, labels)
    return multilabel_metrics(gold, apply(scores, threshold), order, labels)


MetricsAt = Callable[..., dict[str, Any]]
"""Computes metrics from scores: `metrics_at`, or another function of its signature."""


def metrics_of(
    part: Predictions,
    labels: Sequence[str],
    kind: LabelKind,
    threshold: float,
    *,
    ranked: bool = True,
    at: MetricsAt = metrics_at,
) -> dict[str, Any]:
    """Return the metrics of a part and, under ``slices``, those of its slices where it has any.

    A slice has the number of its ``samples`` and the scalar metrics over these samples alone
    (averages still over all labels); without samples no metrics. Arguments as of `metrics_at`;
    ``at`` computes the metrics.
    """
    found = at(part.scores, part.truth, labels, kind, threshold, ranked=ranked)
    slices: dict[str, Any] = {}
    for name, inside in part.slices.items():
        slices[name] = {"samples": int(inside.sum())}
        if inside.any():
            scores, truth = part.scores[inside], part.truth[inside]
            own = at(scores, truth, labels, kind, threshold, ranked=ranked)
            slices[name] |= {k: v for k, v in own.items() if isinstance(v, float | int)}
    return {**found, "slices": slices} if slices else found


@dataclass(frozen=True)
class Metrics:
    """The figures of one part by threshold kind, ``declared`` and ``tuned``; None: undefined."""

    part: Predictions
    places: Mapping[str, dict[str, Any] | None]


def places_of(
    part: Predictions,
    labels: Sequence[str],
    kind: LabelKind,
    thresholds: Mapping[str, float | None],
    *,
    ranked: bool = True,
    at: MetricsAt = metrics_at,
) -> dict[str, dict[str, Any] | None]:
    """Return the metrics of a part at thresholds by kind; None where there is no threshold.

    Arguments as of `metrics_of`.
    """
    return {
        name: None if value is None else metrics_of(part, labels, kind, value, ranked=ranked, at=at)
        for name, value in thresholds.items()
    }


def evaluate_parts(
    parts: Sequence[Predictions],
    labels: Sequence[str],
    kind: LabelKind,
    declared: float,
    *,
    ranked: bool = True,
) -> tuple[dict[str, Any], float | None]:
    """Return the metrics of parts, and the threshold tuned on undropped validation data.

    Parts that were selected for one metric alone are left out. Everything comes from the
    predictions as stored, so that `harness.api.rescore` finds the same figures to the last digit.
    Decisions (``ranked=False``) have no tuned threshold. Arguments as of `metrics_at`.

    Returns:
        ``{protocol: {split: {"declared": metrics, "tuned": metrics | None}}}`` and the threshold
        (None for single-label data and without a validation split).
    """
    tuned = tuned_threshold(parts, kind) if ranked else None
    thresholds = {"declared": declared, "tuned": tuned}
    metrics: dict[str, Any] = {}
    for part in parts:
        if not part.selected_for:
            places = places_of(part, labels, kind, thresholds, ranked=ranked)
            metrics.setdefault(part.protocol, {})[part.split] = places
    return metrics, tuned


def leaves(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings with their paths, ``per_label/joy/f1`` for instance."""
    for key, value in values.items():
        name = f"{path}/{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from leaves(value, name)
        else:
            yield name, value


def tuned_threshold(parts: Sequence[Predictions], kind: LabelKind) -> float | None:
    """Return the threshold with the best micro-F1 on undropped validation data; None without it."""
    if kind == "singlelabel":
        return None
    for part in parts:
        if part.protocol == FULL and part.split == VALID:
            return float(tune(part.scores, part.truth.astype(np.uint8)))
    return None


def scalar_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the scalar metrics of a mapping, without those per label."""
    return {k: float(v) for k, v in metrics.items() if isinstance(v, float | int)}
