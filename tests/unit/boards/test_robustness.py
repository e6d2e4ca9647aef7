"""Robustness tables: aggregates by hand, per seed first, one set of masks, tracks apart."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.boards.board import board_files, build_boards, stale_files, write_board
from harness.boards.render.text import plain
from harness.boards.robust import OUTSIDE, RobustTable, robust_tables, robustness
from harness.boards.rows import tables
from harness.boards.views.robustness import robust_grids
from harness.plugins import load
from harness.protocols import aggregates
from harness.protocols.metrics import nauilc
from harness.protocols.suites import members
from harness.records.record import RunRecord
from harness.records.request import blank_request
from tests.unit.pages import LABELS, SAMPLES, predictions

RATES = tuple(f"random-0.{tenth}" for tenth in range(1, 8))
ETA = {name: min(0.1 * i, 2 / 3) for i, name in enumerate(RATES, 1)}
PATTERNS = [f"{how}-{key}" for how in ("only", "drop") for key in "avt"]
BASE = {"only-a": 0.2, "only-v": 0.3, "only-t": 0.5, "drop-a": 0.7, "drop-v": 0.7, "drop-t": 0.3}
CORE = {"full": 0.8, **BASE, **{name: 0.8 - 0.6 * ETA[name] for name in RATES}}


def record(
    model: str = "one", seed: int = 0, scores: dict[str, float] | None = None, *,
    role: str = "model", track: str = "full@1", digest: str = "d",
) -> RunRecord:  # fmt: skip
    """Return a run scored under protocols; ``scores`` maps names to micro-F1."""
    found = CORE if scores is None else scores
    identity = repr((model, seed, track, digest, role))
    digits = hashlib.sha256(identity.encode()).hexdigest()
    about: dict[str, Any] = {
        f"{n}@1": {"test": {"eta_hat": ETA.get(n, 0.0), "digest": f"{digest}-{n}", "seed": 0}}
        for n in found
    }
    return RunRecord(
        id=f"{model}-fake-twin-s{seed}-{digits[-12:]}", fingerprint=digits, status="ok",
        role=role,  # type: ignore[arg-type]
        model={"name": model, "version": "1", "variant": "", "reported_as": None, "plugin": "p",
               "distribution": None, "distribution_version": None},
        dataset={"name": "fake-twin", "base_name": "fake", "id": "fake-twin@1", "source": "twin",
                 "content_hash": "aaa", "mask": "ones", "layout": "sequence",
                 "label_kind": "multilabel", "labels": ["a"], "group_key": "video",
                 "modalities": ["v", "a", "t"], "splits": {"test": 5}},
        config={"preset": "quick", "threshold": 0.5, "model": {}, "training": {}}, seed=seed,
        device="cpu", precision="fp32",
        protocols={"dataset": "fake-twin@1", "train_dropout": track,
                   "selection_metric": "micro_f1", "dropout": about},
        parameters=1, epochs=[], selection=None, threshold={"declared": 0.5, "tuned": None},
        metrics={f"{n}@1": {"test": {"declared": {"micro_f1": v}, "tuned": None}}
                 for n, v in found.items()},
        timings={"train_s": 0.0, "predict_s_per_sample": None, "epochs": 0}, provenance={},
        facts={}, command="", created="2026-01-01T00:00:00Z",
        request=blank_request(model=model, dataset="fake-twin", seed=seed),
    )  # fmt: skip


def suite(name: str, score: float = 0.4) -> dict[str, float]:
    """Return a score under every protocol of a suite, as data without a known spec has it."""
    return {p.partition("@")[0]: score for p in members(name)}


def text(tables: list[RobustTable]) -> str:
    """Return what people read of tables."""
    return " ".join(
        plain(" ".join((grid.section, grid.about, *(c.head for c in grid.columns), *grid.notes)))
        for table in tables
        for grid in robust_grids(table)
    )


def scaled(factor: float) -> dict[str, float]:
    return {name: value * factor for name, value in CORE.items()}


AGGREGATES = [a.name for a in aggregates.AGGREGATES["core@1"]]


def aggregates_of(scores: dict[str, float], rates: dict[str, float]) -> dict[str, float]:
    """Return the aggregates of core@1."""
    return aggregates.aggregates_of("core@1", scores, rates)


def test_aggregates_by_hand() -> None:
    found = aggregates_of(CORE, {"full": 0.0, **ETA})
    assert set(found) == set(AGGREGATES)
    assert found["avg_incomplete"] == pytest.approx(2.7 / 6)
    assert found["avg_patterns"] == pytest.approx(3.5 / 7)
    assert found["worst"] == 0.2 and found["retention_worst"] == pytest.approx(0.25)
    assert found["retention"] == pytest.approx(0.45 / 0.8)
    assert found["drop"] == pytest.approx(0.35)
    assert found["avg_rand"] == pytest.approx(0.8 - 0.6 * sum(ETA.values()) / 7)
    assert found["avg_rand0"] == pytest.approx(0.8 - 0.6 * sum(ETA.values()) / 8)
    # A straight line in the realised rate: the area is its middle, only on realised rates.
    assert found["nauilc"] == pytest.approx(0.8 - 0.6 / 3)
    assert "retention" not in aggregates_of(dict.fromkeys(CORE, 0.0), {"full": 0.0, **ETA})


def test_area_of_a_published_curve() -> None:
    """MultiBench's stored curve of MulT; the area was computed from it independently."""
    scores = [0.8152, 0.7505, 0.6632, 0.6454, 0.5890, 0.5226, 0.5028, 0.4958, 0.4960, 0.4525]
    assert nauilc([i / 10 for i in range(10)], scores) == pytest.approx(0.5888, abs=6e-5)


