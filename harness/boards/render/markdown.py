"""Views as Markdown; no line is longer than `WIDTH`, unless the view is wide."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import groupby

from tabulate import tabulate

from harness.boards.grid import Grid, View
from harness.boards.render.text import broken, shown

WIDTH = 160
# A longer text in a cell stands below the table.
_LONGEST = 40


def markdown(view: View) -> str:
    """Return a view as Markdown."""
    width = 1 << 20 if view.wide else WIDTH
    parts = [f"# {view.title}", "\n".join(_wrapped(note, width) for note in view.notes)]
    for section, grids in groupby(view.read_by("page"), key=lambda grid: grid.section):
        parts += [f"## {section}"] if section else []
        for grid in grids:
            table, below = pipe(grid, width)
            parts += [f"{'###' if section else '##'} {grid.title}", _wrapped(grid.about, width)]
            parts += [table, "\n".join(_wrapped(f"- {n}", width) for n in (*below, *grid.notes))]
            if grid.commands:
                lines = [line for command in grid.commands for line in _command(command, width)]
                parts.append("\n".join(["To reproduce:", "", "```", *lines, "```"]))
    if view.after:
        parts.append("## How to read this")
        parts.append("\n".join(_wrapped(f"- {note}", width) for note in view.after))
    return "\n\n".join(part for part in parts if part) + "\n"


def pipe(grid: Grid, width: int = WIDTH) -> tuple[str, list[str]]:
    """Return a grid as a table with pipes, and what stands below it.

    Text starts left, figures end right. A table that is too wide is broken into several, each with
    the first column; texts too long for a cell are cut there and stand below in full.

    Args:
        grid: a table.
        width: most characters in a line.
    """
    columns, lines = shown(grid, mark="*")
    heads = [column.head for column in columns]
    rows = [[cell.replace("|", "\\|") for cell in cells] for cells in lines]
    below: list[str] = []
    for place, column in enumerate(columns if width == WIDTH else ()):
        if column.kind == "text":
            below += _cut(rows, place, heads[place])
    aligned = ["left" if column.kind == "text" else "right" for column in columns]
    widths = [
        max([len(head) + 2, *(len(row[i]) for row in rows)]) + 3 for i, head in enumerate(heads)
    ]
    parts = [
        tabulate(
            [[row[i] for i in places] for row in rows], [heads[i] for i in places],
            tablefmt="pipe", disable_numparse=True,
            colalign=[aligned[i] for i in places] if rows else None,
        )
        for places in broken(widths, width)
    ]  # fmt: skip
    return "\n\n".join(parts), below


def _cut(rows: Sequence[list[str]], place: int, head: str) -> list[str]:
    """Cut the long texts of a column; return them in full, each after the first cell of its row."""
    found: dict[str, None] = {}
    for row in rows:
        text = row[place]
        if len(text) > _LONGEST:
            row[place] = f"{text[: _LONGEST - 2].rstrip()} …"
            whole = f"{head}: {text}" if place == 0 else f"{row[0]}, {head}: {text}"
            found[whole] = None
    return list(found)


def _wrapped(text: str, width: int) -> str:
    """Return a text in lines that are short enough; words are not broken."""
    return "\n".join(
        textwrap.fill(
            line, width, subsequent_indent="  " * line.startswith("- "),
            break_long_words=False, break_on_hyphens=False,
        )
        for line in text.split("\n")
    )  # fmt: skip


def _command(command: str, width: int) -> list[str]:
    """Return the lines of a command; one that is too long goes on after a backslash."""
    lines: list[str] = []
    for word in re.split(r" (?=--)", command):
        if lines and len(lines[-1]) + len(word) + 3 <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"    {word}" if lines else word)
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]
