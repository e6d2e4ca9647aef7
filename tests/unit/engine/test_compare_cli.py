"""`harness compare` on runs and on exported records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import harness
from harness.boards.board import board_files, build_boards
from harness.boards.entrants import reader
from harness.cli import cli
from harness.plugins import load
from harness.records.committed import CommittedRecords, export
from harness.records.record import RunRecord
from harness.records.store import RunStore
from tests.unit.records.archives import edited

TOY = str(Path(__file__).with_name("toy_plugin.py"))
SETS = ("training.batch_size=16",)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[RunRecord]:
    """The toy under two settings, three seeds each."""
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    options = {"device": "cpu", "references": False, "plugins": (TOY,), "dropout": ("only-t@1",)}
    few = harness.run("toy", "toy", (0, 1, 2), overrides=(*SETS, "training.epochs=1"), **options)
    many = harness.run("toy", "toy", (0, 1, 2), overrides=(*SETS, "training.epochs=8"), **options)
    return [*few, *many]


def compare(*words: str) -> Result:
    fast = ["--resamples", "100", "--permutations", "99"]
    return CliRunner().invoke(cli, ["compare", *words, "--dataset", "toy", *fast])


def names() -> list[str]:
    rows = build_boards(RunStore().all())[0].tables[0].rows
    return [f"toy:{row.setting}" for row in rows]


def test_runs_and_exported_records_give_the_same_report(
    runs: list[RunRecord], tmp_path: Path
) -> None:
    export(runs, RunStore(), tmp_path)
    direct = compare(*names(), "--json")
    assert direct.exit_code == 0, direct.output
    found = json.loads(direct.stdout)
    first, last = found["models"]
    table = build_boards(RunStore().all())[0].tables[0]
    assert first["mean"] == pytest.approx(table.rows[0].best)
    assert table.key.name == "tuned_micro_f1" and found["threshold"] == "tuned"
    assert first["reference"] == last["name"] and first["delta"] > 0
    assert first["n_clusters"] == 8 and first["cluster_key"] == "sample"
    assert json.loads(compare(*names(), "--json", "--records", str(tmp_path)).stdout) == found
    text = compare(*names(), "--reference", names()[0], "--metric", "tuned_jaccard")
    assert text.exit_code == 0 and "told apart" in text.output


def test_boards_of_runs_and_of_their_export_have_the_same_intervals(
    runs: list[RunRecord], tmp_path: Path
) -> None:
    export(runs, RunStore(), tmp_path)
    copies = CommittedRecords(tmp_path)
    (direct,) = build_boards(RunStore().all(), read=reader(RunStore()))
    (again,) = build_boards(copies.all(), read=reader(copies))
    texts = board_files(direct, load())
    assert texts == board_files(again, load())
    row = direct.tables[0].rows[0]
    assert row.rank and row.clusters == 8
    assert row.t_interval is not None and row.sample_interval is not None
    assert row.t_interval[0] < row.best < row.t_interval[1]
    assert "rows that share a letter" in texts["toy.md"]
    assert "tuned_micro_f1_samples_low" in texts["toy.csv"]
    assert [t.rows[0].rank for t in direct.tables if t.place.dropout != "full@1"] == [()]


def test_check_computes_every_figure_again(runs: list[RunRecord], tmp_path: Path) -> None:
    def leaderboard(*words: str) -> Result:
        return CliRunner().invoke(cli, ["leaderboard", "--out", str(tmp_path), *words])

    copies = tmp_path / "records"
    assert leaderboard("--export", str(copies)).exit_code == 0
    done = leaderboard("--check", "--no-cache")
    assert done.exit_code == 0 and "1 boards follow" in done.output, done.output
    with edited(copies / "toy.records.zip", runs[0].id) as document:
        document["metrics"]["full@1"]["test"]["declared"]["micro_f1"] += 1e-5
    done = leaderboard("--check", "--no-cache")
    assert done.exit_code == 1 and "full@1 test declared micro_f1" in done.stderr
    assert "Export runs whose record was edited anew" in done.stderr


def test_what_cannot_be_compared_is_one_message(runs: list[RunRecord], tmp_path: Path) -> None:
    one = names()[0]
    for words, message in (
        (("toy", one), "several rows"),
        ((one, "tyo"), "Did you mean 'toy'"),
        ((one, "toy:else"), "unknown setting"),
        ((one,), "two models"),
        ((*names(), "--dropout", "drop-t@1"), "scored under drop-t@1"),
        ((*names(), "--mask", "length"), "no runs"),
        ((*names(), "--protocol", "drop-t@1"), "give it as --dropout drop-t@1"),
    ):
        done = compare(*words)
        assert done.exit_code in (2, 3) and message in done.output, done.output
    export(runs, RunStore(), tmp_path)
    asked = (*names(), "--dropout", "only-t@1", "--json")
    copies = ("--records", str(tmp_path))
    assert json.loads(compare(*asked, *copies).stdout) == json.loads(compare(*asked).stdout)
    done = compare(*asked, "--metric", "jaccard", *copies)
    assert done.exit_code == 2 and "does not follow from what was exported" in done.output
    fewer = CliRunner().invoke(cli, ["compare", "a", "b", "--dataset", "tyo"])
    assert fewer.exit_code == 2 and "Did you mean 'toy'" in fewer.output
