"""Runs are listed, shown and removed; what nothing refers to is found, and nothing else."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness import paths
from harness.cli import cli
from harness.data.store import locked
from harness.errors import UsageError
from harness.housekeeping.garbage import find_garbage
from harness.housekeeping.inventory import bytes_text, seconds_of, stored_runs
from harness.plugins import load
from harness.records.record import RunRecord
from harness.records.store import RunStore
from tests.unit.boards.made import record

OLD = time.time() - 30 * 86_400


def call(*words: str, **options: Any) -> Result:
    return CliRunner().invoke(cli, ["runs", *words], **options)


def ask(*words: str) -> Any:
    done = call(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def aged(path: Path) -> Path:
    """Make a file or a folder look old."""
    for one in (path, *(path.rglob("*") if path.is_dir() else ())):
        os.utime(one, (OLD, OLD))
    return path


def interrupted(store: RunStore, run: str = "one-fake-s7-0123456789ab") -> Path:
    folder = store.folder(run)
    (folder / "resume").mkdir(parents=True)
    (folder / "resume" / "state.json").write_text("{}")
    return folder


@pytest.fixture
def store() -> RunStore:
    found = RunStore()
    for one in (record("one", 0), record("one", 1, f1=None), record("two", 0, dataset="other")):
        found.write(one, {"epochs.csv": b"x" * 1000})
    return found


def only(store: RunStore, **facts: Any) -> RunRecord:
    (found,) = (r for r in store.all() if all(getattr(r, k) == v for k, v in facts.items()))
    return found


def test_list_filters_by_what_runs_are_and_counts_their_bytes(store: RunStore) -> None:
    interrupted(store)
    (store.root / "torn").mkdir()
    (store.root / "torn" / "record.json").write_text("{")
    found = ask("list")
    states = {r["run"].split("-s")[0]: r["state"] for r in found["runs"] if r["model"] != "one"}
    assert states == {"one-fake": "interrupted", "torn": "broken", "two-other": "ok"}
    assert found["bytes"] == found["disk_use"]["runs"] > 3000

    def seen(*words: str) -> set[tuple[str, int]]:
        return {(r["model"], r["seed"]) for r in ask("list", *words)["runs"]}

    assert seen("--model", "one") == {("one", 0), ("one", 1)}
    assert seen("--dataset", "other,fake", "--seed", "0") == {("one", 0), ("two", 0)}
    assert seen("--status", "failed") == {("one", 1)}
    assert seen("--preset", "quick") == set() == seen("--role", "trial")
    aged(store.folder(only(store, seed=1).id))
    assert seen("--older-than", "2w") == {("one", 1)}
    assert ("one", 1) not in seen("--newer-than", "2w")
    text = call("list", "--status", "interrupted").output
    assert "interrupted, can go on" in text and "1 run," in text and "runs " in text
    store.write(record("three", 0, model__hidden=8), {})
    assert "paper model.hidden=8" in call("list", "--model", "three").output
    wrong = call("list", "--status", "fine")
    assert wrong.exit_code == 2 and "state of a run" in wrong.output
    assert call("list", "--older-than", "soon").exit_code == 2


def test_a_run_that_is_held_is_running_and_is_not_removed(store: RunStore) -> None:
    held, other = only(store, seed=1).id, only(store, role="model", seed=0, status="ok",
                                               parameters=record("two").parameters,
                                               id=record("two", dataset="other").id).id  # fmt: skip
    with store.lock(held):
        assert {r.id: r.state for r in stored_runs(store)}[held] == "running"
        done = call("rm", held, other, "--yes")
    assert done.exit_code == 2 and f"under way and stay: {held}" in done.output
    assert store.find(held) is not None and not store.folder(other).exists()
    assert call("rm", held, "--yes").exit_code == 0 and not store.folder(held).exists()


def test_rm_removes_nothing_unless_told_to(store: RunStore) -> None:
    before = store.names()
    for words, said in ((("--model", "one"), "--yes"), ((), "filter"), (("x",), "run 'x'")):
        done = call("rm", *words)
        assert done.exit_code == 2 and said in done.output, done.output
    assert ask("rm", "--model", "one", "--dry-run")["bytes"] > 2000
    assert store.names() == before
    ask("rm", "--model", "one", "--yes")
    assert [r.model["name"] for r in store.all()] == ["two"]
    assert not [p for p in store.root.iterdir() if p.name.startswith(".removed")]


def test_show_says_what_a_run_is_and_whether_its_code_is_older(store: RunStore) -> None:
    run = only(store, seed=1)
    shown = ask("show", run.id)
    assert shown["record"]["failure"] == run.failure and shown["files"]["epochs.csv"] == 1000
    text = call("show", run.id).output
    assert run.command in text and "state: failed" in text
    assert call("show", "nothing").exit_code == 2
    from dataclasses import replace

    store.write(replace(run, result_version=1))
    assert "result version 1," in call("show", run.id).output
    assert "as it is installed" in call("show", only(store, seed=0, status="ok",
                                                     dataset=run.dataset).id).output  # fmt: skip


def test_gc_finds_what_nothing_refers_to_and_nothing_else(store: RunStore) -> None:
    run = store.folder(only(store, seed=1).id)
    young = paths.stores_dir() / ".toy.ijklmnop"
    for path in (run / ".new.epochs.csv.xyz", store.root / ".removed.1" / "gone" / "record.json",
                 paths.stores_dir() / ".toy.abcdefgh" / "train.arrow"):  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    (run / "resume").mkdir()
    (run / "resume" / "epoch-1.safetensors").write_bytes(b"1234567")
    for path in (run, store.root / ".removed.1", paths.stores_dir()):
        aged(path)
    young.mkdir()
    dry = ask("gc", "--dry-run")
    assert {(g["kind"], Path(g["path"]).name) for g in dry["removed"]} == {
        ("temporary", ".new.epochs.csv.xyz"), ("temporary", ".removed.1"),
        ("temporary", ".toy.abcdefgh"), ("resume state", "resume"),
    }  # fmt: skip
    assert dry["bytes"] == 5 + 5 + 5 + 7 and (run / ".new.epochs.csv.xyz").exists()
    assert call("gc").exit_code == 2, "it asks, and nobody can answer"
    assert ask("gc", "--yes")["bytes"] == 22
    assert ask("gc", "--yes")["removed"] == [] and young.exists()
    assert sorted(store.names()) == sorted(r.id for r in store.all()) and len(store.names()) == 3


def test_files_that_a_journal_puts_in_force_are_no_garbage(store: RunStore) -> None:
    run = store.folder(only(store, seed=1).id)
    text = (run / "record.json").read_text()
    (run / "record.json").unlink()
    (run / ".new.record.json.abc").write_text(text)
    (run / ".commit.json").write_text(json.dumps({"record.json": ".new.record.json.abc"}))
    aged(run)
    assert find_garbage(store, load(), 0).garbage == []
    assert store.find(run.name) is not None


def test_a_store_stays_while_a_run_may_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import harness

    toy = str(Path(__file__).parents[1] / "engine" / "toy_plugin.py")
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    (run,) = harness.run(
        "toy", "toy", overrides=("training.epochs=1",), device="cpu", plugins=(toy,),
        references=False,
    )  # fmt: skip
    folder = aged(paths.stores_dir() / "toy")
    store = RunStore()
    words = ("gc", "--plugin", toy, "--older-than", "1d")
    assert ask(*words, "--dry-run")["removed"] == []
    half = interrupted(store)
    ask("rm", run.id, "--yes")
    kept = ask(*words, "--yes")
    assert "Stores stay" in kept["kept"][0] and folder.is_dir()
    aged(half)
    assert [g["path"] for g in ask(*words, "--yes")["removed"]] == [str(half)]
    with locked(folder):
        pass
    os.utime(folder, (OLD, OLD))
    assert "toy stays" in ask("gc", "--older-than", "1d", "--yes")["kept"][0], "no plugin"
    assert [g["kind"] for g in ask(*words, "--yes")["removed"]] == ["store"]
    assert not folder.exists()


def test_ages_and_sizes() -> None:
    assert seconds_of("12h") == 43_200 and seconds_of("2w") == 14 * 86_400
    with pytest.raises(UsageError, match="no age"):
        seconds_of("12")
    assert [bytes_text(n) for n in (999, 1500, 2 * 10**9)] == ["999 B", "1.5 kB", "2.0 GB"]
