"""Figures as papers print them: every printed table that a board stands beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.boards.grid import NOT_PAPER, Column, Grid, GridRow, View
from harness.boards.reported import Reported

if TYPE_CHECKING:
    from harness.boards.board import Board

SWAPPED = "† P and R are printed swapped; the last two columns exchange them back."


def view(board: Board) -> View:
    """Return the printed table of the data set, and those of the ablations that were run."""
    here: dict[str, set[str]] = {}
    for row in (row for table in board.tables for row in table.rows):
        name = row.first.model.get("reported_as")
        if name:
            here.setdefault(str(name).casefold(), set()).add(row.label)
    tables = {board.base_name: board.reported} | {
        f"{board.base_name}, ablations of {t.model}": t.reported for t in board.ablations
    }
    notes = ["As printed in papers; not measured here and averaged with nothing."]
    if board.source == "twin":
        notes.append(f"They are figures on the real `{board.base_name}`, not on this twin.")
    grids = [printed(name, table, here) for name, table in tables.items() if table]
    title = f"{board.dataset}: reported figures"
    return board.view("reported", "-reported", title, grids, notes)


def printed(
    title: str,
    reported: Reported,
    here: Mapping[str, set[str]],
    more: Mapping[str, Mapping[str, str]] | None = None,
    section: str = "",
) -> Grid:
    """Return a printed table.

    Args:
        title: of the table.
        reported: the printed figures.
        here: labels of the rows measured here, by printed name in lower case.
        more: cells of further columns, by heading and printed name.
        section: that the table belongs to.
    """
    columns = [Column("row"), *([Column("here", "measured here as")] if here else [])]
    columns += [Column(metric, metric, "figure", 3, printed=True) for metric in reported.metrics]
    both = ("precision", "recall") if reported.exchanged else ()
    columns += [
        Column(f"true_{m}", f"{m} exchanged back", "figure", 3, NOT_PAPER, True) for m in both
    ]
    columns += [Column(name) for name in more or {}]
    rows = tuple(
        GridRow(
            {"row": f"{row.name}†" if row.swapped else row.name,
             "here": ", ".join(sorted(here.get(row.name.casefold(), ()))), **row.printed,
             **{f"true_{m}": row.true[m] for m in both},
             **{name: cells.get(row.name, "") for name, cells in (more or {}).items()}},
            "printed",
        )
        for row in reported.rows
    )  # fmt: skip
    notes = (*([SWAPPED] if both else []), *reported.notes)
    about = f"As printed in {reported.source}."
    return Grid(title, tuple(columns), rows, notes, about, {"table": title}, section=section)
