"""A grid of runs: every request, here or in worker processes; one that fails ends no other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from harness.engine.request import RunRequest
from harness.errors import HarnessError, RunFailedError, StorageError
from harness.launch.launching import launch
from harness.launch.processes import LocalLauncher
from harness.launch.worker import task_of
from harness.plugins import Registry, twin_of
from harness.records.record import RunRecord
from harness.records.store import RunStore
from harness.specs import Launcher, Outcome, Task

Label = Callable[[RunRequest], str]


@dataclass
class Results:
    """What became of a grid.

    Attributes:
        records: in the order of the requests.
        errors: per label of a request the error that kept it from running.
        failures: a line for each run that ended without a result.
        left: how many runs were not begun.
        outcomes: what the launcher said, in the order of the requests that had data.
    """

    records: list[RunRecord] = field(default_factory=list)
    errors: dict[str, HarnessError] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    left: int = 0
    outcomes: list[Outcome | None] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """Return a line for each thing that failed: which, and why."""
        return [*self.failures, *(f"{what}: {error}" for what, error in self.errors.items())]

    def check(self, *more: str) -> None:
        """Raise one error that lists what failed, with the code of its own if nothing could run.

        Args:
            more: further lines of the error.

        Raises:
            RunFailedError: a run failed or could not start.
        """
        lines = self.lines
        if not lines:
            return
        total = len(self.records) + len(self.errors) + self.left
        if self.left:
            more = (f"{self.left} were not begun; the same command goes on with them", *more)
        failure = RunFailedError(
            "\n  ".join([f"{len(lines)} of {total} runs failed:", *lines, *more])
        )
        codes = {error.exit_code for error in self.errors.values()}
        if not self.records and len(codes) == 1:
            failure.exit_code = codes.pop()
        raise failure


def run_grid(
    requests: Sequence[RunRequest],
    registry: Registry,
    *,
    launcher: Launcher | None = None,
    jobs: int = 1,
    references: bool = True,
    label: Label | None = None,
    keep_going: bool = True,
    attempts: int = 1,
    until: float | None = None,
    time_s: float | None = None,
    memory_mb: float | None = None,
) -> Results:
    """Run requests, several at a time where asked for; progress goes to their ``notify``.

    Args:
        requests: what to run, of equal device, threads and plugins.
        registry: the loaded plugins.
        launcher: where runs happen; None: in processes of this machine.
        jobs: without a launcher, runs at a time; 0: one a core on a CPU, else one.
        references: also make the trivial rows and the ceiling, once a data set, or once a twin.
        label: names a request in messages, without its seed; None: by model and data, which of
            generated data is the twin.
        keep_going: begin further runs after one that failed.
        attempts: of a run that ended for a reason that may pass.
        until: as of `harness.launch.launching.launch`.
        time_s: seconds that a run may take; None: no limit.
        memory_mb: main memory that it may take, in MB; None: no limit.

    Raises:
        HarnessError: nothing could be run, for one reason, or a path cannot be used; what is done
            is found again.
    """
    from harness.engine.folds import expanded

    requests = expanded(requests, registry)
    results = Results()
    if not requests:
        return results
    first, alone = requests[0], False
    if launcher is None:
        launcher = local = LocalLauncher(jobs, registry)
        alone = local.at_once(requests)[0] == 1
    if not alone:  # else each run prepares its data
        requests = with_data(requests, registry, results)
    announced = _announced(requests) if alone else [None] * len(requests)
    leads = leading(requests, registry) if references else set[int]()
    labels = [
        label(request) if label is not None else f"{request.model} on {name}"
        for request, (name, _) in zip(requests, data_of(requests, registry), strict=True)
    ]
    tasks = [
        task_of(
            request, label=f"{labels[number]}, seed {request.seed}", references=number in leads,
            announced=announced[number], time_s=time_s, memory_mb=memory_mb,
        )
        for number, request in enumerate(requests)
    ]  # fmt: skip
    results.outcomes = launch(
        launcher, tasks, first.notify, keep_going=keep_going, until=until, attempts=attempts
    )  # fmt: skip
    store = RunStore()
    for named, task, outcome in zip(labels, tasks, results.outcomes, strict=True):
        if outcome is None:
            results.left += 1
        else:
            _note(results, store, named, task, outcome)
    done = sum(record.status == "ok" for record in results.records)
    for error in results.errors.values():
        if isinstance(error, StorageError):
            if len(requests) > 1:
                first.notify(f"{done} of {len(requests)} runs are done.")
            raise error
    if not results.records and len({str(e) for e in results.errors.values()}) == 1:
        raise next(iter(results.errors.values()))
    return results


def _note(results: Results, store: RunStore, label: str, task: Task, outcome: Outcome) -> None:
    """Add what became of a task to the results."""
    record = store.find(outcome.run) if outcome.run else None
    log = f" (log: {outcome.log})" if outcome.log else ""
    if record is not None:
        results.records.append(record)
    if record is not None and record.status != "ok":
        reason = (record.failure or {}).get("reason", "unknown")
        results.failures.append(f"{task.label}: {reason}{log}")
    elif outcome.status == "failed":
        stored = outcome.error == StorageError.__name__
        error: HarnessError = (StorageError if stored else RunFailedError)(outcome.message + log)
        error.exit_code = outcome.exit_code
        results.errors.setdefault(outcome.what or label, error)
    elif record is None:
        results.errors[task.label] = StorageError(
            f"the record of {task.label} is not in {store.root}, where it was written: the folder "
            "was removed or exchanged, or is not the same on all machines. Run the same command "
            "again: what is not there is made again."
        )


def with_data(
    requests: Sequence[RunRequest], registry: Registry, results: Results
) -> Sequence[RunRequest]:
    """Return the requests whose data is there, prepared once so that workers find it.

    Args:
        requests: what to run.
        registry: the loaded plugins.
        results: takes the errors of data that is not there.

    Raises:
        HarnessError: no data is there, or the disk cannot be written.
    """
    from harness.data.locate import find_store
    from harness.engine.execute import counted

    data, failed = data_of(requests, registry), set[str]()
    each = [*dict(zip(reversed(data), reversed(requests), strict=True)).values()]
    for request in counted(each, requests[0].notify, "data sets are prepared"):
        if request.dataset in failed:
            continue
        try:
            find_store(
                registry.dataset(request.dataset), real=request.real, seed=request.seed,
                twin_seed=request.twin_seed, announce=request.notify,
            )  # fmt: skip
        except StorageError:
            raise
        except HarnessError as error:
            results.errors[request.dataset] = error
            failed.add(request.dataset)
    ready = [r for r in requests if r.dataset not in failed]
    if not ready:
        raise next(iter(results.errors.values()))
    return ready


def data_of(requests: Sequence[RunRequest], registry: Registry) -> list[tuple[str, int | None]]:
    """Return the data of each request: the data set, or the twin that is taken and its seed."""
    from harness.data.locate import takes_twin, twin_seed_for

    found: list[tuple[str, int | None]] = []
    twins: dict[str, str | None] = {}
    for request in requests:
        name = request.dataset
        if name not in twins:
            try:
                spec = registry.dataset(name)
                twins[name] = twin_of(spec).name if takes_twin(spec, request.real) else None
            except HarnessError:  # the run says so
                twins[name] = None
        twin = twins[name]
        seed = None if twin is None else twin_seed_for(request.seed, request.twin_seed)
        found.append((twin or name, seed))
    return found


def leading(requests: Sequence[RunRequest], registry: Registry) -> set[int]:
    """Return the positions of the first request of each data set, or of each twin."""
    data = data_of(requests, registry)
    return set({what: number for number, what in reversed(list(enumerate(data)))}.values())


def _announced(requests: Sequence[RunRequest]) -> list[list[int]]:
    """Return per request the seeds that are announced with it: those of its group with the first.

    A group are neighbours that differ only in the seed.
    """
    found: list[list[int]] = []
    for _, group in itertools.groupby(requests, lambda request: replace(request, seed=0)):
        seeds = [request.seed for request in group]
        found += [seeds, *([] for _ in seeds[1:])]
    return found
