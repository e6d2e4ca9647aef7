"""What an export holds of a run on data that may not be passed on: sums over numbered clusters.

From the sums follow every metric of decisions, its intervals and its tests; neither ids nor truth
nor scores do. Groups are numbered in an order that their names do not tell, and joined until each
cluster has `LEAST` samples, so that no row stands for one. Average precision does not follow from
sums: the record's own value is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataFormatError, NoValidationError
from harness.protocols import metrics
from harness.records.predictions import Predictions
from harness.records.record import COMPLETE, ORACLES, RunRecord
from harness.statistics.counts import GroupSums, group_sums
from harness.statistics.entrants import samples_digest

LEAST = 5
COLUMNS = ["threshold", "metric", "cluster", "sums"]
TOLERANCE = 1e-9
SPLIT = "test"


def closed(record: RunRecord) -> bool:
    """Return whether the samples of a record's data may not be passed on."""
    return record.dataset.get("redistribute", True) is False


@dataclass(frozen=True)
class ExportedSums:
    """Sums of a run over clusters of its test samples, on complete data.

    Attributes:
        samples: digest of what was scored, as of `harness.statistics.entrants.samples_digest`.
        parts: per threshold (``declared``, ``tuned``) and metric the sums over each of G clusters,
            float64 [G, K], and where in K each part but the first starts.
    """

    samples: str
    parts: Mapping[tuple[str, str], tuple[NDArray[np.float64], tuple[int, ...]]]

    def of(self, metric: str, tuned: bool = False) -> GroupSums:
        """Return a metric's sums for the one seed of the run.

        Args:
            metric: its name.
            tuned: at the threshold tuned on validation.

        Raises:
            DataFormatError: the export does not hold them.
        """
        place = ("tuned" if tuned else "declared", metric)
        if place not in self.parts:
            raise DataFormatError(
                f"the exported sums do not hold {metric!r} at the {place[0]} threshold; they hold "
                f"{', '.join(sorted({name for _, name in self.parts}))}."
            )
        rows, splits = self.parts[place]
        return GroupSums(metrics.metric(metric), rows[None], splits)

    def disagreements(self, record: RunRecord) -> list[str]:
        """Return the figures of a record that the sums do not give again."""
        found = []
        stored = record.metrics[COMPLETE][SPLIT]
        for threshold, metric in self.parts:
            value = self.of(metric, threshold == "tuned").per_seed()[0]
            known = (stored.get(threshold) or {}).get(metric)
            if known is None or abs(value - float(known)) > TOLERANCE:
                found.append(f"{metric} {threshold} (sums give {value:.6f}, the record {known})")
        return found


def threshold_key(split: str) -> str:
    """Return where a ceiling's or observer's facts hold thresholds on a split, by protocol."""
    return f"threshold_on_{split}"


def decide(record: RunRecord, part: Predictions, protocol: str, tuned: bool) -> NDArray[np.uint8]:
    """Return a run's decisions uint8 [N, L] at its declared or tuned threshold, or by argmax.

    Args:
        record: the run.
        part: its scores.
        protocol: the dropout protocol, for a ceiling's own thresholds.
        tuned: at the threshold tuned on validation.

    Raises:
        NoValidationError: there is no tuned threshold.
    """
    from harness.protocols.thresholds import apply, argmax

    if record.dataset["label_kind"] == "singlelabel":
        return argmax(part.scores)
    at = record.threshold["tuned" if tuned else "declared"]
    if record.role in ORACLES:
        at = record.facts.get(threshold_key(part.split), {}).get(protocol, at)
    if at is None and tuned:
        raise NoValidationError(record.dataset["name"], "a tuned threshold")
    return apply(part.scores, 0.0 if at is None else float(at))


def clusters(groups: Sequence[str], content_hash: str) -> list[str]:
    """Return the cluster of each sample: ``0000``, ``0001``, ...; equal groups have equal ones.

    Args:
        groups: N names.
        content_hash: of the data; it makes the order.
    """
    sizes = Counter(groups)
    order = sorted(sizes, key=lambda g: hashlib.sha256(f"{content_hash}:{g}".encode()).digest())
    number: dict[str, int] = {}
    current, filled = 0, 0
    for group in order:
        if filled >= LEAST:
            current, filled = current + 1, 0
        number[group] = current
        filled += sizes[group]
    if filled < LEAST and current:  # the last cluster joins the one before it
        number = {group: min(place, current - 1) for group, place in number.items()}
    return [f"{number[group]:04d}" for group in groups]


def sums_of(record: RunRecord, part: Predictions) -> ExportedSums:
    """Return what is exported of a run.

    Args:
        record: a finished run.
        part: its test predictions on complete data.
    """
    mask = str(record.protocols["dropout"][COMPLETE][SPLIT].get("digest", ""))
    labels = tuple(record.dataset["labels"])
    order = sorted(range(len(part.ids)), key=part.ids.__getitem__)
    ids, groups = ([names[i] for i in order] for names in (part.ids, part.groups))
    own = clusters(groups, record.dataset["content_hash"])
    truth = part.truth[order]
    parts = {}
    for threshold, known in record.metrics[COMPLETE][SPLIT].items():
        if known is None:
            continue
        decided = decide(record, part, COMPLETE, threshold == "tuned")[order]
        for metric in metrics.summed():
            if known.get(metric) is not None:
                sums = group_sums(metric, truth, decided[None], own)
                parts[threshold, metric] = (sums.rows[0], sums.splits)
    return ExportedSums(samples_digest(labels, ids, groups, truth, mask), parts)


def to_table(sums: ExportedSums) -> Any:
    """Return the sums as an Arrow table: a row a threshold, metric and cluster."""
    import pyarrow as pa

    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for (threshold, metric), (rows, _) in sums.parts.items():
        for cluster, row in enumerate(rows.tolist()):
            for name, value in zip(COLUMNS, (threshold, metric, cluster, row), strict=True):
                columns[name].append(value)
    about = {
        "samples": sums.samples,
        "splits": {metric: list(splits) for (_, metric), (_, splits) in sums.parts.items()},
    }
    return pa.table(columns).replace_schema_metadata({"sums": json.dumps(about)})


def from_table(table: Any, name: str) -> ExportedSums:
    """Return the sums that a table holds.

    Args:
        table: as of `to_table`.
        name: of its file, for messages.

    Raises:
        DataFormatError: it holds something else.
    """
    about = (table.schema.metadata or {}).get(b"sums")
    if table.column_names != COLUMNS or about is None:
        raise DataFormatError(
            f"{name}: found columns {', '.join(table.column_names)}; expected sums over clusters, "
            "for this data may not be passed on."
        )
    said = json.loads(about)
    rows: dict[tuple[str, str], list[list[float]]] = {}
    for row in table.to_pylist():
        rows.setdefault((row["threshold"], row["metric"]), []).append(row["sums"])
    parts = {
        place: (np.asarray(found, dtype=np.float64), tuple(said["splits"][place[1]]))
        for place, found in rows.items()
    }
    return ExportedSums(said["samples"], parts)
