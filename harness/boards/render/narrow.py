"""Chosen columns of views as LaTeX tables that fit a column of a paper; equal views, equal bytes.

A figure is two columns, mean and deviation, so that decimal points stand below one another. What is
wider than a column goes on in a further table, which begins with the names again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.boards.grid import TRAINED, Cell, Column, Grid, GridRow, Statistic, View
from harness.boards.render.latex import MARKS, PREAMBLE, escape, label_of, line, notes_of
from harness.boards.render.text import NOTHING, OLDER, broken, number, plain, text
from harness.errors import UnknownNameError

COLUMN_PT = 219
"""Width of the narrowest column in use (ACL, 77 mm), in TeX's points."""
EVERY = "all"
# Of a character in \footnotesize and \scriptsize, and between two columns.
_WIDE, _SMALL, _GAP = 4.25, 3.9, 6
_ABBREVIATED = {
    "micro-F1": "miF1", "macro-F1": "maF1", "weighted-F1": "wF1", "accuracy": "acc.",
    "Jaccard": "Jac.", "parameters": "params", "precision": "P", "recall": "R",
    "constant": "const.", "tuned": "t.", "over": "+", "seconds": "s",
    "difference": "diff.", "missing": "miss.",
}  # fmt: skip


@dataclass
class Chosen:
    """Columns that are asked for, by name or heading, and which of them there were.

    Attributes:
        names: in the order wanted; `EVERY` alone: those that a view shows in papers.
        known: what columns are called, as views are written.
        found: of ``names`` those that a view has.
    """

    names: tuple[str, ...]
    known: set[str] = field(default_factory=set)
    found: set[str] = field(default_factory=set)

    def of(self, grid: Grid) -> list[Column]:
        """Return the chosen columns of a grid behind its first; empty: it has none of them."""
        shown = grid.read_by("paper")
        if self.names == (EVERY,) or not shown:
            self.found.add(EVERY)
            return shown
        by_name = {
            called.casefold(): c for c in reversed(grid.columns) for called in (c.name, c.head)
        }
        self.known |= {c.name for c in grid.columns}
        picked = [by_name[n.casefold()] for n in self.names if n.casefold() in by_name]
        self.found |= {n for n in self.names if n.casefold() in by_name}
        return [shown[0], *(c for c in picked if c is not shown[0])] if picked else []

    def check(self) -> None:
        """Check that every name was a column somewhere, after all views were written.

        Raises:
            UnknownNameError: one was not.
        """
        for name in self.names:
            if name not in self.found:
                raise UnknownNameError("column", name, self.known)


def papers(views: Iterable[View], names: tuple[str, ...]) -> dict[str, str]:
    """Return the files of the views that have chosen columns, text by name.

    Raises:
        UnknownNameError: no view has a column of that name.
    """
    chosen = Chosen(names)
    texts = {f"{view.stem}.tex": text for view in views if (text := narrow(view, chosen))}
    chosen.check()
    return texts


def narrow(view: View, chosen: Chosen) -> str:
    """Return the chosen columns of a view; empty where it has none of them."""
    tables = [
        _table(view, grid, columns)
        for grid in view.read_by("paper")
        if (columns := chosen.of(grid))
    ]
    return "\n\n".join([PREAMBLE, *tables]) + "\n" if tables else ""


def _table(view: View, grid: Grid, columns: Sequence[Column]) -> str:
    heads = _heads(columns)
    widths = [_width(grid, column, heads[column.name]) for column in columns]
    parts: list[str] = []
    for places in broken([*map(round, widths)], COLUMN_PT + 1):
        some = [columns[i] for i in places]
        parts += [
            *([r"\par\medskip"] if parts else []),
            rf"\begin{{tabular}}{{@{{}}{''.join(_kind(grid, c) for c in some)}@{{}}}}", r"\toprule",
            line([_head(grid, c, heads[c.name]) for c in some]), r"\midrule",
            *_body(grid, some), r"\bottomrule", r"\end{tabular}",
        ]  # fmt: skip
    short = [f"{heads[c.name]}: {c.head}" for c in columns if heads[c.name] != c.head]
    lone = any(_lone(row.cells.get(c.name)) for row in grid.rows for c in columns)
    notes = [
        *notes_of(view, grid), f"Heads: {'; '.join(short)}." if short else "",
        "Italic: no trained model." if any(map(_untrained, grid.rows)) else "",
        "No deviation: one seed, or every seed gives the figure." if lone else "",
    ]  # fmt: skip
    said = (plain(part) for part in (f"{view.title}. {grid.title}.", grid.about, *notes) if part)
    return "\n".join(
        [
            r"\begin{table}", r"\centering", r"\footnotesize", r"\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{escape(' '.join(said))}}}", rf"\label{{{label_of(view, grid)}}}",
            *parts, r"\end{table}",
        ]
    )  # fmt: skip


