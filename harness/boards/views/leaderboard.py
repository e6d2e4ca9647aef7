"""The leaderboard of a data set, and the same rows by slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.boards.frame import Key
from harness.boards.grid import (
    DATA,
    NOT_PAPER,
    Cell,
    Column,
    Grid,
    GridRow,
    View,
)
from harness.boards.rows import Row, Table
from harness.boards.settings import commands_of
from harness.boards.views.columns import about_run, figures, keys
from harness.records.record import COMPLETE, RunRecord
from harness.records.sums import closed
from harness.statistics.compare import MOST_RANKED
from harness.statistics.ranks import rank_text

if TYPE_CHECKING:
    from harness.boards.board import Board

BEST, SECOND, APART = "best", "second", "apart"
SLICED = ("micro_f1", "macro_f1", "weighted_f1")
EXTERNAL_NOTE = (
    "Made by code that was not run here, scored under the same rules by `harness score`. How they "
    "were trained, selected and, under dropout, masked cannot be checked from a file."
)
DEVELOPMENT = (
    "Scored on validation, on which epochs and thresholds were chosen: for development, and "
    "comparable with no figure of the test split."
)
_SLICES_NOTE = "Averages are over all labels; a label that a slice does not have counts 0."


def leaderboard(board: Board) -> View:
    """Return the measured rows of a board, by content of the data, and external predictions."""
    notes = [*board.about]
    if board.split == "valid":
        notes.append(DEVELOPMENT)
    if board.source == "twin":
        alone = board.base_name == board.dataset
        notes.append(
            "Generated data with a known ceiling, a twin of no real data set. These figures say "
            "what a model can do here, and stand in no table with figures of real data."
            if alone
            else f"Generated data: a twin of `{board.base_name}` with a known ceiling. These "
            "figures say nothing about the real data set and stand in no table with its figures."
        )
    notes.append(
        "Mean ± sample standard deviation over n seeds, best micro-F1 first; rows in italics are "
        "not trained models (trivial predictors, and on twins the ceiling and exact observers that "
        "lack one thing). Reported figures have a table of their own."
    )
    if any(row.share is not None for table in board.tables for row in table.rows):
        notes.append(
            "`share`: (F - constant) / (ceiling - constant) of micro-F1, where constant is the "
            "best trivial predictor and the ceiling the exact posterior. A figure of the ceiling "
            "or of an observer is by the decisions that are best for that metric; where none are "
            "known it is left out."
        )
    if any(row.sample_interval for table in board.tables for row in table.rows):
        notes.append(
            "Rows that share a letter cannot be told apart by micro-F1: a paired permutation test "
            f"over groups of {board.split} samples and a t-test over seeds (at least 3), the "
            "larger p, Holm over all pairs, 5 %. `95 % seeds` is the t-interval over training "
            f"seeds, `95 % samples` the cluster bootstrap over groups of {board.split} samples."
        )
    if any(sum(map(bool, (r.sample_interval for r in t.rows))) > MOST_RANKED for t in board.tables):
        notes.append(
            f"The {MOST_RANKED} best rows of a table are tested pair by pair and have letters, "
            "the others an interval only."
        )
    if board.label_kind == "multilabel":
        notes.append(
            '`Jaccard` counts 0 where truth and prediction are both empty (the papers\' "Acc"). '
            "Rows are ordered and tested at one threshold chosen on validation (`tuned`)."
        )
    if any(closed(record) for record in board.records):
        notes.append(
            "The samples of this data may not be passed on: exports hold sums over clusters of "
            "them, from which figures of decisions, intervals and tests follow. Average precision "
            "does not: it stands as the run computed it, not recomputed."
        )
    if len(board.hashes) > 1:
        notes.append(
            f"Runs on {len(board.hashes)} different contents of the data were found; they are kept "
            "apart, newest first."
        )
    grids = [replace(table_grid(t), section=_section(t, board.hashes)) for t in board.tables]
    for content in board.hashes:  # commands close the part of their data
        mine = [i for i, t in enumerate(board.tables) if t.place.content == content]
        trained = {r.id: r for i in mine for row in board.tables[i].rows if row.role == "model"
                   for r in row.records}  # fmt: skip
        commands = commands_of(trained.values())
        if commands:
            last = mine[-1]
            again = "harness leaderboard" + " --split valid" * (board.split == "valid")
            grids[last] = replace(grids[last], commands=(*commands, again))
    grids += [
        replace(table_grid(t), section="External predictions", notes=(EXTERNAL_NOTE,))
        for t in board.external
    ]
    return board.view("leaderboard", "", board.dataset, grids, notes)


def slices(board: Board) -> View:
    """Return the rows of every table by slice, at the threshold that the board is ordered by.

    On MEmoR the slices say what the target shows at the target moment. Rows whose runs have none
    (they were made before the data had slices) are left out.
    """
    made = (_slice_grid(table) for table in (*board.tables, *board.external))
    title = f"{board.dataset}: by slice"
    return board.view("slices", "-slices", title, [g for g in made if g], [_SLICES_NOTE])


def table_grid(table: Table) -> Grid:
    """Return one table as a grid."""
    tested = any(row.sample_interval is not None for row in table.rows)
    on_twin = any(row.share is not None for row in table.rows)
    shown = keys(table.label_kind)
    columns = [Column("model"), Column("setting"), *about_run(), Column("n", kind="figure")]
    columns += figures(shown)
    name = table.key.name
    columns += [Column("rank", kind="figure")] if tested else []
    if tested:
        columns += [
            Column(f"{name}_seeds", "95 % seeds", "figure", readers=NOT_PAPER),
            Column(f"{name}_samples", "95 % samples", "figure", readers=NOT_PAPER),
            Column("clusters", readers=DATA),
        ]
    if on_twin:
        columns += [
            Column("share", kind="share"),
            Column("share_interval", "95 % share", "share", readers=DATA),
        ]
    if any(row.tested_before is not None for row in table.rows):
        columns.append(Column("tested_before", "settings tested before", readers=DATA))
    marked = marks(table.rows)
    rows = tuple(
        GridRow(
            common(row)
            | {key.name: row.figures.get(key) for key in shown}
            | {"rank": rank_text(row.rank), f"{name}_seeds": row.t_interval,
               f"{name}_samples": row.sample_interval, "clusters": row.clusters,
               "share": row.share, "share_interval": row.share_interval,
               "tested_before": row.tested_before},
            row.role,
            {name: mark} if mark else {},
            row.older,
        )
        for row, mark in zip(table.rows, marked, strict=True)
    )  # fmt: skip
    place, how = table.place, trained_how(table)
    seeds = sorted({s for row in table.rows if row.trained for s in row.seeds})
    about = (
        f"Protocol `{place.protocol}`, mask `{place.mask}`, {how}, scored under `{place.dropout}` "
        f"on `{place.split}` ({table.samples} samples), {table.data}, seeds "
        f"{', '.join(map(str, seeds)) or '–'}."
    )
    title = f"Scored under {place.dropout}, {how}, mask {place.mask}".replace("`", "")
    notes = (*failures(table.failed), *warned(table.rows), *further(table.rows))
    return Grid(title, tuple(columns), rows, notes, about, table.facts)


def beside_validation(grid: Grid, table: Table) -> Grid:
    """Return the grid of a table with what its rows are sorted by on validation beside it."""
    names = [column.name for column in grid.columns]
    key = table.key if table.key.name in names else keys(table.label_kind)[0]
    found = [row.on("valid", key) for row in table.rows]
    if not any(found) or table.place.dropout != COMPLETE or table.place.split == "valid":
        return grid
    at = names.index(key.name) + 1
    name = f"valid_{key.name}"
    column = Column(name, f"{grid.columns[at - 1].head} valid", "figure")
    rows = tuple(
        replace(row, cells={**row.cells, name: value})
        for row, value in zip(grid.rows, found, strict=True)
    )
    return replace(grid, columns=(*grid.columns[:at], column, *grid.columns[at:]), rows=rows)


def common(row: Row) -> dict[str, Cell]:
    """Return the cells that tell rows apart."""
    return {
        "model": row.label, "role": row.role, "setting": _setting(row),
        "seeds": " ".join(map(str, row.seeds)), "n": len(row.seeds),
    }  # fmt: skip


def _setting(row: Row) -> str:
    """Return a row's setting, or its role, and how many of its table's twins it lacks."""
    said = (row.setting if row.trained else row.role, row.lacking)
    return ", ".join(part for part in said if part)


def failures(failed: Sequence[RunRecord]) -> tuple[str, ...]:
    """Return a note about each run without a result."""
    return tuple(
        f"Failed: {r.model['name']}, seed {r.seed}: {failure_of(r)} ({r.id})" for r in failed
    )


def warned(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return a note about each row with runs whose checks warned (`RunRecord.checks`)."""
    found = ((row, [w for r in row.records for w in r.checks.get("warnings", ())]) for row in rows)
    return tuple(
        f"Checks of {r.name}: {' '.join(dict.fromkeys(said))}" for r, said in found if said
    )


