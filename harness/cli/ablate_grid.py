"""The runs of one ``harness ablate``: the full model and every ablation, as one grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from harness.boards.settings import ABLATE
from harness.boards.views.ablation import FULL
from harness.cli.run_many import state_of
from harness.errors import HarnessError, StorageError
from harness.launch.local import Outcome, run_grid, workers_for
from harness.records.record import RunRecord
from harness.specs import DatasetSpec

Tell = Callable[[str], None]


def run_ablations(
    data: DatasetSpec,
    names: Sequence[str],
    seeds: Sequence[int],
    asked: Mapping[str, Any],
    jobs: int,
    bar: bool,
    tell: Tell,
) -> tuple[list[RunRecord], dict[str, HarnessError]]:
    """Run the full model and every ablation with every seed, as one grid.

    Args:
        data: the data set.
        names: ablations, what the config field ``ablate`` takes.
        seeds: training seeds.
        asked: the other keyword arguments of `harness.api.run`.
        jobs: runs at a time; 0: one a core on a CPU.
        bar: show a progress bar (with one run at a time).
        tell: told what a user should know.

    Returns:
        The records, in the order of names and seeds, and the errors that kept some from running.

    Raises:
        HarnessError: nothing could be run, or the disk cannot be written.
    """
    from harness.data.locate import find_store
    from harness.engine.device import choose

    # Prepared once, here, so that workers find it and the first line says what is used.
    find_store(data, real=asked["real"], announce=tell)
    cells = [(name, seed) for name in (FULL, *names) for seed in seeds]
    grid = [
        {
            **asked,
            "overrides": (*asked["overrides"], *([] if name == FULL else [f"{ABLATE}=[{name}]"])),
            "seeds": (seed,),
            # The ceiling is the same for every row: one job makes it.
            "references": number == 0,
        }
        for number, (name, seed) in enumerate(cells)
    ]
    device = choose(asked["device"], asked["precision"]).device.type
    workers = workers_for(len(grid), jobs, device, asked["threads"])
    tell(f"{len(grid)} runs, {workers} at a time.")
    failed: dict[str, HarnessError] = {}
    found: dict[int, tuple[RunRecord, ...]] = {}
    outcomes = _here(grid, bar, tell) if workers == 1 else run_grid(grid, workers, tell)
    for done, outcome in enumerate(outcomes, start=1):
        name, seed = cells[outcome.job]
        if isinstance(outcome.error, StorageError):
            raise outcome.error
        if outcome.error is not None and outcome.records:
            failed[f"ceiling of {data.name}"] = outcome.error
        elif outcome.error is not None:
            failed[f"{name}, seed {seed}"] = outcome.error
            continue
        found[outcome.job] = outcome.records
        states = ", ".join(map(state_of, outcome.records))
        tell(f"[{done}/{len(grid)}] {name}, seed {seed}: {states}")
    if failed and not found:
        raise next(iter(failed.values()))
    return [record for job in sorted(found) for record in found[job]], failed


def _here(grid: Sequence[Mapping[str, Any]], bar: bool, tell: Tell) -> Iterator[Outcome]:
    """Run the jobs one after the other in this process."""
    from harness.api import run

    for number, job in enumerate(grid):
        try:
            yield Outcome(number, tuple(run(**job, bar=bar, notify=tell)))
        except HarnessError as error:
            yield Outcome(number, tuple(error.records), error)
