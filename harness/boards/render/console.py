"""Views for a terminal."""

from __future__ import annotations

from tabulate import tabulate

from harness.boards.grid import Grid, View
from harness.boards.render.text import plain, shown


def console(view: View) -> str:
    """Return a view as plain text."""
    parts = [view.title, *map(plain, view.notes), *map(table, view.read_by("page"))]
    parts += map(plain, view.after)
    return "\n\n".join(part for part in parts if part) + "\n"


def table(grid: Grid) -> str:
    """Return a grid as plain text: title, what it is about, the table, notes."""
    columns, lines = shown(grid)
    heads = [column.head for column in columns]
    body = tabulate(lines, heads, tablefmt="simple", disable_numparse=True)
    parts = [plain(f"{grid.title}\n{grid.about}").strip(), body, *map(plain, grid.notes)]
    return "\n\n".join(part for part in parts if part)
