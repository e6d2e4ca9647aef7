"""Views as LaTeX tables (booktabs) that fit a column of a paper; equal views give equal bytes.

A figure is two columns, mean and deviation, so that decimal points stand below one another. Long
names go on in the next line. What is wider than a column all the same goes on in a further table,
which begins with the names again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.boards.grid import TRAINED, Cell, Column, Grid, GridRow, Statistic, View
from harness.boards.render.text import NOTHING, OLDER, broken, number, plain, text
from harness.errors import UnknownNameError
from harness.records.record import COMPLETE

PREAMBLE = r"% \usepackage[T1]{fontenc} \usepackage{booktabs}"
MARKS = {"best": r"\mathbf", "second": r"\underline"}
COLUMN_PT = 219
"""Width of the narrowest column in use (ACL, 77 mm), in TeX's points."""
EVERY = "all"
# Of a character in \footnotesize and \scriptsize, and between two columns.
_WIDE, _SMALL, _GAP = 4.25, 3.9, 6
# Least width of a column of long names: beside all others, and where these do not all fit.
_NAMES_PT = (74, 100)
# Lines of a page, and those of a table that hold no row.
_LINES, _RULES = 44, 4
# Facts that tell the tables of a view apart.
_TELLING = (
    "track", "suite", "train_dropout", "dropout", "measure", "source", "model", "setting",
    "aggregate",
)  # fmt: skip
Rename = Callable[[str], str]
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
        # Ranks without the figures that they order are left out, unless nothing else is asked for.
        figures = [c for c in picked if c.kind != "text" and c.name != "rank"]
        if not figures and len(self.names) > len(picked):
            return []
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


def tables_of(view: View, chosen: Chosen, rename: Rename = str) -> str:
    """Return the chosen columns of a view; empty where it has none of them.

    Args:
        view: of a board.
        chosen: which columns.
        rename: returns what an author writes for a name, or a text with it in.
    """
    grids = view.read_by("paper")
    labels = _labels(view, grids)
    tables = [
        _table(view, _renamed(grid, rename), columns, label)
        for grid, label in zip(grids, labels, strict=True)
        if (columns := chosen.of(grid))
    ]
    return "\n\n".join([PREAMBLE, *tables]) + "\n" if tables else ""


def papers(views: Iterable[View], names: tuple[str, ...], rename: Rename = str) -> dict[str, str]:
    """Return the files of the views that have chosen columns, text by name.

    Args:
        views: of boards.
        names: of columns.
        rename: as of `tables_of`.

    Raises:
        UnknownNameError: no view has a column of that name.
    """
    chosen = Chosen(names)
    made = ((view, tables_of(view, chosen, rename)) for view in views)
    texts = {f"{view.stem}.tex": text for view, text in made if text}
    chosen.check()
    return texts


def escape(words: str) -> str:
    """Return text in which no character is a LaTeX command; line breaks become spaces."""
    line = " ".join(words.split())
    return "".join(_ESCAPES.get(c, c) for c in line if c.isprintable())


def _renamed(grid: Grid, rename: Rename) -> Grid:
    """Return a table with an author's names in its rows and in what it says."""
    first = grid.columns[0]
    rows = tuple(
        replace(row, cells={**row.cells, first.name: rename(text(row.cells[first.name], first))})
        if row.cells.get(first.name) else row
        for row in grid.rows
    )  # fmt: skip
    return replace(grid, rows=rows, about=rename(grid.about))


