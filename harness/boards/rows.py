"""Values to rows: one model under one configuration, its figures over its seeds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from harness.boards.frame import (
    REFERENCE_ROLES,
    SORT_BY,
    Key,
    Place,
    order_by,
    place_of,
    scores_of,
    short,
    splits_of,
    twin_of,
)
from harness.boards.grid import TRAINED, Interval, Statistic, statistic
from harness.boards.settings import Siblings, ablated, identity, named, scored_under, setting
from harness.boards.shares import with_shares
from harness.boards.twins import Twin, by_masks, joined, twins_of
from harness.records.record import COMPLETE, RunRecord
from harness.specs import LabelKind
from harness.statistics.compare import PairTest
from harness.statistics.measured import REAL

ROLE_ORDER = {"ceiling": 0, "observer": 1, "model": 2, "external": 2, "trivial": 3}
Older = Callable[[RunRecord], bool]
"""Whether a run was made by older code than what is installed."""
Scored = tuple[RunRecord, dict[Key, float]]
"""A run with its figures at a place."""


@dataclass(frozen=True)
class Row:
    """One model under one configuration, over its seeds.

    ``records`` are its runs in seed order and ``values`` their figures; ``figures`` are over the
    seeds that have them. ``key`` is what rows are ordered and tested by (`order_by`). ``share`` is
    where that figure stands between the best constant's and the ceiling's (generated data,
    `harness.boards.shares`). Where predictions are at hand: ``t_interval`` over seeds,
    ``sample_interval`` by cluster bootstrap over ``clusters`` groups of test samples,
    ``share_interval`` likewise (95 % each), ``above_constant``, whether the row is told from the
    best constant, and ``rank``: letters, shared by rows that cannot be told apart
    (`harness.statistics`). On twins ``records`` are in the order of twins and seeds, ``of_twins``
    is how many its table has, and ``beyond`` are further twins that the model was trained on:
    these runs are left out. ``announced`` are warnings of its runs that its model's card explains.
    """

    records: tuple[RunRecord, ...]
    values: tuple[Mapping[Key, float], ...]
    setting: str
    figures: Mapping[Key, Statistic]
    key: Key = SORT_BY
    older: bool = False
    share: float | None = None
    share_interval: Interval | None = None
    above_constant: bool | None = None
    t_interval: Interval | None = None
    sample_interval: Interval | None = None
    clusters: int | None = None
    rank: tuple[str, ...] = ()
    of_twins: int = 0
    beyond: tuple[int, ...] = ()
    announced: frozenset[str] = frozenset()

    @property
    def first(self) -> RunRecord:
        """Return the run with the smallest seed."""
        return self.records[0]

    @property
    def model(self) -> str:
        """Return the model's name."""
        return str(self.first.model["name"])

    @property
    def label(self) -> str:
        """Return the model's name with its variant."""
        return label_of(self.first.model)

    @property
    def role(self) -> str:
        """Return the role of its runs."""
        return self.first.role

    @property
    def trained(self) -> bool:
        """Return whether it is a trained model."""
        return self.role in TRAINED

    @property
    def twins(self) -> tuple[int, ...]:
        """Return the numbers of its twins, in order; empty: real data."""
        return tuple(sorted({twin_of(r) for r in self.records} - {REAL}))

    @property
    def lacking(self) -> str:
        """Return ``1 of 3 twins`` where the row has fewer than its table; else nothing."""
        if len(self.twins) >= self.of_twins:
            return ""
        return f"{len(self.twins)} of {self.of_twins} twins"

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what the checks of its runs warned of, each once, but for what is announced."""
        every = dict.fromkeys(w for r in self.records for w in r.checks.get("warnings", ()))
        return tuple(w for w in every if w not in self.announced)

    @property
    def ranked(self) -> bool:
        """Return whether it may have a rank: a trained model on all of its table's twins."""
        return self.trained and not self.lacking

    @property
    def name(self) -> str:
        """Return label and setting in one."""
        return named(self.label, self.setting) if self.trained else self.label

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return its training seeds."""
        return tuple(r.seed for r in self.records)

    @property
    def runs(self) -> tuple[str, ...]:
        """Return the ids of its runs."""
        return tuple(r.id for r in self.records)

    @property
    def tested_before(self) -> int | None:
        """Return the largest `harness.records.record.RunRecord.tested_before` of its runs."""
        known = [r.tested_before for r in self.records if r.tested_before is not None]
        return max(known, default=None)

    def on(self, split: str, key: Key) -> Statistic | None:
        """Return a figure of its runs on a split under complete data; None: it is undefined."""
        found = [
            values[key]
            for record in self.records
            for place, values in scores_of(record, split)
            if place.dropout == COMPLETE and key in values
        ]
        return statistic(found) if found else None

    @property
    def best(self) -> float:
        """Return the mean of what rows are sorted by; -1 where it is undefined."""
        return self.figures[self.key].mean if self.key in self.figures else -1.0


@dataclass(frozen=True)
class Table:
    """The rows of one place, best first within ceiling, models and trivial predictors.

    ``failed`` are runs without a result; ``tests`` are those of two rows by ``key``, by their
    places; ``newest`` is the UTC time of its newest run.
    """

    place: Place
    rows: tuple[Row, ...]
    failed: tuple[RunRecord, ...] = ()
    tests: Mapping[tuple[int, int], PairTest] = field(default_factory=dict)
    newest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "newest", max(r.created for r in self.every))

    @property
    def every(self) -> list[RunRecord]:
        """Return every run, failed ones last."""
        return [*(r for row in self.rows for r in row.records), *self.failed]

    @property
    def key(self) -> Key:
        """Return what rows are ordered and tested by."""
        return self.rows[0].key if self.rows else SORT_BY

    @property
    def label_kind(self) -> LabelKind:
        """Return ``multilabel`` or ``singlelabel``."""
        return cast(LabelKind, self.every[0].dataset["label_kind"])

    @property
    def twins(self) -> tuple[Twin, ...]:
        """Return its twins in order; empty: real data."""
        return twins_of((r for row in self.rows for r in row.records), self.place.split)

    @property
    def data(self) -> str:
        """Return which data was scored, as people read it."""
        if not self.twins:
            return f"data `{short(self.place.content)}`"
        each = ", ".join(f"{twin.number} `{short(twin.content_hash)}`" for twin in self.twins)
        return f"{'twin' if len(self.twins) == 1 else 'twins'} {each} ({self.place.content})"

    @property
    def facts(self) -> dict[str, str]:
        """Return its place as the first columns of a data file, twins with their hashes."""
        twins = {
            "data_hash": " ".join(twin.content_hash for twin in self.twins),
            "twins": " ".join(str(twin.number) for twin in self.twins),
        }
        return self.place.facts | (twins if self.twins else {})

    @property
    def samples(self) -> int:
        """Return the number of samples that are scored, those of all twins together."""
        if self.twins:
            return sum(twin.samples for twin in self.twins)
        return int(self.every[0].dataset["splits"].get(self.place.split, 0))

    @property
    def rate(self) -> float | None:
        """Return the realised missing rate of the dropout masks, the mean over twins."""
        known: dict[int, float] = {}
        for record in (r for row in self.rows for r in row.records):
            rate = rate_of(record, self.place.dropout, self.place.split)
            if rate is not None:
                known.setdefault(twin_of(record), rate)
        return sum(known.values()) / len(known) if known else None


def label_of(model: Mapping[str, str]) -> str:
    """Return a model's name with its variant where the name does not tell it."""
    name, variant = str(model["name"]), str(model["variant"])
    return name if not variant or variant in name.split("-") else f"{name} ({variant})"


