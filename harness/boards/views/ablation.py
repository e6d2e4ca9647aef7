"""Ablations: a full model and what is left of it without a part, one switch at a time."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.boards.entrants import Reader, entrant
from harness.boards.frame import SORT_BY, Key, Place
from harness.boards.grid import DATA, NOT_PAPER, PAGE, Column, Grid, GridRow, Statistic, View
from harness.boards.reported import Reported, ReportedRow
from harness.boards.rows import Older, Row, Table, tables
from harness.boards.settings import ABLATE, ablated, ablation_command, identity, setting
from harness.boards.views.columns import figures
from harness.boards.views.leaderboard import APART, failure_of
from harness.errors import DataMissingError
from harness.records.record import COMPLETE, RunRecord
from harness.specs import AblationSpec, ModelSpec
from harness.statistics.compare import Block, compare
from harness.statistics.entrants import Entrant, misfit
from harness.statistics.multiplicity import holm

if TYPE_CHECKING:
    from harness.boards.board import Board

FULL = "full"
SUFFIX = "-ablation"
# The metrics of the papers' tables.
SHOWN = {
    "multilabel": tuple(map(Key, ("jaccard", "micro_p", "micro_r", "micro_f1"))),
    "singlelabel": tuple(map(Key, ("micro_f1", "macro_f1", "weighted_f1"))),
}
_INTRO = (
    "Mean ± sample standard deviation over n seeds; every row is the full model without one part. "
    "Ablated models stand on no leaderboard."
)
_TESTED = (
    "`difference` is micro-F1 minus that of the full model, over the seeds both have; `95 % "
    "samples` its cluster bootstrap over groups of test samples. A row is told apart from the full "
    "model where the larger p of a paired permutation test over those groups and of a t-test "
    "over seeds, Holm over the rows, is below 0.05. Not told apart does not mean without effect."
)


@dataclass(frozen=True)
class AblationRow:
    """A model without some part, over its seeds; ``full`` is the whole model.

    ``delta`` is micro-F1 minus that of the full model over the seeds both have; ``test`` is there
    where predictions of three or more shared seeds are at hand, its ``p_holm`` adjusted for the
    rows of the table. ``printed`` is the paper's row, ``printed_delta`` its micro-F1 minus that of
    the paper's full model.
    """

    name: str
    removes: str
    row: Row
    delta: float | None = None
    test: Block | None = None
    printed: ReportedRow | None = None
    printed_delta: float | None = None

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return its training seeds."""
        return self.row.seeds

    @property
    def runs(self) -> tuple[str, ...]:
        """Return the ids of its runs."""
        return self.row.runs

    @property
    def figures(self) -> Mapping[Key, Statistic]:
        """Return its figures over seeds."""
        return self.row.figures

    @property
    def share(self) -> float | None:
        """Return micro-F1 over the ceiling's (twins)."""
        return self.row.share

    @property
    def told_apart(self) -> bool | None:
        """Return whether it is told apart from the full model; None: not tested."""
        return self.test.told_apart if self.test else None


@dataclass(frozen=True)
class AblationTable:
    """The ablations of one model under one configuration on one content of the data.

    ``untested`` says why rows have no test. ``ceiling`` is the best possible row (twins).
    """

    table: Table
    setting: str
    rows: tuple[AblationRow, ...]
    command: str
    ceiling: Row | None = None
    untested: tuple[str, ...] = ()
    reported: Reported | None = None
    members: tuple[RunRecord, ...] = field(default=(), repr=False)

    @property
    def key(self) -> Place:
        """Return where its figures stand."""
        return self.table.place

    @property
    def model(self) -> str:
        """Return the model's name."""
        return str(self.members[0].model["name"])

    @property
    def failures(self) -> list[tuple[str, RunRecord]]:
        """Return the runs without a result with their names, in the order of names and seeds."""
        return sorted(((name_of(r), r) for r in self.table.failed), key=lambda f: (f[0], f[1].seed))


def ablation_tables(
    records: Iterable[RunRecord],
    models: Mapping[str, ModelSpec],
    reported: Mapping[str, Reported],
    read: Reader | None = None,
    older: Older = lambda record: False,
) -> list[AblationTable]:
    """Return the tables of all ablations that were run, by data set and model, newest data first.

    Complete data only. A full run joins where its configuration is the same but for the switches.

    Args:
        records: runs of any boards.
        models: the order of the rows and what they remove.
        reported: printed tables by name.
        read: gives predictions, for the tests; None: nothing is tested.
        older: whether a run was made by older code.

    Raises:
        DataFormatError: predictions are broken, or the seeds of a row were not scored alike.
    """
    known = [r for r in records if r.role in ("model", "ceiling")]
    switched = {_family(r) for r in known if ablated(r)}
    found = []
    for table in tables((r for r in known if r.role != "model" or _family(r) in switched), older):
        members = [r for r in table.every if r.role == "model"]
        for family in dict.fromkeys(_family(r) for r in members):
            own = [r for r in members if _family(r) == family]
            if table.place.dropout == COMPLETE and any(map(ablated, own)):
                mine = replace(
                    table,
                    rows=tuple(r for r in table.rows if _family(r.first) in ("", family)),
                    failed=tuple(r for r in table.failed if _family(r) == family),
                )
                found.append(_table(mine, own, models, reported, read))
    found.sort(key=lambda t: max(r.created for r in t.members), reverse=True)
    return sorted(found, key=lambda t: (t.key.board, t.model))


