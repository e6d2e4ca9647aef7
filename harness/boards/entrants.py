"""From rows of a board to what the statistics compare: stored predictions, decided and sorted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.boards.frame import REFERENCE_ROLES, SORT_BY, Place, digest_of, twin_of
from harness.boards.rows import Row, Table
from harness.boards.shares import with_intervals
from harness.errors import DataFormatError, DataMissingError, NoValidationError
from harness.protocols.metrics import metric
from harness.records.committed import CommittedRecords
from harness.records.predictions import Predictions
from harness.records.record import COMPLETE, RunRecord
from harness.records.store import RunStore
from harness.records.sums import SPLIT, ExportedSums, closed, decide
from harness.statistics.compare import standings
from harness.statistics.counts import GroupSums, group_sums
from harness.statistics.entrants import (
    AnyEntrant,
    Entrant,
    SummedEntrant,
    TwinsEntrant,
    samples_digest,
)
from harness.statistics.intervals import over_seeds
from harness.statistics.measured import Measured, Part

log = logging.getLogger("harness")

Reader = Callable[[RunRecord, str, str], Predictions]
"""Gives the predictions of a run under a dropout protocol on a split."""


@dataclass(frozen=True)
class RunSums:
    """What the tests of a table need of a run.

    Attributes:
        samples: digest of what was scored (`harness.statistics.entrants.samples_digest`).
        rows: the parts of micro-F1 summed over each of G groups, float64 [G, K].
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


SumsReader = Callable[[RunRecord, Place, bool], RunSums]
"""Gives the sums of a run at a place, at the tuned threshold or not; raises as `run_sums`."""


class StoreReader:
    """Reads predictions from a store of runs or from exported records.

    Args:
        store: the runs.
    """

    def __init__(self, store: RunStore | CommittedRecords) -> None:
        self._store = store

    def __call__(self, record: RunRecord, protocol: str, split: str) -> Predictions:
        """Return a run's predictions.

        Args:
            record: the run.
            protocol: dropout protocol.
            split: name of the split.

        Raises:
            DataMissingError: the run, or the protocol in it, is not there.
        """
        for part in self._store.parts(record, (split, protocol)):
            return part
        hint = (
            "the exported records do not hold them; use the runs themselves"
            if isinstance(self._store, CommittedRecords)
            else "run it again with --rerun"
        )
        raise DataMissingError(
            f"{record.id} has no predictions under {protocol} on {split}: {hint}."
        )

    def exported(self, record: RunRecord, place: Place) -> ExportedSums | None:
        """Return the sums that an export holds in the place of predictions; None: it has none.

        Args:
            record: the run.
            place: what was scored.
        """
        if place.split != SPLIT or not isinstance(self._store, CommittedRecords):
            return None
        known = self._store.every_sums(record)
        return next((one for one in known if one.protocol == place.dropout), None)


def reader(store: RunStore | CommittedRecords) -> Reader:
    """Return how predictions are read from a store of runs or from exported records."""
    return StoreReader(store)


def _exported(read: Reader, record: RunRecord, place: Place) -> ExportedSums | None:
    return read.exported(record, place) if isinstance(read, StoreReader) else None


def entrant(
    row: Row,
    key: Place,
    read: Reader,
    *,
    name: str = "",
    tuned: bool = False,
    matched: bool = False,
) -> AnyEntrant:
    """Return a row's decisions over its seeds.

    Trivial predictors and the ceiling have no random part: their uncertainty is the samples' alone.

    Args:
        row: of a table.
        key: what was scored.
        read: gives predictions.
        name: of the entrant; empty: the row's label.
        tuned: at the threshold tuned on validation, else at the declared one.
        matched: at the one tuned on validation under the protocol that is scored instead.

    Raises:
        DataMissingError: predictions, or a tuned or matched threshold, are not there.
        DataFormatError: seeds on the same data were not scored on the same samples.
    """
    each = tuple(
        _on_one(replace(row, records=runs), key, read, name, tuned, matched)
        for runs in by_twin(row.records).values()
    )
    return each[0] if len(each) == 1 else TwinsEntrant(each)


def by_twin(records: Iterable[RunRecord]) -> dict[int, tuple[RunRecord, ...]]:
    """Return runs by the number of their twin, in order; real data are one."""
    found: dict[int, list[RunRecord]] = {}
    for record in records:
        found.setdefault(twin_of(record), []).append(record)
    return {twin: tuple(found[twin]) for twin in sorted(found)}


