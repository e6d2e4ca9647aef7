"""The launcher ``ray``: tasks on a Ray cluster, one that it starts here or one that is there."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import UsageError, require
from harness.launch.jobs import Follower, JobFolder, interrupted_by, told, whole_number
from harness.specs import Outcome, Report, Task

OPTIONS = {
    "address": "of a running cluster, host:port or auto (default: a cluster of this machine)",
    "cpus": "CPU cores of a run (default: its threads)",
    "gpus": "GPUs of a run, fractions allowed: 0.5 lets two share one (default: 0)",
    "jobs": "runs at a time on a cluster of this machine (default: the plan's)",
}
POLL_S = 1.0
"""Seconds between looks at what has ended; Ctrl-C waits no longer."""


@dataclass(frozen=True)
class RayLauncher:
    """Tasks of Ray, each in a process of its own that ends with it.

    Ray keeps books of CPU cores and GPUs: it isolates neither memory nor fractions of a GPU, so
    that the limits of a task are kept by `harness.launch.worker.perform`.

    Attributes:
        address: of a running cluster; None: one is started here and ended afterwards.
        cpus: cores of a run; None: its threads.
        gpus: GPUs of a run.
        jobs: runs at a time, where the cluster is started here.
    """

    address: str | None = None
    cpus: int | None = None
    gpus: float = 0.0
    jobs: int = 1

    def run(self, tasks: Sequence[Task], report: Report) -> list[Outcome | None]:
        """Return every outcome; see `harness.specs.Launcher`.

        A task whose node or process is gone has the outcome ``retry``.

        Raises:
            UsageError: Ray is not installed, or there is no cluster at the address.
            StorageError: the home cannot be written.
            KeyboardInterrupt: the caller was interrupted; the tasks have been cancelled.
        """
        if not tasks:
            return []
        # Read when the module is imported: nothing is sent, and a GPU that is not asked for stays
        # visible to runs that share it.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        ray = require("ray", "ray")
        began = not ray.is_initialized()
        if began:
            self._begin(ray, tasks)
        follower, folder = Follower(len(tasks), report), JobFolder.of(tasks)
        folder.make()
        places: dict[Any, int] = {}
        try:
            with interrupted_by(signal.SIGINT, signal.SIGTERM):
                performed = ray.remote(max_calls=1, max_retries=0)(_perform)
                for place, task in enumerate(tasks):
                    asked = performed.options(num_cpus=self._cores(task), num_gpus=self.gpus)
                    places[asked.remote(task.as_dict(), place, str(folder.path))] = place
                self._follow(ray, dict(places), follower, folder)
        except BaseException:
            for reference, place in places.items():
                if not follower.has(place):
                    ray.cancel(reference, force=False)
            raise
        finally:
            if began:
                ray.shutdown()
        return follower.outcomes()

    def script(self, tasks: Sequence[Task]) -> None:
        """Return None: Ray has no script."""

    def _cores(self, task: Task) -> int:
        return self.cpus or int(task.request.get("threads") or 1)

    def _begin(self, ray: Any, tasks: Sequence[Task]) -> None:
        quiet = {"log_to_driver": False, "configure_logging": False, "include_dashboard": False}
        if self.address is None:
            cores = max(map(self._cores, tasks)) * self.jobs
            ray.init(num_cpus=cores, **quiet)
            return
        quiet.pop("include_dashboard")
        try:
            ray.init(address=self.address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"no Ray cluster at {self.address} ({told(str(error))}): start one with "
                "'ray start --head' and give its address, or leave the option out."
            ) from error

    @staticmethod
    def _follow(ray: Any, waiting: dict[Any, int], follower: Follower, folder: JobFolder) -> None:
        stopped = False
        while waiting:
            done, _ = ray.wait([*waiting], num_returns=1, timeout=POLL_S)
            for place in waiting.values():
                if folder.began(place):
                    follower.started(place)
            for reference in done:
                place = waiting.pop(reference)
                try:
                    answer = ray.get(reference)
                except ray.exceptions.TaskCancelledError:
                    answer = None
                except ray.exceptions.RayError as error:
                    answer = Outcome("retry", message=f"lost by Ray: {told(str(error))}")
                    answer = replace(answer, exit_code=1).as_dict()
                if answer is None:
                    follower.left_out(place)
                else:
                    follower.ended(place, Outcome.from_dict(answer))
            if follower.stopped and not stopped:
                stopped = True
                folder.stop()
                for reference, place in waiting.items():
                    if not folder.began(place):
                        ray.cancel(reference, force=False)


def _perform(task: Mapping[str, Any], place: int, folder: str) -> dict[str, Any] | None:
    """Perform a task in a worker of Ray, unless no more may begin; messages go to its log."""
    from harness.launch.worker import perform

    if not JobFolder(Path(folder)).begin(place):
        return None
    with redirect_stdout(sys.stderr):
        return perform(task, lambda message: print(message, file=sys.stderr))  # noqa: T201


def make(options: Mapping[str, str]) -> RayLauncher:
    """Return the launcher of ``--launcher-option`` values.

    Raises:
        UsageError: a value does not fit.
    """
    cpus, address = options.get("cpus"), options.get("address")
    return RayLauncher(
        address or None,
        None if cpus is None else whole_number("cpus", cpus, 1),
        _gpus(options.get("gpus", "0")),
        max(1, whole_number("jobs", options.get("jobs", "1"))),
    )


def _gpus(text: str) -> float:
    """Return a number of GPUs: a fraction of one, or a whole number."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e6 or (number > 1 and not number.is_integer()):
        raise UsageError(
            f"--launcher-option gpus={text}: give a fraction of one GPU, as 0.5, or a whole number."
        )
    return number
