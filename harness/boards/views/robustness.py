"""What a model keeps when modalities fail: every protocol of a suite, and aggregates of `CORE`.

Everything is aggregated per seed first, then averaged over seeds: a deviation over rates or
patterns would be no uncertainty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.boards.frame import REFERENCE_ROLES, Key
from harness.boards.grid import (
    DATA,
    EVERYONE,
    NOT_PAGE,
    PAGE,
    Column,
    Grid,
    GridRow,
    Kind,
    Statistic,
    View,
    statistic,
)
from harness.boards.rows import Row, Table, rate_of, tables
from harness.boards.shares import share_of
from harness.boards.views.columns import about_run, heading
from harness.boards.views.table import common, named_row
from harness.errors import UnknownNameError, UsageError
from harness.plugins import Registry, load
from harness.protocols.dropout import DropoutProtocol, Traits, parse
from harness.protocols.metrics import METRICS, nauilc
from harness.protocols.suites import ids
from harness.protocols.suites import members as members_of
from harness.records.record import COMPLETE, RunRecord
from harness.specs import LabelKind

if TYPE_CHECKING:
    from harness.boards.board import Board

_SHOWN = EVERYONE - DATA
_PATTERNS = ("only-", "drop-")
_MEANS = "Means over seeds; deviations stand in the CSV and JSON files."
FULL = "full"
CORE = "core@1"
OUTSIDE = ""
"""In place of a suite's name: protocols that are in no suite, or in one that is not whole."""
TRACKS = {COMPLETE: "clean-trained", "train-mix@1": "dropout-trained"}
AGGREGATES = {
    "avg_incomplete": "avg{patterns}", "avg_patterns": "avg{all}", "worst": "worst",
    "avg_rand": "avg-rand", "avg_rand0": "avg-rand0", "nauilc": "nAUILC",
    "retention": "retention", "drop": "drop", "retention_worst": "retention worst",
}  # fmt: skip
_ABOUT_CORE = (
    " {incomplete}: mean over the incomplete patterns; {patterns}: with complete data; worst: the "
    "worst pattern; avg-rand: mean over the nominal rates 0.1 to 0.7; avg-rand0: with 0; nAUILC: "
    "area over the realised missing rates divided by their range; retention and drop: "
    "{incomplete} over, and below, `full`; a row that is not told from the best constant has no "
    "retention. Aggregated per seed, then mean ± sample standard "
    "deviation over seeds."
)


@dataclass(frozen=True)
class RobustRow:
    """A model under one configuration: a figure per protocol and the aggregates of `CORE`.

    ``shares`` are where each protocol's mean stands between the best constant's and the
    ceiling's under the same protocol (`harness.boards.shares`).
    """

    row: Row
    seeds: tuple[int, ...]
    scores: Mapping[str, Statistic]
    aggregates: Mapping[str, Statistic] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    label: str = ""
    setting: str = ""

    @property
    def role(self) -> str:
        """Return the role of its runs."""
        return self.row.role


@dataclass(frozen=True)
class RobustTable:
    """Rows of one data content, mask option and track under one suite, best first by ``key``.

    ``track`` is the protocol of training. ``protocols`` are names without version; ``rates`` is
    the realised missing rate of each on the ``split``, ``digests`` the hash of its masks: the
    same for every row. ``left_out`` are rows that were not scored under all of them.
    """

    dataset: str
    content: str
    mask: str
    track: str
    suite: str
    key: Key
    protocols: tuple[str, ...]
    rates: Mapping[str, float | None]
    digests: Mapping[str, str]
    rows: tuple[RobustRow, ...]
    left_out: tuple[str, ...] = ()
    split: str = "test"
    data: str = ""
    data_hash: str = ""


def robustness(
    records: Iterable[RunRecord], metric: str = "micro_f1", registry: Registry | None = None
) -> list[RobustTable]:
    """Return the tables of one board's runs: every suite that some model was scored under.

    Args:
        records: measured runs of one board.
        metric: a metric of the records, at the threshold that the board is ordered by.
        registry: knows what each data set has, hence the members of its suites.
    """
    return robust_tables(tables(r for r in records if r.compat is None), metric, registry)