def test_every_aggregate_is_taken_per_seed_first() -> None:
    uneven = {**CORE, "only-a": 0.9, "only-v": 0.1}
    (table,) = robustness([record(seed=0), record(seed=1, scores=uneven)])
    (row,) = table.rows
    assert row.seeds == (0, 1) and table.protocols == ("full", *sorted(PATTERNS[:3]),
                                                       *sorted(PATTERNS[3:]), *RATES)  # fmt: skip
    worst = row.aggregates["worst"]
    assert worst.mean == pytest.approx(0.15) and worst.std == pytest.approx(
        statistics.stdev([0.2, 0.1])
    )
    assert row.scores["only-a"].mean == pytest.approx(0.55)


def test_what_is_not_told_from_a_constant_has_no_retention() -> None:
    made = tables([record("one"), record("two", scores=scaled(0.9))])
    made = [
        replace(t, rows=tuple(replace(r, above_constant=r.label == "one") for r in t.rows))
        for t in made
    ]
    (table,) = robust_tables(made)
    kept, lost = (row.aggregates for row in table.rows)
    assert {"retention", "retention_worst", "drop"} <= kept.keys()
    assert kept.keys() - lost.keys() == {"retention", "retention_worst"}


def test_tracks_are_tables_of_their_own_and_the_ceiling_stands_beside_each_pattern() -> None:
    runs = [
        record("ceiling", scores=scaled(1.25), role="ceiling"),
        record("prior", scores=dict.fromkeys(CORE, 0.1), role="trivial"),
        record("one"),
        record("two", scores=scaled(0.9)),
        record("one", track="train-mix@1", scores=scaled(1.1)),
    ]
    clean, mixed = robustness(runs)
    assert [r.label for r in clean.rows] == ["ceiling", "one", "two", "prior"]
    assert [r.label for r in mixed.rows] == ["ceiling", "one", "prior"]
    score, top = CORE["only-t"], 1.25 * CORE["only-t"]
    assert clean.rows[1].shares["only-t"] == pytest.approx((score - 0.1) / (top - 0.1))
    assert mixed.rows[1].shares["only-t"] == pytest.approx((1.1 * score - 0.1) / (top - 0.1))
    assert [grid.title for grid in robust_grids(clean)][-1] == "Normalised share"
    found = text([clean, mixed])
    assert "clean-trained" in found and "dropout-trained" in found
    assert "avg6" in found and "avg7" in found
    (board,) = build_boards(runs)
    page = board_files(board, load())["fake-twin-robustness.md"]
    assert "77 %" in page and "| realised missing rate | " in page and "*ceiling*" in page