def rate_of(record: RunRecord, dropout: str, split: str) -> float | None:
    """Return the realised missing rate of the dropout masks that a run was scored under."""
    rate = record.protocols["dropout"].get(dropout, {}).get(split, {}).get("eta_hat")
    return None if rate is None else float(rate)


def tables(
    records: Iterable[RunRecord],
    older: Older = lambda record: False,
    split: str = "test",
    twins: Collection[int] = (),
) -> list[Table]:
    """Return the tables of all records, sorted by place.

    Trivial rows and the ceiling are not trained under a dropout protocol: they join every place
    of their data, mask and dropout protocol. A failed run stands where its figures would:
    under complete data and the protocols it was asked for; not where a later run of the same
    configuration and seed has a result. Runs on twins join as `harness.boards.twins.joined` says.
    Trials of a search stand nowhere.

    Args:
        records: runs of any data sets.
        older: whether a run was made by older code than what is installed.
        split: what is scored.
        twins: numbers of twins that tables have in any case.
    """
    given = sorted((r for r in records if r.role != "trial"), key=lambda r: r.id)
    joins = joined(given, twins)
    ordered = [r for r in given if r.id in joins]
    scored: dict[Place, dict[str, dict[Key, float]]] = {}
    by_id = {r.id: r for r in ordered}
    for record in ordered:
        for place, values in scores_of(record, split):
            scored.setdefault(replace(place, content=joins[record.id]), {})[record.id] = values
    scored = by_masks(scored, by_id)
    trained = {
        p for p, runs in scored.items()
        if any(by_id[run].role not in REFERENCE_ROLES for run in runs)
    }  # fmt: skip
    failed = _failed(ordered, trained, split, joins)
    places = trained | set(failed)
    known = {p.data for p in places}
    places |= {p for p in scored if p.data not in known}
    shared: dict[Place, dict[str, dict[Key, float]]] = {}
    for place, runs in scored.items():
        references = {r: v for r, v in runs.items() if by_id[r].role in REFERENCE_ROLES}
        shared.setdefault(place.data, {}).update(references)
    identities = {r.id: identity(r) for r in ordered}
    beyond: dict[tuple[str, str], set[int]] = {}
    for record in (r for r in given if r.id not in joins):
        home = (identity(record), record.protocols["train_dropout"])
        beyond.setdefault(home, set()).add(twin_of(record))
    found = []
    for place in sorted(places):
        runs = shared.get(place.data, {}) | scored.get(place, {})
        members = [(by_id[run], runs[run]) for run in sorted(runs)]
        table = _table(place, members, identities, failed.get(place, []), older)
        rows = (
            replace(row, of_twins=len(table.twins), beyond=tuple(sorted(beyond.get(kind, ()))))
            for row in table.rows
            for kind in [(identities[row.first.id], row.first.protocols["train_dropout"])]
        )
        found.append(replace(table, rows=tuple(rows)) if table.twins else table)
    return found


