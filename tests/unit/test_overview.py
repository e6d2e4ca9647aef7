"""Mean ranks over data sets."""

from __future__ import annotations

import pytest

from harness.boards.aggregate import Row, Statistic, Table
from harness.boards.board import Board
from harness.boards.collect import GroupKey
from harness.boards.overview import markdown, rankings


def board(name: str, scores: dict[str, float], source: str = "real") -> Board:
    key = GroupKey(name, f"{name}@1", "h", "ones", "full@1", "full@1", "d", "test")
    rows = tuple(
        Row(m, m, "ceiling" if m == "ceiling" else "model", "quick", "1", None, 1, (0, 1, 2), (),
            (), {"micro_f1": Statistic(s, None, 3)})
        for m, s in scores.items()
    )  # fmt: skip
    table = Table(key, "multilabel", source, rows, (), "", 5)
    return Board(name, name.removesuffix("-twin"), source, "multilabel", (table,), None)


def test_ranks_are_over_models_on_every_data_set_and_twins_are_apart() -> None:
    boards = [
        board("a", {"one": 0.9, "two": 0.5, "three": 0.5}),
        board("b", {"one": 0.1, "two": 0.3, "three": 0.2, "four": 0.9}),
        board("a-twin", {"one": 0.5, "two": 0.4, "ceiling": 0.9}, "twin"),
        board("b-twin", {"one": 0.5, "two": 0.4, "ceiling": 0.9}, "twin"),
    ]
    real, twin = rankings(boards)
    assert (real.datasets, real.partial) == (("a", "b"), ("four",))
    assert real.mean_rank == {"one": pytest.approx(2.0), "two": 1.75, "three": 2.25}
    assert twin.mean_rank == {"one": 1.0, "two": 2.0}
    text = markdown([real, twin])
    assert text.index("| two ") < text.index("| one ") < text.index("Generated twins")
    assert rankings(boards[:1]) == []
