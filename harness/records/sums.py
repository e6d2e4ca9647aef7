"""What an export holds in the place of predictions: sums over clusters of samples.

That is so under every dropout protocol, for predictions under forty of them are large, and on
complete data where samples may not be passed on. From sums follows every metric of decisions, and
where they are over clusters its intervals and its tests; scores do not, nor what needs them:
average precision, figures of single labels and of slices, other thresholds. There the record's own
values are kept, and where a row has decisions of its own for a metric (`BOUNDS`). Under dropout
`RANKED` has a sum a cluster, every other metric one of all samples.

Clusters are the groups of the data. Where samples may not be passed on, groups are numbered in an
order that their names do not tell, and joined until each cluster has `LEAST` samples, so that no
row stands for one.
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

from harness.errors import DataFormatError, DataMissingError, NoValidationError
from harness.protocols import metrics
from harness.records.predictions import Predictions
from harness.records.record import COMPLETE, ORACLES, RunRecord
from harness.statistics.counts import GroupSums, group_sums
from harness.statistics.entrants import samples_digest

LEAST = 5
COLUMNS = ["threshold", "metric", "cluster", "sums"]
TABLE = ["run", "protocol", "threshold", "metric", "samples", "width", "splits", "counts", "sums"]
TOLERANCE = 1e-9
SPLIT = "test"
RANKED = "micro_f1"
BOUNDS = "bounds"
"""Key in a record's facts: metrics with decisions of their own, which no threshold gives."""


def closed(record: RunRecord) -> bool:
    """Return whether the samples of a record's data may not be passed on."""
    return record.dataset.get("redistribute", True) is False


@dataclass(frozen=True)
class ExportedSums:
    """Sums of a run over clusters of its test samples under one dropout protocol.

    Attributes:
        samples: digest of what was scored, as of `harness.statistics.entrants.samples_digest`.
        parts: per threshold (``declared``, ``tuned``) and metric the sums over each of G clusters,
            or over all of them, float64 [G, K] or [1, K], and where in K each part but the first
            starts.
        protocol: what was scored under.
    """

    samples: str
    parts: Mapping[tuple[str, str], tuple[NDArray[np.float64], tuple[int, ...]]]
    protocol: str = COMPLETE

    @property
    def clusters(self) -> int:
        """Return G."""
        return max((len(rows) for rows, _ in self.parts.values()), default=0)

    def resampled(self, tuned: bool) -> list[str]:
        """Return the metrics with a sum a cluster at a threshold."""
        at = "tuned" if tuned else "declared"
        known = self.parts.items()
        return [name for (where, name), (rows, _) in known
                if where == at and len(rows) == self.clusters]  # fmt: skip

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
        stored = record.metrics.get(self.protocol, {}).get(SPLIT, {})
        for threshold, metric in self.parts:
            value = self.of(metric, threshold == "tuned").per_seed()[0]
            known = (stored.get(threshold) or {}).get(metric)
            if known is None or abs(value - float(known)) > TOLERANCE:
                where = "" if self.protocol == COMPLETE else f"{self.protocol} "
                found.append(
                    f"{where}{metric} {threshold} (sums give {value:.6f}, the record {known})"
                )
        return found


def threshold_key(split: str) -> str:
    """Return where a ceiling's or observer's facts hold thresholds on a split, by protocol."""
    return f"threshold_on_{split}"


