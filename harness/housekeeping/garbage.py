"""What nothing refers to any more, and removing it.

Garbage are: what killed processes left of files and folders that they were writing or removing;
states of trainings that nobody went on with; leases of runs that are gone; stores that no run was
trained or scored on, if they can be made again. Nothing younger than an age counts, and nothing
that a process holds. Records, predictions and checkpoints are never garbage:
`harness.housekeeping.removal` removes runs.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import paths
from harness.errors import HarnessError
from harness.housekeeping.inventory import (
    BROKEN,
    EXPIRED,
    INTERRUPTED,
    RESUME,
    RUNNING,
    StoredRun,
    held,
    size_of,
    stored_runs,
)
from harness.housekeeping.removal import REMOVED, remove_folder
from harness.plugins import Registry
from harness.records.artefacts import JOURNAL, LEFTOVERS
from harness.records.claims import LEASE
from harness.records.leases import RunHeldError
from harness.records.store import RunStore

DEFAULT_AGE = "14d"
TEMPORARY, RESUMES, STORES, LEASES = "temporary", "resume state", "store", "lease"
# What `harness.paths.atomic_dir` and `atomic_write_bytes` write before they rename it.
_UNNAMED = ".*.????????"


@dataclass(frozen=True)
class Garbage:
    """A file or folder that nothing refers to.

    Attributes:
        kind: ``temporary``, ``resume state``, ``lease`` or ``store``.
        path: what is removed.
        bytes: what it takes.
        why: why it is garbage, a clause.
        run: the run that it belongs to, which is held while it is removed; empty: none.
    """

    kind: str
    path: Path
    bytes: int
    why: str
    run: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"kind": self.kind, "path": str(self.path), "bytes": self.bytes, "why": self.why}


@dataclass
class Found:
    """Garbage, and sentences about what was kept although no run refers to it."""

    garbage: list[Garbage] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def find_garbage(store: RunStore, registry: Registry, seconds: float) -> Found:
    """Return what nothing refers to; nothing is changed.

    Args:
        store: the runs under the home.
        registry: the loaded plugins, which say whether a store can be made again.
        seconds: age from which on something counts, by its newest file.

    Raises:
        StorageError: a folder cannot be read.
    """
    before = time.time() - seconds
    runs = stored_runs(store)
    found = Found()
    for run in runs:
        if run.state != RUNNING:
            found.garbage += _of_run(run, before)
    found.garbage += _leases(store, before)
    for root in (store.root, paths.stores_dir(), paths.twins_dir()):
        for pattern in (f"{REMOVED}*", _UNNAMED):
            found.garbage += _left(root.glob(pattern), before)
    unknown = [r.id for r in runs if r.record is None]
    if unknown:
        found.kept.append(
            f"Stores stay: it is not known what {len(unknown)} runs without a readable record "
            f"({', '.join(unknown[:3])}{', ...' if len(unknown) > 3 else ''}) are trained on."
        )
    else:
        used = {r.record.dataset["content_hash"] for r in runs if r.record is not None}
        _stores(found, used, registry, before)
    unique = {g.path: g for g in found.garbage}
    found.garbage = sorted(unique.values(), key=lambda g: (g.kind, g.path))
    return found


def remove_garbage(store: RunStore, garbage: Iterable[Garbage]) -> tuple[list[Garbage], list[str]]:
    """Remove garbage; return what was removed, and a sentence for each that is in use by now.

    Raises:
        StorageError: something cannot be removed.
    """
    removed, kept = [], []
    for one in garbage:
        try:
            with _holding(store, one):
                _remove(one.path)
        except RunHeldError:
            kept.append(f"{one.path.name} is in use by now and stays.")
        else:
            removed.append(one)
    return removed, kept


def _of_run(run: StoredRun, before: float) -> Iterator[Garbage]:
    if not (run.folder / JOURNAL).exists():  # else temporary files are the ones in force
        yield from _left(
            (path for pattern in LEFTOVERS for path in run.folder.glob(pattern)), before, run.id
        )
    resume = run.folder / RESUME
    size, changed = size_of(resume)
    if not resume.is_dir() or changed >= before:
        return
    if run.state in (INTERRUPTED, EXPIRED):
        yield Garbage(
            RESUMES, run.folder, run.bytes, "an interrupted run, not gone on with", run.id
        )
    elif run.state != BROKEN:
        why = "a finished run needs none" if run.state == "ok" else "a failed run, not gone on with"
        yield Garbage(RESUMES, resume, size, why, run.id)


def _left(found: Iterable[Path], before: float, run: str = "") -> Iterator[Garbage]:
    for path in found:
        size, changed = size_of(path)
        if 0 < changed < before:
            yield Garbage(TEMPORARY, path, size, "left by a process that was ended", run)


def _leases(store: RunStore, before: float) -> Iterator[Garbage]:
    """Yield leases of runs whose folders are gone, and what killed claimers left of their files."""
    folder = store.leases.folder
    with paths.storage_errors(folder):
        files = sorted(folder.iterdir()) if folder.is_dir() else []
    needed = set[str]()
    for path in files:
        if path.suffix == LEASE:
            needed |= store.leases.tokens(path.stem)
            if not store.folder(path.stem).exists() and _touched(path) < before:
                why = "the run that it was for is gone"
                yield Garbage(LEASES, path, size_of(path)[0], why, path.stem)
    for path in files:
        if path.suffix != LEASE and path.stem not in needed and _touched(path) < before:
            yield Garbage(TEMPORARY, path, size_of(path)[0], "left by a process that was ended")
    yield from _left((store.root / ".locks").glob("*.lock"), before)  # of earlier versions


def _touched(path: Path) -> float:
    """Return when a file of a lease was last changed, infinity: it is gone by now.

    The time of the last heartbeat does not tell: it is zero where the run was given back.
    """
    try:
        status = path.stat()
    except OSError:
        return float("inf")
    return max(status.st_ctime, status.st_mtime)


def _stores(found: Found, used: set[str], registry: Registry, before: float) -> None:
    from harness.data.store import read_store

    root = paths.stores_dir()
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        size, changed = size_of(folder)
        try:
            store = read_store(folder)
        except HarnessError as error:
            found.kept.append(f"The store {folder.name} stays: {error}")
            continue
        if store is None or store.content_hash in used or changed >= before:
            continue
        if store.is_twin or _sources_are_here(store.spec.name, registry):
            found.garbage.append(Garbage(STORES, folder, size, "no run refers to its content"))
        else:
            found.kept.append(
                f"The store {folder.name} stays: no run refers to it, but the authors' files that "
                "it was made of are not here to make it again."
            )


def _sources_are_here(name: str, registry: Registry) -> bool:
    from harness.data.locate import corpus_of
    from harness.data.prepare import missing_files

    try:
        return not missing_files(corpus_of(registry.dataset(name)), paths.data_root())
    except HarnessError:  # a plugin that is not installed: it cannot be made again here
        return False


@contextlib.contextmanager
def _holding(store: RunStore, one: Garbage) -> Iterator[None]:
    if one.run:
        with held(store, one.run):
            yield
    elif one.kind == STORES:
        from harness.data.store import locked

        with locked(one.path):
            yield
    else:
        yield


def _remove(path: Path) -> None:
    with paths.storage_errors(path):
        if path.is_dir() and not path.is_symlink():
            remove_folder(path)
        else:
            path.unlink(missing_ok=True)
