"""What lies under the home: every run with its state and size, and the size of the rest."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import paths
from harness.errors import HarnessError, UsageError
from harness.paths import storage_errors
from harness.records.claims import Holder
from harness.records.leases import LONGEST_POLL_S, RunHeldError
from harness.records.record import RunRecord
from harness.records.store import RECORD, RunStore

RESUME = "resume"
RUNNING, EXPIRED, INTERRUPTED, BROKEN = "running", "expired", "interrupted", "broken"
STATES = ("ok", "failed", RUNNING, EXPIRED, INTERRUPTED, BROKEN)
_DAY = 86_400
_UNITS = {"m": 60, "h": 3_600, "d": _DAY, "w": 7 * _DAY}


@dataclass(frozen=True)
class StoredRun:
    """The folder of a run.

    Attributes:
        id: name of the folder.
        folder: where it is.
        record: its record; None: there is none (yet), or it cannot be read.
        state: ``ok`` or ``failed`` as recorded; ``running``: a process holds it; ``interrupted``:
            it was begun and has no record; ``expired``: likewise, and its process on another
            machine gave no sign of life for the time of its lease, by this machine's clock;
            ``broken``: its record cannot be read.
        bytes: what its files take.
        changed: seconds since the epoch at which the newest of its files was written.
        resumable: it has the state of a training that can go on.
        reason: why it is broken; empty otherwise.
        holder: the process that holds it, or is not yet known to be gone; None: nobody.
    """

    id: str
    folder: Path
    record: RunRecord | None
    state: str
    bytes: int
    changed: float
    resumable: bool
    reason: str = ""
    holder: Holder | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the run as JSON values, with what `harness runs list` shows."""
        r = self.record
        return {
            "run": self.id,
            "state": self.state,
            "model": None if r is None else r.model["name"],
            "dataset": None if r is None else r.dataset["name"],
            "seed": None if r is None else r.seed,
            "preset": None if r is None else r.config["preset"],
            "role": None if r is None else r.role,
            "bytes": self.bytes,
            "changed": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.changed)),
            "resumable": self.resumable,
            "reason": self.reason,
            "holder": None if self.holder is None else str(self.holder),
        }


def stored_runs(store: RunStore) -> list[StoredRun]:
    """Return every folder of a run under a store's root, in order of names.

    Raises:
        StorageError: the root cannot be read.
    """
    with storage_errors(store.root):
        if not store.root.is_dir():
            return []
        folders = sorted(f for f in store.root.iterdir() if f.is_dir() and f.name[0] != ".")
    return [stored_run(store, folder.name) for folder in folders]


def stored_run(store: RunStore, run: str) -> StoredRun:
    """Return the folder of a run; it is read, and nothing in it is changed."""
    folder = store.folder(run)
    record, reason = None, ""
    try:
        record = store.find(run)
    except HarnessError as error:
        reason = str(error)
    resumable = (folder / RESUME / "state.json").is_file()
    holder = store.leases.holder(run)
    if holder is not None and not holder.silent:
        state = RUNNING
    elif reason:
        state = BROKEN
    elif record is not None:
        state = record.status
    else:
        began = EXPIRED if holder is not None else INTERRUPTED
        state = began if (folder / RESUME).is_dir() else BROKEN
        reason = "" if state == began else f"{run}/{RECORD} is missing."
    size, changed = size_of(folder)
    return StoredRun(run, folder, record, state, size, changed, resumable, reason, holder)


@contextlib.contextmanager
def held(store: RunStore, run: str) -> Iterator[None]:
    """Hold a run for this process, without waiting for another one to end.

    A holder on another machine that looks as if it were gone is watched until that is known: for as
    long as its lease says, counted from when the store was first asked about the run.

    Raises:
        RunHeldError: another process holds it.
    """

    def refuse(held: RunHeldError) -> None:
        raise held

    while (found := store.leases.holder(run)) is not None and found.silent:
        time.sleep(LONGEST_POLL_S)
    with store.lock(run, refuse):
        yield


def size_of(path: Path) -> tuple[int, float]:
    """Return the bytes that the files of a file or folder take, and when the newest was written.

    What vanishes meanwhile counts nothing; links are not followed.
    """
    total, newest = 0, 0.0
    for one in (path, *(path.rglob("*") if path.is_dir() else ())):
        with contextlib.suppress(OSError):
            stat = one.lstat()
            total += 0 if one.is_dir() and not one.is_symlink() else stat.st_size
            newest = max(newest, stat.st_mtime)
    return total, newest


def disk_use() -> dict[str, int]:
    """Return the bytes of what lies directly under the home, by name of its folder."""
    root = paths.home()
    with storage_errors(root):
        if not root.is_dir():
            return {}
        return {path.name: size_of(path)[0] for path in sorted(root.iterdir()) if path.is_dir()}


def seconds_of(age: str) -> float:
    """Return the seconds of an age such as ``30m``, ``12h``, ``14d``, ``2w``.

    Raises:
        UsageError: it is no age.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", age.strip())
    if found is None:
        raise UsageError(f"{age!r} is no age; give a number and m, h, d or w, as in 12h or 14d.")
    return float(found[1]) * _UNITS[found[2]]


def bytes_text(count: int) -> str:
    """Return a number of bytes as a text with a decimal unit."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
