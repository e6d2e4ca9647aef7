"""Figures of rows that know how generated data was made: each by the decisions best for it.

The decisions of the best micro-F1 bound no other metric. So such a row has further parts,
``selected_for`` the one metric that their decisions maximise; their scores are 0 or 1. A metric
without decisions of its own is undefined there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.engine.evaluate import MetricsAt, metrics_of
from harness.protocols.metrics import METRICS
from harness.records.predictions import Predictions
from harness.records.sums import BOUNDS, threshold_key
from harness.specs import LabelKind

_OF_SCORES = ("micro_f1", "accuracy", "support", "samples")
_PER_LABEL = {"f1": "macro_f1"}


def bound_metrics(
    parts: Sequence[Predictions],
    labels: Sequence[str],
    kind: LabelKind,
    facts: Mapping[str, Any],
    at: MetricsAt | None = None,
) -> dict[str, Any]:
    """Return the figures of a row, ``declared`` and ``tuned`` alike.

    Args:
        parts: scores, and decisions ``selected_for`` a metric; a metric of `BOUNDS` whose part is
            not there is left out.
        labels: L names.
        kind: of the labels.
        facts: of its record: thresholds, and `BOUNDS`.
        at: computes metrics in the place of `harness.engine.evaluate.metrics_at`.
    """
    own = {part.key: part for part in parts if part.selected_for}
    bounds = facts.get(BOUNDS)
    metrics: dict[str, Any] = {}
    for part in (part for part in parts if not part.selected_for):
        threshold = facts.get(threshold_key(part.split), {}).get(part.protocol)
        (found,) = metrics_of(part, labels, kind, [threshold or 0.0], at=at)
        if bounds is not None:
            decided = {
                metric: metrics_of(own[key], labels, kind, [0.5], ranked=False, at=at)[0]
                for metric in bounds
                if (key := (part.split, part.protocol, metric)) in own
            }
            found = _bounded(found, decided, set(bounds) - decided.keys())
        metrics.setdefault(part.protocol, {})[part.split] = {"declared": found, "tuned": found}
    return metrics


def _bounded(
    found: Mapping[str, Any], decided: Mapping[str, Mapping[str, Any]], absent: set[str]
) -> dict[str, Any]:
    """Return figures by the decisions best for each, None where there are none.

    Args:
        found: figures of the scores, and of the decisions of the best micro-F1.
        decided: likewise of the decisions that are best for a metric.
        absent: metrics whose decisions are not at hand: left out.
    """
    shown: dict[str, Any] = {}
    for name, value in found.items():
        if name in absent or _PER_LABEL.get(name) in absent:
            continue
        if isinstance(value, Mapping):
            inner = {m: figures.get(name, {}) for m, figures in decided.items()}
            shown[name] = _bounded(value, inner, absent)
        elif name in decided:
            shown[name] = decided[name][name]
        elif _PER_LABEL.get(name) in decided:
            shown[name] = decided[_PER_LABEL[name]][name]
        else:
            kept = name in _OF_SCORES or (name in METRICS and METRICS[name].from_scores is not None)
            shown[name] = value if kept else None
    return shown
