"""A run's process may end in any way: the run has failed, is on record, and the others go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import harness
from harness.cli import cli
from harness.launch.processes import workers_for
from harness.records.store import RunStore
from tests.unit.launch.test_children import running

TOY = Path(__file__).parents[1] / "unit/engine/toy_plugin.py"
ENDING = """
import ctypes, os, signal, sys, time
from toy_plugin import Toy
import harness

print("hello from the import")
ENDS = {
    "exit": lambda: os._exit(0),
    "exit 7": lambda: os._exit(7),
    "abort": os.abort,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: ctypes.string_at(0),
    "sys.exit": lambda: sys.exit(0),
    "child": lambda: (os.fork() and os._exit(0), time.sleep(3), os._exit(0)),
    "sleep": lambda: time.sleep(0.2),
    "print": lambda: (print("hello"), os.write(1, b"hello from below")),
}

class Ends(Toy):
    def training_step(self, batch, ctx):
        if ctx.epoch == 1:
            ENDS[os.environ["ENDS"]]()
        return super().training_step(batch, ctx)

class Good(Toy):
    pass

@harness.hookimpl
def harness_models():
    return [harness.ModelSpec("ends", "ending:Ends", "made", ""),
            harness.ModelSpec("good", "ending:Good", "made", "")]
"""


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the options that load the plugin above."""
    (tmp_path / "ending.py").write_text(ENDING)
    monkeypatch.setenv("PYTHONPATH", str(TOY.parent), prepend=os.pathsep)
    monkeypatch.syspath_prepend(str(TOY.parent))
    return ["--plugin", str(TOY), "--plugin", str(tmp_path / "ending.py")]


def arguments(plugins: list[str], models: str, *more: str, epochs: int = 2) -> list[str]:
    """Return the words of a ``run``."""
    return [
        "run", "--model", models, "--dataset", "toy", "--device", "cpu", "--no-reference", "--set",
        f"training.epochs={epochs}", "--set", "training.batch_size=16", *plugins, *more,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("exit", "its process ended by itself with exit code 0 (os._exit?)"),
        ("exit 7", "exit code 7"),
        ("abort", "ended by signal 6 (SIGABRT)"),
        ("kill", "killed by signal 9 (by the kernel, for lack of memory?)"),
        ("segfault", "ended by signal 11 (SIGSEGV)"),
        ("sys.exit", "SystemExit in training_step: 0 (ending.py, line "),
        ("child", "exit code 0"),
    ],
)
def test_an_abrupt_end_is_a_failed_run_and_the_others_go_on(
    plugins: list[str], kind: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENDS", kind)
    result = CliRunner().invoke(cli, arguments(plugins, "ends,good", "--jobs", "1"))
    assert result.exit_code == 1, result.output
    records = {r.model["name"]: r for r in RunStore().all()}
    assert records["good"].status == "ok" and records["ends"].status == "failed"
    failure = (records["ends"].failure or {})["reason"]
    assert failure.startswith("plugin 'ending', model 'ends': ") and reason in failure
    assert reason in result.stderr and "1 of 2 runs failed" in result.stderr
    assert [e["epoch"] for e in records["ends"].epochs] == [0]


def test_a_run_that_was_killed_goes_on(plugins: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENDS", "kill")
    assert CliRunner().invoke(cli, arguments(plugins, "ends")).exit_code == 1
    monkeypatch.setenv("ENDS", "sleep")
    result = CliRunner().invoke(cli, arguments(plugins, "ends"))
    assert result.exit_code == 0 and "going on after epoch 1" in result.output
    monkeypatch.setenv("ENDS", "kill")
    again = CliRunner().invoke(cli, arguments(plugins, "ends", "--rerun"))
    assert again.exit_code == 1 and "the result that was there is as it was" in again.stderr
    (record,) = RunStore().all()
    assert record.status == "ok" and record.provenance["isolated"]


def test_what_plugins_print_goes_to_standard_error(
    plugins: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENDS", "print")
    done = subprocess.run(
        [sys.executable, "-m", "harness", *arguments(plugins, "ends", "--json")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)[0]["status"] == "ok"
    assert "hello from the import" in done.stderr and "hello from below" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.full)])
def test_an_interrupt_of_the_command_alone_ends_all_within_seconds(
    plugins: list[str], jobs: str, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENDS", "sleep")
    words = arguments(plugins, "ends", "--jobs", jobs, "--seeds", "0,1", epochs=5000)
    with subprocess.Popen(
        [sys.executable, "-m", "harness", *words], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # as of `command &`
    ) as command:  # fmt: skip
        until = time.monotonic() + 60
        while not list(RunStore().root.glob("*/resume/state.json")):
            assert time.monotonic() < until and command.poll() is None
            time.sleep(0.1)
        started = time.monotonic()
        os.kill(command.pid, number)
        _, errors = command.communicate(timeout=20)
        assert command.returncode == 130 and time.monotonic() - started < 5
    assert "Run the same command again to continue" in errors
    assert "Traceback" not in errors and "semaphore" not in errors
    until = time.monotonic() + 3  # the fork server, and its helper
    while running(command.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not running(command.pid)


def test_one_run_at_a_time_on_one_allowed_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {3}, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert workers_for(9, 0, "cpu") == 1


def test_isolation_from_python(
    plugins: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENDS", "exit")
    options = {
        "overrides": {"training.epochs": 2}, "device": "cpu", "references": False,
        "plugins": [TOY, tmp_path / "ending.py"], "isolate": True,
    }  # fmt: skip
    ends, good = harness.run(["ends", "good"], "toy", **options)  # type: ignore[arg-type]
    assert "os._exit" in (ends.failure or {})["reason"] and good.status == "ok"
    assert good.provenance["isolated"]
    with pytest.raises(harness.UsageError, match="isolate=True takes names and plugin files"):
        harness.run("good", "toy", on_run_end=print, **options)  # type: ignore[arg-type]
