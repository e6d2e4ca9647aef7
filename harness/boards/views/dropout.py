"""A few runs under every dropout protocol they were scored under, a line each, as boards order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from harness.boards.grid import Column, Grid, GridRow, statistic
from harness.boards.rows import Row, Table
from harness.boards.views.columns import heading
from harness.records.record import COMPLETE

_Figures = Mapping[str, Mapping[str, float]]
"""By dropout protocol the figure of each run."""


def grids(made: Sequence[Table], runs: Collection[str]) -> list[Grid]:
    """Return a grid a place of training, a line a protocol, ``full@1`` first, a column a row.

    Figures are those that rows are ordered by under complete data. All figures of a column are of
    the same runs: those that have every protocol which the shown ones have.

    Args:
        made: tables under complete data and under dropout.
        runs: ids of the runs that are shown; reference rows always are.
    """
    found = []
    for training in dict.fromkeys(table.place.training for table in made):
        mine = sorted(
            (table for table in made if table.place.training == training),
            key=lambda table: table.place.dropout != COMPLETE,
        )
        whole = mine[0]
        if whole.place.dropout != COMPLETE or len(mine) == 1:
            continue
        key = whole.key
        figures = {
            table.place.dropout: {
                record.id: values[key]
                for row in table.rows
                for record, values in zip(row.records, row.values, strict=True)
                if key in values
            }
            for table in mine
        }
        columns = _columns(mine, figures, set(runs))
        rows = [
            GridRow(
                {"dropout": dropout}
                | {
                    name: statistic(own)
                    for name, kept in columns.items()
                    if (own := [by_run[run] for run in kept if run in by_run])
                }
            )
            for dropout, by_run in figures.items()
        ]
        heads = (Column("dropout"), *(Column(name, kind="figure") for name in columns))
        metric = heading(key, whole.label_kind)
        title = f"{training.board} under dropout, {metric}, trained under {training.train_dropout}"
        found.append(Grid(title, heads, tuple(rows), facts={"dataset": training.board}))
    return found


def _columns(made: Sequence[Table], figures: _Figures, runs: set[str]) -> dict[str, list[str]]:
    """Return the runs of each row that is shown, by its name under complete data."""
    rows: dict[str, Row] = {}
    for table in made:
        for row in table.rows:
            if not row.trained or (table is made[0] and runs & set(row.runs)):
                rows.setdefault(row.name, row)
    return {name: _kept(row, figures, runs) for name, row in rows.items()}


def _kept(row: Row, figures: _Figures, runs: set[str]) -> list[str]:
    if not row.trained:
        return list(row.runs)
    scored = {run: {name for name, by in figures.items() if run in by} for run in row.runs}
    asked = set.intersection(*(scored[run] for run in row.runs if run in runs))
    return [run for run in row.runs if asked <= scored[run]]
