"""Runs and folders that a verb is given by name: one that is not there is said to be so."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.records.store import RunStore
from tests.unit.boards.made import record
from tests.unit.test_cli_results import call, own_roots  # noqa: F401 (a fixture)

# Verbs that read a run, and its words after the run's name; the last ones take folders too.
RUNS = {
    "runs show": (), "runs export": ("--to", "to"), "runs rm": ("--yes",), "runs diagnose": (),
    "runs verify": (), "rescore": (), "runs rerun": (), "predict": ("--out", "x.csv"),
    "export": ("--format", "model-card"),
}  # fmt: skip
FOLDERS = ("runs rerun", "predict", "export")
RECORDS = (
    "leaderboard", "compare one two --dataset fake", "rescore", "runs verify",
    "figure robustness one --dataset fake", "ablate one --dataset fake",
)  # fmt: skip


@pytest.mark.parametrize("verb", RUNS)
def test_a_mistyped_run_is_unknown_and_the_nearest_is_suggested(verb: str, tmp_path: Path) -> None:
    known = RunStore().write(record())
    before = sorted(tmp_path.rglob("*"))
    done = call(*verb.split(), known.id[:-4], *RUNS[verb])
    assert done.exit_code == 2, done.output
    assert f"unknown run '{known.id[:-4]}'. Did you mean '{known.id}'" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("verb", FOLDERS)
def test_a_folder_without_a_run_is_said_to_be_so(verb: str, tmp_path: Path) -> None:
    missing = call(*verb.split(), "no/such", *RUNS[verb])
    assert missing.exit_code == 2 and "no/such: there is no such folder." in missing.stderr
    (tmp_path / "empty").mkdir()
    empty = call(*verb.split(), "empty", *RUNS[verb])
    assert empty.exit_code == 2 and "empty: no run is in this folder" in empty.stderr


@pytest.mark.parametrize("words", RECORDS)
def test_records_of_a_folder_that_is_not_there(words: str, tmp_path: Path) -> None:
    done = call(*words.split(), "--records", "nope")
    assert done.exit_code == 2, done.output
    assert done.stderr == "Error: --records nope: there is no such folder.\n"
    assert list(tmp_path.iterdir()) == []


def test_other_folders_that_are_not_there(tmp_path: Path) -> None:
    check = call("leaderboard", "--check", "--out", "nope")
    assert check.exit_code == 2 and "nope/records is no folder" in check.stderr
    for words in (("data", "import"), ("runs", "migrate")):
        done = call(*words, "nope")
        assert done.exit_code == 2 and done.stderr == "Error: nope: there is no such folder.\n"
    with pytest.raises(harness.UsageError, match="nope is no folder"):
        harness.runs(records="nope")
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_a_run_s_folder_is_taken_from_the_folder_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = RunStore().write(record())
    copy = RunStore().folder(known.id).rename(tmp_path / "copy")
    monkeypatch.chdir(copy)
    for place in (".", "../copy", str(copy)):
        done = call("predict", place, "--out", "x.csv")
        assert done.exit_code == 3 and "checkpoint.json is missing" in done.stderr
