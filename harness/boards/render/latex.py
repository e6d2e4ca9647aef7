"""Views as LaTeX tables (booktabs), ready for a paper; equal views give equal bytes."""

from __future__ import annotations

from collections.abc import Sequence

from harness.boards.grid import TRAINED, Cell, Column, Grid, GridRow, Statistic, View
from harness.boards.render.text import DETERMINISTIC, NOTHING, OLDER, number, plain, text

PREAMBLE = r"% \usepackage[T1]{fontenc} \usepackage{booktabs}"
MARKS = {"best": r"\mathbf", "second": r"\underline"}
_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "_": r"\_", "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "–": "--", "±": r"$\pm$", "†": r"\dag{}", "‡": r"\ddag{}", "−": r"$-$", "τ": r"$\tau$",
    "η": r"$\eta$", "×": r"$\times$",
}  # fmt: skip


def latex(view: View) -> str:
    """Return the tables of a view; they need ``booktabs``, and ``T1`` font encoding."""
    return "\n\n".join([PREAMBLE, *(_table(view, grid) for grid in view.read_by("paper"))]) + "\n"


def escape(words: str) -> str:
    """Return text in which no character is a LaTeX command; line breaks become spaces."""
    line = " ".join(words.split())
    return "".join(_ESCAPES.get(c, c) for c in line if c.isprintable())


def _table(view: View, grid: Grid) -> str:
    columns = grid.read_by("paper")
    body: list[str] = []
    role = grid.rows[0].role if grid.rows else ""
    for row in grid.rows:
        body += [r"\midrule"] if row.role != role else []
        body.append(line([_cell(row, column, i) for i, column in enumerate(columns)]))
        role = row.role
    said = (f"{view.title}. {grid.title}.", grid.about, *notes_of(view, grid))
    kept = (plain(part) for part in said if part)
    return "\n".join(
        [
            r"\begin{table*}", r"\centering", rf"\caption{{{escape(' '.join(kept))}}}",
            rf"\label{{{label_of(view, grid)}}}",
            rf"\begin{{tabular}}{{{''.join('l' if c.kind == 'text' else 'r' for c in columns)}}}",
            r"\toprule", line([escape(c.head) for c in columns]), r"\midrule", *body,
            r"\bottomrule", r"\end{tabular}", r"\end{table*}",
        ]
    )  # fmt: skip


def notes_of(view: View, grid: Grid) -> tuple[str, ...]:
    """Return what a reader of a table must know of its data and marks; some are empty."""
    marks = {mark for row in grid.rows for mark in row.marks.values()}
    return (
        "Generated twin, not the real data." if view.source == "twin" else "",
        "Bold (best) and underlined (second) figures are told apart from every other trained "
        "model; other columns were not tested." if marks & set(MARKS) else "",
        "† told apart from the full model." if "apart" in marks else "",
        "‡ by older code." if any(row.older for row in grid.rows) else "",
    )  # fmt: skip


def _cell(row: GridRow, column: Column, place: int) -> str:
    cell = row.cells.get(column.name)
    mark = row.marks.get(column.name, "")
    if isinstance(cell, float | Statistic) and column.kind in ("figure", "mean", "signed"):
        return _figure(cell, column, mark)
    found = escape(text(cell, column)) if cell not in (None, "") else escape(NOTHING)
    if place == 0:
        found = found if row.role in (*TRAINED, "printed") else rf"\textit{{{found}}}"
        found += escape(OLDER) if row.older else ""
    return found


def _figure(cell: Cell, column: Column, mark: str) -> str:
    """Return ``mean ± std`` in math mode, the mean inside the command of its mark."""
    std = cell.std if isinstance(cell, Statistic) else None
    mean = number(cell.mean if isinstance(cell, Statistic) else float(str(cell)), column)
    mean = f"{MARKS[mark]}{{{mean}}}" if mark in MARKS else mean
    apart = r"\dag{}" if mark == "apart" else ""
    if isinstance(cell, Statistic) and cell.deterministic:
        return f"${mean}$ {DETERMINISTIC}"
    return f"${mean}$" + apart if std is None else rf"${mean} \pm {number(std, column)}$"


def line(cells: Sequence[str]) -> str:
    """Return a line of a table from cells that are LaTeX."""
    return " & ".join(cells) + r" \\"


def label_of(view: View, grid: Grid) -> str:
    """Return the label of a table, which no command can break."""
    parts = ("tab", view.stem, *grid.facts.values(), grid.title)
    kept = ("".join(c if c.isalnum() or c in ".-" else "-" for c in p[:40]) for p in parts)
    return ":".join(part for part in kept if part)
