"""The launcher ``local``: every run in a process of its own on this machine."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.children import Ended, Method, Say, run_children
from harness.engine.request import silent
from harness.errors import UsageError
from harness.launch.local import Surroundings, interrupted_by, workers_for
from harness.launch.worker import perform, request_of
from harness.plugins import Registry, load
from harness.specs import Event, Outcome, Task


def make(options: Mapping[str, str]) -> LocalLauncher:
    """Return the launcher of ``--launcher-option`` values.

    Raises:
        UsageError: ``jobs`` is no whole number from 0.
    """
    text = options.get("jobs", "1")
    if not text.isdecimal():
        raise UsageError(f"--launcher-option jobs={text}: give a whole number from 0.")
    return LocalLauncher(int(text))


@dataclass(frozen=True)
class _Performed:
    """One task, as a child performs it; a forked child has the plugins."""

    task: Task
    registry: Registry | None
    surroundings: Surroundings | None

    def __call__(self, say: Say) -> dict[str, Any]:
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            if self.surroundings is not None:
                self.surroundings.enter()
            return perform(self.task.as_dict(), say, self.registry)


class LocalLauncher:
    """Runs in processes of their own, the cores shared out among them.

    Args:
        jobs: runs at a time; 0: one a core on a CPU, else one.
    """

    def __init__(self, jobs: int = 1) -> None:
        self.jobs = jobs

    def run(self, tasks: Sequence[Task], report: Callable[[Event], None]) -> list[Outcome]:
        """Return the outcome of every task, in order.

        Raises:
            KeyboardInterrupt: Ctrl-C, or the process was asked to end; runs have been told and
                have ended.
        """
        from harness.engine.device import choose

        if not tasks:
            return []
        first = request_of(tasks[0])
        device = choose(first.device, first.precision).device.type
        workers = workers_for(len(tasks), self.jobs, device, first.threads)
        forked = workers == 1 and device == "cpu" and threading.active_count() == 1
        method: Method = "fork" if forked else "forkserver" if device == "cpu" else "spawn"
        registry = load(first.plugins) if forked else None
        if forked:
            import harness.engine.execute  # noqa: F401 - once, for all children
        here = None if forked else Surroundings.here()
        found: dict[int, Outcome] = {}
        works = [_Performed(task, registry, here) for task in tasks]
        with interrupted_by(signal.SIGINT, signal.SIGTERM):
            children = run_children(
                works, workers, silent, method,
                say_of=lambda place: partial(_line, report, place),
                started=lambda place: report(Event(place, "started")),
            )  # fmt: skip
            try:
                for ended in children:
                    found[ended.place] = outcome = _outcome(ended)
                    report(Event(ended.place, "ended", outcome=outcome))
            finally:
                children.close()
        return [found[place] for place in range(len(tasks))]

    def script(self, tasks: Sequence[Task]) -> str | None:
        """Return None: nothing is submitted."""
        return None


def _line(report: Callable[[Event], None], place: int, text: str) -> None:
    report(Event(place, "line", text))


def _outcome(ended: Ended) -> Outcome:
    """Return a child's answer; one that was killed from outside is worth another attempt."""
    if ended.finished:
        return Outcome.from_dict(ended.result)
    return Outcome("retry" if ended.killed else "failed", message=ended.reason, exit_code=1)
