"""The launcher ``slurm``: jobs of a cluster, by submitit; its local and debug executors too.

A job performs one task or several in turn and leaves the outcome of each in a folder below the
home, where the launcher finds it. When a job comes to its time limit, submitit pickles it with
what it has done and queues it again; the run that was under way goes on from its newest resume
state.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from harness.documents import read_json_object
from harness.errors import UsageError, require
from harness.launch.jobs import Follower, JobFolder, interrupted_by, told, whole_number
from harness.paths import atomic_write_text
from harness.specs import Outcome, Report, Task

CLUSTERS = ("slurm", "local", "debug")
OPTIONS = {
    "cluster": "slurm; local: processes of this machine; debug: this process (default: slurm)",
    "partition": "partition of the cluster",
    "account": "account that the time is charged to",
    "qos": "quality of service",
    "constraint": "features that a node must have",
    "time": "minutes that a job may take before it is queued again (default: 60)",
    "memory": "main memory of a job in GB (default: the cluster's)",
    "gpus": "GPUs of a job (default: 0)",
    "cpus": "CPU cores of a job (default: the threads of its runs)",
    "per_job": "runs of a job, one after the other (default: 1)",
    "parallel": "jobs at a time (default: 256; on this machine 1)",
    "timeouts": "times that a job is queued again after its time limit (default: 10)",
}
POLL_S = {"slurm": 10.0, "local": 0.2, "debug": 0.0}
_ENDED = "ended-{}.json"


@dataclass(frozen=True)
class Resources:
    """What a job asks of the cluster; fields are `OPTIONS`, numbers as there.

    Raises:
        UsageError: ``cluster`` is not one of `CLUSTERS`.
    """

    cluster: str = "slurm"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time: int = 60
    memory: int | None = None
    gpus: int = 0
    cpus: int | None = None
    per_job: int = 1
    parallel: int | None = None
    timeouts: int = 10

    def __post_init__(self) -> None:
        if self.cluster not in CLUSTERS:
            known = ", ".join(CLUSTERS)
            raise UsageError(f"--launcher-option cluster={self.cluster}: give one of {known}.")


def make(options: Mapping[str, str]) -> SlurmLauncher:
    """Return the launcher of ``--launcher-option`` values.

    Raises:
        UsageError: a value does not fit.
    """
    least = {"gpus": 0, "timeouts": 0}
    numbers = {field.name for field in fields(Resources) if "int" in str(field.type)}
    given: dict[str, Any] = {
        key: whole_number(key, text, least.get(key, 1)) if key in numbers else text
        for key, text in options.items()
    }
    return SlurmLauncher(Resources(**given))


class Job:
    """Tasks that one job performs in turn; what is done stays done when it is queued again.

    Args:
        tasks: per place in the launcher's sequence its `Task.as_dict`.
        folder: where outcomes are left, shared by all machines.
    """

    def __init__(self, tasks: Mapping[int, Mapping[str, Any]], folder: str) -> None:
        self.tasks = dict(tasks)
        self.folder = folder

    def __call__(self) -> None:
        """Perform what has no outcome yet; messages and what plugins print go to the log."""
        from harness.launch.worker import perform

        folder = Path(self.folder)
        for place, task in self.tasks.items():
            ended = folder / _ENDED.format(place)
            if ended.exists():
                continue
            if not JobFolder(folder).begin(place):
                break
            with redirect_stdout(sys.stderr):
                outcome = perform(task, _say)
            atomic_write_text(ended, json.dumps(outcome))

    def checkpoint(self) -> Any:
        """Return this job for the queue; called by submitit at the time limit."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)  # noqa: T201 - the job's log


