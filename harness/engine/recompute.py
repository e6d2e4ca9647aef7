"""Figures of a record computed again from its predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.engine.bounds import bound_metrics
from harness.engine.evaluate import Metrics, MetricsAt, leaves, places_of
from harness.engine.printed import printed
from harness.protocols.metrics import METRICS
from harness.protocols.thresholds import under
from harness.records.predictions import Predictions
from harness.records.record import ORACLES, RunRecord, finite

_FLOAT32 = 1e-6


@dataclass(frozen=True)
class Difference:
    """A figure of a record that its predictions do not give again.

    ``figure`` is the path below ``metrics[protocol][split][threshold]``, ``per_label/joy/f1`` for
    instance; empty where the record lacks the threshold altogether.
    """

    protocol: str
    split: str
    threshold: str
    figure: str
    stored: float | None
    found: float | None

    def __str__(self) -> str:
        return f"{self.protocol} {self.split} {self.threshold} {self.figure}".rstrip()


@dataclass(frozen=True)
class Comparison:
    """The number of figures that were compared, and those that differ."""

    compared: int
    differences: tuple[Difference, ...]


def disagreements(record: RunRecord, parts: Sequence[Predictions]) -> list[str]:
    """Return the figures of a record that predictions at its own thresholds do not give again."""
    return [str(d) for d in recompute(record, parts).differences]


def recompute(
    record: RunRecord,
    parts: Sequence[Predictions],
    at: MetricsAt | None = None,
    tolerance: float = 1e-9,
) -> Comparison:
    """Compute the figures of a record again from predictions at its own thresholds.

    Compared are the metrics that the record holds and that are registered: a metric that was added
    since is missing in the record and makes it no less valid. Thresholds of a ceiling or observer
    stand in its ``facts``. Before result version 2 metrics of scores were summed in float32.

    Args:
        record: a finished run.
        parts: its predictions, or some of them.
        at: a second implementation of the metrics; None: the harness's own.
        tolerance: largest difference; relative for values above 1. Sums may differ in their last
            bits between machines.
    """
    labels, kind = record.dataset["labels"], record.dataset["label_kind"]
    ranked = not record.facts.get("decisions", False)
    again: dict[str, Any] = {}
    others: list[Metrics] = []
    if record.role in ORACLES:
        again = bound_metrics(parts, labels, kind, record.facts, at)
    for part in parts if record.role not in ORACLES else ():
        thresholds = under(record.threshold, part.protocol)
        thresholds["declared"] = thresholds["declared"] or 0.0
        if thresholds["tuned"] is None:
            del thresholds["tuned"]
        places = places_of(part, labels, kind, thresholds, ranked=ranked, at=at)
        if part.selected_for:
            others.append(Metrics(part, places))
        else:
            again.setdefault(part.protocol, {})[part.split] = places
    compared, wrong = 0, []
    for protocol, by_split in finite(printed(record.compat, again, others)).items():
        for split, places in by_split.items():
            stored = record.metrics.get(protocol, {}).get(split, {})
            for place, metrics in places.items():
                if stored.get(place) is None:
                    if kind != "singlelabel":
                        wrong.append(Difference(protocol, split, place, "", None, None))
                    continue
                old, new = dict(leaves(stored[place])), dict(leaves(metrics))
                shared = old.keys() & new.keys()
                compared += len(shared)
                wrong += [
                    Difference(protocol, split, place, figure, old[figure], new[figure])
                    for figure in new
                    if figure in shared
                    and not _equal(old[figure], new[figure], _tolerance(record, figure, tolerance))
                ]
    return Comparison(compared, tuple(wrong))


def _tolerance(record: RunRecord, figure: str, tolerance: float) -> float:
    metric = METRICS.get(figure.rpartition("/")[2])
    ranked = metric is not None and metric.from_scores is not None
    return max(tolerance, _FLOAT32) if ranked and record.result_version < 2 else tolerance


def _equal(old: Any, new: Any, tolerance: float) -> bool:
    if isinstance(old, float | int) and isinstance(new, float | int):
        return abs(old - new) <= tolerance * max(1.0, abs(old))
    return bool(old == new)
