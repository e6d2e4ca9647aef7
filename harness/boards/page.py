"""All boards as one self-contained page, ``index.html``; equal records give equal bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from harness.boards import ablation_text
from harness.boards.ablation import FULL, AblationTable
from harness.boards.board import Board
from harness.boards.cells import HEADS, NOTHING, format_number, format_statistic
from harness.boards.page_data import page_data
from harness.boards.rendering import part, render, trusted
from harness.boards.reported import Reported
from harness.boards.swapped import SWAPPED, SwappedTable
from harness.boards.tables import EXTERNAL_NOTE, rows_for_display
from harness.records.record import COMPLETE, RunRecord

FILE = "index.html"
PACKAGE = "harness.boards"
# One script, in this order.
SCRIPTS = ("base", "curve", "detail", "table", "suites", "compare")


def page(boards: Sequence[Board], records: Iterable[RunRecord]) -> str:
    """Return the page: no address outside it, and its tables stand in it without scripts too.

    Args:
        boards: all boards, as `harness.boards.board.build_boards` makes them.
        records: at least the records the boards show.
    """
    return render(
        PACKAGE,
        "page.html.j2",
        boards=[_plain(board) for board in boards],
        external_note=EXTERNAL_NOTE,
        style=trusted(part(PACKAGE, "page.css")),
        script=trusted(_script()),
        data=trusted(embedded(page_data(boards, records))),
    )


def embedded(value: Any) -> str:
    """Return JSON that cannot end the ``script`` element it stands in."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _plain(board: Board) -> dict[str, Any]:
    """Return what the page shows without scripts: complete data, newest content first."""
    shown = [t for t in (*board.tables, *board.external) if t.key.dropout == COMPLETE]
    tables = []
    for table in shown or [*board.tables, *board.external]:
        heads, rows = rows_for_display(table)
        roles = [row.role for row in table.rows] + ["failed" for _ in table.failures]
        tables.append({"key": table.key, "samples": table.samples, "heads": heads,
                       "rows": list(zip(roles, rows, strict=True)),
                       "external": table in board.external})  # fmt: skip
    return {
        "name": board.dataset,
        "base": board.base_name,
        "twin": board.source == "twin",
        "single": board.label_kind == "singlelabel",
        "tables": tables,
        "ablations": [_ablation(table) for table in board.ablations],
        "swapped": [_both_ways(table) for table in board.swapped if table.key.dropout == COMPLETE],
        "reported": None if board.reported is None else _printed(board, board.reported),
    }


def _ablation(table: AblationTable) -> dict[str, Any]:
    """Return an ablation table; ``printed`` are the places of columns that repeat a paper."""
    heads, rows = ablation_text.rows_for_display(table)
    names = {FULL: "full", "ceiling": "ceiling"}
    failed = len(rows) - len(table.failures)
    return {
        "label": table.label,
        "heading": ablation_text.heading(table),
        "heads": heads,
        "rows": rows,
        "roles": [
            "failed" if place >= failed else names.get(cells[0], "ablated")
            for place, cells in enumerate(rows)
        ],
        "printed": {place for place, head in enumerate(heads) if head.endswith(" printed")},
        "notes": [note.replace("`", "") for note in ablation_text.notes(table)],
        "command": table.command,
    }


def _both_ways(table: SwappedTable) -> dict[str, Any]:
    """Return the clip diagnostic's figures as they are and with truth and prediction exchanged."""
    heads = [f"{HEADS[name]} {way}" for way in ("correct", "swapped") for name in SWAPPED]
    rows = [
        [row.label, row.setting if row.role in ("model", "external") else row.role,
         str(len(row.seeds)),
         *(format_statistic(figures[n]) for figures in (row.correct, row.swapped) for n in SWAPPED)]
        for row in table.rows
    ]  # fmt: skip
    return {"key": table.key, "heads": ["model", "setting", "n", *heads], "rows": rows}


def _printed(board: Board, reported: Reported) -> dict[str, Any]:
    measured: dict[str, set[str]] = {}
    for mine in (row for table in board.tables for row in table.rows):
        if mine.reported_as:
            measured.setdefault(mine.reported_as.casefold(), set()).add(mine.label)
    both = ("precision", "recall") if reported.exchanged else ()
    lines = []
    for row in reported.rows:
        values = [row.printed[m] for m in reported.metrics] + [row.true[m] for m in both]
        here = ", ".join(sorted(measured.get(row.name.casefold(), ()))) or NOTHING
        figures = [format_number(v, 3) for v in values]
        lines.append([f"{row.name}†" if row.swapped else row.name, here, *figures])
    heads = ["row", "measured here as", *(f"{HEADS.get(m, m)} (printed)" for m in reported.metrics)]
    heads += [f"{m} (exchanged back)" for m in both]
    notes = ["† P and R are printed swapped; the last two columns exchange them back."]
    return {"source": reported.source, "heads": heads, "rows": lines,
            "notes": [*(notes if both else ()), *reported.notes]}  # fmt: skip


def _script() -> str:
    parts = [part(PACKAGE, f"page_{name}.js") for name in SCRIPTS]
    return "\n".join(["(() => {", *parts, part(PACKAGE, "page.js"), "})();"])
