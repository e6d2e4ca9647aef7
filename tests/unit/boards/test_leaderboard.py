"""Boards: what may stand in one table, how it is averaged, and that nothing changes by itself."""

from __future__ import annotations

import csv
import io
import json
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.boards.board import Board, board_files, build_boards, write_board
from harness.boards.frame import Key, frame
from harness.boards.older import older_than
from harness.boards.reported import read_reported, reported_by_plugins
from harness.boards.rows import tables
from harness.boards.settings import named, setting
from harness.boards.views.columns import keys
from harness.boards.views.table import table_grid
from harness.errors import DataFormatError
from harness.plugins import load
from harness.records.code import model_digest
from harness.records.record import RunRecord
from harness.records.store import RunStore
from tests.unit import pages
from tests.unit.boards.made import record

PUBLISHED = """
source: "A paper"
fake:
  metrics: [accuracy, precision, recall, micro_f1]
  swapped: [one]
  rows:
    one: [0.5, 0.7, 0.6, 0.65]
    two: [0.4, 0.3, 0.2, null]
notes:
  - {tables: [fake], text: "Doubtful."}
  - {tables: [other], text: "Elsewhere."}
"""


def board(*records: RunRecord, reported: str | None = None, tmp: Path | None = None) -> Board:
    if reported is None or tmp is None:
        return build_boards(records)[0]
    (tmp / "published.yaml").write_text(reported)
    return build_boards(records, read_reported(tmp / "published.yaml"))[0]


def text(made: Board, view: str = "", suffix: str = ".md") -> str:
    """Return a file of a board."""
    return board_files(made, load())[f"{made.dataset}{view}{suffix}"]


def test_mean_and_sample_deviation_over_seeds() -> None:
    values = [0.5, 0.6, 0.8]
    runs = [record(seed=s, f1=v, tuned=0.9) for s, v in enumerate(values)]
    rows = board(*runs).tables[0].rows
    assert len(rows) == 1 and rows[0].seeds == (0, 1, 2)
    figure = rows[0].figures[Key("micro_f1")]
    assert figure.mean == pytest.approx(sum(values) / 3)
    assert figure.std == pytest.approx(statistics.stdev(values)) and figure.n == 3
    assert rows[0].figures[Key("micro_f1", "tuned")].mean == pytest.approx(0.9)
    assert Key("micro_ap") not in rows[0].figures
    assert "0.6333 ± 0.1528" in text(board(*(record(seed=s, f1=v) for s, v in enumerate(values))))
    assert "0.9000 deterministic" in text(board(*runs))


def test_rows_are_ordered_by_the_threshold_tuned_on_validation() -> None:
    """The declared one suits some models; without a tuned one everywhere it is what there is."""
    runs = [record("one", f1=0.6, tuned=0.61), record("two", f1=0.5, tuned=0.7)]
    (table,) = board(*runs).tables
    assert table.key == Key("micro_f1", "tuned") and [r.model for r in table.rows] == ["two", "one"]
    del runs[1].metrics["full@1"]["test"]["tuned"]
    (table,) = board(*runs).tables
    assert table.key == Key("micro_f1") and [r.model for r in table.rows] == ["one", "two"]
    runs[1].metrics["full@1"]["test"]["tuned"] = None
    assert board(*runs).tables[0].key == Key("micro_f1")
    single = record(kind="singlelabel", f1=0.6, tuned=0.1)
    assert tables([single])[0].rows[0].best == 0.6


@pytest.mark.parametrize(
    "other",
    [
        {"content": "bbb"}, {"mask": "length"}, {"dropout": "random-0.3@1"}, {"digest": "e"},
        {"train_dropout": "train-mix@1"}, {"dropout": "full@2"},
    ],
)  # fmt: skip
def test_what_differs_in_protocol_or_data_is_never_averaged(other: dict[str, Any]) -> None:
    found = board(record(seed=0), record(seed=1, **other))
    assert len(found.tables) == 2
    assert [t.rows[0].figures[Key("micro_f1")].n for t in found.tables] == [1, 1]