def decide(
    record: RunRecord, part: Predictions, protocol: str, tuned: bool, *, matched: bool = False
) -> NDArray[np.uint8]:
    """Return a run's decisions uint8 [N, L] at one of its thresholds, or by argmax.

    Args:
        record: the run.
        part: its scores.
        protocol: the dropout protocol, for a ceiling's own thresholds.
        tuned: at the threshold tuned on validation, else at the declared one.
        matched: at the one tuned on validation under this protocol instead.

    Raises:
        NoValidationError: there is no tuned threshold.
        DataMissingError: validation was not scored under the protocol.
    """
    from harness.protocols.thresholds import MATCHED, apply, argmax

    if record.dataset["label_kind"] == "singlelabel":
        return argmax(part.scores)
    at = record.threshold["tuned" if tuned or matched else "declared"]
    if matched and protocol != COMPLETE:
        at = record.threshold.get(MATCHED, {}).get(protocol)
        if at is None and record.role not in ORACLES:
            raise DataMissingError(
                f"{record.id} has no threshold that was tuned under {protocol}: run it again."
            )
    if record.role in ORACLES:
        at = record.facts.get(threshold_key(part.split), {}).get(protocol, at)
    if at is None and (tuned or matched):
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
    """Return what is exported of a run in the place of predictions.

    Args:
        record: a finished run.
        part: its test predictions under a dropout protocol.
    """
    protocol = part.protocol
    mask = str(record.protocols["dropout"].get(protocol, {}).get(SPLIT, {}).get("digest", ""))
    labels = tuple(record.dataset["labels"])
    order = sorted(range(len(part.ids)), key=part.ids.__getitem__)
    ids, groups = ([names[i] for i in order] for names in (part.ids, part.groups))
    own = clusters(groups, record.dataset["content_hash"]) if closed(record) else groups
    together = [""] * len(own)
    truth = part.truth[order]
    bounds = record.facts.get(BOUNDS) or ()
    parts = {}
    for threshold, known in record.metrics[protocol][SPLIT].items():
        if known is None:
            continue
        decided = decide(record, part, protocol, threshold == "tuned")[order]
        for metric in metrics.summed():
            if known.get(metric) is not None and metric not in bounds:
                apart = protocol == COMPLETE or metric == RANKED
                sums = group_sums(metric, truth, decided[None], own if apart else together)
                parts[threshold, metric] = (sums.rows[0], sums.splits)
    return ExportedSums(samples_digest(labels, ids, groups, truth, mask), parts, protocol)


def to_table(runs: Mapping[str, Sequence[ExportedSums]]) -> Any:
    """Return the sums of runs as an Arrow table: a row a run, protocol, threshold and metric.

    ``width`` is K, ``splits`` as of `ExportedSums`; the sums [G, K] stand row by row in ``counts``
    where all of them are whole numbers, else in ``sums``.
    """
    import pyarrow as pa

    columns: dict[str, list[Any]] = {name: [] for name in TABLE}
    for run, found in runs.items():
        for one in found:
            for (threshold, metric), (rows, splits) in one.parts.items():
                flat = rows.ravel()
                whole = bool((flat == np.rint(flat)).all()) and float(np.abs(flat).max()) < 2**31
                line = (
                    run, one.protocol, threshold, metric, one.samples, rows.shape[1],
                    list(splits), flat.astype(np.int32) if whole else None,
                    None if whole else flat,
                )  # fmt: skip
                for name, value in zip(TABLE, line, strict=True):
                    columns[name].append(value)
    kinds = {"width": pa.int32(), "splits": pa.list_(pa.int32()), "counts": pa.list_(pa.int32()),
             "sums": pa.list_(pa.float64())}  # fmt: skip
    return pa.table({n: pa.array(v, kinds.get(n, pa.string())) for n, v in columns.items()})


def of_table(table: Any, name: str) -> dict[str, list[ExportedSums]]:
    """Return the sums that a table of `to_table` holds, by run.

    Args:
        table: the table.
        name: of its file, for messages.

    Raises:
        DataFormatError: it holds something else.
    """
    if table.column_names != TABLE:
        raise DataFormatError(f"{name}: found columns {', '.join(table.column_names)}.")
    found: dict[tuple[str, str, str], dict[tuple[str, str], Any]] = {}
    for row in table.to_pylist():
        flat = row["sums"] if row["counts"] is None else row["counts"]
        rows = np.asarray(flat, dtype=np.float64).reshape(-1, row["width"])
        own = found.setdefault((row["run"], row["protocol"], row["samples"]), {})
        own[row["threshold"], row["metric"]] = (rows, tuple(row["splits"]))
    by_run: dict[str, list[ExportedSums]] = {}
    for (run, protocol, samples), parts in found.items():
        by_run.setdefault(run, []).append(ExportedSums(samples, parts, protocol))
    return by_run


def from_table(table: Any, name: str) -> ExportedSums:
    """Return the sums that a file of one run holds, as exports had them before `to_table`.

    Args:
        table: a row a threshold, metric and cluster.
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
