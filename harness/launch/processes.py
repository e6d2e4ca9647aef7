"""The launcher ``local``: every run in a process of its own on this machine.

Models of benchmark size gain little from a second thread, and two processes with two threads each
fight: so there are as many at a time as the cores can serve. On a GPU, runs at a time are packed by
the memory that the first of their size took (`harness.launch.packing`).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from harness import paths
from harness.children import Ended, Method, Say, run_children
from harness.engine.request import RunRequest, silent
from harness.errors import UsageError
from harness.launch.jobs import interrupted_by, whole_number
from harness.launch.packing import CONTEXT, InOrder, Packing, Turns, size_of
from harness.launch.worker import OUT_OF_MEMORY, perform, request_of
from harness.plugins import Registry, load
from harness.specs import Event, Outcome, Report, Task

GIGA = 1e9


def make(options: Mapping[str, str]) -> LocalLauncher:
    """Return the launcher of ``--launcher-option`` values.

    Raises:
        UsageError: a value does not fit.
    """
    memory = options.get("gpu_memory")
    return LocalLauncher(
        whole_number("jobs", options.get("jobs", "1")),
        memory=None if memory is None else whole_number("gpu_memory", memory, 1) * GIGA,
    )


@dataclass(frozen=True)
class Surroundings:
    """What a process that is not forked from this one has to be told."""

    environment: dict[str, str]
    folder: str
    home: Path
    data: Path

    @classmethod
    def here(cls) -> Surroundings:
        """Return those of this process."""
        return cls({**os.environ}, os.getcwd(), paths.home(), paths.data_root())  # noqa: PTH109

    def enter(self) -> None:
        """Make them those of this process."""
        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(self.folder)
        paths.set_roots(home=self.home, data=self.data)


@dataclass(frozen=True)
class Performed:
    """One task, as a child performs it.

    Attributes:
        task: what to do.
        registry: the loaded plugins, where the child is forked; None: it loads them.
        surroundings: None where the child is forked.
        memory: bytes that its tensors may take of the GPU; None: no limit.
    """

    task: Task
    registry: Registry | None = None
    surroundings: Surroundings | None = None
    memory: float | None = None

    def __call__(self, say: Say) -> dict[str, Any]:
        """Perform the task; what plugins print goes to standard error."""
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            if self.surroundings is not None:
                self.surroundings.enter()
            if self.memory is not None:
                _limit_gpu(request_of(self.task), self.memory)
            return perform(self.task.as_dict(), say, self.registry)


class LocalLauncher:
    """Runs in processes of their own, the cores or the GPU shared out among them.

    Args:
        jobs: runs at a time; 0: one a core on a CPU, else one.
        registry: the loaded plugins, for forked children; None: they are loaded.
        memory: bytes of the GPU that runs at a time may take; None: what is free.
    """

    def __init__(
        self, jobs: int = 1, registry: Registry | None = None, *, memory: float | None = None
    ) -> None:
        self.jobs = jobs
        self.memory = memory
        self._registry = registry
        self._peaks: dict[Hashable, float] = {}

    def at_once(self, requests: Sequence[RunRequest]) -> tuple[int, str]:
        """Return how many of these runs there are at a time, and the type of their device."""
        from harness.engine.device import choose

        first = requests[0]
        device = choose(first.device, first.precision).device.type
        return workers_for(len(requests), self.jobs, device, first.threads), device

    def run(self, tasks: Sequence[Task], report: Report) -> list[Outcome | None]:
        """Return the outcome of every task, in order; see `harness.specs.Launcher`.

        Raises:
            UsageError: the memory of the GPU cannot be read.
            KeyboardInterrupt: Ctrl-C, or the process was asked to end; runs have been told and
                have ended.
        """
        if not tasks:
            return []
        requests = [request_of(task) for task in tasks]
        workers, device = self.at_once(requests)
        forked = workers == 1 and device == "cpu" and threading.active_count() == 1
        method: Method = "fork" if forked else "forkserver" if device == "cpu" else "spawn"
        registry = (self._registry or load(requests[0].plugins)) if forked else None
        if forked:
            import harness.engine.execute  # noqa: F401 - once, for all children
        here = None if forked else Surroundings.here()
        found: dict[int, Outcome] = {}
        works = [Performed(_shown(task, workers == 1), registry, here) for task in tasks]
        with interrupted_by(signal.SIGINT, signal.SIGTERM):
            turns = self._turns(tasks, requests[0].device, workers, device)
            if workers > 1:
                report(Event(0, "line", f"{len(tasks)} runs, {workers} at a time."))

            def go_on(event: Event) -> None:
                if not report(event):
                    turns.stop()

            children = run_children(
                works, workers, silent, method,
                say_of=lambda place: partial(_line, go_on, place),
                started=lambda place: go_on(Event(place, "started")),
                turn=partial(_next, turns, works),
            )  # fmt: skip
            try:
                for ended in children:
                    outcome = _outcome(ended)
                    short = outcome.error == OUT_OF_MEMORY
                    if turns.ended(ended.place, outcome.peak_memory, out_of_memory=short):
                        label = tasks[ended.place].label
                        line = f"{label}: out of memory beside other runs; it is made again, alone."
                        go_on(Event(ended.place, "line", line))
                        continue
                    found[ended.place] = outcome
                    go_on(Event(ended.place, "ended", outcome=outcome))
            finally:
                children.close()
        return [found.get(place) for place in range(len(tasks))]

    def script(self, tasks: Sequence[Task]) -> str | None:
        """Return None: nothing is submitted."""
        return None

    def _turns(self, tasks: Sequence[Task], name: str, workers: int, device: str) -> Turns:
        if device == "cpu" or workers == 1:
            return InOrder(len(tasks), workers)
        if self.memory is None:
            self.memory = _free_memory(name)
        sizes = [size_of(task.request) for task in tasks]
        return Packing(sizes, self.memory, workers, self._peaks)


def workers_for(jobs: int, asked: int, device: str, threads: int = 1) -> int:
    """Return how many runs to make at a time.

    Args:
        jobs: how many runs there are.
        asked: processes asked for; 0: one for each core on a CPU, one on a GPU.
        device: the device the runs are on, ``cpu`` or ``cuda``.
        threads: CPU threads of each run.
    """
    if asked == 0:
        asked = _allowed_cores() // threads if device == "cpu" else 1
    return max(1, min(asked, jobs))


def _allowed_cores() -> int:
    """Return the cores that this process may use, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _shown(task: Task, alone: bool) -> Task:
    """Return a task whose run shows a bar only where no other one does."""
    return replace(task, request={**task.request, "bar": alone and bool(task.request.get("bar"))})