def test_twin_and_real_have_boards_of_their_own() -> None:
    boards = build_boards([record(), record(dataset="fake-twin")])
    assert [b.dataset for b in boards] == ["fake", "fake-twin"]
    assert "Generated data" in text(boards[1]) and "Generated data" not in text(boards[0])


def test_configurations_are_rows_of_their_own_and_named() -> None:
    rows = board(record(hidden=8), record(hidden=16, seed=1), record(preset="quick")).tables[0].rows
    assert sorted(r.setting for r in rows) == [
        "paper model.hidden=16",
        "paper model.hidden=8",
        "quick",
    ]


def test_what_the_user_set_tells_rows_apart_and_the_preset_alone_stays_plain() -> None:
    made = [record(hidden=8), record(hidden=16, model__hidden=16)]
    made.append(record(hidden=4, training__lr=1.0))
    rows = board(*made).tables[0].rows
    assert {r.setting for r in rows} == {"paper", "paper model.hidden=16", "paper training.lr=1.0"}


def test_what_the_user_set_is_named_even_on_a_row_alone() -> None:
    run = record(training__epochs=2)
    assert board(run).tables[0].rows[0].setting == "paper training.epochs=2"


def test_one_command_reproduces_all_seeds() -> None:
    page = text(board(*(record(seed=s) for s in (2, 0, 1))))
    assert page.count("harness run") == 1
    assert "harness run --model one --dataset fake --seeds 0,1,2\nharness leaderboard" in page


def test_the_newest_run_of_a_seed_counts() -> None:
    old, new = record(f1=0.1), record(f1=0.7, created="2026-02-01T00:00:00Z")
    rows = board(new, old).tables[0].rows
    assert (rows[0].figures[Key("micro_f1")].mean, rows[0].seeds) == (0.7, (0,))


def test_hashes_newest_first_with_a_note() -> None:
    found = board(record(content="old"), record(content="new", created="2026-03-01T00:00:00Z"))
    assert found.hashes == ("new", "old")
    page = text(found)
    assert "2 different contents" in page and page.index("`new`") < page.index("`old`")


def test_share_and_reference_rows_reach_every_training_group() -> None:
    runs = [
        record("ceiling", f1=0.8, role="ceiling", dataset="fake-twin"),
        record("late", f1=0.7, role="observer", dataset="fake-twin"),
        record("zero", f1=0.1, role="trivial", dataset="fake-twin"),
        record("prior", f1=0.2, role="trivial", dataset="fake-twin"),
        record("one", f1=0.4, dataset="fake-twin"),
        record("one", f1=0.6, dataset="fake-twin", train_dropout="train-mix@1"),
    ]
    tables = board(*runs).tables
    assert [t.place.train_dropout for t in tables] == ["full@1", "train-mix@1"]
    for table, share in zip(tables, (1 / 3, 2 / 3), strict=True):
        assert [r.model for r in table.rows] == ["ceiling", "late", "one", "prior", "zero"]
        shares = [r.share for r in table.rows]
        assert shares == pytest.approx([1.0, 5 / 6, share, 0.0, -1 / 6])
    assert "33 %" in text(board(*runs)) and "*late (observer)*" in text(board(*runs))


def test_without_a_range_or_a_constant_there_is_no_share() -> None:
    ceiling = record("ceiling", f1=0.24, role="ceiling", dataset="fake-twin")
    one = record("one", f1=0.22, dataset="fake-twin")
    prior = record("prior", f1=0.2, role="trivial", dataset="fake-twin")
    for runs in ((ceiling, one, prior), (ceiling, one), (one, prior)):
        (table,) = board(*runs).tables
        assert [r.share for r in table.rows] == [None] * len(runs)


def test_failed_runs_are_rows_with_their_reason() -> None:
    found = board(record(), record(seed=1, f1=None))
    assert [r.seed for r in found.tables[0].failed] == [1]
    assert found.tables[0].rows[0].figures[Key("micro_f1")].n == 1
    assert "Failed: one, seed 1: loss is NaN in step 3 (" in text(found)
    alone = board(record(f1=None))
    assert alone.tables[0].rows == () and "Failed: one" in text(alone)


