"""Ablations: a full model and what is left of it without a part, one switch at a time."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.boards.entrants import Reader, entrant
from harness.boards.frame import REFERENCE_ROLES, SORT_BY, Key, Place, twin_of
from harness.boards.grid import (
    DATA,
    EVERYONE,
    NOT_PAGE,
    NOT_PAPER,
    Cell,
    Column,
    Grid,
    GridRow,
    View,
    older_note,
)
from harness.boards.reported import Reported
from harness.boards.rows import Older, Row, Table, label_of, tables
from harness.boards.settings import ABLATE, ablated, ablation_command, identity, setting
from harness.boards.views.columns import figures
from harness.boards.views.leaderboard import DEVELOPMENT
from harness.boards.views.table import APART, failure_of
from harness.errors import DataMissingError
from harness.records.record import COMPLETE, RunRecord
from harness.specs import ModelSpec
from harness.statistics.compare import Block, compare
from harness.statistics.entrants import AnyEntrant, misfit
from harness.statistics.multiplicity import holm

if TYPE_CHECKING:
    from harness.boards.board import Board

FULL = "full"
SUFFIX = "-ablation"
# The metrics of the papers' tables.
SHOWN = {
    "multilabel": ("jaccard", "micro_p", "micro_r", "micro_f1"),
    "singlelabel": ("micro_f1", "macro_f1", "weighted_f1"),
}
_INTRO = (
    "Mean ± sample standard deviation over n seeds; every row is the full model without one part. "
    "Ablated models stand on no leaderboard."
)
_TESTED = (
    "`difference` is micro-F1 minus that of the full model, over the seeds both have; in brackets "
    "its cluster bootstrap over groups of {split} samples. A row is told apart from the "
    "full model where the larger p of a paired permutation test over those groups and of a t-test "
    "over seeds, Holm over the rows, is below 0.05. Not told apart does not mean without effect: "
    "`detectable` is the smallest difference that these seeds and samples would tell apart with a "
    "probability of 80 %."
)


Tests = tuple[dict[str, Block], tuple[str, ...]]
"""The tests of rows against the full model by name, and why some have none."""
Kept = Callable[[Sequence[tuple[str, RunRecord]], Place, Callable[[], Tests]], Tests]
"""Is given the runs of rows with the rows' names, their place, and what computes their tests."""


def _computed(
    runs: Sequence[tuple[str, RunRecord]], place: Place, compute: Callable[[], Tests]
) -> Tests:
    return compute()


@dataclass(frozen=True)
class AblationTable:
    """The ablations of one model under one configuration on one content of the data.

    ``table`` has the runs, those of reference rows among them, ``grid`` what is shown of them.
    """

    model: str
    label: str
    table: Table
    grid: Grid
    reported: Reported | None = None


def ablation_tables(
    records: Iterable[RunRecord],
    models: Mapping[str, ModelSpec],
    reported: Mapping[str, Reported],
    read: Reader | None = None,
    older: Older = lambda record: False,
    kept: Kept | None = None,
    split: str = "test",
) -> list[AblationTable]:
    """Return the tables of all ablations that were run, by data set and model, newest data first.

    Complete data only. A full run joins where its configuration is the same but for the switches.

    Args:
        records: runs of any boards.
        models: the order of the rows and what they remove.
        reported: printed tables by name.
        read: gives predictions, for the tests; None: nothing is tested.
        older: whether a run was made by older code.
        kept: gives the tests of rows, by computing them or from where they are kept.
        split: what is scored.

    Raises:
        DataFormatError: predictions are broken, or the seeds of a row were not scored alike.
    """
    known = [r for r in records if r.role in ("model", *REFERENCE_ROLES)]
    families = {r.id: _family(r) for r in known}
    switched = {families[r.id] for r in known if ablated(r)}
    found = []
    chosen = (r for r in known if r.role != "model" or families[r.id] in switched)
    for table in tables(chosen, older, split):
        if table.place.dropout != COMPLETE:
            continue
        members: dict[str, list[RunRecord]] = {}
        for record in table.every:
            members.setdefault(families[record.id], []).append(record)
        rows: dict[str, list[Row]] = {}
        for row in table.rows:
            rows.setdefault(families[row.first.id], []).append(row)
        for family, own in members.items():
            if family and any(map(ablated, own)):
                mine = replace(
                    table,
                    rows=(*rows.get("", ()), *rows.get(family, ())),
                    failed=tuple(r for r in table.failed if families[r.id] == family),
                )
                found.append(_table(mine, own, models, reported, read, kept or _computed))
    found.sort(key=lambda t: t.table.newest, reverse=True)
    return sorted(found, key=lambda t: (t.table.place.board, t.model))


