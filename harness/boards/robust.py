"""Rows of one track under the protocols of a suite: what stands side by side, and aggregates.

Everything is aggregated per seed first, then averaged over seeds: a deviation over rates or
patterns would be no uncertainty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.boards.frame import REFERENCE_ROLES, SORT_BY, Key, Place
from harness.boards.grid import Interval, Statistic, statistic
from harness.boards.rows import Row, Table, rate_of, tables
from harness.boards.shares import share_of
from harness.boards.tracks import Track, spec_of, tracks_of, training_text
from harness.errors import UnknownNameError, UsageError
from harness.plugins import Registry, load
from harness.protocols.aggregates import (
    AGGREGATES,
    CORE,
    FULL,
    MISSING,
    RANKED,
    Aggregate,
    aggregates_of,
)
from harness.protocols.dropout import DropoutProtocol, Traits, parse
from harness.protocols.metrics import METRICS
from harness.protocols.suites import ids
from harness.protocols.suites import members as members_of
from harness.records.record import COMPLETE, RunRecord
from harness.statistics.compare import PairTest

OUTSIDE = ""
"""In place of a suite's name: protocols that are in no suite, or in one that is not whole."""
# A reference row may lack protocols: under some no posterior is known, others alone have a floor.
_LEAST = 2


@dataclass(frozen=True)
class RobustRow:
    """A model under one configuration: a figure per protocol and the aggregates of the suite.

    ``shares`` are where each protocol's mean stands between the best constant's and the
    ceiling's under the same protocol (`harness.boards.shares`). Reference rows may lack protocols,
    and the aggregates in which these have a part; trained rows have all. ``trained`` is the
    protocol of training; ``specialist`` and ``hides`` are what the model's card says
    (``made_for_missing``, ``hides_modalities``). Where predictions are at hand: ``intervals`` of
    aggregates by cluster bootstrap, and ``rank``, letters by `RobustTable.ranked_by`.
    """

    row: Row
    seeds: tuple[int, ...]
    scores: Mapping[str, Statistic]
    aggregates: Mapping[str, Statistic] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    label: str = ""
    setting: str = ""
    trained: str = ""
    specialist: bool = False
    hides: bool = False
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    rank: tuple[str, ...] = ()

    @property
    def role(self) -> str:
        """Return the role of its runs."""
        return self.row.role

    @property
    def training(self) -> str:
        """Return how it was trained, as people read it; empty for reference rows."""
        return training_text(self.trained, self.hides) if self.row.trained else ""


@dataclass(frozen=True)
class RobustTable:
    """Rows of one data content, mask option and track under one suite, best first by ``key``.

    ``protocols`` are names without version; ``rates`` is the realised missing rate of each on the
    ``split``, ``places`` where each was scored: under masks that are the same for every row.
    ``left_out`` are rows that were not scored under all of them. ``ranked_by`` is the aggregate
    that rows are ordered by, empty where there is none; ``tests`` are those of two rows by it, by
    their places in ``rows``.
    """

    dataset: str
    content: str
    mask: str
    track: Track
    suite: str
    key: Key
    protocols: tuple[str, ...]
    rates: Mapping[str, float | None]
    places: Mapping[str, Place]
    rows: tuple[RobustRow, ...]
    left_out: tuple[str, ...] = ()
    split: str = "test"
    data: str = ""
    data_hash: str = ""
    ranked_by: str = ""
    tests: Mapping[tuple[int, int], PairTest] = field(default_factory=dict)

    @property
    def digests(self) -> Mapping[str, str]:
        """Return the hash of the masks of each protocol."""
        return {name: place.digest for name, place in self.places.items()}

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """Return the aggregates of its suite."""
        return AGGREGATES.get(self.suite, ())

    @property
    def trainings(self) -> tuple[str, ...]:
        """Return the protocols that its rows were trained under, in order."""
        return tuple(sorted({row.trained for row in self.rows if row.row.trained}))


@dataclass(frozen=True)
class _Member:
    """A protocol of a track: its tables, a protocol of training each, under the same masks."""

    protocol: DropoutProtocol
    tables: tuple[Table, ...]

    @property
    def widest(self) -> Table:
        """Return the table with most twins."""
        return max(self.tables, key=lambda table: len(table.twins))

    def values(self, key: Key) -> dict[str, float]:
        """Return a figure by run."""
        return {
            record.id: values[key]
            for table in self.tables
            for row in table.rows
            for record, values in zip(row.records, row.values, strict=True)
            if key in values
        }


_Members = Mapping[str, _Member]