def robust_tables(
    made: Iterable[Table], metric: str = "micro_f1", registry: Registry | None = None
) -> list[RobustTable]:
    """Return the tables of `robustness` from the tables of a board."""
    groups: dict[tuple[str, str, str], list[Table]] = {}
    for table in made:
        place = table.place
        if table.rows and not place.compat:
            key = (place.content, place.mask, place.train_dropout)
            groups.setdefault(key, []).append(table)
    found = []
    for _, mine in sorted(groups.items()):
        by_name = _newest(mine)
        if FULL not in by_name:
            continue
        traits = _traits(mine, by_name, registry)
        shown = {FULL}
        for suite in ids():
            members = _members(suite, traits)
            if not set(members) <= shown and all(name in by_name for name in members):
                table_ = _robust(suite, members, by_name, metric)
                if table_ is not None:
                    found.append(table_)
                    shown |= set(members)
        rest = sorted(set(by_name) - shown, key=lambda n: _order(OUTSIDE, by_name[n][0]))
        outside = _robust(OUTSIDE, [FULL, *rest], by_name, metric) if rest else None
        found += [outside] if outside else []
    return found


def aggregates_of(scores: Mapping[str, float], rates: Mapping[str, float]) -> dict[str, float]:
    """Return one seed's aggregates of `CORE` (names of `AGGREGATES`).

    ``avg_incomplete`` (avg6 with three modalities) is the mean over the incomplete patterns,
    ``avg_patterns`` (avg7) with complete data, ``worst`` their minimum; ``avg_rand`` the mean over
    the seven rates, ``avg_rand0`` with rate 0; ``nauilc`` over realised rates; ``retention`` and
    ``drop`` are ``avg_incomplete`` over, and below, the score on complete data. A weak model has a
    high retention for free: read both. ``retention`` is left out where that score is 0.

    Args:
        scores: protocol name (without version) to score: full, every pattern, every rate.
        rates: realised missing rate of full and of every rate's protocol, rising.
    """
    full = scores[FULL]
    patterns = [value for name, value in scores.items() if name not in rates]
    random = [scores[name] for name in rates if name != FULL]
    incomplete = sum(patterns) / len(patterns)
    found = {
        "avg_incomplete": incomplete,
        "avg_patterns": (sum(patterns) + full) / (len(patterns) + 1),
        "worst": min(patterns),
        "avg_rand": sum(random) / len(random),
        "avg_rand0": (sum(random) + full) / (len(random) + 1),
        "nauilc": nauilc(list(rates.values()), [scores[name] for name in rates]),
        "drop": full - incomplete,
    }
    if full > 0:
        found |= {"retention": incomplete / full, "retention_worst": min(patterns) / full}
    return found


def view(board: Board) -> View:
    """Return the scores of every suite, their aggregates, and shares of the ceiling."""
    grids = [grid for table in board.robustness for grid in robust_grids(table)]
    title = f"{board.dataset}: robustness"
    return board.view("robustness", "-robustness", title, grids, after=[_MEANS])