def name_of(record: RunRecord) -> str:
    """Return the name of a run's row: its ablations, or ``full``."""
    return " + ".join(ablated(record)) or FULL


def _family(record: RunRecord) -> str:
    """Return what a full run and its ablations have in common; nothing for reference rows."""
    return identity(record, ablations=False) if record.role == "model" else ""


def _table(
    table: Table,
    members: list[RunRecord],
    models: Mapping[str, ModelSpec],
    reported: Mapping[str, Reported],
    read: Reader | None,
    kept: Kept,
) -> AblationTable:
    first = members[0]
    shown = tuple(Key(name, table.key.threshold) for name in SHOWN[table.label_kind])
    spec = models.get(str(first.model["name"]))
    declared = {a.name: a.removes for a in spec.ablations} if spec else {}
    found: dict[str, Row] = {}
    for row in table.rows:
        if row.role == "model":
            # Of two orders of one combination, the first: they are one model.
            found.setdefault(name_of(row.first), row)
    places = [FULL, *declared]
    order = sorted(found, key=lambda n: (places.index(n) if n in places else len(places), n))
    runs = [(name, run) for name, row in found.items() for run in row.records]
    tests, untested = kept(runs, table.place, lambda: _tests(found, table.place, read))
    paper = reported.get(
        f"{first.model['reported_as']}-ablation-{first.dataset['base_name']}".casefold()
    )
    printed = {row.name: row.printed for row in paper.rows} if paper else {}
    rows = []
    for name in order:
        row, whole, test = found[name], name == FULL or FULL not in found, tests.get(name)
        cells: dict[str, Cell] = {
            "ablation": name,
            "seeds": " ".join(map(str, row.seeds)),
            "n": len(row.seeds),
            **{key.name: row.figures.get(key) for key in shown},
            "difference": None if whole else _difference(row, found[FULL]),
            "share": row.share,
            **{f"printed_{metric}": value for metric, value in printed.get(name, {}).items()},
            "printed_difference": None if whole else _printed_difference(printed, name),
            "removes": _removes(row.first, declared),
        }
        if test is not None:
            cells |= {
                "difference_ci": test.delta_ci, "detectable": test.detectable,
                "p_perm": test.p_perm, "p_seeds": test.p_seeds,
                "p_holm": test.p_holm, "told_apart": "yes" if test.told_apart else "no",
            }  # fmt: skip
        marks = {"difference": APART} if test and test.told_apart else {}
        rows.append(GridRow(cells, FULL if name == FULL else "ablated", marks, row.older))
    for row in (row for row in table.rows if row.role == "ceiling"):
        top = {key.name: row.figures.get(key) for key in shown}
        rows.append(GridRow({"ablation": "ceiling", **top}, "ceiling"))
    place, settings = table.place, setting(first, without=ABLATE)
    seeds = sorted({seed for row in found.values() for seed in row.seeds})
    about = (
        f"Preset and settings {settings or '–'}, protocol {place.protocol}, mask {place.mask}, "
        f"trained under {place.train_dropout}, scored under {place.dropout} on {place.split} "
        f"({table.samples} samples), {table.data.replace('`', '')}, seeds "
        f"{', '.join(map(str, seeds)) or '–'}."
    )
    grid = Grid(
        title=f"{settings or 'settings'}, {table.data}",
        columns=tuple(_columns(shown, bool(tests), rows[-1:], paper)),
        rows=tuple(rows),
        notes=(*_removed(rows), *_notes(table, bool(tests), untested, paper)),
        about=about,
        facts=table.facts | {"model": str(first.model["name"]), "setting": settings},
        commands=(ablation_command(members),),
    )
    return AblationTable(str(first.model["name"]), label_of(first.model), table, grid, paper)


