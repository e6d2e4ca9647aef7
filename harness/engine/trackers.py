"""Trackers of ``--log``: they see what the run hooks see, and write it under the home.

``csv`` is a long table a run (``HOME/logs/<run id>.csv``), ``tensorboard`` a folder of events a
run (``HOME/logs/tensorboard/<run id>/``). Nothing leaves the machine. Trackers are no part of a
run's identity. One that cannot write is told of and left out: the training goes on.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from harness import paths
from harness.documents import comma_list
from harness.errors import HarnessError, UnknownNameError, UsageError, require
from harness.paths import storage_errors
from harness.plugins.hooks import GuardedHooks

COLUMNS = ("time", "epoch", "metric", "value")


class Tracker(Protocol):
    """What is called during a run, as the hooks of the same names."""

    def run_start(self, run: Mapping[str, Any]) -> None:
        """Called when a run starts."""

    def epoch_end(self, run: Mapping[str, Any], epoch: int, metrics: Mapping[str, float]) -> None:
        """Called at the end of an epoch."""

    def run_end(self, run: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        """Called when a run has ended."""


class CsvTracker:
    """A row an epoch and metric; ``fresh``: what an earlier run left is dropped."""

    def __init__(self, fresh: bool) -> None:
        self._fresh = fresh

    def run_start(self, run: Mapping[str, Any]) -> None:
        """Begin the file, or go on with it."""
        path = self._path(run)
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._fresh or not path.exists():
                path.write_text(f"{','.join(COLUMNS)}\n", "utf-8")

    def epoch_end(self, run: Mapping[str, Any], epoch: int, metrics: Mapping[str, float]) -> None:
        """Append the figures of an epoch."""
        path, now = self._path(run), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with storage_errors(path), path.open("a", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows(
                (now, epoch, name, value) for name, value in metrics.items() if value is not None
            )

    def run_end(self, run: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        """Do nothing: every epoch is written."""

    def _path(self, run: Mapping[str, Any]) -> Path:
        return paths.home() / "logs" / f"{run['id']}.csv"


class TensorBoardTracker:
    """A scalar a metric, with the epoch as step; the request as text; test figures at the end."""

    def __init__(self, fresh: bool) -> None:
        require("tensorboard", "tensorboard")
        self._fresh = fresh
        self._writer: Any = None

    def run_start(self, run: Mapping[str, Any]) -> None:
        """Open the folder of events."""
        from torch.utils.tensorboard import SummaryWriter

        folder = paths.home() / "logs" / "tensorboard" / str(run["id"])
        with storage_errors(folder):
            if self._fresh and folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(parents=True, exist_ok=True)
            self._writer = SummaryWriter(str(folder))
            if self._fresh:
                self._writer.add_text("request", f"```\n{json.dumps(dict(run), indent=1)}\n```")

    def epoch_end(self, run: Mapping[str, Any], epoch: int, metrics: Mapping[str, float]) -> None:
        """Write the figures of an epoch."""
        for name, value in metrics.items():
            if value is not None:
                self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def run_end(self, run: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        """Write the test figures on complete data, and close."""
        step = max(len(record["epochs"]) - 1, 0)
        found = record["metrics"].get("full@1", {}).get("test", {}).get("declared", {})
        for name, value in found.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(f"test/{name}", value, step)
        self._writer.close()


TRACKERS: dict[str, Callable[[bool], Tracker]] = {
    "csv": CsvTracker, "tensorboard": TensorBoardTracker,
}  # fmt: skip


def trackers_named(text: str | None) -> list[str]:
    """Return the names of ``--log``, each once; None: those of ``HARNESS_LOG``, if any.

    Raises:
        UnknownNameError: there is no such tracker.
        UsageError: no name is given, or a tracker needs a package that is not installed.
    """
    text = os.environ.get("HARNESS_LOG") or None if text is None else text
    if text is None:
        return []
    names = comma_list(text, "--log")
    if not names:
        raise UsageError(f"--log {text!r}: give one of {', '.join(TRACKERS)}.")
    for name in names:
        if name not in TRACKERS:
            raise UnknownNameError("tracker", name, TRACKERS)
        TRACKERS[name](False)
    return names


class TrackedHooks:
    """The hooks of plugins, and after each the trackers that were asked for."""

    def __init__(
        self,
        hooks: GuardedHooks,
        names: Sequence[str],
        tell: Callable[[str], None],
        *,
        fresh: bool,
    ) -> None:
        self._hooks, self._tell = hooks, tell
        self._trackers = {name: TRACKERS[name](fresh) for name in names}

    def run_start(self, run: Mapping[str, Any]) -> None:
        """Call ``harness_run_start`` of every plugin, then the trackers."""
        self._hooks.run_start(run=run)
        self._each("run_start", run=run)

    def epoch_end(self, run: Mapping[str, Any], epoch: int, metrics: Mapping[str, float]) -> None:
        """Call ``harness_epoch_end`` of every plugin, then the trackers."""
        self._hooks.epoch_end(run=run, epoch=epoch, metrics=metrics)
        self._each("epoch_end", run=run, epoch=epoch, metrics=metrics)

    def run_end(self, run: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        """Call ``harness_run_end`` of every plugin, then the trackers."""
        self._hooks.run_end(run=run, record=record)
        self._each("run_end", run=run, record=record)

    def _each(self, what: str, **facts: Any) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                getattr(tracker, what)(**facts)
            except (HarnessError, OSError) as error:
                del self._trackers[name]
                self._tell(f"--log {name}: {error} The run goes on without it.")
