"""Launchers: options are checked, what may pass is tried again, a stranger's launcher runs."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.launch.launching import Progress, launch, launcher_of
from harness.launch.limits import OverLimitError, limited
from harness.plugins import load
from harness.specs import Event, Outcome, Report, Task

PAGE = Path(__file__).parents[3] / "docs/launchers.md"
TOY = str(Path(__file__).parents[1] / "engine" / "toy_plugin.py")


class Scripted:
    """Answers each task of a label by a list of statuses; a failure in writing is of a disk."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers, self.seen = answers, list[tuple[str, int, str]]()

    def run(self, tasks: Sequence[Task], report: Report) -> list[Outcome | None]:
        found: list[Outcome | None] = [None] * len(tasks)
        for place, task in enumerate(tasks):
            self.seen.append((task.label, task.attempt, task.failure))
            if task.failure:
                found[place] = Outcome("failed", run=f"record of {task.label}", message="on record")
                continue
            status, _, error = self.answers[task.label].pop(0).partition(" ")
            message = f"{task.label} {status}"
            found[place] = Outcome(status, message=message, error=error)  # type: ignore[arg-type]
            if not report(Event(place, "ended", outcome=found[place])):
                break
        return found

    def script(self, tasks: Sequence[Task]) -> None:
        return None


def tasks(*labels: str) -> list[Task]:
    return [Task({}, label, "", "") for label in labels]


def test_only_what_may_pass_is_tried_again_with_growing_pauses() -> None:
    where = Scripted(a=["done"], b=["retry", "done"], c=["failed"], d=["retry"] * 3)
    pauses: list[float] = []
    found = launch(where, tasks(*"abcd"), str, pause=1.0, sleep=pauses.append)
    assert [o and o.status for o in found] == ["done", "done", "failed", "failed"]
    assert pauses == [1.0, 2.0]
    assert [(label, attempt) for label, attempt, _ in where.seen] == [
        *(("a", 1), ("b", 1), ("c", 1), ("d", 1)), ("b", 2), ("d", 2), ("d", 3), ("c", 1), ("d", 1),
    ]  # fmt: skip
    # Their processes left no record: one is written that says why.
    assert [failure for *_, failure in where.seen[-2:]] == ["c failed", "d retry"]
    assert found[2] and found[2].run == "record of c" and found[2].message == "on record"


def test_without_keep_going_a_failed_run_is_the_last() -> None:
    where = Scripted(a=["done"], b=["failed"], c=["done"])
    told: list[str] = []
    found = launch(where, tasks(*"abc"), told.append, keep_going=False)
    assert [o and o.status for o in found] == ["done", "failed", None]
    assert "[2/3] b: failed: b failed" in told
    # In the last attempt what may pass has failed.
    where = Scripted(a=["retry"], b=["done"])
    found = launch(where, tasks(*"ab"), str, keep_going=False, attempts=1)
    assert [o and o.status for o in found] == ["failed", None]


@pytest.mark.parametrize("status", ["failed UsageError", "failed"])
def test_the_error_of_one_task_alone_is_left_to_the_caller(status: str) -> None:
    told: list[str] = []
    (found,) = launch(Scripted(a=[status]), tasks("a"), told.append)
    assert found is not None and found.status == "failed"
    # A process that ended without a word has no error to be raised.
    assert told == ([] if "Error" in status else ["[1/1] a: failed: a failed"])
    told.clear()
    launch(Scripted(a=[status], b=["done"]), tasks(*"ab"), told.append)
    assert f"[1/2] a: failed: a {status}"[:24] in told[0]


def test_one_error_of_several_tasks_is_told_once() -> None:
    told: list[str] = []
    where = Scripted(a=["failed UsageError"] * 2, b=["failed UsageError"])
    launch(where, tasks(*"aab"), told.append)
    assert [line for line in told if line.startswith("[")] == [
        "[1/3] a: failed: a failed", "[2/3] a: failed, as above", "[3/3] b: failed: b failed",
    ]  # fmt: skip


def test_no_run_begins_on_a_full_disk_or_when_the_time_is_over() -> None:
    where = Scripted(a=["failed StorageError"], b=["done"])
    found = launch(where, tasks(*"ab"), str)
    assert [o and o.status for o in found] == ["failed", None]
    assert not any(failure for *_, failure in where.seen)  # no record can be written
    where = Scripted(a=["done"], b=["done"])
    found = launch(where, tasks(*"ab"), str, until=time.monotonic() - 1)
    assert [o and o.status for o in found] == ["done", None]


def test_progress_says_what_is_left_and_for_how_long() -> None:
    times = iter([0.0, 60.0])
    progress = Progress(4, lambda: next(times))
    for place, state in enumerate(("done", "failed", "running")):
        progress.see(place, state)
    line = progress.line()
    assert line.startswith("1 of 4 runs done, 1 running, 1 failed, 1 left, about "), line


def test_limits_end_a_run_and_say_which() -> None:
    with pytest.raises(OverLimitError, match=r"limit of 0\.1 s"), limited(0.1, None):
        while True:
            pass
    with pytest.raises(OverLimitError, match="limit of 1 MB"), limited(None, 1.0):
        while True:
            pass
    with limited(60.0, 1e6):
        pass


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--launcher", "nowhere"], "unknown launcher 'nowhere'"),
        (["--launcher-option", "cores=2"], "Keys of launcher 'local': jobs, gpu_memory."),
        (["--launcher-option", "jobs=two"], "whole number"),
        (["--launcher-option", "gpu_memory=0"], "a whole number from 1"),
        (["--log", "excel"], "unknown tracker 'excel'"),
    ],
)
def test_wrong_launchers_and_options_end_with_2(
    words: list[str], told: str, tmp_path: Path
) -> None:
    (tmp_path / "plan.yaml").write_text("models: [cc]\ndatasets: [mosi]", "utf-8")
    done = CliRunner().invoke(cli, ["grid", str(tmp_path / "plan.yaml"), *words])
    assert done.exit_code == 2 and told in done.output, done.output


def test_the_launcher_of_the_documentation_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (tmp_path / "in_turn.py").write_text(code, "utf-8")
    plan = tmp_path / "plan.yaml"
    plan.write_text("models: [toy]\ndatasets: [toy]\nset: [[training.epochs=1]]\n", "utf-8")
    words = ["grid", str(plan), "--plugin", TOY, "--plugin", str(tmp_path / "in_turn.py"),
             "--launcher", "in-turn"]  # fmt: skip
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert "1 of 1 runs done" in done.output
    assert launcher_of("in-turn", (), load((TOY, str(tmp_path / "in_turn.py"))))
