"""Leases that processes of other machines take, for the tests of what others then do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.records.claims import LEASE
from harness.records.leases import Lease, Leases
from harness.records.processes import Process
from harness.records.store import RunStore
from tests.unit.boards.made import record

RUN = record().id
GONE = Process("node7", "another boot", "1", 4711, "99")
HOUR = 3600.0


class Clock:
    """Seconds of one waiter."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def elsewhere(run: str = RUN, **options: Any) -> Lease:
    """Take the lease of a run as a process of another machine does."""
    found = Leases(RunStore().leases.folder, here=GONE, **options).claim(run)
    assert isinstance(found, Lease)
    return found


def lease_path(run: str = RUN) -> Path:
    return RunStore().leases.folder / f"{run}{LEASE}"


def files() -> set[str]:
    return {path.name for path in RunStore().leases.folder.iterdir()}