def robustness(
    records: Iterable[RunRecord], metric: str = "micro_f1", registry: Registry | None = None
) -> list[RobustTable]:
    """Return the tables of one board's runs: every suite that some model was scored under.

    Args:
        records: measured runs of one board.
        metric: a metric of the records, at the threshold that the board is ordered by.
        registry: knows what each data set has, hence the members of its suites, and what cards say
            of the models.
    """
    return robust_tables(tables(r for r in records if r.compat is None), metric, registry)


def robust_tables(
    made: Iterable[Table], metric: str = "micro_f1", registry: Registry | None = None
) -> list[RobustTable]:
    """Return the tables of `robustness` from the tables of a board."""
    groups: dict[tuple[str, str], list[Table]] = {}
    for table in made:
        place = table.place
        if table.rows and not place.compat:
            groups.setdefault((place.content, place.mask), []).append(table)
    known, found = registry or load(), []
    for _, group in sorted(groups.items()):
        for track in tracks_of({t.place.train_dropout for t in group}):
            found += _of_track(track, _on_track(track, group, known), metric, known)
    return found


def _on_track(track: Track, group: Sequence[Table], registry: Registry) -> list[Table]:
    """Return the tables of a track; of those on complete data the rows that hide modalities."""
    found = []
    for table in group:
        if table.place.train_dropout in track.training:
            found.append(table)
        elif track.hiding and table.place.train_dropout == COMPLETE:
            rows = tuple(r for r in table.rows if r.trained and _hides(r, registry))
            found += [replace(table, rows=rows)] if rows else []
    return found


def _hides(row: Row, registry: Registry) -> bool:
    spec = spec_of(row.model, registry)
    return spec is not None and spec.hides_modalities


def _of_track(
    track: Track, mine: Sequence[Table], metric: str, registry: Registry
) -> list[RobustTable]:
    by_name = _newest(mine)
    if FULL not in by_name:
        return []
    traits = _traits(by_name, registry)
    found, shown = [], {FULL}
    for suite in ids():
        members = _members(suite, traits)
        if not set(members) <= shown and all(name in by_name for name in members):
            table = _robust(track, suite, members, by_name, metric, registry)
            if table is not None:
                found.append(table)
                shown |= set(members)
    rest = sorted(set(by_name) - shown, key=lambda n: _order(OUTSIDE, by_name[n].protocol))
    names = [FULL, *rest]
    outside = _robust(track, OUTSIDE, names, by_name, metric, registry) if rest else None
    return found + ([outside] if outside else [])


def _newest(made: Sequence[Table]) -> dict[str, _Member]:
    """Return the tables of each protocol by name; of unequal masks of one name the newest."""
    found: dict[str, _Member] = {}
    for table in sorted(made, key=lambda t: (t.newest, t.place)):
        try:
            protocol = parse(table.place.dropout)
        except (UnknownNameError, UsageError):  # of another version of the harness
            continue
        before = found.get(protocol.name)
        same = before is not None and before.tables[0].place.digest == table.place.digest
        kept = before.tables if before is not None and same else ()
        found[protocol.name] = _Member(protocol, (*kept, table))
    return found


def _traits(by_name: _Members, registry: Registry) -> Traits:
    """Return what the data has; of an unknown data set what its runs were scored under."""
    table = by_name[FULL].tables[0]
    record = table.every[0]
    try:
        return Traits.of(registry.dataset(record.dataset["name"]), record.dataset["mask"])
    except UnknownNameError:
        some = {m.protocol.argument for m in by_name.values() if m.protocol.family == "only"}
        keys = sorted(some)
        if len(keys) < len(record.dataset["modalities"]):  # not each was scored alone
            keys = [*Traits().keys, "?"]
        lengths = any(name.startswith(("mnar-long-", "mnar-short-")) for name in by_name)
        return Traits(
            tuple(keys), units=True, persons=True, parties=True, personality=True, varying=lengths
        )


def _members(suite: str, traits: Traits) -> list[str]:
    found = sorted(map(parse, members_of(suite, traits)), key=lambda p: _order(suite, p))
    return [p.name for p in found]


def _order(suite: str, protocol: DropoutProtocol) -> tuple[bool, int, str, float, str]:
    """Return the place of a protocol's column: complete data first, then by family and level."""
    families = ("full", "only", "drop", "random", "exclusive", "patterns", "mcar", "mnar")
    known = suite in (CORE, MISSING) and protocol.family in families
    first = families.index(protocol.family) if known else len(families)
    return (protocol.name != FULL, first, protocol.family, protocol.level, protocol.argument)


