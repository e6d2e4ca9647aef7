"""Metrics of stored predictions: every part, threshold and slice; and the same computed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.protocols.metrics import multilabel_metrics, singlelabel_metrics
from harness.protocols.thresholds import apply, argmax, tune
from harness.records.predictions import Predictions
from harness.records.record import RunRecord, finite
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


def evaluate_parts(
    parts: Sequence[Predictions],
    labels: Sequence[str],
    kind: LabelKind,
    declared: float,
    *,
    ranked: bool = True,
) -> tuple[dict[str, Any], float | None]:
    """Return the metrics of all parts, and the threshold tuned on undropped validation data.

    Everything comes from the predictions as stored, so that `harness.api.rescore` finds the same
    figures to the last digit. Decisions (``ranked=False``) have no tuned threshold. Arguments as
    of `metrics_at`.

    Returns:
        ``{protocol: {split: {"declared": metrics, "tuned": metrics | None}}}`` and the threshold
        (None for single-label data and without a validation split).
    """
    tuned = tuned_threshold(parts, kind) if ranked else None
    metrics: dict[str, Any] = {}
    for part in parts:
        at = {
            "declared": metrics_of(part, labels, kind, declared, ranked=ranked),
            "tuned": None if tuned is None else metrics_of(part, labels, kind, tuned),
        }
        metrics.setdefault(part.protocol, {})[part.split] = at
    return metrics, tuned


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
    at: MetricsAt = metrics_at,
    tolerance: float = 1e-9,
) -> Comparison:
    """Compute the figures of a record again from predictions at its own thresholds.

    Compared are the metrics that the record holds and that are registered: a metric that was added
    since is missing in the record and makes it no less valid. The ceiling's threshold stands in
    its ``facts``.

    Args:
        record: a finished run.
        parts: its predictions, or some of them.
        at: computes the metrics; `metrics_at`, or a second implementation.
        tolerance: largest difference; relative for values above 1. Sums may differ in their last
            bits between machines.
    """
    labels, kind = record.dataset["labels"], record.dataset["label_kind"]
    ranked = not record.facts.get("decisions", False)
    on_test = record.facts.get("threshold_on_test", {}) if record.role == "ceiling" else {}
    again: dict[str, Any] = {}
    for part in parts:
        places = {}
        for name in ("declared", "tuned"):
            known = on_test.get(part.protocol, record.threshold[name])
            if record.role == "ceiling" or known is not None or name == "declared":
                value = 0.0 if known is None else float(known)
                places[name] = metrics_of(part, labels, kind, value, ranked=ranked, at=at)
        again.setdefault(part.protocol, {})[part.split] = places
    compared, wrong = 0, []
    for protocol, by_split in finite(as_printed(again, record.compat)).items():
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
                    if figure in shared and not _equal(old[figure], new[figure], tolerance)
                ]
    return Comparison(compared, tuple(wrong))


def leaves(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings with their paths, ``per_label/joy/f1`` for instance."""
    for key, value in values.items():
        name = f"{path}/{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from leaves(value, name)
        else:
            yield name, value


def _equal(old: Any, new: Any, tolerance: float) -> bool:
    if isinstance(old, float | int) and isinstance(new, float | int):
        return abs(old - new) <= tolerance * max(1.0, abs(old))
    return bool(old == new)


def as_printed(metrics: dict[str, Any], compat: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return metrics as an author's evaluation prints them; unchanged where ``compat`` is None.

    Parts named ``<protocol>#<metric>`` come from the epoch that was
    selected for that metric alone: their figure takes the place of the one beside it. The figures
    per label and per slice stay as they are, for no author prints them.
    """
    if compat is None:
        return metrics
    printed: dict[str, Any] = {}
    for protocol, by_split in metrics.items():
        if "#" not in protocol:
            printed[protocol] = {
                split: {k: None if v is None else dict(v) for k, v in places.items()}
                for split, places in by_split.items()
            }
    for protocol, by_split in metrics.items():
        base, _, metric = protocol.partition("#")
        for split, places in by_split.items() if metric else ():
            for place, figures in places.items():
                if figures is not None:
                    printed[base][split][place][metric] = figures[metric]
    for figures in (f for s in printed.values() for p in s.values() for f in p.values()):
        if figures is not None:
            figures["jaccard"] = round(figures["jaccard"], int(compat["acc_round"]))
            if compat["swap_pr"]:
                figures |= {"micro_p": figures["micro_r"], "micro_r": figures["micro_p"]}
    return printed


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
