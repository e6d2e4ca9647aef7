"""`harness score`: anyone's predictions, the same figures, never among measured rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import harness
from harness.boards.board import board_files, build_boards, runs_of
from harness.boards.entrants import reader
from harness.cli import cli
from harness.engine.recompute import disagreements
from harness.plugins import load
from harness.records.predictions import read_predictions
from harness.records.record import RunRecord
from harness.records.store import RunStore

TOY = str(Path(__file__).with_name("toy_plugin.py"))
LABELS: list[str] = []


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> RunRecord:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    sets = ("training.epochs=1", "training.batch_size=16")
    made = harness.run("toy", "toy", overrides=sets, device="cpu", plugins=(TOY,),
                       dropout=("only-t@1",), references=False)  # fmt: skip
    return made[0]


def lines_of(run: RunRecord, protocols: tuple[str, ...] = ("full@1",)) -> list[dict[str, str]]:
    labels, parts = read_predictions(RunStore().predictions(run.id))
    return [
        {"id": name, "split": p.split, "protocol": p.protocol}
        | {f"score:{n}": repr(float(v)) for n, v in zip(labels, p.scores[i], strict=True)}
        for p in parts
        if p.protocol in protocols
        for i, name in enumerate(p.ids)
    ]


def write(path: Path, lines: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return path


def score(path: Path, *words: str) -> Result:
    return CliRunner().invoke(
        cli, ["score", str(path), "--dataset", "toy", "--plugin", TOY, *words]
    )


def external() -> RunRecord:
    (found,) = [r for r in RunStore().all() if r.role == "external"]
    return found


def test_the_figures_are_those_of_the_run_and_every_order_is_taken(
    run: RunRecord, tmp_path: Path
) -> None:
    lines = lines_of(run, ("full@1", "only-t@1"))[::-1]
    at = str(run.threshold["declared"])
    done = score(write(tmp_path / "mine.csv", lines), "--dropout", "full@1", "--dropout",
                 "only-t@1", "--threshold", at)  # fmt: skip
    assert done.exit_code == 0, done.output
    record = external()
    assert record.metrics == run.metrics and record.threshold == run.threshold
    assert record.protocols["dropout"] == run.protocols["dropout"]
    assert (record.model["name"], record.role) == ("mine", "external")
    _, parts = read_predictions(RunStore().predictions(record.id))
    assert disagreements(record, parts) == []
    assert harness.api.rescore([record])[0].metrics == record.metrics


def test_decisions_have_no_average_precision_and_rescore_alike(
    run: RunRecord, tmp_path: Path
) -> None:
    at = run.threshold["declared"]
    lines = [
        {k.replace("score:", "predicted:"): v if not k.startswith("score:")
         else str(int(float(v) > at)) for k, v in line.items()}
        for line in lines_of(run) if line["split"] == "test"
    ]  # fmt: skip
    done = score(write(tmp_path / "mine.csv", lines), "--json")
    assert done.exit_code == 0, done.output
    mine = json.loads(done.stdout)["metrics"]["full@1"]["test"]
    theirs = run.metrics["full@1"]["test"]["declared"]
    assert mine["declared"]["micro_f1"] == theirs["micro_f1"] and mine["tuned"] is None
    assert "micro_ap" not in mine["declared"]
    record = external()
    assert harness.api.rescore([record])[0].metrics == record.metrics


def test_external_rows_are_in_a_section_of_their_own(run: RunRecord, tmp_path: Path) -> None:
    score(write(tmp_path / "mine.csv", lines_of(run)), "--seed", "3")
    (board,) = build_boards(RunStore().all(), read=reader(RunStore()))
    assert {r.role for t in board.tables for r in t.rows} == {"model"}
    assert [r.label for t in board.external for r in t.rows] == ["mine"]
    assert board.external[0].rows[0].sample_interval is not None
    texts = board_files(board, load())
    before, _, after = texts["toy.md"].partition("## External predictions")
    assert "mine" not in before and "mine" in after and "trained elsewhere" in after
    (line,) = [x for x in csv.DictReader(io.StringIO(texts["toy.csv"])) if x["role"] == "external"]
    assert (line["model"], line["seeds"]) == ("mine", "3")
    grids = json.loads(texts["toy.json"])["grids"]
    assert grids[-1]["section"] == "External predictions" and len(grids[-1]["rows"]) == 1
    assert external().id in runs_of([board])


Change = Callable[[list[dict[str, str]]], list[dict[str, str]]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[2:], "2 missing (test0, test1)"),
        (lambda x: [*x, {**x[0], "id": "who"}], "1 unknown (who)"),
        (lambda x: [*x, x[0], x[1]], "2 there more than once (test0, test1)"),
        (lambda x: [*x, {**x[0], "split": "dev"}], "full@1 on dev"),
        (lambda x: [*x, {**x[0], "protocol": "drop-t@1"}], "drop-t@1 on test"),
        (lambda x: [{**x[0], list(x[0])[-1]: "nan"}, *x[1:]], "line 2"),
        (lambda x: [{**x[0], list(x[0])[-1]: "1.5"}, *x[1:]], "from 0 to 1"),
        (lambda x: [{k: v for k, v in y.items() if k != list(x[0])[-1]} for y in x], "lacks"),
        (lambda x: [{**y, "confidence": "1"} for y in x], "unknown columns confidence"),
    ],
)
def test_a_file_that_does_not_fit_is_one_clear_message(
    run: RunRecord, tmp_path: Path, change: Change, message: str
) -> None:
    lines = [line for line in lines_of(run) if line["split"] == "test"]
    done = score(write(tmp_path / "mine.csv", change(lines)))
    assert done.exit_code == 2 and message in done.output
    assert "Traceback" not in done.output
    assert not [r for r in RunStore().all() if r.role == "external"]


def test_names_of_models_and_a_file_without_protocols_are_refused(
    run: RunRecord, tmp_path: Path
) -> None:
    lines = [{k: v for k, v in line.items() if k != "protocol"} for line in lines_of(run)]
    path = write(tmp_path / "mine.csv", lines)
    assert "is a model of the harness" in score(path, "--name", "toy").output
    assert "no column 'protocol'" in score(path, "--dropout", "smoke@1").output
    assert "give it as --dropout core@1" in score(path, "--protocol", "core@1").output
    assert score(tmp_path / "absent.csv").exit_code == 2
