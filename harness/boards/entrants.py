"""From rows of a board to what the statistics compare: stored predictions, decided and sorted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.boards.frame import REFERENCE_ROLES, SORT_BY, Place
from harness.boards.rows import Row, Table
from harness.errors import DataFormatError, DataMissingError, NoValidationError
from harness.protocols.metrics import metric
from harness.records.committed import CommittedRecords
from harness.records.predictions import Predictions
from harness.records.record import COMPLETE, RunRecord
from harness.records.store import RunStore
from harness.statistics.compare import standings
from harness.statistics.counts import GroupSums, group_sums
from harness.statistics.entrants import Entrant, Measured, samples_digest
from harness.statistics.intervals import over_seeds

log = logging.getLogger("harness")

Reader = Callable[[RunRecord, str, str], Predictions]
"""Gives the predictions of a run under a dropout protocol on a split."""


@dataclass(frozen=True)
class RunSums:
    """What the tests of a table need of a run.

    Attributes:
        samples: digest of what was scored (`harness.statistics.entrants.samples_digest`).
        rows: the parts of `SORT_BY` summed over each of G groups, float64 [G, K].
        splits: as of `harness.statistics.counts.GroupSums`.
    """

    samples: str
    rows: NDArray[np.float64]
    splits: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the sums as JSON values."""
        return {"samples": self.samples, "rows": self.rows.tolist(), "splits": list(self.splits)}

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> RunSums:
        """Return sums from `as_dict`."""
        rows = np.asarray(known["rows"], dtype=np.float64)
        return cls(known["samples"], rows, tuple(known["splits"]))


SumsReader = Callable[[RunRecord, Place], RunSums]
"""Gives the sums of a run at a place; raises as `run_sums`."""


def reader(store: RunStore | CommittedRecords) -> Reader:
    """Return how predictions are read from a store of runs or from exported records.

    The reader raises `DataMissingError` where a run, or the protocol in it, is not there.
    """

    def read(record: RunRecord, protocol: str, split: str) -> Predictions:
        for part in store.parts(record, (split, protocol)):
            return part
        hint = (
            "exported records hold predictions on complete data only; use the runs themselves"
            if isinstance(store, CommittedRecords)
            else "run it again with --rerun"
        )
        raise DataMissingError(
            f"{record.id} has no predictions under {protocol} on {split}: {hint}."
        )

    return read


def entrant(row: Row, key: Place, read: Reader, *, name: str = "", tuned: bool = False) -> Entrant:
    """Return a row's decisions over its seeds, at the declared or the tuned threshold.

    Trivial predictors and the ceiling have no random part: their uncertainty is the samples' alone.

    Raises:
        DataMissingError: predictions, or a tuned threshold, are not there.
        DataFormatError: the seeds were not scored on the same samples.
    """
    runs = row.records
    parts = [_sorted(read(run, key.dropout, key.split)) for run in runs]
    first = parts[0]
    for run, part in zip(runs, parts, strict=True):
        if part.ids != first.ids or not np.array_equal(part.truth, first.truth):
            raise _unlike(run, runs[0])
    decided = [
        _decide(run, part, key.dropout, tuned) for run, part in zip(runs, parts, strict=True)
    ]
    return Entrant(
        name=name or row.label,
        seeds=row.seeds,
        ids=first.ids,
        groups=first.groups,
        labels=tuple(runs[0].dataset["labels"]),
        mask_digest=key.digest,
        cluster_key=runs[0].dataset["group_key"],
        truth=first.truth,
        decided=np.stack(decided),
        deterministic=row.role in REFERENCE_ROLES,
    )


def with_standings(table: Table, sums: SumsReader) -> Table:
    """Return a table whose rows have intervals and rank groups, where predictions are at hand.

    Only complete data and the canonical evaluation: what exported records can give again. Seeds
    that were scored on different samples have none, with a warning.
    """
    if table.place.dropout != COMPLETE or table.place.compat:
        return table
    found: dict[int, Measured] = {}
    for number, row in enumerate(table.rows):
        try:
            # Rank groups are of models over seeds; reference rows have an interval only.
            found[number] = _measured(row, table.place, sums)
        except DataMissingError:
            continue
        except DataFormatError as error:
            log.warning("%s: a row without intervals: %s", table.place.board, error)
    standing = dict(zip(found, standings(list(found.values()), SORT_BY.metric), strict=True))
    places = list(found)
    tests = {
        (first, places[second]): test
        for first, mine in standing.items()
        for second, test in mine.against.items()
    }
    rows = []
    for number, row in enumerate(table.rows):
        if number in standing:
            seeds = over_seeds(found[number].scores).t_interval
            mine = standing[number]
            row = replace(
                row,
                t_interval=seeds,
                sample_interval=mine.sample_ci,
                clusters=mine.n_clusters,
                rank=mine.rank,
            )
        rows.append(row)
    return replace(table, rows=tuple(rows), tests=tests)


def sums_reader(read: Reader) -> SumsReader:
    """Return what computes the sums of runs from their predictions."""
    return lambda record, place: run_sums(record, place, read)


def run_sums(record: RunRecord, place: Place, read: Reader) -> RunSums:
    """Return the sums of `SORT_BY` of a run's decisions at the declared threshold.

    Raises:
        DataMissingError: it has no predictions there.
    """
    part = _sorted(read(record, place.dropout, place.split))
    decided = _decide(record, part, place.dropout, tuned=False)
    labels = tuple(record.dataset["labels"])
    samples = samples_digest(labels, part.ids, part.groups, part.truth, place.digest)
    sums = group_sums(SORT_BY.metric, part.truth, decided[None], part.groups)
    return RunSums(samples, sums.rows[0], sums.splits)


def _measured(row: Row, place: Place, sums: SumsReader) -> Measured:
    """Return what is tested of a row over its seeds; raises as `entrant`."""
    runs = row.records
    each = [sums(run, place) for run in runs]
    for run, one in zip(runs, each, strict=True):
        if one.samples != each[0].samples:
            raise _unlike(run, runs[0])
    definition = metric(SORT_BY.metric)
    stacked = GroupSums(definition, np.stack([one.rows for one in each]), each[0].splits)
    return Measured(row.label, row.seeds, each[0].samples, stacked)


def _unlike(run: RunRecord, first: RunRecord) -> DataFormatError:
    return DataFormatError(
        f"{run.id} and {first.id} are seeds of one model, but were scored on different "
        "samples. Run one of them again with --rerun."
    )


def _sorted(part: Predictions) -> Predictions:
    order: Sequence[int] = sorted(range(len(part.ids)), key=part.ids.__getitem__)
    return replace(
        part,
        ids=tuple(part.ids[i] for i in order),
        groups=tuple(part.groups[i] for i in order),
        scores=part.scores[order],
        truth=part.truth[order],
    )


def _decide(record: RunRecord, part: Predictions, protocol: str, tuned: bool) -> NDArray[np.uint8]:
    from harness.protocols.thresholds import apply, argmax

    if record.dataset["label_kind"] == "singlelabel":
        return argmax(part.scores)
    place = "tuned" if tuned else "declared"
    at = record.threshold[place]
    if record.role == "ceiling":
        at = record.facts.get("threshold_on_test", {}).get(protocol, at)
    if at is None and tuned:
        raise NoValidationError(record.dataset["name"], "a tuned threshold")
    return apply(part.scores, 0.0 if at is None else float(at))
