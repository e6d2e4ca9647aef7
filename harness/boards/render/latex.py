"""Views as LaTeX tables (booktabs) that fit a column of a paper; equal views give equal bytes.

A figure is two columns, mean and deviation, so that decimal points stand below one another. What is
wider than a column goes on in a further table, which begins with the names again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.boards.grid import TRAINED, Cell, Column, Grid, GridRow, Statistic, View
from harness.boards.render.text import NOTHING, OLDER, broken, number, plain, text
from harness.errors import UnknownNameError

PREAMBLE = r"% \usepackage[T1]{fontenc} \usepackage{booktabs}"
MARKS = {"best": r"\mathbf", "second": r"\underline"}
COLUMN_PT = 219
"""Width of the narrowest column in use (ACL, 77 mm), in TeX's points."""
EVERY = "all"
# Of a character in \footnotesize and \scriptsize, and between two columns.
_WIDE, _SMALL, _GAP = 4.25, 3.9, 6
# Lines of a page, and those of a table that hold no row.
_LINES, _RULES = 44, 4
_ABBREVIATED = {
    "micro-F1": "miF1", "macro-F1": "maF1", "weighted-F1": "wF1", "accuracy": "acc.",
    "Jaccard": "Jac.", "parameters": "params", "precision": "P", "recall": "R",
    "constant": "const.", "tuned": "t.", "over": "+", "seconds": "s",
    "difference": "diff.", "missing": "miss.",
}  # fmt: skip
_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "_": r"\_", "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "–": "--", "±": r"$\pm$", "†": r"\dag{}", "‡": r"\ddag{}", "−": r"$-$", "τ": r"$\tau$",
    "η": r"$\eta$", "Δ": r"$\Delta$", "²": r"$^2$", "×": r"$\times$",
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


def latex(view: View) -> str:
    """Return the tables of a view; they need ``booktabs``, and ``T1`` font encoding."""
    return tables_of(view, Chosen((EVERY,))) or f"{PREAMBLE}\n"


def tables_of(view: View, chosen: Chosen) -> str:
    """Return the chosen columns of a view; empty where it has none of them."""
    tables = [
        _table(view, grid, columns)
        for grid in view.read_by("paper")
        if (columns := chosen.of(grid))
    ]
    return "\n\n".join([PREAMBLE, *tables]) + "\n" if tables else ""


def papers(views: Iterable[View], names: tuple[str, ...]) -> dict[str, str]:
    """Return the files of the views that have chosen columns, text by name.

    Raises:
        UnknownNameError: no view has a column of that name.
    """
    chosen = Chosen(names)
    texts = {f"{view.stem}.tex": text for view in views if (text := tables_of(view, chosen))}
    chosen.check()
    return texts


def escape(words: str) -> str:
    """Return text in which no character is a LaTeX command; line breaks become spaces."""
    line = " ".join(words.split())
    return "".join(_ESCAPES.get(c, c) for c in line if c.isprintable())


def _table(view: View, grid: Grid, columns: Sequence[Column]) -> str:
    heads = _heads(columns)
    widths = [round(_width(grid, column, heads[column.name])) for column in columns]
    parts = [
        _part(grid, [columns[i] for i in places], heads) for places in broken(widths, COLUMN_PT + 1)
    ]
    short = [f"{heads[c.name]}: {c.head}" for c in columns if heads[c.name] != c.head]
    lone = any(_lone(row.cells.get(c.name)) for row in grid.rows for c in columns)
    notes = [
        *_notes(view, grid), f"Heads: {'; '.join(short)}." if short else "",
        "Italic: no trained model (trivial, ceiling or observer)."
        if any(map(_untrained, grid.rows)) else "",
        "No deviation: one seed, or every seed gives the figure." if lone else "",
    ]  # fmt: skip
    title = f"{view.title}. {grid.title}."
    said = (plain(part) for part in (title, grid.about, *notes) if part)
    together = max(1, _LINES // (len(grid.rows) + _RULES))
    return "\n\n".join(
        _float(
            parts[at : at + together],
            [rf"\caption{{{escape(' '.join(said))}}}", rf"\label{{{_label(view, grid)}}}"]
            if at == 0
            else [rf"\caption{{{escape(plain(title))} Continued.}}"],
        )
        for at in range(0, len(parts), together)
    )


def _float(parts: Sequence[str], about: Sequence[str]) -> str:
    begin = [r"\begin{table}", r"\centering", r"\footnotesize", r"\setlength{\tabcolsep}{3pt}"]
    return "\n".join([*begin, *about, "\n\\par\\medskip\n".join(parts), r"\end{table}"])


def _part(grid: Grid, columns: Sequence[Column], heads: Mapping[str, str]) -> str:
    """Return columns that stand side by side."""
    return "\n".join(
        [
            rf"\begin{{tabular}}{{@{{}}{''.join(_kind(grid, c) for c in columns)}@{{}}}}",
            r"\toprule", _line([_head(grid, c, heads[c.name]) for c in columns]), r"\midrule",
            *_body(grid, columns), r"\bottomrule", r"\end{tabular}",
        ]
    )  # fmt: skip


def _body(grid: Grid, columns: Sequence[Column]) -> Iterable[str]:
    role = grid.rows[0].role if grid.rows else ""
    for row in grid.rows:
        if row.role != role and (row.role in TRAINED) != (role in TRAINED):
            yield r"\midrule"
        role = row.role
        yield _line([_cell(grid, row, column, i) for i, column in enumerate(columns)])


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
    widest, spread = len(head) * _WIDE, _spread(grid, column)
    for row in grid.rows:
        mean, std = _shown(row.cells.get(column.name), column)
        if mean:
            own = len(mean) * _WIDE + (len(std) * _SMALL + 9 if std and spread else 0)
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


def _notes(view: View, grid: Grid) -> tuple[str, ...]:
    """Return what a reader of a table must know of its data and marks; some are empty."""
    marks = {mark for row in grid.rows for mark in row.marks.values()}
    return (
        "Generated twin, not the real data." if view.source == "twin" else "",
        "Bold (best) and underlined (second) figures are told apart from every other trained "
        "model; other columns were not tested." if marks & set(MARKS) else "",
        "† told apart from the full model." if "apart" in marks else "",
        "‡ by older code." if any(row.older for row in grid.rows) else "",
    )  # fmt: skip


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _label(view: View, grid: Grid) -> str:
    """Return the label of a table, which no command can break."""
    parts = ("tab", view.stem, *grid.facts.values(), grid.title)
    kept = ("".join(c if c.isalnum() or c in ".-" else "-" for c in p[:40]) for p in parts)
    return ":".join(part for part in kept if part)