def test_a_warning_that_the_card_explains_is_no_note_and_any_other_is() -> None:
    twice = "Mmin: in more than one optimiser: w."
    said = {"warnings": [twice, "Mmin: odd."]}
    notes = text(board(*(replace(record(name), checks=said) for name in ("mmin", "cc"))))
    assert "Checks of mmin (paper): Mmin: odd." in notes
    assert f"Checks of cc (paper): {twice} Mmin: odd." in notes


def test_reported_figures_stand_apart_and_are_unswapped(tmp_path: Path) -> None:
    found = board(record(), reported=PUBLISHED, tmp=tmp_path)
    measured, reported = text(found), text(found, "-reported")
    assert "0.650" not in measured and "Doubtful." in reported and "Elsewhere" not in reported
    one = next(line for line in reported.splitlines() if line.startswith("| one†"))
    assert [c.strip() for c in one.split("|")[2:9]] == [
        "one", "0.500", "0.700", "0.600", "0.650", "0.600", "0.700",
    ]  # fmt: skip
    two = next(line for line in reported.splitlines() if line.startswith("| two"))
    assert [c.strip() for c in two.split("|")[5:9]] == ["0.200", "–", "0.300", "0.200"]
    assert "0.65" not in text(found, suffix=".csv")


def test_published_figures_of_the_repository_are_readable() -> None:
    tables = reported_by_plugins(load())
    ramer = next(r for r in tables["mosei-aligned"].rows if r.name == "ramer")
    assert (ramer.printed["precision"], ramer.true["precision"]) == (0.668, 0.551)
    assert len(tables["mosei-aligned"].rows) == 10 and not tables["memor-fine"].rows[0].swapped


@pytest.mark.parametrize(
    "text", ["[1]", "fake: {rows: {a: [1]}}", "a: {metrics: [x], rows: {a: 1}}"]
)
def test_malformed_published_figures_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "published.yaml").write_text(text)
    with pytest.raises(DataFormatError, match="expected"):
        read_reported(tmp_path / "published.yaml")


def test_regenerating_changes_no_byte(tmp_path: Path) -> None:
    runs = [record(m, s, 0.1 * s + 0.3) for m in ("one", "two") for s in (0, 1, 2)]
    store = RunStore(tmp_path / "runs")
    for run in runs:
        store.write(run)
    first = [p.read_bytes() for p in write_board(build_boards(store.all())[0], tmp_path / "out")]
    again = build_boards(reversed(store.all()))[0]
    assert [p.read_bytes() for p in write_board(again, tmp_path / "out")] == first
    assert (tmp_path / "out" / "fake.md").is_file()


def test_single_label_boards_have_their_metrics() -> None:
    grid = table_grid(tables([record(kind="singlelabel")])[0])
    heads = [c.head for c in grid.read_by("page")]
    assert heads == ["model", "accuracy", "macro-F1", "weighted-F1", "seconds", "parameters"]
    assert {"micro_f1", "accuracy"} <= {c.name for c in grid.read_by("data")}
    assert [key.name for key in keys("multilabel")][:2] == ["tuned_micro_f1", "tuned_jaccard"]
    assert "tuned_micro_ap" not in [key.name for key in keys("multilabel")]


def test_people_read_eight_columns_at_most_and_programs_all() -> None:
    boards = [*pages.small()[0], *pages.party()[0]]
    for made in boards:
        for table in made.tables:
            grid = table_grid(table)
            assert len(grid.read_by("page")) <= 8 and len(grid.read_by("paper")) <= 8
            held = {c.name for c in grid.read_by("data")}
            assert {"setting", "seeds", "trials", "steps", "peak_memory", "tested_before"} <= held
            assert {key.name for key in keys(table.label_kind)} <= held
        for name, made_text in board_files(made, load()).items():
            if name.endswith(".md"):
                assert max(map(len, made_text.splitlines())) <= 160, name
                assert made_text.count("\n## How to read this\n") <= 1
    (twin,) = (b for b in boards if b.dataset == "fake-twin")
    lines = text(twin).splitlines()
    assert [line.split(":")[0] for line in lines[2:5]] == [
        "Generated data", "Labels", "What follows",
    ]  # fmt: skip
    assert "nothing about emotions" in lines[4]
    assert any("Best constant" in line for line in lines[:20])