def _on_one(row: Row, key: Place, read: Reader, name: str, tuned: bool, matched: bool) -> Entrant:
    """Return what a row's seeds, all on one twin or on real data, decided."""
    runs = row.records
    held = [_exported(read, run, key) for run in runs]
    if held[0] is not None:
        return _summed_entrant(row, key, [h for h in held if h is not None], name, tuned or matched)
    parts = [_sorted(read(run, key.dropout, key.split)) for run in runs]
    first = parts[0]
    for run, part in zip(runs, parts, strict=True):
        if part.ids != first.ids or not np.array_equal(part.truth, first.truth):
            raise _unlike(run, runs[0])
    decided = [
        decide(run, part, key.dropout, tuned, matched=matched)
        for run, part in zip(runs, parts, strict=True)
    ]
    return Entrant(
        name=name or row.label,
        seeds=row.seeds,
        ids=first.ids,
        groups=first.groups,
        labels=tuple(runs[0].dataset["labels"]),
        mask_digest=digest_of(runs[0], key.dropout, key.split),
        cluster_key=runs[0].dataset["group_key"],
        truth=first.truth,
        decided=np.stack(decided),
        deterministic=row.role in REFERENCE_ROLES,
        twin=twin_of(runs[0]),
    )


def with_standings(table: Table, sums: SumsReader) -> Table:
    """Return a table whose rows have intervals and rank letters, where predictions are at hand.

    Only complete data and the canonical evaluation: what exported records can give again. Seeds
    that were scored on different samples have none, with a warning.
    """
    if table.place.dropout != COMPLETE or table.place.compat:
        return table
    found: dict[int, Measured] = {}
    for number, row in enumerate(table.rows):
        try:
            found[number] = _measured(row, table.place, sums)
        except (DataMissingError, NoValidationError):
            continue
        except DataFormatError as error:
            log.warning("%s: a row without intervals: %s", table.place.board, error)
    places = list(found)
    alone = {n for n, place in enumerate(places) if not table.rows[place].ranked}
    made = standings(list(found.values()), SORT_BY.metric, unranked=alone)
    standing = dict(zip(places, made, strict=True))
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
    return replace(table, rows=tuple(with_intervals(rows, found)), tests=tests)


def sums_reader(read: Reader) -> SumsReader:
    """Return what computes the sums of runs from their predictions."""
    return lambda record, place, tuned: run_sums(record, place, tuned, read)


def run_sums(record: RunRecord, place: Place, tuned: bool, read: Reader) -> RunSums:
    """Return the sums of micro-F1 of a run's decisions.

    Args:
        record: the run.
        place: what was scored.
        tuned: at the tuned threshold, else at the declared one.
        read: gives predictions.

    Raises:
        DataMissingError: it has no predictions there.
        NoValidationError: it has no tuned threshold.
    """
    held = _exported(read, record, place)
    if held is not None:
        own = held.of(SORT_BY.metric, tuned)
        return RunSums(held.samples, own.rows[0], own.splits)
    part = _sorted(read(record, place.dropout, place.split))
    decided = decide(record, part, place.dropout, tuned=tuned)
    labels, mask = tuple(record.dataset["labels"]), digest_of(record, place.dropout, place.split)
    samples = samples_digest(labels, part.ids, part.groups, part.truth, mask)
    sums = group_sums(SORT_BY.metric, part.truth, decided[None], part.groups)
    return RunSums(samples, sums.rows[0], sums.splits)


def _measured(row: Row, place: Place, sums: SumsReader) -> Measured:
    """Return what is tested of a row over its seeds; raises as `entrant`."""
    definition, parts = metric(SORT_BY.metric), []
    for twin, runs in by_twin(row.records).items():
        each = [sums(run, place, bool(row.key.tuned)) for run in runs]
        for run, one in zip(runs, each, strict=True):
            if one.samples != each[0].samples:
                raise _unlike(run, runs[0])
        stacked = GroupSums(definition, np.stack([one.rows for one in each]), each[0].splits)
        parts.append(Part(twin, tuple(run.seed for run in runs), each[0].samples, stacked))
    return Measured(row.label, tuple(parts))


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


def _summed_entrant(
    row: Row, key: Place, held: Sequence[ExportedSums], name: str, tuned: bool
) -> Entrant:
    """Return a row's entrant from exported sums: its samples are known by number only."""
    run, first = row.records[0], held[0]
    for other, one in zip(row.records, held, strict=True):
        if one.samples != first.samples:
            raise _unlike(other, run)
    known = {
        name: replace(
            first.of(name, tuned), rows=np.concatenate([one.of(name, tuned).rows for one in held])
        )
        for name in first.resampled(tuned)
    }
    if tuned and not known:
        raise NoValidationError(run.dataset["name"], "a tuned threshold")
    count, labels = row.records[0].dataset["splits"][SPLIT], tuple(run.dataset["labels"])
    clusters = next(iter(known.values())).rows.shape[1]
    return SummedEntrant(
        name=name or row.label,
        seeds=row.seeds,
        ids=tuple(f"{first.samples}:{i}" for i in range(count)),
        groups=tuple(f"{i:04d}" for i in range(clusters)),
        labels=labels,
        mask_digest=digest_of(run, key.dropout, key.split),
        cluster_key=f"{run.dataset['group_key']}{' (joined)' if closed(run) else ''}",
        truth=np.zeros((0, len(labels)), dtype=np.int8),
        decided=np.zeros((len(held), 0, len(labels)), dtype=np.int8),
        deterministic=row.role in REFERENCE_ROLES,
        known=known,
        twin=twin_of(run),
    )