def _table(view: View, grid: Grid, columns: Sequence[Column], label: str) -> str:
    heads = _heads(columns)
    widths = [round(_width(grid, column, heads[column.name])) for column in columns]
    natural, narrow = widths, [_wrapped(grid, columns[0], widths), *widths[1:]]
    # Names in two lines are harder to read: only where fewer tables are the gain.
    if len(broken(narrow, COLUMN_PT + 1)) < len(broken(natural, COLUMN_PT + 1)):
        widths = narrow
    wrap = widths[0] - _GAP if widths is narrow else 0
    parts = [
        _part(grid, [columns[i] for i in places], heads, wrap)
        for places in broken(widths, COLUMN_PT + 1)
    ]
    short = [f"{heads[c.name]}: {_bare(c)}" for c in columns if heads[c.name] != _bare(c)]
    lone = any(_lone(row.cells.get(c.name)) for row in grid.rows for c in columns)
    notes = [
        *_notes(view, grid), f"Heads: {'; '.join(short)}." if short else "",
        "Italic: no trained model (trivial, ceiling or observer)."
        if any(map(_untrained, grid.rows)) else "",
        "No deviation: one seed, or every seed gives the figure." if lone else "",
    ]  # fmt: skip
    title = f"{view.title}. {grid.title}."
    said = (plain(part) for part in (title, grid.about, *notes) if part)
    names = (len(_name(row, columns[0])) * _WIDE for row in grid.rows)
    lines = sum(math.ceil(name / wrap) if wrap else 1 for name in names)
    together = max(1, _LINES // (lines + _RULES))
    return "\n\n".join(
        _float(
            parts[at : at + together],
            [rf"\caption{{{escape(' '.join(said))}}}", rf"\label{{{label}}}"]
            if at == 0
            else [rf"\caption{{{escape(plain(title))} Continued.}}"],
        )
        for at in range(0, len(parts), together)
    )


def _float(parts: Sequence[str], about: Sequence[str]) -> str:
    begin = [r"\begin{table}", r"\centering", r"\footnotesize", r"\setlength{\tabcolsep}{3pt}"]
    return "\n".join([*begin, *about, "\n\\par\\medskip\n".join(parts), r"\end{table}"])


def _wrapped(grid: Grid, column: Column, widths: Sequence[int]) -> int:
    """Return how wide the column of names is made, given the widths of all columns."""
    natural, others = widths[0], sum(widths[1:])
    words = (len(word) for row in grid.rows for word in _name(row, column).split())
    longest = max(words, default=0) * _WIDE + _GAP
    beside, most = (math.ceil(max(points, longest)) for points in _NAMES_PT)
    if natural <= most or natural + others <= COLUMN_PT:
        return natural
    room = COLUMN_PT - others
    return min(natural, room if room >= beside else most)


def _part(grid: Grid, columns: Sequence[Column], heads: Mapping[str, str], wrap: float = 0) -> str:
    """Return columns that stand side by side; ``wrap``: width of the names, 0: as they are."""
    kinds = [_kind(grid, column) for column in columns]
    kinds[0] = f"p{{{wrap}pt}}" if wrap else kinds[0]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{@{{}}{''.join(kinds)}@{{}}}}",
            r"\toprule", _line([_head(grid, c, heads[c.name]) for c in columns]), r"\midrule",
            *_body(grid, columns, wrap),
            r"\bottomrule", r"\end{tabular}",
        ]
    )  # fmt: skip


def _body(grid: Grid, columns: Sequence[Column], wrap: float) -> Iterable[str]:
    role = grid.rows[0].role if grid.rows else ""
    for row in grid.rows:
        if row.role != role and (row.role in TRAINED) != (role in TRAINED):
            yield r"\midrule"
        role = row.role
        cells = [_cell(grid, row, column, i) for i, column in enumerate(columns)]
        long = wrap and len(_name(row, columns[0])) * _WIDE > wrap
        yield _line([r"\raggedright\hangindent1em " * bool(long) + cells[0], *cells[1:]])


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
        words = _bare(column).split()
        short = " ".join(_ABBREVIATED.get(word, word) for word in words)
        short = re.sub(r"^(\w{3})\w+-0(\.\d+)$", r"\1\2", short)
        found[column.name] = _bare(column) if short in found.values() else short
    return found


def _bare(column: Column) -> str:
    """Return a head without the interval, which stands in no column of a paper."""
    return re.sub(r" ?\[95 %\]", "", column.head)


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


def _labels(view: View, grids: Sequence[Grid]) -> list[str]:
    """Return a label a table, short, each another, and none that a command can break.

    What all boards have in common (complete data, the test split) and digests are left out, so
    that a label stays when a table is made again.
    """
    told = [[view.stem, *(g.facts[k] for k in _TELLING if g.facts.get(k))] for g in grids]
    found: list[str] = []
    for parts, grid in zip(told, grids, strict=True):
        kept = [part for part in parts if part != COMPLETE]
        if told.count(parts) > 1:
            kept.append(grid.title.split()[0].casefold())
        label = ":".join(("tab", *(_slug(part) for part in kept)))
        same = sum(re.sub(r":\d+$", "", other) == label for other in found)
        found.append(f"{label}:{same + 1}" if same else label)
    return found


def _slug(part: str) -> str:
    name = part.partition("@")[0][:40]
    return "".join(c if c.isascii() and (c.isalnum() or c in ".-") else "-" for c in name)