def test_what_all_rows_share_is_said_once_and_what_they_do_not_by_name() -> None:
    made = [record(m, seed=s) for m in ("one", "two") for s in range(3)]
    budget = {"trials": 9, "steps": 1200, "seconds": 61.4, "parameters": 3, "peak_memory": 1 << 20}
    made = [replace(r, budget=budget) for r in made]
    (table,) = board(*made).tables
    assert "All models: `paper`, seeds 0, 1, 2, 9 trials, 1,200 steps." in table_grid(table).about
    cells = table_grid(table).rows[0].cells
    assert cells["name"] == "one" and cells["seconds"].mean == pytest.approx(61.4)  # type: ignore[union-attr]
    made[-1] = replace(made[-1], budget=budget | {"steps": 600})
    del made[0]
    grid = table_grid(board(*made).tables[0])
    assert "All models: `paper`, 9 trials. Not alike in all rows: seeds, steps" in grid.about
    assert [row.cells["name"] for row in grid.rows] == ["one, n 2", "two, n 3"]


def test_what_most_rows_share_is_said_once_and_the_others_say_theirs() -> None:
    made = [record(m, seed) for m in ("one", "two", "three") for seed in range(2)]
    made += [record("four", hidden=16, training__lr=1.0), record("five")]
    grid = table_grid(board(*made).tables[0])
    assert "Where a row does not say otherwise: `paper`, seeds 0, 1." in grid.about
    assert {row.cells["name"] for row in grid.rows} == {
        "one", "two", "three", "four (paper training.lr=1.0), n 1", "five, n 1"
    }  # fmt: skip


def test_csv_and_json_agree() -> None:
    found = board(record(f1=0.123456789, tuned=0.9))
    (grid,) = json.loads(text(found, suffix=".json"))["grids"]
    assert grid["rows"][0]["micro_f1"]["mean"] == 0.123456789
    assert grid["facts"]["data_hash"] == "aaa"
    (line,) = csv.DictReader(io.StringIO(text(found, suffix=".csv")))
    assert line["micro_f1_mean"] == "0.123457" and line["tuned_micro_f1_mean"] == "0.900000"


def test_no_file_for_programs_has_the_last_bit_of_a_platform() -> None:
    for tiny in (1e-17, -1e-17):
        found = board(record(f1=tiny, tuned=0.25 + tiny))
        (grid,) = json.loads(text(found, suffix=".json"))["grids"]
        assert str(grid["rows"][0]["micro_f1"]["mean"]) == "0.0"
        (line,) = csv.DictReader(io.StringIO(text(found, suffix=".csv")))
        assert (line["micro_f1_mean"], line["tuned_micro_f1_mean"]) == ("0.000000", "0.250000")


def test_the_frame_holds_every_figure_with_what_it_holds_for() -> None:
    made = record(dropout="random-0.3@1", digest="d", training__lr=3e-3, tuned=0.9)
    made.metrics["random-0.3@1"]["test"]["declared"]["slices"] = {"x": {"micro_f1": 0.25}}
    made.metrics["random-0.3@1"]["test"]["declared"]["per_label"] = {"a": {"f1": 0.75}}
    found = [v.as_row(setting(v.record)) for v in frame([made, record(f1=None)])]
    by_what = {(r["slice"], r["label"], r["metric"], r["threshold"]): r["value"] for r in found}
    assert by_what == {
        ("", "", "micro_f1", "declared"): 0.5, ("", "", "jaccard", "declared"): 0.4,
        ("x", "", "micro_f1", "declared"): 0.25, ("", "a", "f1", "declared"): 0.75,
        ("", "", "micro_f1", "tuned"): 0.9,
    }  # fmt: skip
    assert {(r["dropout"], r["train_dropout"], r["setting"]) for r in found} == {
        ("random-0.3@1", "full@1", "paper training.lr=0.003")
    }
    assert frame([made], split="valid") == []


