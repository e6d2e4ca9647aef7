"""Runs that processes of other machines hold: listed, removed, cleared, waited for, found again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.engine.request import RunRequest
from harness.housekeeping import inventory
from harness.housekeeping.garbage import find_garbage, remove_garbage
from harness.launch.launching import launch
from harness.launch.worker import perform, task_of
from harness.plugins import load
from harness.records import claims
from harness.records.claims import CLAIM, LEASE
from harness.records.leases import Leases, RunHeldError
from harness.records.store import RunStore
from harness.specs import Event, Outcome
from tests.faults.leased import GONE, HOUR, RUN, elsewhere, files, lease_path
from tests.unit.boards.made import record
from tests.unit.engine import toy_plugin
from tests.unit.engine.test_run import SHORT, run


def test_expired_leases_are_listed_and_their_runs_can_be_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inventory, "LONGEST_POLL_S", 0.01)
    store = RunStore()
    for name, state in (("alive", "running"), ("silent", "expired")):
        (store.folder(name) / "resume").mkdir(parents=True)
        elsewhere(name, seconds=0.1 if state == "expired" else 60)
        if state == "expired":
            os.utime(lease_path(name), (1e9, 1e9))
    assert {r.id: r.state for r in inventory.stored_runs(store)} == {
        "alive": "running", "silent": "expired",
    }  # fmt: skip
    shown = CliRunner().invoke(cli, ["runs", "show", "silent"]).output
    assert "held by: process 4711 on node7" in shown and "without a sign of life" in shown
    store.leases = Leases(store.leases.folder, seconds=0.1)
    with pytest.raises(RunHeldError, match="alive is under way in process 4711 on node7"):
        _removed(store, "alive")
    _removed(store, "silent")
    assert not store.folder("silent").exists() and store.folder("alive").exists()


def _removed(store: RunStore, name: str) -> None:
    with inventory.held(store, name):
        (store.folder(name) / "resume").rmdir()
        store.folder(name).rmdir()


def test_gc_clears_leases_of_runs_that_are_gone_and_no_other() -> None:
    store = RunStore()
    with store.lock(RUN):
        store.write(record())
    with store.lock("removed"):
        pass
    claims.write(store.leases.folder, GONE, 60.0)  # its process was killed before it linked it
    with store.lock("under-way"):
        found = find_garbage(store, load(()), -60.0)
        gone = {(g.kind, g.path.suffix, g.run) for g in found.garbage}
        assert gone == {("lease", LEASE, "removed"), ("lease", LEASE, "under-way"),
                        ("temporary", CLAIM, "")}  # fmt: skip
        removed, kept = remove_garbage(RunStore(), found.garbage)
        assert len(removed) == 2 and "under-way.lease is in use" in kept[0]
        store.check("under-way")
    assert files() == {f"{RUN}{LEASE}", f"under-way{LEASE}"}
    assert find_garbage(store, load(()), HOUR).garbage == []


class InTurn:
    """Performs tasks here, and notes which."""

    def __init__(self) -> None:
        self.passes: list[list[str]] = []

    def run(self, tasks: Any, report: Callable[[Event], None]) -> list[Outcome]:
        self.passes.append([task.label for task in tasks])
        found = []
        for place, task in enumerate(tasks):
            found.append(Outcome.from_dict(perform(task.as_dict())))
            report(Event(place, "ended", outcome=found[-1]))
        return found

    def script(self, tasks: Any) -> None:
        return None


def test_a_grid_goes_on_and_comes_back_to_a_run_that_is_held_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    toy = str(Path(toy_plugin.__file__))
    (made,) = run("toy", "toy", "training.epochs=1", seeds=[0])
    wanted = [
        task_of(
            RunRequest(
                model="toy", dataset="toy", seed=seed, device="cpu", plugins=(toy,),
                overrides=("training.epochs=1", *SHORT[1:]),
            ),
            label=f"seed {seed}",
        )
        for seed in (0, 1)
    ]  # fmt: skip
    lease, told, pauses = elsewhere(made.id, seconds=60), list[str](), list[float]()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            lease.release()

    where = InTurn()
    found = launch(where, wanted, told.append, sleep=pause)
    assert where.passes == [["seed 0", "seed 1"], ["seed 0"]] and len(pauses) == 3
    assert [o and o.status for o in found] == ["done", "done"]
    assert found[0] is not None and found[0].run == made.id
    said = [line for line in told if "Waiting" in line]
    assert len(said) == 1 and f"{made.id} is under way in process 4711 on node7" in said[0]
    assert [r.status for r in RunStore().all()] == ["ok", "ok"]

    lease, heard = elsewhere(made.id, seconds=60), list[str]()

    def notify(line: str) -> None:
        heard.append(line)
        if "waiting for it to end" in line:
            lease.release()

    (again,) = run("toy", "toy", "training.epochs=1", seeds=[0], notify=notify)
    assert again.created == made.created
    (line,) = (line for line in heard if "waiting for it to end" in line)
    assert "process 4711 on node7 (since 20" in line
