"""A grid of runs: every request, here or in worker processes; one that fails ends no other."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from harness.engine.request import RunRequest
from harness.errors import HarnessError, RunFailedError, StorageError
from harness.launch.local import run_in_workers, workers_for
from harness.plugins import Registry
from harness.records.record import COMPLETE, RunRecord

Label = Callable[[RunRequest], str]


@dataclass
class Results:
    """What became of a grid.

    Attributes:
        records: in the order of the requests.
        errors: per label of a request the error that kept it from running.
        failures: a line for each run that ended without a result.
    """

    records: list[RunRecord] = field(default_factory=list)
    errors: dict[str, HarnessError] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raise one error that lists what failed, with the code of its own if nothing could run.

        Raises:
            RunFailedError: a run failed or could not start.
        """
        lines = [*self.failures, *(f"{what}: {error}" for what, error in self.errors.items())]
        if not lines:
            return
        total = len(self.records) + len(self.errors)
        failure = RunFailedError("\n  ".join([f"{len(lines)} of {total} runs failed:", *lines]))
        codes = {error.exit_code for error in self.errors.values()}
        if not self.records and len(codes) == 1:
            failure.exit_code = codes.pop()
        raise failure


def run_grid(
    requests: Sequence[RunRequest],
    registry: Registry,
    *,
    jobs: int = 1,
    references: bool = True,
    label: Label = lambda request: f"{request.model} on {request.dataset}",
) -> Results:
    """Run requests, several at a time where asked for; progress goes to their ``notify``.

    Args:
        requests: what to run, of equal device, threads and plugins.
        registry: the loaded plugins.
        jobs: runs at a time, each in a process of its own; 0: one a core on a CPU, else one.
        references: also make the trivial rows and the ceiling, once a data set, or once a twin.
        label: names a request in messages, without its seed.

    Raises:
        HarnessError: nothing could be run, for one reason, or the disk cannot be written.
    """
    from harness.engine.device import choose

    first = requests[0]
    device = choose(first.device, first.precision).device.type
    workers = workers_for(len(requests), jobs, device, first.threads)
    results = Results()
    if workers > 1:
        requests = with_data(requests, registry, results)
        first.notify(f"{len(requests)} runs, {workers} at a time.")
    data = data_of(requests, registry) if references else []
    leading = {what: number for number, what in reversed(list(enumerate(data)))}
    forked = workers == 1 and device == "cpu" and threading.active_count() == 1
    if forked:
        import harness.engine.execute  # noqa: F401 - once, for all children
    outcomes = run_in_workers(
        requests,
        workers,
        set(leading.values()),
        first.notify,
        announced=_announced(requests) if workers == 1 else None,
        registry=registry,
        method="fork" if forked else "forkserver" if device == "cpu" else "spawn",
    )
    found: dict[int, RunRecord] = {}
    # An interrupt, or an error here, ends the processes.
    with closing(outcomes):
        for outcome in outcomes:
            asked = requests[outcome.first]
            if isinstance(outcome.error, StorageError):
                raise outcome.error
            if outcome.error is not None:
                what = label(asked)
                if outcome.records and not outcome.ended:
                    what = f"ceiling of {asked.dataset}"
                results.errors.setdefault(what, outcome.error)
            for number, record in enumerate(outcome.records, outcome.first):
                found[number] = record
                if len(requests) > 1:
                    first.notify(
                        f"[{len(found)}/{len(requests)}] {label(asked)}, seed {record.seed}: "
                        f"{state_of(record)}"
                    )
    for number in sorted(found):
        record = found[number]
        results.records.append(record)
        if record.status != "ok":
            reason = (record.failure or {}).get("reason", "unknown")
            results.failures.append(f"{label(requests[number])}, seed {record.seed}: {reason}")
    if not found and len({str(e) for e in results.errors.values()}) == 1:
        raise next(iter(results.errors.values()))
    return results


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

    data, failed = data_of(requests, registry), set[str]()
    for request in dict(zip(reversed(data), reversed(requests), strict=True)).values():
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
    """Return the data of each request: the data set, and on generated data the twin's seed."""
    from harness.data.locate import takes_twin, twin_seed_for

    found: list[tuple[str, int | None]] = []
    generated: dict[str, bool] = {}
    for request in requests:
        name = request.dataset
        if name not in generated:
            try:
                generated[name] = takes_twin(registry.dataset(name), request.real)
            except HarnessError:  # the run says so
                generated[name] = False
        seed = twin_seed_for(request.seed, request.twin_seed) if generated[name] else None
        found.append((name, seed))
    return found


def _announced(requests: Sequence[RunRequest]) -> list[list[int]]:
    """Return per request the seeds that are announced with it: those of its group with the first.

    A group are neighbours that differ only in the seed.
    """
    found: list[list[int]] = []
    for _, group in itertools.groupby(requests, lambda request: replace(request, seed=0)):
        seeds = [request.seed for request in group]
        found += [seeds, *([] for _ in seeds[1:])]
    return found


def state_of(record: RunRecord) -> str:
    """Return how a run ended, in a few words."""
    if record.status != "ok":
        return f"failed: {(record.failure or {}).get('reason', 'unknown')}"
    metric = record.protocols["selection_metric"]
    found = record.metrics[COMPLETE]
    tuned = metric == "micro_f1" and all(places.get("tuned") for places in found.values())
    at, words = ("tuned", "tuned ") if tuned else ("declared", "")
    shown = (f"{found[split][at][metric]:.4f} on {split}" for split in sorted(found))
    return f"{words}{metric} {', '.join(shown)}, in {record.timings['train_s'] or 0.0:.0f} s"