def _columns(
    shown: Sequence[Key], tested: bool, last: Sequence[GridRow], paper: Reported | None
) -> list[Column]:
    main, gap = next(key for key in shown if key.metric == SORT_BY.metric), "difference_ci"
    columns = [
        Column("ablation"), Column("seeds", readers=DATA), Column("n", kind="figure", readers=DATA),
    ]  # fmt: skip
    columns += [c if c.name == main.name else replace(c, readers=NOT_PAGE) for c in figures(shown)]
    head = "difference [95 %]" if tested else "difference"
    columns.append(Column("difference", head, "signed", interval=gap))
    if tested:
        columns += [
            Column(gap, "95 % samples", "figure", readers=DATA),
            Column("detectable", kind="figure", readers=NOT_PAPER),
            *(Column(name, kind="figure", readers=DATA) for name in ("p_perm", "p_seeds")),
            Column("p_holm", "p Holm", "figure", readers=DATA),
            Column("told_apart", "told apart", readers=NOT_PAPER),
        ]
    if any(row.role == "ceiling" for row in last):
        columns.append(Column("share", "share", "share"))
    for metric in paper.metrics if paper else ():
        head, readers = (
            ("printed", EVERYONE) if metric == SORT_BY.metric else (f"{metric} printed", DATA)
        )
        columns.append(Column(f"printed_{metric}", head, "figure", 3, readers, printed=True))
    if paper:
        columns.append(
            Column("printed_difference", "difference printed", "signed", 3, NOT_PAPER, True)
        )
    return [*columns, Column("removes", readers=DATA)]


def _removed(rows: Sequence[GridRow]) -> list[str]:
    """Return what each row is without, a line each."""
    return [f"{r.cells['ablation']}: {r.cells['removes']}." for r in rows if r.cells.get("removes")]


def _removes(record: RunRecord, declared: Mapping[str, str]) -> str:
    """Return what a row's ablations remove, as its record has it; else as the model declares it."""
    known = declared | (record.ablation or {}).get("removes", {})
    return "; ".join(str(known.get(name, "")) for name in ablated(record))


def _difference(row: Row, base: Row) -> float | None:
    """Return the difference of the mean micro-F1 over the seeds, and twins, that both rows have."""
    ours, theirs = (
        {
            (twin_of(r), r.seed): v[one.key]
            for r, v in zip(one.records, one.values, strict=True)
            if one.key in v
        }
        for one in (row, base)
    )
    gaps = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    return statistics.fmean(gaps) if gaps else None


def _tests(found: Mapping[str, Row], place: Place, read: Reader | None) -> Tests:
    """Return the tests of rows against the full model, and why some have none."""
    if read is None:
        return {}, ()
    if FULL not in found:
        return {}, ("there is no run of the full model to compare with",)
    if place.compat:
        return {}, ("an author's own evaluation is not tested",)
    entrants: dict[str, AnyEntrant] = {}
    reasons: dict[str, None] = {}
    for name, row in found.items():
        try:
            entrants[name] = entrant(row, place, read, name=name, tuned=bool(row.key.tuned))
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


def _printed_difference(printed: Mapping[str, Mapping[str, Any]], name: str) -> float | None:
    value, base = (printed.get(n, {}).get(SORT_BY.metric) for n in (name, FULL))
    return None if value is None or base is None else float(value - base)


def views(board: Board) -> list[View]:
    """Return a view a model with ablations: ``<board>-<model>-ablation``."""
    made = [
        view([t for t in board.ablations if t.model == model])
        for model in dict.fromkeys(t.model for t in board.ablations)
    ]
    return [replace(one, notes=(*board.sentences, *one.notes)) for one in made]


def view(found: Sequence[AblationTable]) -> View:
    """Return the tables of one model on one board."""
    first = found[0]
    board = first.table.place.board
    source = str(first.table.every[0].dataset["source"])
    title, stem = f"{board}: ablations of {first.label}", f"{board}-{first.model}{SUFFIX}"
    grids = tuple(table.grid for table in found)
    notes = [_INTRO]
    if first.table.place.split == "valid":
        title, notes = f"{title} (valid)", [DEVELOPMENT, *notes]
    return View(
        "ablation", stem, title, grids, tuple(notes), board, source, after=older_note(grids)
    )


def _notes(
    table: Table, tested: bool, untested: Sequence[str], paper: Reported | None
) -> list[str]:
    """Return what a reader of the table must know, a sentence or two each."""
    about, found = table.every[0].dataset, []
    twin = about["source"] == "twin"
    if twin:
        found.append(
            f"Generated data: a twin of `{about['base_name']}` with a known ceiling. These figures "
            "say nothing about the real data set."
        )
    found += [_TESTED.format(split=table.place.split)] if tested else []
    found += [f"Not tested: {'; '.join(untested)}."] if untested else []
    if paper is not None:
        where = f"on the real `{about['base_name']}`, not " if twin else "not "
        found.append(f"Printed figures stand in {paper.source}: {where}measured here.")
    failed = sorted(table.failed, key=lambda r: (name_of(r), r.seed))
    return [
        *found,
        *(f"Failed: {name_of(r)}, seed {r.seed}: {failure_of(r)} ({r.id})" for r in failed),
    ]