def _robust(
    track: Track,
    suite: str,
    names: Sequence[str],
    by_name: _Members,
    metric: str,
    registry: Registry,
) -> RobustTable | None:
    """Return the rows that were scored under every protocol of a suite, over the seeds that were.

    Outside of suites rows with any of the protocols are shown, and reference rows always are. None:
    there is no trained model.
    """
    made = {name: by_name[name] for name in names}
    key = _key(made[FULL], metric)
    by_run = {name: member.values(key) for name, member in made.items()}
    rates = {name: member.widest.rate for name, member in made.items()}
    rows: list[RobustRow] = []
    left_out: list[str] = []
    for trained, row in _rows(made):
        each = {r.id: {n: by_run[n][r.id] for n in names if r.id in by_run[n]} for r in row.records}
        least = len(names) if suite and row.trained else _LEAST
        kept = [r for r in row.records if len(each[r.id]) >= least]
        if not kept:
            left_out += [row.name] if row.trained else []
            continue
        scores = {n: [each[r.id][n] for r in kept if n in each[r.id]] for n in names}
        spec = spec_of(row.model, registry) if row.trained else None
        rows.append(
            RobustRow(
                row,
                tuple(r.seed for r in kept),
                {n: statistic(values) for n, values in scores.items() if values},
                _aggregates(suite, row, [(r, each[r.id]) for r in kept], made, rates),
                label=row.label,
                setting=row.setting if row.trained else "",
                trained=trained if row.trained else "",
                specialist=spec is not None and spec.made_for_missing,
                hides=spec is not None and spec.hides_modalities,
            )
        )
    if not any(row.role == "model" for row in rows):
        return None
    every = [row for _, row in _rows(made)]
    found = [{n: share_of(r.row, by_run[n], every) for n in names} for r in rows]
    rows = [
        replace(r, shares={n: share for n, share in mine.items() if share is not None})
        for r, mine in zip(rows, found, strict=True)
    ]
    models = [r for r in rows if r.row.trained]
    by = next((n for n in RANKED if all(n in r.aggregates for r in models)), "")
    order = {"ceiling": 0, "model": 1}

    def best(row: RobustRow) -> float:
        return row.aggregates[by].mean if by in row.aggregates else 0.0

    rows.sort(key=lambda r: (order.get(r.role, 2), -best(r), r.label, r.row.setting, r.trained))
    whole = made[FULL].widest
    place = whole.place
    return RobustTable(
        place.board, place.content, place.mask, track, suite, key, tuple(names), rates,
        {n: m.widest.place for n, m in made.items()}, tuple(rows),
        tuple(left_out) if suite else (), place.split, whole.data, whole.facts["data_hash"], by,
    )  # fmt: skip


def _key(member: _Member, metric: str) -> Key:
    """Return the figure of a metric at the threshold that the tables are ordered by."""
    keys = {table.key for table in member.tables if table.rows}
    key = keys.pop() if len(keys) == 1 else SORT_BY
    if metric == key.metric:
        return key
    # Average precision knows no threshold.
    return Key(metric, key.threshold if METRICS[metric].sums is not None else "declared")


def _rows(made: _Members) -> list[tuple[str, Row]]:
    """Return rows with their protocol of training; each reference row once."""
    found: dict[tuple[str, ...], tuple[str, Row]] = {}
    for name, member in made.items():
        for table in member.tables:
            for row in table.rows:
                reference = row.role in REFERENCE_ROLES
                if name == FULL or reference:
                    kind = (row.role, row.label) if reference else row.runs
                    found.setdefault(kind, (table.place.train_dropout, row))
    return list(found.values())


def _aggregates(
    suite: str,
    row: Row,
    each: Sequence[tuple[RunRecord, Mapping[str, float]]],
    made: _Members,
    rates: Mapping[str, float | None],
) -> dict[str, Statistic]:
    """Return a row's aggregates over its seeds; those of protocols that it lacks are undefined."""
    places = {n: m.widest.place for n, m in made.items()}
    per_seed = [
        aggregates_of(
            suite, scores, rates_of(r, places, rates), [n for n in made if n not in scores]
        )
        for r, scores in each
    ]
    return {
        a.name: statistic(one[a.name] for one in per_seed)
        for a in AGGREGATES.get(suite, ())
        if per_seed and all(a.name in one for one in per_seed) and _defined(a.name, row)
    }


def rates_of(
    record: RunRecord, places: Mapping[str, Place], known: Mapping[str, float | None]
) -> dict[str, float]:
    """Return the missing rates of a run's own masks by protocol: those of a twin are the twin's.

    Args:
        record: the run.
        places: where protocols were scored.
        known: rates of the table, for runs that do not say theirs.
    """
    own = {name: rate_of(record, place.dropout, place.split) for name, place in places.items()}
    return {n: (known[n] or 0.0) if rate is None else rate for n, rate in own.items()}


def _defined(aggregate: str, row: Row) -> bool:
    """Return whether an aggregate says anything of a row: what a constant keeps is no merit."""
    return not aggregate.startswith("retention") or row.above_constant is not False
