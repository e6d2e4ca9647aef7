"""Scores to predictions and metrics: one checkpoint, every dropout protocol, all metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
) -> dict[str, Any]:
    """Return the metrics of scores [N, L] against truth [N, L] in {0, 1}.

    Multi-label scores are decided by ``score > threshold``; single-label ones by arg max, which
    no threshold enters.
    """
    gold = truth.astype(np.uint8)
    if kind == "singlelabel":
        return singlelabel_metrics(gold, argmax(scores), scores, labels)
    return multilabel_metrics(gold, apply(scores, threshold), scores, labels)


def evaluate_parts(
    parts: Sequence[Predictions], labels: Sequence[str], kind: LabelKind, declared: float
) -> tuple[dict[str, Any], float | None]:
    """Return the metrics of all parts, and the threshold tuned on undropped validation data.

    Everything comes from the predictions as stored, so that `harness.api.rescore` finds the same
    figures to the last digit.

    Returns:
        ``{protocol: {split: {"declared": metrics, "tuned": metrics | None}}}`` and the threshold
        (None for single-label data and without a validation split).
    """
    tuned = tuned_threshold(parts, kind)
    metrics: dict[str, Any] = {}
    for part in parts:
        at = {
            "declared": metrics_at(part.scores, part.truth, labels, kind, declared),
            "tuned": None
            if tuned is None
            else metrics_at(part.scores, part.truth, labels, kind, tuned),
        }
        metrics.setdefault(part.protocol, {})[part.split] = at
    return metrics, tuned


def tuned_threshold(parts: Sequence[Predictions], kind: LabelKind) -> float | None:
    """Return the threshold with the best micro-F1 on undropped validation data, if there is any."""
    if kind == "singlelabel":
        return None
    for part in parts:
        if part.protocol == FULL and part.split == VALID:
            return float(tune(part.scores, part.truth.astype(np.uint8)))
    return None


def scalar_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the plain figures of a metrics mapping, without the per-label ones."""
    return {k: float(v) for k, v in metrics.items() if isinstance(v, float | int)}
