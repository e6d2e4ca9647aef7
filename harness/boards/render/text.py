"""Cells as text, for every format that people read."""

from __future__ import annotations

from collections.abc import Sequence

from harness.boards.grid import TRAINED, Cell, Column, Grid, GridRow, Reader, Statistic, percent

NOTHING = "–"
OLDER = "‡"
DETERMINISTIC = "deterministic"


def text(cell: Cell, column: Column) -> str:
    """Return a cell: ``mean ± std``, ``low..high``, a number with the digits of its column."""
    if cell is None or cell == "":
        return NOTHING
    if isinstance(cell, Statistic):
        mean = number(cell.mean, column)
        if column.kind == "mean":
            return mean
        if cell.deterministic:
            return f"{mean} {DETERMINISTIC}"
        return mean if cell.std is None else f"{mean} ± {number(cell.std, column)}"
    if isinstance(cell, tuple):
        return f"{number(cell[0], column)}..{number(cell[1], column)}"
    if isinstance(cell, int) and column.kind == "count":
        return f"{cell:,}"
    return number(cell, column) if isinstance(cell, float) else str(cell)


def number(value: float, column: Column) -> str:
    """Return a number as its column has it: signed, in percent, or with fixed digits."""
    if column.kind == "share":
        return percent(value)
    return f"{value:{'+' if column.kind == 'signed' else ''}z.{column.digits}f}"


def shown(
    grid: Grid, reader: Reader = "page", mark: str = ""
) -> tuple[list[Column], list[list[str]]]:
    """Return the columns and lines that a reader is shown; a column's numbers are its first lines.

    Args:
        grid: what is shown.
        reader: who reads it.
        mark: is put around the first cell of rows that are no trained models.
    """
    columns = grid.read_by(reader)
    lines = [
        [title, *(text(c.about.get(name), Column("", digits=3)) for c in columns[1:])]
        for name, title in (("missing_rate", "realised missing rate"),)
        if any(c.about.get(name) is not None for c in columns)
        and all(c.about.get("quantity", "scores") == "scores" for c in columns)
    ]
    return columns, [*lines, *(_line(row, columns, mark) for row in grid.rows)]


def _line(row: GridRow, columns: Sequence[Column], mark: str) -> list[str]:
    cells = [_text(row, column) for column in columns]
    around = "" if row.role in (*TRAINED, "printed") else mark
    cells[0] = f"{around}{cells[0]}{around}{OLDER if row.older else ''}"
    return cells


def _text(row: GridRow, column: Column) -> str:
    """Return a cell with its interval behind it, where it has one."""
    found, interval = text(row.cells.get(column.name), column), row.cells.get(column.interval)
    if found == NOTHING or not isinstance(interval, tuple):
        return found
    ends = (number(end, column).removesuffix(" %") for end in interval)
    return f"{found} [{', '.join(ends)}]"


def numbered(count: int, what: str) -> str:
    """Return ``1 run`` or ``2 runs``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def plain(sentence: str) -> str:
    """Return a sentence without the marks of code."""
    return sentence.replace("`", "")


def broken(widths: Sequence[int], width: int) -> list[list[int]]:
    """Return which columns stand side by side, the first always.

    ``widths`` and ``width`` count what stands between columns, and one border.
    """
    if not widths:
        return [[]]
    room = width - 1 - widths[0]
    found, left = [[0]], room
    for place, wide in enumerate(widths[1:], 1):
        if wide > left and len(found[-1]) > 1:
            found.append([0])
            left = room
        found[-1].append(place)
        left -= wide
    return found
