"""Verbs that read what runs have left: boards, scores computed again, predictions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli import cli
from harness.records.record import RunRecord
from harness.records.store import RunStore
from tests.unit.boards.made import record


@pytest.fixture(autouse=True)
def own_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    monkeypatch.chdir(tmp_path)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def test_leaderboard_writes_equal_bytes(tmp_path: Path) -> None:
    for seed in (0, 1):
        RunStore().write(record(seed=seed))
    RunStore().write(record(dataset="other"))
    (tmp_path / "home" / "runs" / "broken").mkdir()
    (tmp_path / "home" / "runs" / "broken" / "record.json").write_text("{")
    first = call("leaderboard", "--out", "boards")
    assert first.exit_code == 0 and "left out: broken/record.json" in first.stderr
    files = {p.name: p.read_bytes() for p in (tmp_path / "boards").iterdir()}
    suffixes = (".md", ".csv", ".json", ".tex")
    pages = ("index.html", "README.md")
    boards = (d + s for d in ("fake", "other") for s in (*suffixes, ".js"))
    assert set(files) == {*pages, *boards}
    call("leaderboard", "--out", "boards")
    assert {p.name: p.read_bytes() for p in (tmp_path / "boards").iterdir()} == files
    only = json.loads(call("leaderboard", "--dataset", "fake", "--json").stdout)
    assert len(only["written"]) == 5
    assert call("leaderboard", "--dataset", "fke").exit_code == 2


def test_without_records_there_is_no_board() -> None:
    result = call("leaderboard")
    assert result.exit_code == 3 and "harness run" in result.stderr
    assert not Path("leaderboards").exists()


def test_rescore_reports_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    RunStore().write(record(tuned=0.9))

    def rescored(records: list[RunRecord], store: RunStore) -> list[RunRecord]:
        metrics = {"full@1": {"test": {"declared": {"micro_f1": 0.9, "jaccard": 0.4,
                                                    "micro_ap": None, "per_label": {}},
                                       "tuned": {"micro_f1": 0.9}}}}  # fmt: skip
        return [replace(r, metrics=metrics) for r in records]

    monkeypatch.setattr("harness.api.rescore", rescored)
    result = json.loads(call("rescore", "--json").stdout)
    (change,) = result["changes"]
    assert change["figure"] == "metrics/full@1/test/declared/micro_f1"
    assert (change["before"], change["after"]) == (0.5, 0.9)
    assert call("rescore", "nothing-such").exit_code == 2


def test_predict_refuses_other_formats() -> None:
    result = call("predict", "some-run", "--out", "scores.xlsx")
    assert result.exit_code == 2 and ".parquet" in result.stderr
