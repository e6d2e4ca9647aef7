"""Views for programs: CSV and JSON; equal views give equal bytes."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from harness.boards.grid import Cell, Column, Grid, Statistic, View, rounded

ENDS = ("low", "high")
PARTS = ("mean", "std")


def csv_text(view: View) -> str:
    """Return a line a row, its facts first; a line a row and column where columns have facts.

    A figure over seeds has two columns, ``<name>_mean`` and ``<name>_std``, an interval
    ``<name>_low`` and ``<name>_high``. Grids of one file share their columns.
    """
    lines = [line for grid in view.read_by("data") for line in _lines(grid)]
    heads = list(dict.fromkeys(name for line in lines for name in line))
    out = io.StringIO()
    writer = csv.DictWriter(out, heads, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def json_text(view: View) -> str:
    """Return a view as JSON: its grids with facts, notes, columns and rows of cells by name."""
    # Unindented: a board of every model under every suite stays well below 2 MB.
    return json.dumps(
        rounded(document(view)), sort_keys=True, ensure_ascii=False, separators=(",", ":")
    ) + "\n"  # fmt: skip


def document(view: View) -> dict[str, Any]:
    """Return a view as JSON values."""
    return {
        "view": view.name, "title": view.title, "board": view.board, "source": view.source,
        "notes": (*view.notes, *view.after),
        "grids": [_grid(grid) for grid in view.read_by("data")],
    }  # fmt: skip


def _grid(grid: Grid) -> dict[str, Any]:
    columns = grid.read_by("data")
    return {
        "title": grid.title, "section": grid.section, "about": grid.about, "facts": grid.facts,
        "notes": grid.notes, "commands": grid.commands,
        "columns": [{"name": c.name, "heading": c.head, **c.about} for c in columns],
        "rows": [
            {c.name: _value(row.cells[c.name]) for c in columns
             if row.cells.get(c.name) not in (None, "")}
            | {"row_role": row.role} | ({"older": True} if row.older else {})
            for row in grid.rows
        ],
    }  # fmt: skip


def _value(cell: Cell) -> Any:
    return vars(cell) if isinstance(cell, Statistic) else cell


def _lines(grid: Grid) -> list[dict[str, str]]:
    columns = [(column, _parts(grid, column)) for column in grid.read_by("data")]
    wide = [(column, parts) for column, parts in columns if not column.about]
    long = [
        (column.name, parts, {n: _text(v) for n, v in column.about.items()})
        for column, parts in columns
        if column.about
    ]
    lines = []
    for row in grid.rows:
        cells = dict(grid.facts)
        for column, parts in wide:
            cells |= _cells(column.name, row.cells.get(column.name), parts)
        cells |= {"older": "yes"} if row.older else {}
        lines += [
            cells | about | _cells("", row.cells[name], parts)
            for name, parts, about in long
            if row.cells.get(name) is not None
        ]
        lines += [] if long else [cells]
    return lines


def _parts(grid: Grid, column: Column) -> tuple[str, ...]:
    """Return the parts that the cells of a column have."""
    for cell in (row.cells.get(column.name) for row in grid.rows):
        if isinstance(cell, Statistic):
            return PARTS
        if isinstance(cell, tuple):
            return ENDS
    return ()


def _cells(name: str, cell: Cell, parts: tuple[str, ...]) -> dict[str, str]:
    if not parts:
        return {name or "mean": _text(cell)}
    values: tuple[Cell, ...] = (None, None)
    if isinstance(cell, Statistic):
        values = (cell.mean, cell.std)
    elif isinstance(cell, tuple):
        values = cell
    names = (f"{name}_{part}".strip("_") for part in parts)
    return dict(zip(names, map(_text, values), strict=True))


def _text(cell: Cell) -> str:
    if isinstance(cell, float):
        return f"{cell:z.6f}"
    return "" if cell is None else str(cell)
