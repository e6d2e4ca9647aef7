"""The launcher ``slurm``: its executors for tests, its script, and jobs that are queued again."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness import paths
from harness.cli import cli
from harness.errors import UsageError
from harness.launch.slurm import Job, make
from harness.records.store import RunStore
from harness.specs import Event, Task
from tests.unit.engine.test_run import TOY, same_result

submitit = pytest.importorskip("submitit")
PLAN = """
models: [toy]
datasets: [toy]
seeds: [0, 1, 2]
set: [[training.epochs=1]]
"""


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


def grid(plan: Path, *options: str, home: Path | None = None) -> Result:
    words = ["grid", str(plan), "--plugin", TOY]
    if options:
        words += ["--launcher", "slurm"]
    for option in options:
        words += [option] if option.startswith("--") else ["--launcher-option", option]
    return CliRunner().invoke(cli, words + ([] if home is None else ["--home", str(home)]))


def task(**changes: Any) -> Task:
    made = Task({"threads": 1}, "made", str(paths.home()), str(paths.data_root()))
    return replace(made, **changes)


def test_the_debug_executor_makes_the_records_of_a_serial_run(plan: Path, tmp_path: Path) -> None:
    serial = grid(plan, home=tmp_path / "serial")
    assert serial.exit_code == 0, serial.output
    ours = grid(plan, "cluster=debug", "per_job=2", home=tmp_path / "slurm")
    assert ours.exit_code == 0, ours.output
    assert_same(tmp_path / "serial", tmp_path / "slurm", 3)
    left = sorted(p.name for p in (tmp_path / "slurm/grids/jobs").rglob("ended-*.json"))
    assert left == ["ended-0.json", "ended-1.json", "ended-2.json"]


def assert_same(one: Path, other: Path, count: int) -> None:
    """Assert equal runs, and boards equal to the byte except for timings."""
    found = []
    for home in (one, other):
        with paths.using_home(home):
            found.append({r.id: r for r in RunStore().all() if r.role == "model"})
    assert len(found[0]) == count and found[0].keys() == found[1].keys()
    assert all(same_result(found[0][run], found[1][run]) for run in found[0])
    boards = [board(home) for home in (one, other)]
    assert {"toy.md", "toy.csv", "toy.json", "toy.tex"} <= boards[0].keys() == boards[1].keys()
    for name, text in boards[0].items():
        assert text == boards[1][name], name


# What a run took: in JSON by key, in tables by the heading of a column.
TIMING = r'"(seconds|cpu_s|peak_memory)":(\{[^}]*\}|[^,}]+)'
HEADINGS = re.compile(r"(seconds|cpu_s|peak_memory)(_mean|_std)?")
MARKS = {".md": "|", ".tex": "&", ".csv": ","}


def board(home: Path) -> dict[str, str]:
    """Return the files of a home's boards in every format but the page, without timings."""
    out = home / "board"
    result = CliRunner().invoke(
        cli, ["leaderboard", "--home", str(home), "--out", str(out), "--plugin", TOY]
    )
    assert result.exit_code == 0, result.output
    files = {p.name: p.read_text() for p in out.rglob("*.*") if p.suffix not in (".html", ".js")}
    return {
        name: untimed(text, MARKS[Path(name).suffix])
        if Path(name).suffix in MARKS
        else re.sub(TIMING, "", text)
        for name, text in files.items()
    }


def untimed(text: str, mark: str) -> str:
    """Return tables without the columns that say what a run took."""
    lines, drop = list[str](), set[int]()
    for line in text.splitlines():
        cells = line.split(mark)
        headings = {n for n, cell in enumerate(cells) if HEADINGS.fullmatch(cell.strip())}
        drop = headings or drop
        lines.append(mark.join(cell for n, cell in enumerate(cells) if n not in drop))
    return "\n".join(lines)


def test_the_script_asks_for_what_was_asked(plan: Path) -> None:
    options = [
        "partition=long", "account=lab", "time=90", "memory=16", "gpus=1", "cpus=4", "parallel=2",
    ]  # fmt: skip
    shown = grid(plan, *options, "--dry-run")
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    for line in (
        "partition=long", "account=lab", "time=90", "mem=16GB", "gpus-per-node=1",
        "cpus-per-task=4", "array=0-2%2", "signal=USR2@90",
    ):  # fmt: skip
        assert f"#SBATCH --{line}" in lines, shown.output
    assert not list(paths.home().rglob("*.sh")) and not (paths.home() / "grids/jobs").exists()


def test_without_sbatch_it_says_what_to_do(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    result = grid(plan, "cluster=slurm")
    assert result.exit_code == 2 and "sbatch and srun not found" in result.output
    assert "cluster=local" in result.output and not RunStore().all()


@pytest.mark.parametrize(
    "option", ["cluster=pbs", "time=0", "time=1:00", "gpus=-1", "per_job=0", "timeouts=x"]
)
def test_values_that_do_not_fit_are_refused(option: str) -> None:
    key, _, value = option.partition("=")
    with pytest.raises(UsageError, match=option):
        make({key: value})


def test_a_job_that_is_queued_again_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def perform(document: Mapping[str, Any], say: Any) -> dict[str, Any]:
        asked.append(document["label"])
        if asked == ["a", "b"]:
            raise SystemExit(-1)  # what submitit does at the time limit
        return {"status": "done", "run": document["label"]}

    monkeypatch.setattr("harness.launch.worker.perform", perform)
    job = Job({4: task(label="a").as_dict(), 5: task(label="b").as_dict()}, str(tmp_path))
    with pytest.raises(SystemExit):
        job()
    again = job.checkpoint()
    again.dump(tmp_path / "pickle")
    submitit.helpers.DelayedSubmission.load(tmp_path / "pickle").result()
    assert asked == ["a", "b", "b"]
    assert json.loads((tmp_path / "ended-5.json").read_text())["run"] == "b"


def test_a_job_that_dies_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def perform(document: Mapping[str, Any], say: Any) -> dict[str, Any]:
        if document["label"] == "bad":
            raise MemoryError("node is gone")
        return {"status": "done"}

    monkeypatch.setattr("harness.launch.worker.perform", perform)
    events: list[Event] = []
    tasks = [task(label="good"), task(label="bad"), task(label="never")]
    found = make({"cluster": "debug", "per_job": "3"}).run(tasks, events.append)
    assert [o.status for o in found] == ["done", "retry", "retry"]
    assert "node is gone" in found[1].message
    assert [(e.place, e.kind) for e in events] == [
        (0, "started"), (0, "ended"), (1, "started"), (1, "ended"), (2, "ended"),
    ]  # fmt: skip
