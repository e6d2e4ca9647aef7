"""Micro-F1 of a few runs under every dropout protocol they were scored under, a line each."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from harness.boards.frame import SORT_BY
from harness.boards.grid import Column, Grid, GridRow
from harness.boards.rows import Table


def grids(made: Sequence[Table], runs: Collection[str]) -> list[Grid]:
    """Return a grid a board and protocol of training, a column a row of its tables.

    Args:
        made: tables under dropout.
        runs: ids of the runs that are shown; reference rows always are.
    """
    found = []
    for board, track in dict.fromkeys((t.place.board, t.place.train_dropout) for t in made):
        mine = [t for t in made if (t.place.board, t.place.train_dropout) == (board, track)]
        rows = [
            GridRow(
                {"dropout": table.place.dropout}
                | {
                    row.name: row.figures.get(SORT_BY)
                    for row in table.rows
                    if not row.trained or set(runs) & set(row.runs)
                }
            )
            for table in mine
        ]
        names = dict.fromkeys(name for row in rows for name in row.cells if name != "dropout")
        columns = (Column("dropout"), *(Column(name, kind="figure") for name in names))
        title = f"{board} under dropout, micro-F1, trained under {track}"
        found.append(Grid(title, columns, tuple(rows), facts={"dataset": board}))
    return found
