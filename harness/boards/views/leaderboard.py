"""The leaderboard of a data set, and the same rows by slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.boards.frame import Key
from harness.boards.grid import DATA, EVERYONE, Column, Grid, GridRow, View
from harness.boards.rows import Table
from harness.boards.settings import commands_of
from harness.boards.views.columns import about_run, figures
from harness.boards.views.table import common, table_grid
from harness.records.record import COMPLETE
from harness.records.sums import closed
from harness.statistics.compare import MOST_RANKED

if TYPE_CHECKING:
    from harness.boards.board import Board

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
    """Return the measured rows of a board, by content of the data, and external predictions.

    People are shown a table a content, mask and protocol of training, on complete data: what is
    scored under dropout stands side by side in the view of robustness. Programs get all of it.
    """
    notes = [*board.about[len(board.sentences) :]]
    if board.split == "valid":
        notes.append(DEVELOPMENT)
    if board.robustness:
        notes.append(f"Missing modalities: `{board.dataset}-robustness.md`.")
    if len(board.hashes) > 1:
        notes.append(
            f"Runs on {len(board.hashes)} different contents of the data were found; they are kept "
            "apart, newest first."
        )
    grids = [_leading(table, board) for table in board.tables]
    for content in board.hashes:  # commands close the part of their data
        mine = [i for i, t in enumerate(board.tables) if t.place.content == content]
        trained = {r.id: r for i in mine for row in board.tables[i].rows if row.role == "model"
                   for r in row.records}  # fmt: skip
        commands = commands_of(trained.values())
        if commands:
            last = [i for i in mine if grids[i].readers is EVERYONE][-1]
            again = "harness leaderboard" + " --split valid" * (board.split == "valid")
            grids[last] = replace(grids[last], commands=(*commands, again))
    grids += [
        replace(table_grid(t), section="External predictions", notes=(EXTERNAL_NOTE,))
        for t in board.external
    ]
    return board.view("leaderboard", "", board.dataset, grids, notes, how_to_read(board))


def how_to_read(board: Board) -> list[str]:
    """Return what the columns of a board's tables mean, as far as it has them."""
    rows = [row for table in board.tables for row in table.rows]
    tested = any(row.sample_interval for row in rows)
    notes = [
        "Mean ± sample standard deviation over seeds, best first; rows in italics are not trained "
        "models (trivial predictors, and on generated data the ceiling and exact observers that "
        "lack one thing). Reported figures have a table of their own. The CSV and JSON files hold "
        "further metrics, both thresholds, every dropout protocol and what each row cost."
    ]
    if board.label_kind == "multilabel":
        notes.append(
            "Rows are ordered and tested at one threshold, chosen on validation (`tuned`); that "
            "declared beforehand stands in the files. `Jaccard` counts 0 where truth and "
            'prediction are both empty (the papers\' "Acc").'
        )
    if tested:
        notes.append(
            f"In brackets: 95 %, cluster bootstrap over groups of {board.split} samples. `rank`: "
            "rows that share a letter are not told apart: a paired permutation test over those "
            "groups and a t-test over seeds (at least 3), the larger p, Holm over all pairs, 5 %."
        )
    if any(sum(bool(r.sample_interval) for r in t.rows) > MOST_RANKED for t in board.tables):
        notes.append(
            f"The {MOST_RANKED} best rows of a table are tested pair by pair and have letters, "
            "the others an interval only."
        )
    if any(row.share is not None for row in rows):
        notes.append(
            "`share`: (F - constant) / (ceiling - constant), where constant is the best trivial "
            "predictor and the ceiling the exact posterior. A figure of the ceiling or of an "
            "observer is by the decisions that are best for that metric; where none are known it "
            "is left out."
        )
    elif any(row.role == "trivial" for row in rows):
        notes.append("`over constant`: above the best trivial predictor, which sees no input.")
    if any(closed(record) for record in board.records):
        notes.append(
            "The samples of this data may not be passed on: exports hold sums over clusters of "
            "them, from which figures of decisions, intervals and tests follow. Average precision "
            "does not: it stands as the run computed it, not recomputed."
        )
    return notes


def _leading(table: Table, board: Board) -> Grid:
    """Return a table as a grid; people are shown it only where no other one leads to it."""
    grid = replace(table_grid(table), section=_section(table, board.hashes))
    place = table.place
    whole = {t.place.training for t in board.tables if t.place.dropout == COMPLETE}
    main = board.skill is not None and board.skill.dropout == place.dropout
    if place.dropout == COMPLETE or main or place.training not in whole:
        return grid
    return replace(grid, readers=DATA)


def slices(board: Board) -> View:
    """Return the rows of every table by slice, at the threshold that the board is ordered by.

    On MEmoR the slices say what the target shows at the target moment. Rows whose runs have none
    (they were made before the data had slices) are left out.
    """
    made = (_slice_grid(table, board) for table in (*board.tables, *board.external))
    title = f"{board.dataset}: by slice"
    return board.view("slices", "-slices", title, [g for g in made if g], [_SLICES_NOTE])


def slice_samples(table: Table) -> dict[str, int]:
    """Return the number of samples of each slice of a table."""
    found: dict[str, int] = {}
    for values in (v for row in table.rows for v in row.values):
        for key, value in values.items():
            if key.slice and key.metric == "samples":
                found.setdefault(key.slice, int(value))
    return found


def _slice_grid(table: Table, board: Board) -> Grid | None:
    samples = slice_samples(table)
    columns = [
        Column("name", "model", readers=EVERYONE - DATA),
        Column("model", readers=DATA), Column("setting", readers=DATA), *about_run(),
        Column("n", kind="figure", readers=DATA),
    ]  # fmt: skip
    shown = [Key(name, table.key.threshold, part) for part in samples for name in SLICED]
    columns += [
        replace(
            column, kind="mean",
            readers=DATA if key.metric == "weighted_f1" else column.readers,
            about={"slice": key.slice, "samples": samples[key.slice], "metric": key.metric},
        )
        for key, column in zip(shown, figures(shown), strict=True)
    ]  # fmt: skip
    rows = tuple(
        GridRow(
            common(row) | {"name": row.name} | {k.name: row.figures.get(k) for k in shown},
            row.role,
            older=row.older,
        )
        for row in table.rows
        if all(any(key.slice for key in values) for values in row.values)
    )
    if not rows or not samples:
        return None
    counts = ", ".join(f"{name} {n}" for name, n in samples.items())
    whole = _leading(table, board)
    about = f"The rows of the leaderboard over slices of the split, in samples: {counts}."
    return replace(
        whole, columns=tuple(columns), rows=rows, notes=(), about=f"{about} {whole.about}",
        section="",
    )  # fmt: skip


def _section(table: Table, hashes: Sequence[str]) -> str:
    content = table.place.content
    newest = " (newest)" if len(hashes) > 1 and content == hashes[0] else ""
    if table.twins:
        return f"Twins, {content}{newest}"
    return f"Data `{content}`{newest}"