def test_the_dropout_track_holds_several_trainings_and_models_that_hide_modalities() -> None:
    runs = [
        record("one", scores=scaled(0.9)),
        record("one", track="train-mix@1"),
        record("mmin", track="train-paired@1", scores=scaled(1.1)),
        record("momke", track="train-patterns@1", scores=scaled(1.05)),
        record("gcnet", scores=scaled(0.8)),
        record("one", seed=4, track="random-0.5@1"),
    ]
    clean, dropout, single = robustness(runs)
    assert [t.track.name for t in (clean, dropout, single)] == [
        "clean-trained", "dropout-trained", "random-0.5@1",
    ]  # fmt: skip
    assert [(r.label, r.specialist) for r in clean.rows] == [("one", False), ("gcnet", True)]
    assert [(r.label, r.training) for r in dropout.rows] == [
        ("mmin", "train-paired"), ("momke", "train-patterns"), ("one", "train-mix"),
        ("gcnet", "full, hides itself"),
    ]  # fmt: skip
    assert [r.label for r in single.rows] == ["one"]
    found = board_files(build_boards(runs)[0], load())
    page = found["fake-twin-robustness.md"]
    assert "| mmin †, train-paired " in page and "† Made for missing modalities" in page
    assert "gcnet †, full, hides itself" in page and "it stands in both tracks" in page
    lines = list(csv.DictReader(io.StringIO(found["fake-twin-robustness.csv"])))
    assert {(r["model"], r["train_dropout"], r["made_for_missing"]) for r in lines} >= {
        ("mmin", "train-paired@1", "yes"), ("one", "train-mix@1", ""),
    }  # fmt: skip
    # What only hides modalities makes no track.
    assert [t.track.name for t in robustness([record("gcnet")])] == ["clean-trained"]


def missing(factor: float = 1.0) -> dict[str, float]:
    """Return scores under missing@1."""
    return {name: factor * 0.5 for name in suite("missing@1")}


def test_reference_rows_may_lack_protocols_and_are_never_zero_there() -> None:
    known = {n: s for n, s in missing(1.5).items() if not n.startswith("mnar-")}
    floor = {n: 0.2 for n in missing() if n.startswith("mnar-")}
    runs = [
        record("one", scores=missing()),
        record("ceiling", role="ceiling", scores=known),
        record("leak-floor", role="observer", scores=floor),
    ]
    (table,) = (t for t in robustness(runs) if t.suite == "missing@1")
    ceiling, one, below = table.rows
    assert [r.label for r in table.rows] == ["ceiling", "one", "leak-floor"]
    assert "mnar-high-0.3" not in ceiling.scores
    assert set(below.scores) == set(floor) and one.aggregates["missing_mean"].mean == 0.5
    # An aggregate is there where none of its protocols is lacking, and only there.
    assert {n: s.mean for n, s in ceiling.aggregates.items()} == pytest.approx(
        dict.fromkeys(("avg_incomplete", "nauilc", "avg_some", "avg_inside"), 0.75)
    )
    assert {n: s.mean for n, s in below.aggregates.items()} == pytest.approx({"avg_mnar": 0.2})
    text = board_files(build_boards(runs)[0], load())["fake-twin-robustness.md"]
    part = text.partition("### Which samples lack modalities, and why")[2].partition("###")[0]
    (line,) = (one for one in part.splitlines() if "*ceiling*" in one)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1:] == ["0.7500"] * 4 + ["–"] * 4
    # A reference row stands in the tables in which it has a figure.
    titles = [p.partition("\n")[0] for p in text.split("### ")[1:] if "*leak-floor" in p]
    assert titles == ["Which samples lack modalities, and why", "Aggregates"]
    assert all(len(line) <= 160 for line in text.splitlines())


def test_rank_letters_and_intervals_are_of_the_aggregate() -> None:
    runs = [
        record(name, seed=s, scores={n: f + s / 100 for n in missing()})
        for name, f in (("mmin", 0.9), ("one", 0.5), ("two", 0.5))
        for s in range(3)
    ]
    runs = [
        replace(r, dataset=r.dataset | {"splits": {"test": SAMPLES}, "labels": list(LABELS)})
        for r in runs
    ]
    (board,) = build_boards(runs, read=predictions)
    (table,) = (t for t in board.robustness if t.suite == "missing@1")
    best, *others = table.rows
    assert best.label == "mmin" and best.rank == ("a",) and table.ranked_by == "missing_mean"
    assert all(r.rank == ("b",) for r in others)
    for row in table.rows:
        low, high = row.intervals["missing_mean"]
        assert low < high and "delta_mnar" in row.intervals and "pooled" in row.aggregates
    grids = {g.title: g for g in robust_grids(table)}
    (line,) = grids["Made for missing modalities, against the best of the others"].rows
    assert line.cells["told_apart"] == "yes" and float(str(line.cells["delta"])) > 0.2
    assert len(grids["Differences"].rows) == 3
    text = board_files(board, load())["fake-twin-robustness.md"]
    assert "missing-mean" in text and "| rank " in text