def robust_grids(table: RobustTable) -> list[Grid]:
    """Return a table's scores, its aggregates and its shares of the ceiling, a grid each."""
    suite = f"`{table.suite}`" if table.suite else "Protocols outside a whole suite"
    section = f"{suite}, {TRACKS.get(table.track, table.track)}"
    count = sum(name.startswith(_PATTERNS) for name in table.protocols)
    names = {"incomplete": f"avg{count}", "patterns": f"avg{count + 1}"}
    kind: LabelKind = table.rows[0].row.first.dataset["label_kind"]
    about = (
        f"{heading(table.key, kind)} on the {table.split} split, trained under `{table.track}`, "
        f"mask `{table.mask}`, {table.data}. A row is one trained checkpoint "
        "scored under every protocol, with the same dropout masks as the others."
    )
    facts = {
        "dataset": table.dataset, "data_hash": table.data_hash, "mask": table.mask,
        "train_dropout": table.track, "suite": table.suite, "metric": table.key.name,
    }  # fmt: skip
    settings = {r.setting for r in table.rows if r.role == "model"}
    fixed = [
        Column("name", "model", readers=_SHOWN),
        Column("model", readers=DATA), Column("setting", readers=DATA), *about_run(),
        Column("n", kind="figure", readers=DATA),
    ]  # fmt: skip

    def grid(title: str, quantity: str, heads: Mapping[str, str], text: str = "") -> Grid:
        shape: Kind = "share" if quantity == "shares" else "mean"
        columns = [
            Column(
                name, head, shape, about={"quantity": quantity, "figure": name,
                "missing_rate": table.rates.get(name), "mask_digest": table.digests.get(name)},
            )
            for name, head in heads.items()
        ]  # fmt: skip
        rows = [
            GridRow(
                common(r.row) | {"n": len(r.seeds), "seeds": " ".join(map(str, r.seeds))}
                | {"name": named_row(r.row, len(settings) == 1)}
                | dict(getattr(r, quantity)), r.role, older=r.row.older,
            )
            for r in table.rows
            if quantity != "shares" or r.role not in REFERENCE_ROLES
        ]  # fmt: skip
        return Grid(title, (*fixed, *columns), tuple(rows), (), text, facts, section=section)

    heads = {name: name for name in table.protocols}
    scores = grid("Scores", "scores", heads, about)
    if table.left_out:
        note = f"Not scored under every protocol, hence not here: {', '.join(table.left_out)}."
        scores = replace(scores, notes=(note,))
    found = [replace(scores, readers=NOT_PAGE)]
    patterns = {n: n for n in heads if n == FULL or n.startswith(_PATTERNS)}
    others = {n: n for n in heads if n == FULL or n not in patterns}
    if len(settings) == 1:
        about += f" All models: {' '.join(settings) or 'class defaults'}."
    for title, columns in (("Which modalities are missing", patterns), ("How much", others)):
        if len(columns) > 1:
            shown = grid(title, "scores", columns, about)
            found.append(replace(shown, notes=scores.notes, readers=PAGE))
            about = ""
    if table.suite == CORE:
        titles = {
            name: head.format(patterns=count, all=count + 1) for name, head in AGGREGATES.items()
        }
        found.append(grid("Aggregates", "aggregates", titles, _ABOUT_CORE.format(**names).strip()))
    if any(row.shares for row in table.rows):
        text = (
            "(F - constant) / (ceiling - constant) under the same protocol: 0 is what the best "
            "constant set reaches, 1 the most there is."
        )
        found.append(grid("Normalised share", "shares", heads, text))
    return found


def _defined(aggregate: str, row: Row) -> bool:
    """Return whether an aggregate says anything of a row: what a constant keeps is no merit."""
    return not aggregate.startswith("retention") or row.above_constant is not False


Members = Mapping[str, tuple[DropoutProtocol, Table]]


def _newest(made: Sequence[Table]) -> dict[str, tuple[DropoutProtocol, Table]]:
    """Return the table of each protocol by name; of unequal masks of one name the newest."""
    found = {}
    for table in sorted(made, key=lambda t: (t.newest, t.place)):
        try:
            protocol = parse(table.place.dropout)
        except (UnknownNameError, UsageError):  # of another version of the harness
            continue
        found[protocol.name] = (protocol, table)
    return found


def _traits(made: Sequence[Table], by_name: Members, registry: Registry | None) -> Traits:
    """Return what the data has; of an unknown data set what its runs were scored under."""
    record = made[0].every[0]
    try:
        return Traits.of((registry or load()).dataset(record.dataset["name"]))
    except UnknownNameError:
        keys = sorted({p.argument for p, _ in by_name.values() if p.family == "only"})
        if len(keys) < len(record.dataset["modalities"]):  # not each was scored alone
            keys = [*Traits().keys, "?"]
        return Traits(tuple(keys), units=True, persons=True, parties=True, personality=True)


