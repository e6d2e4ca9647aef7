"""Metrics of stored predictions: every part, threshold and slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.protocols.metrics import multilabel_metrics, point_values, singlelabel_metrics
from harness.protocols.thresholds import MATCHED, apply, argmax, tune, under
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
"""Computes metrics from scores: a function of the signature of `metrics_at`."""


def metrics_at_each(
    scores: NDArray[np.float32],
    truth: NDArray[np.integer],
    labels: Sequence[str],
    kind: LabelKind,
    thresholds: Sequence[float],
    *,
    ranked: bool = True,
) -> list[dict[str, Any]]:
    """Return the metrics of scores at several thresholds in one pass, as `metrics_at` at each."""
    if kind == "singlelabel" or len(thresholds) < 2:
        return [metrics_at(scores, truth, labels, kind, t, ranked=ranked) for t in thresholds]
    decided = np.stack([apply(scores, threshold) for threshold in thresholds]).astype(np.bool_)
    return point_values(kind, truth.astype(np.bool_), decided, scores if ranked else None, labels)


def metrics_of(
    part: Predictions,
    labels: Sequence[str],
    kind: LabelKind,
    thresholds: Sequence[float],
    *,
    ranked: bool = True,
    at: MetricsAt | None = None,
) -> list[dict[str, Any]]:
    """Return the metrics of a part at each threshold, under ``slices`` those of its slices.

    A slice has the number of its ``samples`` and the scalar metrics over these samples alone
    (averages still over all labels); without samples no metrics. Arguments as of
    `metrics_at_each`; ``at`` computes the metrics in its place.
    """

    def each(scores: NDArray[np.float32], truth: NDArray[np.int8]) -> list[dict[str, Any]]:
        if at is None:
            return metrics_at_each(scores, truth, labels, kind, thresholds, ranked=ranked)
        return [at(scores, truth, labels, kind, value, ranked=ranked) for value in thresholds]

    found = each(part.scores, part.truth)
    if not part.slices:
        return found
    slices: list[dict[str, Any]] = [{} for _ in thresholds]
    for name, inside in part.slices.items():
        own = each(part.scores[inside], part.truth[inside]) if inside.any() else []
        for place, here in enumerate(slices):
            here[name] = {"samples": int(inside.sum())}
            here[name] |= scalar_metrics(own[place]) if own else {}
    return [one | {"slices": here} for one, here in zip(found, slices, strict=True)]


@dataclass(frozen=True)
class Metrics:
    """The figures of one part by kind of threshold; None: undefined."""

    part: Predictions
    places: Mapping[str, dict[str, Any] | None]


def places_of(
    part: Predictions,
    labels: Sequence[str],
    kind: LabelKind,
    thresholds: Mapping[str, float | None],
    *,
    ranked: bool = True,
    at: MetricsAt | None = None,
) -> dict[str, dict[str, Any] | None]:
    """Return the metrics of a part at thresholds by kind; None where there is no threshold.

    Arguments as of `metrics_of`.
    """
    known = [value for value in thresholds.values() if value is not None]
    found = iter(metrics_of(part, labels, kind, known, ranked=ranked, at=at))
    return {name: None if value is None else next(found) for name, value in thresholds.items()}


def evaluate_parts(
    parts: Sequence[Predictions],
    labels: Sequence[str],
    kind: LabelKind,
    declared: float,
    *,
    ranked: bool = True,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the metrics of parts, and the thresholds of the run.

    Parts that were selected for one metric alone are left out. Everything comes from the
    predictions as stored, so that `harness.api.rescore` finds the same figures to the last digit.
    Arguments as of `metrics_at`.

    Returns:
        ``{protocol: {split: {"declared": metrics, "tuned": metrics | None}}}``, with a further
        kind ``matched`` under dropout protocols that validation is there of, and
        `thresholds_of` the parts.
    """
    thresholds = thresholds_of(parts, kind, declared, ranked=ranked)
    metrics: dict[str, Any] = {}
    for part in parts:
        if not part.selected_for:
            own = under(thresholds, part.protocol)
            places = places_of(part, labels, kind, own, ranked=ranked)
            metrics.setdefault(part.protocol, {})[part.split] = places
    return metrics, thresholds


def thresholds_of(
    parts: Sequence[Predictions], kind: LabelKind, declared: float, *, ranked: bool = True
) -> dict[str, Any]:
    """Return the thresholds of a run by kind.

    ``tuned`` has the best micro-F1 on undropped validation data: None without it, for single-label
    data and for decisions (``ranked=False``). ``matched`` is there where validation was scored
    under dropout protocols: by protocol the threshold tuned under it. Arguments as of
    `metrics_at`.
    """
    found: dict[str, Any] = {"declared": declared, "tuned": None}
    if kind == "singlelabel" or not ranked:
        return found
    best = {
        part.protocol: float(tune(part.scores, part.truth.astype(np.uint8)))
        for part in parts
        if part.split == VALID and not part.selected_for
    }
    found["tuned"] = best.pop(FULL, None)
    return found | ({MATCHED: best} if best else {})


def leaves(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings with their paths, ``per_label/joy/f1`` for instance."""
    for key, value in values.items():
        name = f"{path}/{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from leaves(value, name)
        else:
            yield name, value


def scalar_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the scalar metrics of a mapping, without those per label."""
    return {k: float(v) for k, v in metrics.items() if isinstance(v, float | int)}