def test_rows_under_other_masks_or_with_holes_are_left_out() -> None:
    other = replace(record("two", digest="e"), created="2025-01-01T00:00:00Z")
    hole = record("three", scores={k: v for k, v in CORE.items() if k != "random-0.4"})
    (table,) = robustness([record(), other, hole])
    assert [r.label for r in table.rows] == ["one"]
    assert set(table.digests.values()) == {f"d-{n}" for n in CORE}
    assert table.left_out == ("three (quick)",)
    assert "Not scored under every protocol, hence not here: three (quick)." in text([table])
    (rest,) = robustness([hole])
    assert rest.suite == OUTSIDE and "random-0.4" not in rest.protocols
    assert "Protocols outside a whole suite" in text([rest])


def test_other_suites_are_tables_per_protocol() -> None:
    scores = CORE | suite("temporal@1") | suite("party@1") | suite("noise@1")
    tables = robustness([record(scores=scores)])
    found = {t.suite: t.protocols for t in tables}
    assert list(found) == ["core@1", "temporal@1", "party@1", "noise@1"]
    party = ("full", "drop-p", "nonspeaker", "party-silent", "random-seg-0.3", "random-seg-0.5")
    assert found["party@1"] == party
    for name in ("temporal@1", "noise@1"):
        assert {f"{p}@1" for p in found[name]} == set(members(name))
    assert all(not row.aggregates for t in tables if t.suite != "core@1" for row in t.rows)


def test_a_run_under_one_protocol_more_takes_no_row_from_a_suite() -> None:
    """One run scored under a further member of a suite once emptied the suite's table."""
    runs = [record(scores=suite("noise@1")), record("two", scores=suite("noise@1", 0.3))]
    more = record("three", scores={"full": 0.5, "noise-0.7": 0.1, "noise-0.1": 0.2})
    whole, rest = robustness([*runs, more])
    assert whole.suite == "noise@1" and [r.label for r in whole.rows] == ["one", "two"]
    assert rest.suite == OUTSIDE and rest.protocols == ("full", "noise-0.7")
    assert [r.label for r in rest.rows] == ["three"]


def test_a_partial_suite_has_no_suites_name_and_no_protocol_is_lost() -> None:
    scores = {"full": 0.8, "frames-0.5": 0.4, "noise-snr--5": 0.3, "only-t": 0.2}
    (table,) = robustness([record(scores=scores)])
    assert (table.suite, table.protocols) == (
        OUTSIDE, ("full", "frames-0.5", "noise-snr--5", "only-t"),
    )  # fmt: skip
    assert table.rows[0].scores["noise-snr--5"].mean == 0.3


def test_files_follow_from_records_and_are_checked(tmp_path: Path) -> None:
    boards = build_boards([record(seed=s, scores=scaled(1 + s / 100)) for s in range(3)])
    written = {p.name for p in write_board(boards[0], tmp_path)}
    assert {f"fake-twin-robustness.{e}" for e in ("md", "csv", "json")} < written
    texts = board_files(boards[0], load())
    assert stale_files(texts, tmp_path) == ([], [])
    (tmp_path / "fake-twin-robustness.csv").write_text("x")
    wrong = ["fake-twin-robustness.csv does not follow from the records"]
    assert stale_files(texts, tmp_path) == (wrong, [])
    rows = list(csv.DictReader(io.StringIO(texts["fake-twin-robustness.csv"])))
    assert len(rows) == len(CORE) + len(AGGREGATES)
    worst = next(r for r in rows if r["figure"] == "worst")
    rate = next(r for r in rows if r["figure"] == "random-0.3")
    assert rate["missing_rate"] == "0.300000" and rate["mask_digest"] == "d-random-0.3"
    aggregates = json.loads(texts["fake-twin-robustness.json"])["grids"][1]
    assert float(worst["mean"]) == pytest.approx(aggregates["rows"][0]["worst"]["mean"], abs=1e-6)


def test_external_runs_are_not_among_them() -> None:
    runs = [record(), record("mine", role="external", track="external")]
    board = build_boards(runs)[0]
    assert [r.label for t in board.robustness for r in t.rows] == ["one"]


def test_rates_under_which_nothing_could_be_dropped_have_aggregates() -> None:
    scores = {"full": 0.6, "only-a": 0.6, "drop-t": 0.6, **dict.fromkeys(RATES, 0.6)}
    found = aggregates_of(scores, dict.fromkeys(("full", *RATES), 0.0))
    assert found["nauilc"] == pytest.approx(0.6)