def _line(go_on: Callable[[Event], None], place: int, text: str) -> None:
    go_on(Event(place, "line", text))


def _next(turns: Turns, works: list[Performed]) -> int | None:
    """Return whose turn it is; a run that shares a GPU keeps to what is set aside for it."""
    place = turns.next()
    if place is not None and isinstance(turns, Packing):
        share = turns.running[place]
        works[place] = replace(
            works[place], memory=share - CONTEXT if share < turns.capacity else None
        )
    return place


def _outcome(ended: Ended) -> Outcome:
    """Return a child's answer; one that was killed from outside is worth another attempt."""
    if ended.finished:
        return Outcome.from_dict(ended.result)
    return Outcome("retry" if ended.killed else "failed", message=ended.reason, exit_code=1)


@dataclass(frozen=True)
class _FreeMemory:
    """The free memory of a GPU in bytes, read in a process that ends and takes none of it."""

    device: str

    def __call__(self, say: Say) -> int:
        import torch

        from harness.engine.device import choose

        free, _ = torch.cuda.mem_get_info(choose(self.device).device)
        return free


def _free_memory(device: str) -> float:
    """Return the free memory of a GPU in bytes.

    Raises:
        UsageError: it cannot be read.
    """
    (ended,) = run_children([_FreeMemory(device)], 1, silent, "spawn")
    if not ended.finished:
        raise UsageError(
            f"the memory of the GPU cannot be read ({ended.reason}): give it as --launcher-option "
            "gpu_memory=GB, or take --jobs 1."
        )
    return float(ended.result)


def _limit_gpu(request: RunRequest, memory: float) -> None:
    """Have this process's tensors keep to so many bytes of its GPU: more is out of memory."""
    import torch

    from harness.engine.device import choose

    device = choose(request.device, request.precision).device
    total = torch.cuda.mem_get_info(device)[1]
    torch.cuda.set_per_process_memory_fraction(min(memory / total, 1.0), device)
