"""Mean ranks over data sets: of official rows only, the others are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.boards.board import Board, build_boards
from harness.boards.official import FILE, Official, read_entrants
from harness.boards.render.markdown import markdown
from harness.boards.views.ranks import rankings, view
from harness.errors import DataFormatError
from harness.records.record import RunRecord
from tests.unit.boards.made import record

SCORES = {
    "a": {"one": 0.9, "two": 0.5, "three": 0.5},
    "b": {"one": 0.1, "two": 0.3, "three": 0.2, "four": 0.9},
    "a-twin": {"one": 0.5, "two": 0.4, "ceiling": 0.9},
    "b-twin": {"one": 0.5, "two": 0.4, "ceiling": 0.9},
}


def runs(*seeds: int) -> list[RunRecord]:
    """Return a run of every model on every data set and seed, with the default preset."""
    return [
        record(model, seed, score, dataset=name, role="ceiling" if model == "ceiling" else "model",
               preset="tuned" if name.endswith("-twin") else "paper")
        for name, scores in SCORES.items()
        for model, score in scores.items()
        for seed in seeds or (0,)
    ]  # fmt: skip


def boards(*more: RunRecord) -> list[Board]:
    return build_boards([*runs(), *more])


def test_ranks_are_over_models_on_every_data_set_and_twins_are_apart() -> None:
    real, twin = rankings(boards())
    assert (real.datasets, real.partial) == (("a", "b"), ("four",))
    assert real.mean_rank == {"one": pytest.approx(2.0), "two": 1.75, "three": 2.25}
    assert twin.mean_rank == {"one": 1.0, "two": 2.0}
    text = markdown(view([real, twin]))
    assert text.index("| two ") < text.index("| one ") < text.index("Generated twins")
    assert "Also run here" not in text
    assert rankings(boards()[:1]) == []


def test_a_debug_run_or_newer_data_replaces_no_official_row() -> None:
    later = "2027-01-01T00:00:00Z"
    debug = record("one", 0, 0.0, dataset="a", hidden=4, model__hidden=4, created=later)
    quick = record("two", 0, 0.0, dataset="a", preset="quick", created=later)
    mixed = record("two", 0, 0.99, dataset="a", train_dropout="train-mix@1")
    real, _ = rankings(boards(debug, quick, mixed))
    assert real.scores["one"] == (0.9, 0.1) and real.scores["two"] == (0.5, 0.3)
    said = markdown(view([real]))
    assert "Also run here, on a: " in said
    assert "two (quick), seed 0" in said
    assert "two (paper), seed 0, trained under train-mix@1" in said


def test_entrants_yaml_says_which_rows_count(tmp_path: Path) -> None:
    assert read_entrants(tmp_path) is None
    (tmp_path / FILE).write_text(
        "a:\n- {models: [one, two], preset: paper, train_dropout: full@1, seeds: [0, 1], "
        "data: aa}\n"
        "b:\n- {models: [one, two, three], preset: paper, seeds: [0]}\n"
    )
    entries = read_entrants(tmp_path)
    assert entries is not None
    assert entries["a"] == [Official(("one", "two"), "paper", "full@1", (0, 1), "aa")]
    newer = record("one", 0, 0.0, dataset="a", content="bbb", created="2027-01-01T00:00:00Z")
    (real,) = rankings(build_boards([*runs(0, 1), newer]), entries)
    assert real.scores == {"one": (0.9, 0.1), "two": (0.5, 0.3)}
    assert real.partial == ("three",) and "four (paper), seeds 0, 1" in real.others["b"]
    assert "one (paper), seed 0" in real.others["a"]
    assert rankings(boards(), entries) == []  # seed 1 is missing
    (tmp_path / FILE).write_text("a: [{models: [one]}]")
    with pytest.raises(DataFormatError, match=r"entrants\.yaml: expected"):
        read_entrants(tmp_path)
