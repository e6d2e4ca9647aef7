"""Boards as LaTeX tables (booktabs), ready for a paper; equal boards give equal bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.boards.aggregate import SORT_BY, Row, Statistic, Table
from harness.boards.cells import HEADS
from harness.boards.reported import Reported
from harness.statistics.ranks import rank_text

if TYPE_CHECKING:
    from harness.boards.board import Board

NOTHING = "--"
BEST, SECOND = r"\mathbf", r"\underline"
_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "_": r"\_", "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "–": "--", "±": r"$\pm$", "†": r"\dag{}", "−": r"$-$", "τ": r"$\tau$", "η": r"$\eta$",
    "×": r"$\times$",
}  # fmt: skip


def latex(board: Board) -> str:
    """Return the board's tables; they need ``booktabs``, and ``T1`` font encoding."""
    parts = [r"% \usepackage[T1]{fontenc} \usepackage{booktabs}"]
    parts += [_measured(board, table, "tab") for table in board.tables]
    parts += [_measured(board, table, "tab-external") for table in board.external]
    if board.reported is not None:
        parts.append(_printed(board, board.reported))
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Return text in which no character is a LaTeX command; line breaks become spaces."""
    plain = " ".join(text.split())
    return "".join(_ESCAPES.get(c, c) for c in plain if c.isprintable())


def marks(rows: Sequence[Row]) -> list[str]:
    """Return per row `BEST`, `SECOND` or nothing, by the tested metric.

    The best trained model is marked where it is told apart from every other one, the second where
    it is told apart too, and the first is marked: in a tie nothing is. Rows without a rank were
    not tested, and nothing is marked beside them.
    """
    trained = [i for i, row in enumerate(rows) if row.role in ("model", "external")]
    marked = ["" for _ in rows]
    if len(trained) < 2 or not all(rows[i].rank for i in trained):
        return marked
    order = sorted(trained, key=lambda i: -rows[i].figures[SORT_BY].mean)
    for place, mark in zip(order, (BEST, SECOND), strict=False):
        mine = set(rows[place].rank)
        if any(mine & set(rows[other].rank) for other in order if other != place):
            break
        marked[place] = mark
    return marked


def _measured(board: Board, table: Table, prefix: str) -> str:
    key, marked = table.key, marks(table.rows)
    tested = any(row.rank for row in table.rows)
    on_twin = any(row.share is not None for row in table.rows)
    heads = ["Model", "Setting", "$n$", *(escape(HEADS[name]) for name in table.figures)]
    heads += ["Rank"] if tested else []
    heads += [r"\% of ceiling"] if on_twin else []
    lines, role = [], table.rows[0].role if table.rows else ""
    for row, mark in zip(table.rows, marked, strict=True):
        if row.role != role:
            lines.append(r"\midrule")
        role = row.role
        lines.append(line(_cells(row, table, mark, tested, on_twin)))
    about = "Generated twin, not the real data. " if board.source == "twin" else ""
    about += "Predictions of code not run here. " if key.train_dropout == "external" else ""
    how = "" if key.train_dropout == "external" else f"trained under {key.train_dropout}, "
    caption = (
        f"{board.dataset}: {how}scored under {key.dropout} on {key.split} ({table.samples} "
        f"samples), mask {key.mask}, data {key.content_hash[:12]}. {about}Mean ± sample standard "
        "deviation over n seeds. "
    )
    caption += (
        "Models that share a rank cannot be told apart by micro-F1; bold (best) and underlined "
        "(second) micro-F1 are told apart from every other trained model. Other columns were not "
        "tested, and nothing is marked there."
        if tested
        else "Nothing is marked: the differences were not tested."
    )
    names = (board.dataset, key.content_hash[:8], key.mask, key.train_dropout, key.dropout,
             key.digest[:8])  # fmt: skip
    return environment(caption, label_for(prefix, *names), heads, lines)


def _cells(row: Row, table: Table, mark: str, tested: bool, on_twin: bool) -> list[str]:
    trained = row.role in ("model", "external")
    name = escape(row.label) if trained else rf"\textit{{{escape(row.label)}}}"
    cells = [name, escape(row.setting if trained else row.role) or NOTHING, str(len(row.seeds))]
    cells += [
        figure_text(row.figures.get(figure), mark if figure == SORT_BY else "")
        for figure in table.figures
    ]
    cells += [escape(rank_text(row.rank)) or NOTHING] if tested else []
    cells += [NOTHING if row.share is None else f"{100 * row.share:.1f}"] if on_twin else []
    return cells


def figure_text(value: Statistic | None, mark: str = "") -> str:
    """Return ``mean ± std`` in math mode, the mean inside the command ``mark``."""
    if value is None:
        return NOTHING
    mean = f"{mark}{{{value.mean:.4f}}}" if mark else f"{value.mean:.4f}"
    return f"${mean}$" if value.std is None else rf"${mean} \pm {value.std:.4f}$"


def _printed(board: Board, reported: Reported) -> str:
    heads = ["Row", *(escape(f"{metric} (printed)") for metric in reported.metrics)]
    lines = []
    for row in reported.rows:
        values = (row.printed[metric] for metric in reported.metrics)
        name = escape(row.name) + (r"\dag{}" if row.swapped else "")
        lines.append(line([name, *(NOTHING if v is None else f"{v:.3f}" for v in values)]))
    swapped = " † P and R are printed swapped." if any(r.swapped for r in reported.rows) else ""
    caption = (
        f"{board.base_name}: figures as printed in {reported.source}, not measured here.{swapped}"
    )
    return environment(caption, label_for("tab-reported", board.dataset), heads, lines)


def environment(caption: str, label: str, heads: Sequence[str], lines: Sequence[str]) -> str:
    """Return a table: two columns of text, then figures; the caption is escaped here."""
    columns = "ll" + "r" * (len(heads) - 2)
    return "\n".join(
        [
            r"\begin{table*}", r"\centering", rf"\caption{{{escape(caption)}}}",
            rf"\label{{{label}}}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", line(heads),
            r"\midrule", *lines, r"\bottomrule", r"\end{tabular}", r"\end{table*}",
        ]
    )  # fmt: skip


def line(cells: Sequence[str]) -> str:
    """Return one row of a table from cells that are LaTeX already."""
    return " & ".join(cells) + r" \\"


def label_for(*parts: str) -> str:
    """Return a label that no command can break."""
    kept = ("".join(c if c.isalnum() or c in ".-" else "-" for c in part) for part in parts)
    return ":".join(part for part in kept if part)
