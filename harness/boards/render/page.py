"""All boards as one page, ``index.html``; equal records give equal bytes.

The page holds the main tables. All else of a board stands beside it in ``<board>.js``, which is
read where the board is chosen: a script, since a page that is opened from a disk may read nothing
else. Nothing comes from elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.boards.board import PAGE_DATA, Board, views
from harness.boards.grid import Grid, View
from harness.boards.render.page_data import board_data, board_head, page_data
from harness.boards.render.templates import part, render, trusted
from harness.boards.render.text import plain, shown
from harness.plugins import load
from harness.records.record import COMPLETE

PACKAGE = "harness.boards"
# One script, in this order.
SCRIPTS = ("base", "curve", "detail", "table", "suites", "compare", "save", "cite", "address")
# What the script draws itself; without it the leaderboard on complete data stands in the page.
DRAWN = ("leaderboard", "slices", "robustness")


def page(boards: Sequence[Board], shown: Mapping[str, Sequence[View]] | None = None) -> str:
    """Return the page: no address outside it, and its tables stand in it without scripts too.

    Args:
        boards: all boards, as `harness.boards.board.build_boards` makes them.
        shown: their views by the boards' names; None: those of the harness and installed plugins.
    """
    found = {b.dataset: views(b, load()) for b in boards} if shown is None else shown
    return page_of([piece(board, found[board.dataset]) for board in boards])


def piece(board: Board, shown: Sequence[View]) -> dict[str, Any]:
    """Return what the page holds of a board, as JSON values."""
    return {"plain": _plain(board, shown), "data": board_head(board)}


def data_files(boards: Iterable[Board]) -> dict[str, str]:
    """Return what the page reads where a board is chosen: scripts by file name."""
    return {
        f"{board.dataset}{PAGE_DATA}": f"harnessBoard({embedded(board.dataset)}, "
        f"{embedded(board_data(board))});\n"
        for board in boards
    }


def page_of(pieces: Iterable[Mapping[str, Any]], about_all: View | None = None) -> str:
    """Return the page of boards from their pieces, with a view of them all if there is one."""
    known = list(pieces)
    return render(
        PACKAGE,
        "page.html.j2",
        boards=[one["plain"] for one in known],
        overall=[] if about_all is None else [_plain_view(about_all, "measured")],
        style=trusted(part(PACKAGE, "page.css")),
        script=trusted(_script()),
        data=trusted(embedded(page_data([one["data"] for one in known]))),
    )


def embedded(value: Any) -> str:
    """Return JSON that cannot end the ``script`` element it stands in."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _plain(board: Board, found: Iterable[View]) -> dict[str, Any]:
    """Return a board's views as they stand without scripts."""
    kinds = {"reported": "reported"}
    measured = "twin" if board.source == "twin" else "measured"
    return {
        "name": board.dataset,
        "base": board.base_name,
        "twin": board.source == "twin",
        "about": [plain(line) for line in board.sentences],
        "views": [
            _plain_view(view, kinds.get(view.name, measured))
            for view in found
            if view.name not in DRAWN[1:]
        ],
    }


def _plain_view(view: View, kind: str) -> dict[str, Any]:
    drawn = view.name in DRAWN
    return {
        "name": view.name,
        "title": view.title,
        "drawn": drawn,
        "notes": [] if drawn else [plain(note) for note in (*view.notes, *view.after)],
        "kind": kind,
        "grids": [_grid(grid) for grid in _complete(view)],
    }


def _complete(view: View) -> Sequence[Grid]:
    """Return the grids that are shown without scripts: those on complete data, if there are any."""
    shown = view.read_by("page")
    return [g for g in shown if g.facts.get("dropout", COMPLETE) == COMPLETE] or shown


def _grid(grid: Grid) -> dict[str, Any]:
    columns, lines = shown(grid)
    first = len(lines) - len(grid.rows)
    return {
        "title": plain(grid.title),
        "external": grid.section.startswith("External"),
        "about": plain(grid.about),
        "heads": [(column.head, column.printed) for column in columns],
        "rows": [
            (
                grid.rows[place - first].role if place >= first else "rate",
                list(zip(cells, (column.printed for column in columns), strict=True)),
            )
            for place, cells in enumerate(lines)
        ],
        "notes": [plain(note) for note in grid.notes],
        "commands": list(grid.commands),
    }


def _script() -> str:
    parts = [part(PACKAGE, f"page_{name}.js") for name in SCRIPTS]
    return "\n".join(["(() => {", *parts, part(PACKAGE, "page.js"), "})();"])
