"""Removing runs: a run is there whole, or gone."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UsageError
from harness.housekeeping.inventory import StoredRun, held
from harness.paths import storage_errors
from harness.records.leases import RunHeldError
from harness.records.store import RunStore

REMOVED = ".removed."
"""Prefix of a folder that is being removed; what a killed process left is garbage."""


def remove_runs(store: RunStore, runs: Sequence[StoredRun]) -> int:
    """Remove the folders of runs; return the bytes that they took.

    Each is renamed out of sight under its lock, so that no reader sees half of it, then deleted.

    Raises:
        UsageError: runs are under way: they stay, and the others are gone.
        StorageError: a folder cannot be removed.
    """
    freed, refused = 0, []
    for run in runs:
        try:
            with held(store, run.id):
                remove_folder(run.folder)
        except RunHeldError:
            refused.append(run.id)
        else:
            freed += run.bytes
    if refused:
        raise UsageError(
            f"{len(refused)} of {len(runs)} runs are under way and stay: {', '.join(refused)}. "
            "End them first, or wait."
        )
    return freed


def remove_folder(folder: Path) -> None:
    """Remove a folder so that it is whole or gone; nothing happens where it is not there.

    Raises:
        StorageError: it cannot be removed.
    """
    if not folder.exists():
        return
    with storage_errors(folder):
        aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=REMOVED))
        try:
            folder.rename(aside / folder.name)
        except OSError:
            aside.rmdir()
            raise
        shutil.rmtree(aside)