def test_rows_join_whatever_code_made_them_and_older_ones_are_marked() -> None:
    new = record(seed=1)
    old = replace(record(seed=0), model=new.model | {"version": "0", "plugin": "other"})
    (made,) = build_boards([old, new], older=lambda r: r.id == old.id)
    (row,) = made.tables[0].rows
    assert row.seeds == (0, 1) and row.older
    page = text(made)
    assert "| one‡ " in page and page.count("‡ Made by an older version") == 1
    assert "‡" not in text(board(old, new))
    (line,) = csv.DictReader(io.StringIO(text(made, suffix=".csv")))
    assert (line["model"], line["older"]) == ("one", "yes")


def test_older_code_is_another_digest_or_result_version() -> None:
    registry = load()
    older, digest = older_than(registry), model_digest(registry.models["prior"])
    here = record("prior")
    here = replace(here, model=here.model | {"code": digest})
    assert not older(here)
    assert older(replace(here, model=here.model | {"code": "0" * 64}))
    assert older(replace(here, result_version=0))
    assert not older(record("a-model-that-is-not-installed"))
    assert not older(replace(here, role="external", model=here.model | {"code": None}))


def test_a_failed_run_stands_where_it_was_asked_for_until_one_of_its_kind_succeeds() -> None:
    asked = record("one", 1, None, scored=("random-0.3@1",), created="2026-01-02T00:00:00Z")
    others = [record("two", dropout=d, digest=d) for d in ("full@1", "random-0.3@1", "only-t@1")]
    failed = {t.place.dropout: [r.id for r in t.failed] for t in board(asked, *others).tables}
    assert failed == {"full@1": [asked.id], "random-0.3@1": [asked.id], "only-t@1": []}
    later = record("one", 1, 0.4, created="2026-01-03T00:00:00Z")
    unlike = record("one", 1, 0.4, hidden=16, created="2026-01-03T00:00:00Z")
    before = record("one", 1, 0.4, created="2026-01-01T00:00:00Z")
    assert not board(asked, later).tables[0].failed
    assert board(asked, unlike).tables[0].failed and board(asked, before).tables[0].failed


def test_a_setting_has_one_spelling_and_a_name_says_nothing_twice() -> None:
    """``training.lr=3e-3`` and ``0.003`` are one setting; YAML 1.1 reads 3e-3 as text."""
    typed = replace(
        record(seed=1, training__lr="3e-3"), config=record().config | {"training": {"lr": 0.003}}
    )
    other = replace(
        record(seed=0, training__lr=0.003), config=record().config | {"training": {"lr": 0.003}}
    )
    (row,) = board(typed, other).tables[0].rows
    assert row.setting == "paper training.lr=0.003" and row.seeds == (0, 1)
    paper = replace(record(), model=record().model | {"variant": "paper"})
    assert board(paper).tables[0].rows[0].name == "one (paper)"
    assert named("one (paper)", "quick") == "one (paper, quick)"
    failed = board(record(), record(seed=1, f1=None))
    grid = json.loads(text(failed, suffix=".json"))["grids"][0]
    assert {row["setting"] for row in grid["rows"]} == {"paper"}
    assert len(grid["notes"]) == 1


def test_a_trivial_row_is_called_trivial_in_every_format() -> None:
    made = board(record(), record("prior", role="trivial"))
    for suffix in (".md", ".csv", ".json", ".tex"):
        found = text(made, suffix=suffix)
        assert "trivial" in found and "default" not in found


def test_boards_do_not_import_torch() -> None:
    code = "import sys, harness.boards.render.page; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
