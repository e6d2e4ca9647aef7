"""Intervals and rank letters of aggregates: every protocol of a suite drawn and exchanged at once.

Sums over groups of micro-F1 under each protocol are what exports hold, so a board that is made of
exported records has the same letters.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.boards.entrants import RunSums, SumsReader, by_twin
from harness.boards.frame import REFERENCE_ROLES, SORT_BY
from harness.boards.grid import Statistic, statistic
from harness.boards.robust import RobustRow, RobustTable, rates_of
from harness.errors import DataFormatError, DataMissingError, NoValidationError
from harness.protocols.aggregates import POOLED, Aggregate, members_of, weights_of
from harness.protocols.metrics import metric
from harness.records.record import RunRecord
from harness.statistics.combined import combined, pooled
from harness.statistics.compare import Standing, standings
from harness.statistics.counts import GroupSums
from harness.statistics.measured import Measured, Part

log = logging.getLogger("harness")
# What has an interval beside the aggregate that is ranked.
_ALSO = ("delta_mnar",)


@dataclass(frozen=True)
class _Twin:
    """The runs of a row on one twin, or on real data, and their sums by protocol."""

    number: int
    runs: tuple[RunRecord, ...]
    samples: str
    sums: Mapping[str, GroupSums]


def with_aggregate_standings(table: RobustTable, sums: SumsReader) -> RobustTable:
    """Return a table whose aggregates have intervals and letters, where predictions are at hand.

    Letters are by `RobustTable.ranked_by` and as those of the leaderboard: paired over the same
    groups of samples and the same seeds and twins, Holm over all pairs.
    """
    if not table.ranked_by or table.key.metric != SORT_BY.metric:
        return table
    found: dict[int, list[_Twin]] = {}
    for number, row in enumerate(table.rows):
        if table.ranked_by not in row.aggregates:
            continue
        try:
            found[number] = _twins(row, table, sums)
        except (DataMissingError, NoValidationError):
            continue
        except DataFormatError as error:
            log.warning("%s: %s: a row without intervals: %s", table.dataset, table.suite, error)
    rows = [
        replace(row, aggregates={**row.aggregates, POOLED: _pooled(found[number])})
        if number in found
        else row
        for number, row in enumerate(table.rows)
    ]
    for aggregate in table.aggregates:
        if aggregate.name in (table.ranked_by, *_ALSO):
            ranked = aggregate.name == table.ranked_by
            measured = _measured(found, table, aggregate)
            made = _standings(measured, table.rows, ranked)
            for number, mine in made.items():
                known = {**rows[number].intervals, aggregate.name: mine.sample_ci}
                rank = mine.rank if ranked else rows[number].rank
                rows[number] = replace(rows[number], intervals=known, rank=rank)
            if ranked:
                places = list(made)
                tests = {
                    (first, places[second]): test
                    for first, mine in made.items()
                    for second, test in mine.against.items()
                }
                table = replace(table, tests=tests)
    return replace(table, rows=tuple(rows))


def _standings(
    measured: Mapping[int, Measured], rows: Sequence[RobustRow], ranked: bool
) -> dict[int, Standing]:
    places = list(measured)
    alone = {n for n, place in enumerate(places) if not (ranked and rows[place].row.ranked)}
    made = standings(list(measured.values()), SORT_BY.metric, unranked=alone)
    return dict(zip(places, made, strict=True))


def _twins(row: RobustRow, table: RobustTable, sums: SumsReader) -> list[_Twin]:
    """Return a row's sums under every protocol; raises as `harness.boards.entrants.run_sums`."""
    definition, tuned, found = metric(SORT_BY.metric), bool(table.key.tuned), []
    kept = [r for r in row.row.records if r.seed in row.seeds]
    for twin, runs in by_twin(kept).items():
        by_name: dict[str, GroupSums] = {}
        state = hashlib.sha256()
        for name, place in table.places.items():
            each: list[RunSums] = [sums(run, place, tuned) for run in runs]
            if any(one.samples != each[0].samples for one in each):
                raise DataFormatError(
                    f"the seeds of {row.label} were scored on different samples under {name}. Run "
                    "them again with --rerun."
                )
            state.update(each[0].samples.encode())
            rows = np.stack([one.rows for one in each])
            by_name[name] = GroupSums(definition, rows, each[0].splits)
        if len({one.rows.shape for one in by_name.values()}) > 1:
            raise DataMissingError(f"{row.label}: sums of some protocols are over all samples.")
        found.append(_Twin(twin, runs, state.hexdigest(), by_name))
    return found


def _measured(
    found: Mapping[int, Sequence[_Twin]], table: RobustTable, aggregate: Aggregate
) -> dict[int, Measured]:
    """Return what is tested of each row: its aggregate as a metric of sums."""
    made = {}
    for number, twins in found.items():
        row, parts = table.rows[number], []
        for twin in twins:
            rates = rates_of(twin.runs[0], table.places, table.rates)
            weights = weights_of(aggregate, table.protocols, rates)
            if weights is None:
                break
            used = [(n, w) for n, w in zip(table.protocols, weights, strict=True) if w]
            sums = combined([twin.sums[n] for n, _ in used], [w for _, w in used])
            seeds = tuple(run.seed for run in twin.runs)
            parts.append(Part(twin.number, seeds, twin.samples, sums))
        if len(parts) == len(twins):
            fixed = row.role in REFERENCE_ROLES
            made[number] = Measured(row.label, tuple(parts), deterministic=fixed)
    return made


def _pooled(twins: Sequence[_Twin]) -> Statistic:
    values = [
        value
        for twin in twins
        for value in pooled([twin.sums[n] for n in members_of(list(twin.sums), "fixed")]).per_seed()
    ]
    return statistic(values)
