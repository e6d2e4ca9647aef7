"""``harness grid``: the runs of a plan file, here, resumable, in parts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness import paths
from harness.cli.options import FILE, json_option, plugin_option, roots_options
from harness.cli.render import emit_json, emit_table, examples, logging_teller
from harness.errors import RunFailedError
from harness.plugins import load

if TYPE_CHECKING:
    from harness.engine.request import RunRequest
    from harness.launch.plan import Estimate, GridPlan

GIGA = 1e9


@click.command(
    name="grid",
    epilog=examples("harness grid plan.yaml --dry-run", "harness grid plan.yaml --shard 2/8"),
)
@click.argument("plan", type=FILE)
@click.option("--dry-run", is_flag=True, help="Show the runs and what they may take.")
@click.option("--keep-going", is_flag=True, help="Go on after a run that failed.")
@click.option("--shard", default="1/1", metavar="PART/PARTS", help="Only this part of the runs.")
@plugin_option
@json_option
@roots_options
def command(
    plan: Path,
    dry_run: bool,
    keep_going: bool,
    shard: str,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run every combination of a YAML file PLAN: models, data sets, seeds, presets, settings.

    A finished run is found again, an interrupted one goes on. A line an epoch goes to the screen
    and to HOME/grids/NAME.log.
    """
    from harness.launch.plan import estimates, read_plan, requests_of, shard_of
    from harness.records.store import RunStore

    asked, registry = read_plan(plan), load(plugin)
    log = paths.home() / "grids" / f"{plan.stem}.log"
    tell = logging_teller(log, as_json)
    requests = requests_of(asked, registry, plugins=plugin, shard=shard_of(shard), notify=tell)
    if dry_run:
        _show(requests, estimates(requests, RunStore().all(), registry), asked, as_json)
        return
    lines = _run(requests, asked, keep_going, tell, plugin)
    if as_json:
        emit_json({"runs": len(requests), "failed": lines, "log": str(log)})
    if lines:
        raise RunFailedError("\n  ".join([f"{len(lines)} of {len(requests)} runs failed:", *lines]))


def _run(
    requests: list[RunRequest],
    plan: GridPlan,
    keep_going: bool,
    tell: Callable[[str], None],
    plugin: tuple[str, ...],
) -> list[str]:
    """Run the requests, as many at a time as the plan says; return a line a failed one."""
    from harness.launch.grid import run_grid

    registry = load(plugin)
    began, failed, at_once = time.monotonic(), [], max(1, plan.jobs)
    for first in range(0, len(requests), at_once):
        if plan.hours is not None and time.monotonic() - began > plan.hours * 3600:
            tell(f"{plan.hours:g} hours are over: {len(requests) - first} runs are left.")
            break
        part = requests[first : first + at_once]
        done = run_grid(part, registry, jobs=at_once)
        failed += [*done.failures, *(f"{what}: {error}" for what, error in done.errors.items())]
        tell(f"{min(first + at_once, len(requests))} of {len(requests)} runs done")
        if failed and not keep_going:
            break
    return failed


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