def _failed(
    records: Iterable[RunRecord], trained: Iterable[Place], split: str, joins: Mapping[str, str]
) -> dict[Place, list[RunRecord]]:
    """Return the failed runs of each place that no later run of their kind has replaced."""
    known = list(records)
    done: dict[tuple[Place, str, int, int], str] = {}

    def kind_of(record: RunRecord) -> tuple[Place, str, int, int]:
        home = replace(place_of(record, "", split), content=joins[record.id]).training
        return home, identity(record), twin_of(record), record.seed

    for record in known:
        if record.status == "ok":
            kind = kind_of(record)
            done[kind] = max(record.created, done.get(kind, ""))
    alike: dict[Place, list[Place]] = {}
    for place in trained:
        alike.setdefault(place.training, []).append(place)
    found: dict[Place, list[RunRecord]] = {}
    for record in known:
        home = replace(place_of(record, COMPLETE, split), content=joins[record.id])
        kind = kind_of(record)
        if record.status == "ok" or split not in splits_of(record):
            continue
        if done.get(kind, "") > record.created:
            continue
        asked = {COMPLETE, *scored_under(record)}
        own = [p for p in alike.get(home.training, ()) if p.dropout in asked]
        for place in own or [home]:
            found.setdefault(place, []).append(record)
    return found


def _table(
    place: Place,
    members: list[Scored],
    identities: Mapping[str, str],
    failed: list[RunRecord],
    older: Older,
) -> Table:
    by_row: dict[str, list[Scored]] = {}
    for record, values in members:
        by_row.setdefault(identities[record.id], []).append((record, values))
    newest = list(map(_newest, by_row.values()))
    key = order_by(
        members[0][0].dataset["label_kind"] if members else "",
        [values for record, values in members if record.role in TRAINED],
    )
    siblings = Siblings(runs[0][0] for runs in (*by_row.values(), *newest))
    rows = []
    for kept in newest:
        each = tuple(values for _, values in kept)
        rows.append(
            Row(
                records=tuple(record for record, _ in kept),
                values=each,
                setting=setting(kept[0][0], siblings),
                figures=over_seeds(each),
                key=key,
                older=any(older(record) for record, _ in kept),
            )
        )
    rows = with_shares(rows, key)
    rows.sort(key=lambda r: (ROLE_ORDER.get(r.role, 2), -r.best, r.model, r.setting))
    return Table(place, tuple(rows), tuple(failed))


def _newest(runs: Iterable[Scored]) -> list[Scored]:
    """Return the newest run of each twin and seed, in their order."""
    found: dict[tuple[int, int], Scored] = {}
    for record, values in sorted(runs, key=lambda r: (r[0].created, r[0].id)):
        found[twin_of(record), record.seed] = (record, values)
    return [found[unit] for unit in sorted(found)]


def over_seeds(values: Iterable[Mapping[Key, float]]) -> dict[Key, Statistic]:
    """Return every figure over the seeds that have it."""
    each: dict[Key, list[float]] = {}
    for mine in values:
        for key, value in mine.items():
            each.setdefault(key, []).append(value)
    return {key: statistic(found) for key, found in each.items()}


def on_boards(record: RunRecord) -> bool:
    """Return whether a run may stand on a board: none of a search, whose own twin is 0."""
    return record.role not in ("trial", "fold") and twin_of(record) != 0


def full_models(record: RunRecord) -> bool:
    """Return whether a run is of a whole model, measured here."""
    return record.role != "external" and not ablated(record)