def further(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return a note about each row with runs on twins that its table does not have."""
    return tuple(
        f"Left out of {row.name}: its runs on twins {', '.join(map(str, row.beyond))}."
        for row in rows
        if row.beyond and row.trained
    )


def failure_of(record: RunRecord) -> str:
    """Return why a run failed, in one line."""
    return " ".join(str((record.failure or {}).get("reason", "unknown")).split())


def trained_how(table: Table) -> str:
    """Return how the rows of a table were trained."""
    outside = any(row.role == "external" for row in table.rows)
    return "trained elsewhere" if outside else f"trained under `{table.place.train_dropout}`"


def marks(rows: Sequence[Row]) -> list[str]:
    """Return per row `BEST`, `SECOND` or nothing, by the tested metric.

    The best trained model is marked where it is told apart from every other one, the second where
    it is told apart too, and the first is marked: in a tie nothing is. Rows without a rank were
    not tested, and nothing is marked beside them.
    """
    trained = [i for i, row in enumerate(rows) if row.trained]
    marked = ["" for _ in rows]
    if len(trained) < 2 or not all(rows[i].rank for i in trained):
        return marked
    order = sorted(trained, key=lambda i: -rows[i].best)
    for place, mark in zip(order, (BEST, SECOND), strict=False):
        mine = set(rows[place].rank)
        if any(mine & set(rows[other].rank) for other in order if other != place):
            break
        marked[place] = mark
    return marked


def slice_samples(table: Table) -> dict[str, int]:
    """Return the number of samples of each slice of a table."""
    found: dict[str, int] = {}
    for values in (v for row in table.rows for v in row.values):
        for key, value in values.items():
            if key.slice and key.metric == "samples":
                found.setdefault(key.slice, int(value))
    return found


def _slice_grid(table: Table) -> Grid | None:
    samples = slice_samples(table)
    columns = [Column("model"), Column("setting"), *about_run(), Column("n", kind="figure")]
    shown = [Key(name, table.key.threshold, part) for part in samples for name in SLICED]
    columns += [
        replace(
            column, readers=DATA if key.metric == "weighted_f1" else column.readers,
            about={"slice": key.slice, "samples": samples[key.slice], "metric": key.metric},
        )
        for key, column in zip(shown, figures(shown), strict=True)
    ]  # fmt: skip
    rows = tuple(
        GridRow(
            common(row) | {k.name: row.figures.get(k) for k in shown}, row.role, older=row.older
        )
        for row in table.rows
        if all(any(key.slice for key in values) for values in row.values)
    )
    if not rows or not samples:
        return None
    counts = ", ".join(f"{name} {n}" for name, n in samples.items())
    whole = table_grid(table)
    about = f"The rows of the leaderboard over slices of the split, in samples: {counts}."
    return Grid(whole.title, tuple(columns), rows, (), f"{about} {whole.about}", whole.facts)


def _section(table: Table, hashes: Sequence[str]) -> str:
    content = table.place.content
    newest = " (newest)" if len(hashes) > 1 and content == hashes[0] else ""
    if table.twins:
        return f"Twins, {content}{newest}"
    return f"Data `{content}`{newest}"