def name_of(record: RunRecord) -> str:
    """Return the name of a run's row: its ablations, or ``full``."""
    return " + ".join(ablated(record)) or FULL


def _family(record: RunRecord) -> str:
    """Return what a full run and its ablations have in common; nothing for the ceiling."""
    return identity(record, ablations=False) if record.role == "model" else ""


def _table(
    table: Table,
    members: list[RunRecord],
    models: Mapping[str, ModelSpec],
    reported: Mapping[str, Reported],
    read: Reader | None,
) -> AblationTable:
    first = members[0]
    spec = models.get(str(first.model["name"]))
    declared = {a.name: a for a in spec.ablations} if spec else {}
    found: dict[str, Row] = {}
    for row in table.rows:
        if row.role == "model":
            # Of two orders of one combination, the first: they are one model.
            found.setdefault(name_of(row.first), row)
    places = [FULL, *declared]
    order = sorted(found, key=lambda n: (places.index(n) if n in places else len(places), n))
    tests, untested = _tests(found, table.place, read)
    paper = reported.get(
        f"{first.model['reported_as']}-ablation-{first.dataset['base_name']}".casefold()
    )
    printed = {row.name: row for row in paper.rows} if paper else {}
    rows = []
    for name in order:
        row, base = found[name], found.get(FULL)
        removes = _removes(row.first, declared)
        made = AblationRow(name, removes, row, printed=printed.get(name))
        if name != FULL and base is not None:
            made = replace(
                made,
                delta=_difference(row, base),
                test=tests.get(name),
                printed_delta=_printed_difference(printed.get(name), printed.get(FULL)),
            )
        rows.append(made)
    return AblationTable(
        table=table,
        setting=setting(first, without=ABLATE),
        rows=tuple(rows),
        command=ablation_command(members),
        ceiling=next((row for row in table.rows if row.role == "ceiling"), None),
        untested=untested,
        reported=paper,
        members=tuple(members),
    )


def _removes(record: RunRecord, declared: Mapping[str, AblationSpec]) -> str:
    """Return what a row's ablations remove, as its record has it; else as the model declares it."""
    stored = (record.ablation or {}).get("removes", {})
    known = {name: spec.removes for name, spec in declared.items()} | stored
    return "; ".join(str(known.get(name, "")) for name in ablated(record))


def _difference(row: Row, base: Row) -> float | None:
    """Return the difference of the mean micro-F1 over the seeds that both rows have."""
    ours, theirs = (
        {r.seed: v[SORT_BY] for r, v in zip(one.records, one.values, strict=True) if SORT_BY in v}
        for one in (row, base)
    )
    gaps = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    return statistics.fmean(gaps) if gaps else None


def _tests(
    found: Mapping[str, Row], place: Place, read: Reader | None
) -> tuple[dict[str, Block], tuple[str, ...]]:
    """Return the tests of rows against the full model, and why some have none."""
    if read is None:
        return {}, ()
    if FULL not in found:
        return {}, ("there is no run of the full model to compare with",)
    if place.compat:
        return {}, ("an author's own evaluation is not tested",)
    entrants: dict[str, Entrant] = {}
    reasons: dict[str, None] = {}
    for name, row in found.items():
        try:
            entrants[name] = entrant(row, place, read, name=name)
        except DataMissingError as error:
            reasons[str(error).rstrip(".")] = None
    base = entrants.pop(FULL, None)
    if base is None:
        return {}, tuple(reasons)
    fitting = []
    for other in entrants.values():
        reason = misfit(base, other)
        if reason:
            reasons[reason] = None
        else:
            fitting.append(other)
    blocks = compare([base, *fitting], FULL, SORT_BY.metric) if fitting else []
    tested = [b for b in blocks if b.p_perm is not None and b.p_seeds is not None]
    # A block's own p_holm adjusts the permutation alone; what tells apart is the larger p.
    adjusted = holm([max(b.p_perm or 0.0, b.p_seeds or 0.0) for b in tested])
    pairs = zip(tested, adjusted, strict=True)
    return {b.name: replace(b, p_holm=p) for b, p in pairs}, tuple(reasons)


def _printed_difference(row: ReportedRow | None, full: ReportedRow | None) -> float | None:
    if row is None or full is None:
        return None
    value, base = (one.printed.get(SORT_BY.metric) for one in (row, full))
    return None if value is None or base is None else value - base


