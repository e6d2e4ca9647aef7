"""The runs of one ``harness run``: one after the other here, or several at a time in workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.errors import HarnessError, StorageError
from harness.records.record import COMPLETE, RunRecord
from harness.registry import Registry

Results = tuple[list[RunRecord], dict[str, HarnessError]]


def run_all(
    registry: Registry,
    pairs: Sequence[tuple[str, str]],
    seeds: Sequence[int],
    asked: Mapping[str, Any],
    *,
    references: bool,
    jobs: int,
    bar: bool,
    tell: Callable[[str], None],
) -> Results:
    """Run every (model, data set) pair with every seed.

    Args:
        registry: the loaded plugins.
        pairs: names of models and data sets.
        seeds: training seeds.
        asked: the other keyword arguments of `harness.api.run`.
        references: also make the trivial rows and the ceiling.
        jobs: runs at a time; 0: one a core on a CPU.
        bar: show a progress bar (with one run at a time).
        tell: told what a user should know.

    Returns:
        The records, in the order of pairs and seeds, and the errors that kept a pair from running.

    Raises:
        HarnessError: the only pair cannot be run, or the disk cannot be written.
    """
    from harness.engine.device import choose
    from harness.launch.local import workers_for

    device = choose(asked["device"], asked["precision"]).device.type
    workers = workers_for(len(pairs) * len(seeds), jobs, device, asked["threads"])
    if workers == 1:
        return _one_by_one(pairs, seeds, asked, references, bar, tell)
    return _in_workers(registry, pairs, seeds, asked, references, workers, tell)


def _one_by_one(
    pairs: Sequence[tuple[str, str]],
    seeds: Sequence[int],
    asked: Mapping[str, Any],
    references: bool,
    bar: bool,
    tell: Callable[[str], None],
) -> Results:
    from harness.api import run

    records: list[RunRecord] = []
    troubles: dict[str, HarnessError] = {}
    for model, data in pairs:
        try:
            records += run(
                model, data, seeds=seeds, references=references, bar=bar, notify=tell, **asked
            )
        except HarnessError as error:
            # One model or data set must not end a grid; a disk that is full ends all of it.
            finished = bool(error.records)
            if isinstance(error, StorageError) or (len(pairs) == 1 and not finished):
                raise
            records += error.records
            troubles[f"ceiling of {data}" if finished else f"{model} on {data}"] = error
    return records, troubles


def _in_workers(
    registry: Registry,
    pairs: Sequence[tuple[str, str]],
    seeds: Sequence[int],
    asked: Mapping[str, Any],
    references: bool,
    workers: int,
    tell: Callable[[str], None],
) -> Results:
    from harness.data.locate import find_store
    from harness.launch.local import run_grid

    troubles: dict[str, HarnessError] = {}
    ready: list[str] = []
    for data in dict.fromkeys(data for _, data in pairs):
        try:
            # Prepared once, here, so that workers find it and the first line says what is used.
            find_store(registry.dataset(data), real=asked["real"], announce=tell)
            ready.append(data)
        except HarnessError as error:
            if len({d for _, d in pairs}) == 1 or isinstance(error, StorageError):
                raise
            troubles[data] = error
    grid = [(m, d, s) for m, d in pairs for s in seeds if d in ready]
    # Trivial rows and the ceiling are the same for every model of a data set: one job makes them.
    first = {d: number for number, (_, d, _) in reversed(list(enumerate(grid)))}
    jobs = [
        {**asked, "model": m, "dataset": d, "seeds": (s,),
         "references": references and first[d] == number}
        for number, (m, d, s) in enumerate(grid)
    ]  # fmt: skip
    tell(f"{len(grid)} runs, {workers} at a time.")
    found: dict[int, tuple[RunRecord, ...]] = {}
    for done, outcome in enumerate(run_grid(jobs, workers, tell), start=1):
        model, data, seed = grid[outcome.job]
        fault, finished = outcome.error, bool(outcome.records)
        if isinstance(fault, StorageError) or (fault and not finished and len(grid) == len(seeds)):
            raise fault
        if fault is not None:
            troubles.setdefault(f"ceiling of {data}" if finished else f"{model} on {data}", fault)
        if not finished:
            continue
        found[outcome.job] = outcome.records
        states = ", ".join(state_of(record) for record in outcome.records)
        tell(f"[{done}/{len(grid)}] {model} on {data}, seed {seed}: {states}")
    return [record for job in sorted(found) for record in found[job]], troubles


def state_of(record: RunRecord) -> str:
    """Return how a run ended, in a few words."""
    if record.status != "ok":
        return f"failed: {(record.failure or {}).get('reason', 'unknown')}"
    metric = record.protocols["selection_metric"]
    value = record.metrics[COMPLETE]["test"]["declared"][metric]
    return f"{metric} {value:.4f} in {record.timings['train_s'] or 0.0:.0f} s"