def _members(suite: str, traits: Traits) -> list[str]:
    found = sorted(map(parse, members_of(suite, traits)), key=lambda p: _order(suite, p))
    return [p.name for p in found]


def _order(suite: str, protocol: DropoutProtocol) -> tuple[bool, int, str, float, str]:
    """Return the place of a protocol's column: complete data first, then by family and level."""
    core = {"full": 0, "only": 1, "drop": 2, "random": 3} if suite == CORE else {}
    first = core.get(protocol.family, 0)
    return (protocol.name != FULL, first, protocol.family, protocol.level, protocol.argument)


def _robust(suite: str, names: Sequence[str], by_name: Members, metric: str) -> RobustTable | None:
    """Return the rows that were scored under every protocol of a suite, over the seeds that were.

    Outside of suites rows with any of the protocols are shown. None: there is no trained model.
    """
    made = {name: by_name[name][1] for name in names}
    key = made[FULL].key
    if metric != key.metric:  # average precision knows no threshold
        key = Key(metric, key.threshold if METRICS[metric].sums is not None else "declared")
    by_run = {
        name: {
            record.id: values[key]
            for row in table.rows
            for record, values in zip(row.records, row.values, strict=True)
            if key in values
        }
        for name, table in made.items()
    }
    rates = {name: table.rate for name, table in made.items()}
    curve = {
        name: rates[name] or 0.0
        for name in names
        if suite == CORE and (name == FULL or by_name[name][0].family == "random")
    }
    rows, left_out = [], []
    for row in made[FULL].rows:
        each = {r.id: {n: by_run[n][r.id] for n in names if r.id in by_run[n]} for r in row.records}
        least = len(names) if suite else 2
        kept = [r for r in row.records if len(each[r.id]) >= least]
        if not kept:
            left_out += [row.name] if row.trained else []
            continue
        scores = {n: [each[r.id][n] for r in kept if n in each[r.id]] for n in names}
        per_seed = [aggregates_of(each[r.id], _own(curve, made, r)) for r in kept] if curve else []
        rows.append(
            RobustRow(
                row,
                tuple(r.seed for r in kept),
                {n: statistic(values) for n, values in scores.items() if values},
                {
                    n: statistic(a[n] for a in per_seed)
                    for n in AGGREGATES
                    if per_seed and all(n in a for a in per_seed) and _defined(n, row)
                },
                label=row.label,
                setting=row.setting if row.trained else "",
            )
        )
    if not any(row.role == "model" for row in rows):
        return None
    every = made[FULL].rows
    found = [{n: share_of(r.row, by_run[n], every) for n in names} for r in rows]
    rows = [
        replace(r, shares={n: share for n, share in mine.items() if share is not None})
        for r, mine in zip(rows, found, strict=True)
    ]
    order = {"ceiling": 0, "model": 1}

    def best(row: RobustRow) -> float:
        return row.aggregates["avg_incomplete"].mean if row.aggregates else 0.0

    rows.sort(key=lambda r: (order.get(r.role, 2), -best(r), r.label, r.row.setting))
    place, whole = made[FULL].place, made[FULL]
    return RobustTable(
        place.board, place.content, place.mask, place.train_dropout, suite, key,
        tuple(names), rates, {n: t.place.digest for n, t in made.items()}, tuple(rows),
        tuple(left_out) if suite else (), place.split, whole.data, whole.facts["data_hash"],
    )  # fmt: skip


def _own(
    curve: Mapping[str, float], made: Mapping[str, Table], record: RunRecord
) -> Mapping[str, float]:
    """Return the missing rates of a run's own masks: those of a twin are the twin's."""
    if not made[FULL].twins:
        return curve
    places = {name: made[name].place for name in curve}
    return {n: rate_of(record, p.dropout, p.split) or 0.0 for n, p in places.items()}
