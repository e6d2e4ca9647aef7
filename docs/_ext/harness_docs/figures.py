"""Committed figures of models: what boards hold, and what papers print."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from harness.boards.reported import reported_by_plugins
from harness.plugins import Registry
from harness_docs.sources import ROOT

BOARDS = ROOT / "leaderboards"


@dataclass(frozen=True)
class Board:
    """The main table of a committed board: its name, what it says of itself, columns and rows."""

    name: str
    title: str
    about: str
    columns: dict[str, str]
    rows: list[dict[str, Any]]


@cache
def boards() -> tuple[Board, ...]:
    """Return the committed boards, each by the tables that are scored on complete data."""
    return tuple(board for path in sorted(BOARDS.glob("*.json")) for board in _tables(path))


def _tables(path: Any) -> Iterator[Board]:
    content = json.loads(path.read_text("utf-8"))
    if content.get("view") != "leaderboard":
        return
    for grid in content["grids"]:
        if grid.get("facts", {}).get("dropout") == "full@1":
            columns = {c["name"]: c["heading"] for c in grid["columns"]}
            title = grid.get("title", "")
            yield Board(content["board"], title, grid["about"], columns, grid["rows"])


def shown(value: Any) -> str:
    """Return a figure of a board as text: mean ± deviation, or as it is."""
    if isinstance(value, dict) and "mean" in value:
        deviation = f" ± {value['std']:.4f}" if value.get("n", 1) > 1 else ""
        return f"{value['mean']:.4f}{deviation}"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    return "–" if value is None else str(value)


def printed(registry: Registry, name: str) -> list[tuple[str, str, dict[str, float | None]]]:
    """Return the rows that papers print of a model: table, source, figures by metric."""
    found = []
    for table, reported in reported_by_plugins(registry).items():
        for row in reported.rows:
            if row.name.lower() == name.lower():
                note = "; P and R are exchanged in print" if row.swapped else ""
                found.append((table, reported.source + note, dict(row.printed)))
    return found