def views(board: Board) -> list[View]:
    """Return a view a model with ablations: ``<board>-<model>-ablation``."""
    return [
        view([t for t in board.ablations if t.model == model])
        for model in dict.fromkeys(t.model for t in board.ablations)
    ]


def view(found: list[AblationTable]) -> View:
    """Return the tables of one model on one board."""
    first, source = found[0], str(found[0].members[0].dataset["source"])
    label = first.rows[0].row.label if first.rows else first.model
    board = first.key.board
    title = f"{board}: ablations of {label}"
    stem = f"{board}-{first.model}{SUFFIX}"
    return View("ablation", stem, title, tuple(map(grid, found)), (_INTRO,), board, source)


def grid(table: AblationTable) -> Grid:
    """Return one table: the rows, the ceiling last, failed runs and tests as notes."""
    place, shown = table.key, SHOWN[table.table.label_kind]
    tested = any(row.test for row in table.rows)
    columns = [Column("ablation"), Column("seeds", readers=DATA), Column("n", kind="figure")]
    columns += [*figures(shown), Column("difference", kind="signed")]
    if tested:
        columns += [
            Column("difference_ci", "95 % samples", "figure", readers=NOT_PAPER),
            Column("p_perm", kind="figure", readers=DATA),
            Column("p_seeds", kind="figure", readers=DATA),
            Column("p_holm", "p Holm", "figure", readers=NOT_PAPER),
            Column("told_apart", "told apart", readers=NOT_PAPER),
        ]
    columns += [Column("ceiling_share", "of ceiling", "share")] if table.ceiling else []
    for metric in table.reported.metrics if table.reported else ():
        main = metric == SORT_BY.metric
        head, readers = ("micro-F1 printed", None) if main else (f"{metric} printed", DATA)
        column = Column(f"printed_{metric}", head, "figure", 3, printed=True)
        columns.append(column if readers is None else replace(column, readers=readers))
    if table.reported:
        columns.append(
            Column("printed_difference", "difference printed", "signed", 3, NOT_PAPER, True)
        )
    columns.append(Column("removes", readers=PAGE))
    rows = [
        GridRow(
            {
                "ablation": row.name,
                "seeds": " ".join(map(str, row.seeds)),
                "n": len(row.seeds),
                **{key.name: row.figures.get(key) for key in shown},
                "difference": row.delta,
                **_test_cells(row.test),
                "ceiling_share": row.share,
                **{
                    f"printed_{m}": v
                    for m, v in (row.printed.printed if row.printed else {}).items()
                },
                "printed_difference": row.printed_delta,
                "removes": row.removes,
            },
            FULL if row.name == FULL else "ablated",
            {"difference": APART} if row.told_apart else {},
            row.row.older,
        )
        for row in table.rows
    ]
    if table.ceiling:
        top = {key.name: table.ceiling.figures.get(key) for key in shown}
        rows.append(GridRow({"ablation": "ceiling", **top}, "ceiling"))
    seeds = sorted({seed for row in table.rows for seed in row.seeds})
    about = (
        f"Preset and settings {table.setting or '–'}, protocol {place.protocol}, mask {place.mask},"
        f" trained under {place.train_dropout}, scored under {place.dropout} on {place.split} "
        f"({table.table.samples} samples), data {place.content_hash[:12]}, seeds "
        f"{', '.join(map(str, seeds)) or '–'}."
    )
    title = f"{table.setting or 'settings'}, data `{place.content_hash[:12]}`"
    facts = place.facts | {"model": table.model, "setting": table.setting}
    return Grid(
        title, tuple(columns), tuple(rows), tuple(_notes(table)), about, facts, (table.command,)
    )


def _test_cells(test: Block | None) -> dict[str, str | float | tuple[float, float] | None]:
    if test is None:
        return {}
    return {
        "difference_ci": test.delta_ci, "p_perm": test.p_perm, "p_seeds": test.p_seeds,
        "p_holm": test.p_holm, "told_apart": "yes" if test.told_apart else "no",
    }  # fmt: skip


def _notes(table: AblationTable) -> list[str]:
    """Return what a reader of the table must know, a sentence or two each."""
    about, found = table.members[0].dataset, []
    twin = about["source"] == "twin"
    if twin:
        found.append(
            f"Generated data: a twin of `{about['base_name']}` with a known ceiling. These figures "
            "say nothing about the real data set."
        )
    if any(row.test for row in table.rows):
        found.append(_TESTED)
    if table.untested:
        found.append(f"Not tested: {'; '.join(table.untested)}.")
    if table.reported is not None:
        where = f"on the real `{about['base_name']}`, not " if twin else "not "
        found.append(f"Printed figures stand in {table.reported.source}: {where}measured here.")
    found += [
        f"Failed: {name}, seed {r.seed}: {failure_of(r)} ({r.id})" for name, r in table.failures
    ]
    return found
