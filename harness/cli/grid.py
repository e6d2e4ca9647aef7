"""``harness grid``: the runs of a plan file, here, resumable, in parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness import paths
from harness.cli.options import (
    FILE,
    json_option,
    launcher_options,
    plugin_option,
    roots_options,
    wide_option,
)
from harness.cli.render import emit_json, emit_table, examples, logging_teller
from harness.plugins import load

if TYPE_CHECKING:
    from harness.engine.request import RunRequest
    from harness.launch.plan import Estimate, GridPlan
    from harness.plugins import Registry
    from harness.specs import Launcher, Outcome, Task

GIGA = 1e9


@click.command(
    name="grid",
    epilog=examples("harness grid plan.yaml --dry-run", "harness grid plan.yaml --shard 2/8"),
)
@click.argument("plan", type=FILE)
@click.option("--dry-run", is_flag=True, help="Show the runs and what they may take.")
@click.option("--keep-going", is_flag=True, help="Go on after a run that failed.")
@click.option("--shard", default="1/1", metavar="PART/PARTS", help="Only this part of the runs.")
@launcher_options
@plugin_option
@wide_option
@json_option
@roots_options
def command(
    plan: Path,
    dry_run: bool,
    keep_going: bool,
    shard: str,
    launcher: str,
    settings: tuple[str, ...],
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run every combination of a YAML file PLAN: models, data sets, seeds, presets, settings.

    A finished run is found again, an interrupted one goes on. What may pass (a process that was
    killed, an error of the file system) is tried three times. A line an epoch goes to the screen
    and to HOME/grids/NAME.log.
    """
    from harness.launch.launching import failed_error, failures, launcher_of
    from harness.launch.plan import estimates, read_plan, requests_of, shard_of
    from harness.records.store import RunStore

    asked, registry = read_plan(plan), load(plugin)
    where = launcher_of(launcher, settings, registry, asked.jobs)
    log = paths.home() / "grids" / f"{plan.stem}.log"
    tell = logging_teller(log, as_json)
    requests = requests_of(asked, registry, plugins=plugin, shard=shard_of(shard), notify=tell)
    if dry_run:
        _show(requests, estimates(requests, RunStore().all(), registry), asked, as_json)
        script = where.script(_tasks(requests, asked, registry))
        if script is not None and not as_json:
            click.echo(script)
        return
    tasks, outcomes, lines = _run(requests, asked, keep_going, tell, registry, where)
    lines += failures(tasks, outcomes)
    if as_json:
        emit_json({"runs": len(requests), "failed": lines, "log": str(log)})
    if lines:
        raise failed_error([*lines, f"log: {log}"], len(lines), len(requests), outcomes)


def _tasks(requests: Sequence[RunRequest], plan: GridPlan, registry: Registry) -> list[Task]:
    """Return the requests as tasks; the first of each data set makes its reference rows."""
    from harness.launch.grid import data_of
    from harness.launch.worker import task_of

    data = data_of(requests, registry)
    leading = {what: number for number, what in reversed(list(enumerate(data)))}
    first = set(leading.values())
    return [
        task_of(r, references=n in first, time_s=plan.time_s, memory_mb=plan.memory_mb)
        for n, r in enumerate(requests)
    ]


def _run(
    requests: list[RunRequest],
    plan: GridPlan,
    keep_going: bool,
    tell: Callable[[str], None],
    registry: Registry,
    where: Launcher,
) -> tuple[list[Task], list[Outcome | None], list[str]]:
    """Run the requests; return tasks, their outcomes, and a line for each data set not there."""
    from harness.launch.grid import Results, with_data
    from harness.launch.launching import launch

    results = Results()
    ready = with_data(requests, registry, results)
    missing = [f"{what}: {error}" for what, error in results.errors.items()]
    tasks = _tasks(ready, plan, registry)
    began = time.monotonic()
    outcomes: list[Outcome | None] = []
    # With a limit of hours no more are handed over than begin at once.
    part = len(tasks) if plan.hours is None else max(1, plan.jobs)
    for first in range(0, len(tasks), part):
        if plan.hours is not None and time.monotonic() - began > plan.hours * 3600:
            tell(f"{plan.hours:g} hours are over: {len(tasks) - first} runs are left.")
            break
        outcomes += launch(where, tasks[first : first + part], tell, keep_going=keep_going)
        if not keep_going and any(o is None or o.status == "failed" for o in outcomes):
            break
    outcomes += [None] * (len(tasks) - len(outcomes))
    tell(f"{sum(o is not None for o in outcomes)} of {len(requests)} runs done")
    return tasks, outcomes, missing


def _show(
    requests: list[RunRequest], expected: list[Estimate], plan: GridPlan, as_json: bool
) -> None:
    from harness.engine.progress import duration

    rows = [
        {
            "model": request.model,
            "dataset": request.dataset,
            "seed": request.seed,
            "preset": request.preset,
            "train_dropout": request.train_dropout,
            "set": list(request.overrides),
            "seconds": one.seconds,
            "peak_memory": one.peak_memory,
        }
        for request, one in zip(requests, expected, strict=True)
    ]
    known = [one.seconds for one in expected if one.seconds is not None]
    if as_json:
        emit_json({"runs": rows, "seconds": sum(known), "unknown": len(rows) - len(known)})
        return
    emit_table(
        ["model", "data set", "seed", "preset", "trained under", "set", "time", "memory"],
        [
            [
                row["model"], row["dataset"], row["seed"], row["preset"] or "default",
                row["train_dropout"] or "default", " ".join(request.overrides) or "–",
                "?" if one.seconds is None else duration(one.seconds),
                "?" if one.peak_memory is None else f"{one.peak_memory / GIGA:.1f} GB",
            ]
            for request, row, one in zip(requests, rows, expected, strict=True)
        ],
    )  # fmt: skip
    total = duration(sum(known) / max(1, plan.jobs)) if known else "not known"
    left = f", {len(rows) - len(known)} runs of unknown length" if len(known) < len(rows) else ""
    click.echo(f"{len(rows)} runs; training by earlier records: {total}{left}.")
