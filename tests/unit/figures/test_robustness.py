"""Robustness figures: realised rates on the axis, one row a name, what is lacking is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.boards.robust import RobustTable
from harness.errors import DataMissingError, UnknownNameError, UsageError
from harness.figures.request import FigureRequest
from harness.figures.robustness import FIGURE, RobustFigure, draw
from harness.plugins import load
from harness.records.record import RunRecord
from harness.records.store import RunStore
from tests.unit.boards.test_robustness import CORE, ETA, record, scaled, suite
from tests.unit.figures.made import figures_dir, numbers

ASKED: dict[str, Any] = {
    "dataset": "fake-twin", "suite": "core@1", "metric": "micro_f1", "train_dropout": None,
    "mask": None,
}  # fmt: skip
TEMPORAL = suite("temporal@1")


def robust_rows(
    records: Sequence[RunRecord], names: Sequence[str], asked: dict[str, Any]
) -> RobustTable:
    """Return the table that the kind computes from made records."""

    def refused(*_: object) -> Any:
        raise AssertionError("no trained model is needed")

    request = FigureRequest(tuple(names), asked, RunStore(), records, load(), refused, refused)
    shown: RobustFigure = FIGURE.compute(request)
    return shown.table


def rated(made: RunRecord, rates: dict[str, float]) -> RunRecord:
    """Return a run whose protocols took away what ``rates`` say."""
    about: dict[str, Any] = {
        name: {"test": {"eta_hat": rates.get(name.partition("@")[0], 0.0), "digest": name}}
        for name in made.protocols["dropout"]
    }
    return replace(made, protocols=made.protocols | {"dropout": about})


def test_rows_are_the_named_ones_in_their_order_then_the_ceiling() -> None:
    runs = [record("two", scores=scaled(0.9)), record("one"), record("three"),
            record("ceiling", role="ceiling", scores=scaled(1.1))]  # fmt: skip
    table = robust_rows(runs, ["two", "one"], ASKED)
    assert [row.label for row in table.rows] == ["two", "one", "ceiling"]
    named = robust_rows(runs, ["ceiling", "one"], ASKED)
    assert [row.label for row in named.rows] == ["ceiling", "one"]


def test_core_files_have_every_protocol_and_the_aggregates() -> None:
    runs = [record(seed=0), record(seed=1, scores=scaled(0.9)),
            record("prior", role="trivial", scores=scaled(0.1)),
            record("ceiling", role="ceiling", scores=scaled(1.1))]  # fmt: skip
    table = robust_rows(runs, ["one"], ASKED)
    written = draw(RobustFigure(table, "twin"), figures_dir() / "x", ("svg", "png"))
    assert [p.suffix for p in written] == [".svg", ".png", ".csv"]
    rows = [r for r in numbers(written[2]) if r["model"] == "one"]
    by_name = {r["protocol"]: r for r in rows}
    assert set(CORE) | {"nauilc"} <= set(by_name)
    assert by_name["random-0.7"]["eta_hat"] == f"{ETA['random-0.7']:.6f}"
    assert by_name["random-0.7"]["level"] == "0.7" and by_name["full"]["level"] == ""
    assert float(by_name["drop-t"]["mean"]) == pytest.approx(0.95 * CORE["drop-t"])
    assert float(by_name["drop-t"]["share"]) == pytest.approx(0.85)
    assert by_name["drop-t"]["mask_digest"] == "d-drop-t"


def test_other_suites_have_a_panel_a_family() -> None:
    rates = {name: 0.06 * i for i, name in enumerate(TEMPORAL)}
    runs = [rated(record(scores=TEMPORAL), rates)]
    table = robust_rows(runs, ["one"], ASKED | {"suite": "temporal@1"})
    assert [row.label for row in table.rows] == ["one"]
    assert draw(RobustFigure(table, "twin"), figures_dir() / "x", ("svg",))
    noise = suite("noise@1")
    loud = robust_rows([record(scores=noise)], ["one"], ASKED | {"suite": "noise@1"})
    written = draw(RobustFigure(loud, "twin"), figures_dir() / "y", ("svg",))
    assert len(numbers(written[1])) == len(noise)
    party = suite("party@1")
    quiet = [rated(record(scores=party), {"nonspeaker": 0.3, "party-silent": 1.0})]
    table = robust_rows(quiet, ["one"], ASKED | {"suite": "party@1"})
    assert draw(RobustFigure(table, "twin"), figures_dir() / "z", ("svg",))


def test_a_suite_that_takes_nothing_away_is_refused() -> None:
    runs = [rated(record(scores=TEMPORAL), {})]
    with pytest.raises(UsageError, match="temporal@1 takes nothing away from fake-twin"):
        robust_rows(runs, ["one"], ASKED | {"suite": "temporal@1"})


def test_models_not_scored_under_the_suite_get_the_command_that_does_it() -> None:
    runs = [record("one"), record("two", scores={"full": 0.5})]
    with pytest.raises(
        DataMissingError, match=r"two: not scored under.*--model two --dataset fake"
    ):
        robust_rows(runs, ["one", "two"], ASKED)
    with pytest.raises(DataMissingError, match=r"no runs of .* trained under train-mix@1"):
        robust_rows(runs, ["one"], ASKED | {"train_dropout": "train-mix@1"})


@pytest.mark.parametrize(
    ("names", "asked", "text"),
    [
        (["oen"], ASKED, "model with runs on fake-twin 'oen'. Did you mean 'one'"),
        (
            ["one"],
            ASKED | {"dataset": "fak-twin"},
            "Did you mean 'fake-twin'? Known: fake-twin.",
        ),
        (["one:quik"], ASKED, "setting of one 'quik'. Did you mean 'quick'"),
        (["one"], ASKED | {"metric": "micro_f"}, "Did you mean 'micro_f1'"),
    ],
)
def test_unknown_names_are_suggested(names: list[str], asked: dict[str, Any], text: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        robust_rows([record(), record(seed=1)], names, asked)
    assert text in str(caught.value)


def test_one_of_several_rows_is_named_by_its_setting() -> None:
    other = record(seed=1)
    other = replace(other, config=other.config | {"preset": "paper"})
    with pytest.raises(UsageError, match="'one:paper', 'one:quick'"):
        robust_rows([record(), other], ["one"], ASKED)
    (row,) = robust_rows([record(), other], ["one:paper"], ASKED).rows
    assert row.label == "one:paper" and row.seeds == (1,)


def test_the_newest_content_that_has_them_all_is_taken() -> None:
    newer = record("two", seed=5)
    newer = replace(newer, created="2026-02-01T00:00:00Z",
                    dataset=newer.dataset | {"content_hash": "bbb"})  # fmt: skip
    runs = [record("one"), record("two"), newer]
    assert robust_rows(runs, ["two"], ASKED).content == "bbb"
    assert robust_rows(runs, ["two", "one"], ASKED).content == "aaa"


def test_ablations_are_named_by_their_setting_only() -> None:
    less = record(seed=3, scores=scaled(0.5))
    config = less.config | {"model": {"ablate": ["w/o-x"]}}
    less = replace(
        less, config=config, request=less.request | {"overrides": {"model.ablate": ["w/o-x"]}}
    )
    runs = [record(seed=0), less]
    (row,) = robust_rows(runs, ["one"], ASKED).rows
    assert row.seeds == (0,)
    full, without = robust_rows(runs, ["one", "one:quick model.ablate=[w/o-x]"], ASKED).rows
    assert (full.setting, full.seeds, without.seeds) == ("quick", (0,), (3,))


def test_models_made_for_missing_modalities_have_open_marks_and_a_track_mixes_trainings() -> None:
    scores = suite("missing@1")
    rates = {name: float(name[-3:]) for name in scores if name.startswith(("random", "frames"))}
    known = {name: 0.9 for name in scores if not name.startswith("mnar")}
    runs = [
        rated(record(name, track=track, scores=scores), rates)
        for name, track in (("one", "train-mix@1"), ("one", "full@1"), ("mmin", "train-paired@1"),
                            ("mmin", "train-mix@1"), ("gcnet", "full@1"))
    ] + [rated(record("ceiling", role="ceiling", scores=known), rates)]  # fmt: skip
    asked = ASKED | {"suite": "missing@1", "train_dropout": "dropout-trained"}
    with pytest.raises(UsageError, match=r"'mmin:train-(mix|paired)', 'mmin:train-"):
        robust_rows(runs, ["mmin"], asked)
    table = robust_rows(runs, ["one", "mmin:train-paired", "gcnet"], asked)
    assert [(r.trained, r.specialist) for r in table.rows] == [
        ("train-mix@1", False), ("train-paired@1", True), ("full@1", True), ("", False),
    ]  # fmt: skip
    found = draw(RobustFigure(table, "twin"), figures_dir() / "x", ("svg",))
    text = found[0].read_text("utf-8")
    assert "open marks: made for missing modalities" in text
    lines = numbers(found[1])
    assert {(r["model"], r["made_for_missing"]) for r in lines} >= {
        ("one", ""), ("mmin:train-paired", "yes"),
    }  # fmt: skip
    assert not any(r["model"] == "ceiling" and r["protocol"].startswith("mnar") for r in lines)
