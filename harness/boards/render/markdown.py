"""Views as Markdown."""

from __future__ import annotations

from itertools import groupby

from tabulate import tabulate

from harness.boards.grid import Grid, View
from harness.boards.render.text import shown


def markdown(view: View) -> str:
    """Return a view as Markdown."""
    parts = [f"# {view.title}", "\n".join(view.notes)]
    for section, grids in groupby(view.grids, key=lambda grid: grid.section):
        parts += [f"## {section}"] if section else []
        for grid in grids:
            parts += [f"{'###' if section else '##'} {grid.title}", grid.about, pipe(grid)]
            parts.append("\n".join(f"- {note}" for note in grid.notes))
            if grid.commands:
                parts.append("\n".join(["To reproduce:", "", "```", *grid.commands, "```"]))
    return "\n\n".join(part for part in parts if part) + "\n"


def pipe(grid: Grid) -> str:
    """Return a grid as a table with pipes; text starts left, figures end right."""
    columns, lines = shown(grid, mark="*")
    aligned = ["left" if column.kind == "text" else "right" for column in columns]
    return tabulate(
        [[cell.replace("|", "\\|") for cell in cells] for cells in lines],
        [column.head for column in columns], tablefmt="pipe", disable_numparse=True,
        colalign=aligned if lines else None,
    )  # fmt: skip
