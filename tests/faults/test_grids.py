"""Faults of a grid: one clear sentence, nothing lost or doubled, and the same command goes on.

A node that is gone is in `tests/unit/launch/test_clusters.py`; leases are in `tests/unit/records`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness import paths
from harness.cli import cli
from harness.records.store import RunStore
from tests.unit.launch.test_children import running
from tests.unit.launch.test_slurm import assert_same

TOY = Path(__file__).parents[1] / "unit/engine/toy_plugin.py"
PLUGIN = """
import errno, os, shutil, signal, time
from pathlib import Path
from toy_plugin import Toy
import harness
from harness import paths

def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")

def strike(name):
    home = paths.home()
    if name == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "exit":
        os._exit(3)
    if name == "full":
        os.fsync = os.fdatasync = full
    if name == "runs":
        shutil.rmtree(home / "runs")
    if name == "home":
        shutil.rmtree(home)

class Frail(Toy):
    def training_step(self, batch, ctx):
        fault = Path(os.environ["FAULT"])
        if ctx.epoch == 1 and fault.exists():
            name = fault.read_text()
            if name == "slow":
                time.sleep(0.2)
            # When a run is done, one that is under way meets it.
            elif list((paths.home() / "runs").glob("*/record.json")):
                fault.unlink(missing_ok=True)
                strike(name)
        return super().training_step(batch, ctx)

@harness.hookimpl
def harness_models():
    return [harness.ModelSpec("frail", "frail:Frail", "made", "")]
"""
PLAN = """
models: [frail]
datasets: [toy]
seeds: [0, 1, 2, 3]
set: [[training.epochs=3, training.batch_size=16]]
"""

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the plugin and the plan; its home ``sound`` has the runs of the plan."""
    made = tmp_path_factory.mktemp("grids")
    (made / "frail.py").write_text(PLUGIN)
    (made / "plan.yaml").write_text(PLAN)
    with pytest.MonkeyPatch.context() as patch:
        surround(patch, made / "none")
        done = grid(made, made / "sound")
    assert done.exit_code == 0, done.output
    return made


@pytest.fixture
def fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file whose content is the fault; there is none yet."""
    surround(monkeypatch, tmp_path / "fault")
    return tmp_path / "fault"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the home of the grid that meets a fault."""
    return tmp_path / "struck"


def surround(patch: pytest.MonkeyPatch, fault: Path) -> None:
    patch.setenv("PYTHONPATH", os.pathsep.join([str(TOY.parent), *sys.path]))
    patch.syspath_prepend(str(TOY.parent))
    patch.setenv("HARNESS_PLUGINS", "")
    patch.setenv("FAULT", str(fault))


def words(folder: Path, home: Path, *more: str) -> list[str]:
    return [
        "grid", str(folder / "plan.yaml"), "--home", str(home), "--plugin", str(TOY),
        "--plugin", str(folder / "frail.py"), *more,
    ]  # fmt: skip


def grid(folder: Path, home: Path, *more: str) -> Result:
    return CliRunner().invoke(cli, words(folder, home, *more))


def assert_the_same_command_finishes(folder: Path, home: Path, fault: Path) -> None:
    """Assert that nothing of the runs is lost or doubled beside those of an undisturbed grid."""
    fault.unlink(missing_ok=True)
    again = grid(folder, home)
    assert again.exit_code == 0 and "4 of 4 runs done" in again.output, again.output
    assert_same(folder / "sound", home, 4)
    with paths.using_home(home):
        assert all(record.status == "ok" for record in RunStore().all())
        assert not list(RunStore().root.glob("*/resume"))


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_worker_that_is_killed_is_made_again_at_once(
    folder: Path, home: Path, fault: Path, jobs: str
) -> None:
    fault.write_text("kill")
    struck = grid(folder, home, "--launcher-option", f"jobs={jobs}")
    assert struck.exit_code == 0, struck.output
    assert "killed by signal 9" in struck.output and "attempt 2 of 3" in struck.output
    assert "going on after epoch 1" in struck.output
    assert_the_same_command_finishes(folder, home, fault)


def test_a_worker_that_ends_by_itself_is_a_failed_run(
    folder: Path, home: Path, fault: Path
) -> None:
    fault.write_text("exit")
    struck = grid(folder, home, "--keep-going")
    assert struck.exit_code == 1 and "1 of 4 runs failed" in struck.output
    assert "exit code 3 (os._exit?)" in struck.output and "Traceback" not in struck.output
    with paths.using_home(home):
        states = [r.status for r in RunStore().all() if r.role == "model"]
    assert sorted(states) == ["failed", "ok", "ok", "ok"]
    assert_the_same_command_finishes(folder, home, fault)


@pytest.mark.parametrize(
    ("kind", "code", "told"),
    [
        ("full", 2, "the disk is full; free some space or set HARNESS_HOME to a folder elsewhere"),
        ("runs", 2, "Run the same command again: what is not there is made again."),
        ("home", 2, "cannot use "),
    ],
)
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_disk_that_fails_ends_the_grid_with_one_sentence(
    folder: Path, home: Path, fault: Path, kind: str, code: int, told: str, jobs: str
) -> None:
    fault.write_text(kind)
    struck = grid(folder, home, "--launcher-option", f"jobs={jobs}", "--keep-going")
    last = struck.output.splitlines()[-1]
    assert struck.exit_code == code and last.startswith("Error: ") and told in last, struck.output
    assert "Traceback" not in struck.output
    assert_the_same_command_finishes(folder, home, fault)


@pytest.mark.parametrize(
    ("number", "kill"),
    [(signal.SIGINT, os.kill), (signal.SIGTERM, os.kill), (signal.SIGTERM, os.killpg)],
    ids=["ctrl-c to the parent", "sigterm to the parent", "sigterm to all of a job"],
)
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_grid_that_is_told_to_end_ends_at_once_and_goes_on(
    folder: Path,
    home: Path,
    fault: Path,
    number: signal.Signals,
    kill: Callable[[int, int], None],
    jobs: str,
) -> None:
    fault.write_text("slow")
    asked = words(folder, home, "--launcher-option", f"jobs={jobs}")
    with subprocess.Popen(
        [sys.executable, "-m", "harness", *asked], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as command:  # fmt: skip
        until = time.monotonic() + 120
        while not list((home / "runs").glob("*/resume/state.json")):
            assert time.monotonic() < until and command.poll() is None
            time.sleep(0.1)
        kill(command.pid, number)
        _, errors = command.communicate(timeout=30)
    assert command.returncode == 130 and "Traceback" not in errors, errors
    assert "Run the same command again to continue" in errors
    until = time.monotonic() + 10
    while running(command.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not running(command.pid)
    assert_the_same_command_finishes(folder, home, fault)
