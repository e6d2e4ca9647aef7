"""Scores per label: mean and deviation over seeds, support, the ceiling as a line."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

from harness.boards.selecting import Wanted, select
from harness.errors import DataMissingError
from harness.figures.labels import draw, label_figure
from tests.unit.boards.made import record
from tests.unit.figures.made import figures_dir, numbers, run


def test_labels_are_decided_at_the_threshold_that_orders_boards() -> None:
    """The axis says so, for with `--plain` there is no caption; AP knows no threshold."""
    runs = [run(), run("two")]
    chosen = select(runs, ["one", "two"], Wanted("fake"), {})
    by_id = {r.id: r for r in runs}
    tuned = label_figure(chosen, by_id, "f1")
    assert tuned.scores["one"]["a"].mean == pytest.approx(0.65) and tuned.threshold == "tuned"
    svg, csv = draw(tuned, figures_dir() / "tuned", ("svg",))
    assert b"F1, tuned threshold" in svg.read_bytes()
    assert {r["threshold"] for r in numbers(csv)} == {"tuned"}
    bare = [
        replace(
            r, metrics={"full@1": {"test": {"declared": r.metrics["full@1"]["test"]["declared"]}}}
        )
        for r in runs
    ]
    without = label_figure(
        select(bare, ["one", "two"], Wanted("fake"), {}), {r.id: r for r in bare}, "f1"
    )
    assert without.threshold == "declared" and without.scores["one"]["a"].mean == pytest.approx(0.6)
    of_scores = label_figure(chosen, by_id, "ap")
    assert (of_scores.threshold, of_scores.scores["one"]["a"].mean) == ("", 0.5)
    assert "threshold" not in " ".join(of_scores.about.notes)


def test_scores_are_over_seeds_and_undefined_ones_left_out() -> None:
    runs = [run(seed=s, f1=f) for s, f in enumerate((0.3, 0.5, 0.6))]
    chosen = select(runs, ["one"], Wanted("fake"), {})
    by_id = {r.id: r for r in runs}
    data = label_figure(chosen, by_id, "f1")
    scores = data.scores["one"]
    assert scores["a"].mean == pytest.approx(sum((0.45, 0.65, 0.75)) / 3)
    assert scores["a"].std == pytest.approx(statistics.stdev((0.45, 0.65, 0.75)))
    assert data.support == {"a": 4, "b": 2} and data.rows[0].row.seeds == (0, 1, 2)
    assert list(label_figure(chosen, by_id, "precision").scores["one"]) == ["a"]


def test_files_and_numbers() -> None:
    runs = [
        *(run("one", s, 0.5 + 0.1 * s, dataset="fake-twin") for s in (0, 1)),
        run("two", dataset="fake-twin"),
        run("ceiling", f1=0.8, dataset="fake-twin", role="ceiling", epochs=0),
    ]
    chosen = select(runs, ["one", "two", "ceiling"], Wanted("fake-twin"), {})
    data = label_figure(chosen, {r.id: r for r in runs}, "precision")
    written = draw(data, figures_dir() / "x", ("svg",))
    assert [p.name for p in written] == ["x.svg", "x.csv"]
    assert b"fake-twin (generated twin)" in written[0].read_bytes()
    rows = numbers(written[1])
    assert [(r["model"], r["role"], r["label"], r["n"]) for r in rows] == [
        ("one", "model", "a", "2"), ("one", "model", "b", "0"),
        ("two", "model", "a", "1"), ("two", "model", "b", "0"),
        ("ceiling", "ceiling", "a", "1"), ("ceiling", "ceiling", "b", "0"),
    ]  # fmt: skip
    assert rows[0]["mean"] == "0.700000" and rows[1]["mean"] == "" and rows[2]["std"] == ""


def test_runs_without_scores_per_label_are_named() -> None:
    runs = [record()]
    chosen = select(runs, ["one"], Wanted("fake"), {})
    with pytest.raises(DataMissingError, match=r"one has no scores per label.*rescore"):
        label_figure(chosen, {r.id: r for r in runs})


def test_exported_runs_under_dropout_say_where_the_scores_are() -> None:
    runs = [record(dropout="drop-t@1")]
    chosen = select(runs, ["one"], Wanted("fake", "drop-t@1"), {})
    with pytest.raises(DataMissingError, match=r"drop-t@1: exported .* full@1 only") as caught:
        label_figure(chosen, {r.id: r for r in runs})
    assert "rescore" not in str(caught.value)
