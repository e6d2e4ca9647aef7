"""What `harness run` prints of its runs under dropout: the figure that boards are ordered by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.boards.grid import Statistic
from harness.boards.rows import tables
from harness.boards.views.dropout import grids
from harness.records.record import RunRecord
from tests.unit.boards.made import record


def scored(model: str, seed: int, by_dropout: dict[str, tuple[float, float]]) -> RunRecord:
    """Return a run with declared and tuned micro-F1 under each protocol."""
    parts = [record(model, seed, f1, tuned=tuned, dropout=name)
             for name, (f1, tuned) in by_dropout.items()]  # fmt: skip
    metrics: dict[str, Any] = {}
    masks: dict[str, Any] = {}
    for part in parts:
        metrics |= part.metrics
        masks |= part.protocols["dropout"]
    return replace(parts[0], metrics=metrics, protocols=parts[0].protocols | {"dropout": masks})


def figures(grid: Any, column: str) -> dict[str, Any]:
    found = {row.cells["dropout"]: row.cells.get(column) for row in grid.rows}
    return {k: (v.mean, v.n) if isinstance(v, Statistic) else v for k, v in found.items()}


def test_dropout_is_shown_as_boards_order_with_complete_data_first() -> None:
    mine = scored("one", 0, {"drop-a@1": (0.3, 0.5), "full@1": (0.4, 0.6), "only-t@1": (0.2, 0.7)})
    others = [
        scored("one", 1, {"full@1": (0.4, 0.8), "drop-a@1": (0.1, 0.9)}),  # lacks only-t@1
        scored("one", 2, {"full@1": (0.4, 0.8), "drop-a@1": (0.3, 0.7), "only-t@1": (0.2, 0.9)}),
        scored("two", 0, {"full@1": (0.9, 0.9), "drop-a@1": (0.9, 0.9)}),
    ]
    (grid,) = grids(tables([mine, *others]), {mine.id})
    assert "micro-F1 tuned" in grid.title
    assert [row.cells["dropout"] for row in grid.rows] == ["full@1", "drop-a@1", "only-t@1"]
    (name,) = [c.name for c in grid.columns[1:]]
    assert figures(grid, name) == {
        "full@1": (pytest.approx(0.7), 2), "drop-a@1": (pytest.approx(0.6), 2),
        "only-t@1": (pytest.approx(0.8), 2),
    }  # fmt: skip


def test_with_one_label_a_sample_it_is_accuracy() -> None:
    mine = scored("one", 0, {"full@1": (0.4, 0.6), "drop-a@1": (0.3, 0.5)})
    mine = replace(mine, dataset=mine.dataset | {"label_kind": "singlelabel"})
    (grid,) = grids(tables([mine]), {mine.id})
    assert "accuracy" in grid.title
    (name,) = [c.name for c in grid.columns[1:]]
    assert figures(grid, name) == {"full@1": (0.4, 1), "drop-a@1": (0.3, 1)}


def test_reference_rows_and_settings_are_named_as_under_complete_data() -> None:
    mine = scored("one", 0, {"full@1": (0.4, 0.6), "drop-a@1": (0.3, 0.5)})
    wide = record("one", 0, 0.5, hidden=16, training__lr=1.0)  # was not scored under dropout
    constant = replace(scored("least", 0, {"full@1": (0.1, 0.1), "drop-a@1": (0.2, 0.2)}),
                       role="trivial")  # fmt: skip
    made = tables([mine, wide, constant])
    whole = next(t for t in made if t.place.dropout == "full@1")
    name = next(row.name for row in whole.rows if mine.id in row.runs)
    (grid,) = grids(made, {mine.id})
    assert [c.name for c in grid.columns] == ["dropout", name, "least"]
    assert figures(grid, "least") == {"full@1": (0.1, 1), "drop-a@1": (0.2, 1)}
    assert grids(tables([wide]), {wide.id}) == []