def _body(grid: Grid, columns: Sequence[Column]) -> Iterable[str]:
    role = grid.rows[0].role if grid.rows else ""
    for row in grid.rows:
        if row.role != role and (row.role in TRAINED) != (role in TRAINED):
            yield r"\midrule"
        role = row.role
        yield line([_cell(grid, row, column, i) for i, column in enumerate(columns)])


def _spread(grid: Grid, column: Column) -> bool:
    """Return whether deviations stand beside the means of a column."""
    cells = (row.cells.get(column.name) for row in grid.rows)
    known = (cell for cell in cells if isinstance(cell, Statistic))
    return column.kind == "figure" and any(not _lone(cell) for cell in known)


def _lone(cell: Cell) -> bool:
    return isinstance(cell, Statistic) and (cell.std is None or cell.deterministic)


def _kind(grid: Grid, column: Column) -> str:
    if column.kind == "text":
        return "l"
    return r"r@{\,}l" if _spread(grid, column) else "r"


def _head(grid: Grid, column: Column, head: str) -> str:
    if column.kind == "text":
        return escape(head)
    span = 2 if _spread(grid, column) else 1
    return rf"\multicolumn{{{span}}}{{r}}{{{escape(head)}}}"


def _cell(grid: Grid, row: GridRow, column: Column, place: int) -> str:
    cell = row.cells.get(column.name)
    if place == 0:
        name = _name(row, column)
        found = rf"\textit{{{escape(name)}}}" if _untrained(row) else escape(name)
        return found + (escape(OLDER) if row.older else "")
    mean, std = _shown(cell, column)
    mark = row.marks.get(column.name, "")
    if mean:
        figure = f"{MARKS[mark]}{{{mean}}}" if mark in MARKS else mean
        found = f"${figure}$" + (r"\dag{}" if mark == "apart" else "")
    else:
        found = escape(text(cell, column)) if cell not in (None, "") else escape(NOTHING)
    if not _spread(grid, column):
        return found
    return rf"{found} & {{\scriptsize$\pm{std}$}}" if std else f"{found} & "


def _untrained(row: GridRow) -> bool:
    return row.role not in (*TRAINED, "printed")


def _name(row: GridRow, column: Column) -> str:
    return text(row.cells.get(column.name), column).removesuffix(f" ({row.role})")


def _shown(cell: Cell, column: Column) -> tuple[str, str]:
    """Return mean and deviation as they are printed; without a zero before the point."""
    if not isinstance(cell, float | Statistic) or column.kind not in ("figure", "mean", "signed"):
        return "", ""
    std = cell.std if isinstance(cell, Statistic) and not _lone(cell) else None
    mean = number(cell.mean if isinstance(cell, Statistic) else cell, column)
    return _pointed(mean), "" if std is None else _pointed(number(std, column))


def _pointed(shown: str) -> str:
    return re.sub(r"^([+-]?)0\.", r"\1.", shown)


def _width(grid: Grid, column: Column, head: str) -> float:
    """Return about how wide a column is, in points, with the space behind it."""
    widest = len(head) * _WIDE
    for row in grid.rows:
        mean, std = _shown(row.cells.get(column.name), column)
        if mean:
            own = len(mean) * _WIDE + (len(std) * _SMALL + 9 if std else 0)
        else:
            name = _name(row, column) if column.kind == "text" else ""
            own = len(name or text(row.cells.get(column.name), column)) * _WIDE
        widest = max(widest, own)
    return widest + _GAP


def _heads(columns: Sequence[Column]) -> Mapping[str, str]:
    """Return a short head a column, each another: known words, then rates without their zero."""
    found: dict[str, str] = {}
    for column in columns:
        words = re.sub(r" ?\[95 %\]", "", column.head).split()
        short = " ".join(_ABBREVIATED.get(word, word) for word in words)
        short = re.sub(r"^(\w{3})\w+-0(\.\d+)$", r"\1\2", short)
        found[column.name] = column.head if short in found.values() else short
    return found