class SlurmLauncher:
    """Jobs through submitit.

    Args:
        resources: what each job asks for.
    """

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def run(self, tasks: Sequence[Task], report: Report) -> list[Outcome | None]:
        """Submit the tasks, wait for the jobs, return every outcome; see `harness.specs.Launcher`.

        Raises:
            UsageError: submitit or ``sbatch`` is not there, or the cluster refuses the jobs.
            StorageError: the home cannot be written.
            KeyboardInterrupt: the caller was interrupted; the jobs have been cancelled.
        """
        submitit = require("submitit", "slurm")
        if self.resources.cluster == "slurm":
            _check_cluster()
        if not tasks:
            return []
        folder = JobFolder.of(tasks)
        folder.make()
        follower = _Files(len(tasks), folder, report)
        waiting, active = self._jobs(tasks, folder.path), list[tuple[Job, Any]]()
        at_once = len(waiting) if self.resources.cluster == "slurm" else self._parallel
        executor = self._executor(submitit, tasks, folder.path)
        try:
            with interrupted_by(signal.SIGINT, signal.SIGTERM):
                while waiting or active:
                    free = at_once - len(active)
                    new, waiting = waiting[:free], waiting[free:]
                    active += zip(new, _submitted(submitit, executor, new), strict=True)
                    active = [pair for pair in active if not self._over(*pair, follower)]
                    if follower.stopped and not follower.told:
                        follower.tell([*waiting], active)
                        waiting = []
                    if active:
                        time.sleep(POLL_S[self.resources.cluster])
        except BaseException:
            for _, submitted in active:
                submitted.cancel(check=False)
            raise
        return follower.outcomes()

    def script(self, tasks: Sequence[Task]) -> str:
        """Return the batch script of the jobs; nothing is written, no cluster is needed."""
        require("submitit", "slurm")
        from submitit.slurm.slurm import SlurmExecutor

        class Shown(SlurmExecutor):  # type: ignore[misc]
            """Does not ask whether a cluster is there."""

            @classmethod
            def affinity(cls) -> int:
                return 1

        folder = JobFolder.of(tasks).path
        shown = Shown(folder / "%j")
        common, own = self._parameters(tasks)
        shown.update_parameters(**shown._convert_parameters(common), **own)
        jobs = len(self._jobs(tasks, folder))
        if jobs > 1:
            shown.parameters["map_count"] = jobs
        return str(shown._make_submission_file_text(shown._submitit_command_str, "dry-run"))

    @property
    def _parallel(self) -> int:
        if self.resources.parallel is not None:
            return self.resources.parallel
        return 256 if self.resources.cluster == "slurm" else 1

    def _jobs(self, tasks: Sequence[Task], folder: Path) -> list[Job]:
        size = self.resources.per_job
        documents = [(place, task.as_dict()) for place, task in enumerate(tasks)]
        return [
            Job(dict(documents[first : first + size]), str(folder))
            for first in range(0, len(documents), size)
        ]

    def _parameters(self, tasks: Sequence[Task]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what every executor of submitit takes, and what SLURM's alone does."""
        asked = self.resources
        threads = max(int(task.request.get("threads") or 1) for task in tasks)
        common: dict[str, Any] = {
            "name": "harness",
            "timeout_min": asked.time,
            "cpus_per_task": asked.cpus or threads,
        }
        if asked.memory is not None:
            common["mem_gb"] = asked.memory
        if asked.gpus:
            common["gpus_per_node"] = asked.gpus
        own = {key: getattr(asked, key) for key in ("partition", "account", "qos", "constraint")}
        own = {key: value for key, value in own.items() if value is not None}
        return common, {**own, "array_parallelism": self._parallel}

    def _executor(self, submitit: Any, tasks: Sequence[Task], folder: Path) -> Any:
        asked = self.resources
        common, own = self._parameters(tasks)
        executor = submitit.AutoExecutor(
            folder / "%j",
            cluster=asked.cluster,
            slurm_max_num_timeout=asked.timeouts,
            local_max_num_timeout=asked.timeouts,
        )
        executor.update_parameters(**common, **{f"slurm_{key}": v for key, v in own.items()})
        return executor

    def _over(self, job: Job, submitted: Any, follower: _Files) -> bool:
        """Return whether a job is over; its outcomes are reported as they come."""
        if self.resources.cluster == "debug":
            # Job.exception, unlike Job.done, does not end in a debugger.
            error, over = submitted.exception(), True
        else:
            over = bool(submitted.done())
            error = submitted.exception() if over else None
        for place in job.tasks:
            follower.look(place)
        if over:
            lines = str(error or "").strip().splitlines()
            spent = error is not None and "timed-out too many times" in str(error)
            for place in job.tasks:
                follower.lost(place, lines[-1] if lines else "", spent, str(submitted.paths.stderr))
        return over


class _Files(Follower):
    """Follows tasks by the files that jobs leave in a folder."""

    def __init__(self, total: int, folder: JobFolder, report: Report) -> None:
        super().__init__(total, report)
        self.folder = folder
        self.told = False
        """Whether the jobs know that no further task may begin."""

    def look(self, place: int) -> None:
        if self.folder.began(place):
            self.started(place)
        ended = self.folder.path / _ENDED.format(place)
        if not self.has(place) and ended.exists():
            self.ended(place, Outcome.from_dict(read_json_object(ended)))

    def tell(self, waiting: Sequence[Job], active: Sequence[tuple[Job, Any]]) -> None:
        """Have no further task begin: jobs see a file; those that have not begun are cancelled."""
        self.told = True
        self.folder.stop()
        for job in waiting:
            for place in job.tasks:
                self.left_out(place)
        for job, submitted in active:
            if not any(self.folder.began(place) for place in job.tasks):
                submitted.cancel(check=False)

    def lost(self, place: int, reason: str, spent: bool, log: str) -> None:
        """Note that a job is over; a task of it without an outcome may be tried again.

        Args:
            place: of the task.
            reason: what submitit says of the job.
            spent: it came to its time limit too often, and trying again is of no use.
            log: its standard error.
        """
        if self.has(place):
            return
        if self.told and not self.folder.began(place):
            self.left_out(place)
            return
        message = f"the job ended without a result ({reason or 'no reason is known'}); see {log}"
        if spent:
            message = f"the job came to its time limit too often: give more time or timeouts; {log}"
        outcome = Outcome("failed" if spent else "retry", message=message, exit_code=1, log=log)
        self.ended(place, replace(outcome, message=told(outcome.message)))


def _check_cluster() -> None:
    """Refuse to go on where no job can be submitted.

    Raises:
        UsageError: ``sbatch`` or ``srun`` is not on the path.
    """
    missing = [name for name in ("sbatch", "srun") if shutil.which(name) is None]
    if missing:
        raise UsageError(
            f"{' and '.join(missing)} not found: this machine cannot submit to SLURM. Run it on a "
            "login node of the cluster, look at the script with --dry-run, or try the plan here "
            "with --launcher-option cluster=local."
        )


def _submitted(submitit: Any, executor: Any, jobs: Sequence[Job]) -> list[Any]:
    """Submit jobs, several as one array.

    Raises:
        UsageError: the cluster refuses them; with its own words.
    """
    if not jobs:
        return []
    try:
        found: list[Any] = executor.submit_array(jobs)
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        said = told(str(error))
        raise UsageError(f"the cluster refuses the jobs: {said}") from error
    return found
