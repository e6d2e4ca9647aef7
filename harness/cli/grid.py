"""``harness grid``: the runs of a plan file, here, resumable, in parts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness import paths
from harness.cli.options import (
    FILE,
    json_option,
    launcher_options,
    option,
    plugin_option,
    roots_options,
    wide_option,
)
from harness.cli.render import emit_json, emit_table, examples, logging_teller
from harness.plugins import load

if TYPE_CHECKING:
    from harness.engine.request import RunRequest
    from harness.launch.plan import Estimate, GridPlan

GIGA = 1e9
_PLAN = """

\b
A plan (models and datasets are needed; lists multiply, an entry of set is one configuration):
  models: [misa, logistic]
  datasets: [mosi]
  seeds: [0, 1, 2]
  presets: [tuned]
  set: [[], [training.epochs=1, training.lr=1e-3]]
  dropout: [core@1]          # every run is scored under all of them
  limits: {jobs: 2, hours: 8}

Further keys: train_dropout, twin_seed, split, diagnose; of limits: threads, time_s, memory_mb.
"""


@click.command(
    name="grid",
    epilog=examples("harness grid plan.yaml --dry-run", "harness grid plan.yaml --shard 2/8")
    + _PLAN,
)
@click.argument("plan", type=FILE)
@click.option("--dry-run", is_flag=True, help="Show the runs and what they may take.")
@click.option("--keep-going", is_flag=True, help="Go on after a run that failed.")
@click.option("--shard", default="1/1", metavar="PART/PARTS", help="Only this part of the runs.")
@option("log")
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
    log: str | None,
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
    from harness.engine.trackers import trackers_named
    from harness.launch.grid import run_grid
    from harness.launch.launching import ATTEMPTS, launcher_of
    from harness.launch.plan import estimates, read_plan, requests_of, shard_of
    from harness.launch.worker import task_of
    from harness.records.store import RunStore

    asked, registry = read_plan(plan), load(plugin)
    where = launcher_of(launcher, settings, registry, asked.jobs)
    trackers_named(log)
    file = paths.home() / "grids" / f"{plan.stem}.log"
    tell = logging_teller(file, as_json)
    requests = requests_of(
        asked, registry, plugins=plugin, shard=shard_of(shard), log=log, notify=tell
    )
    if dry_run:
        _show(requests, estimates(requests, RunStore().all(), registry), asked, as_json)
        script = where.script([task_of(request) for request in requests])
        if script is not None and not as_json:
            click.echo(script)
        return
    until = None if asked.hours is None else time.monotonic() + asked.hours * 3600
    done = run_grid(
        requests, registry, launcher=where, keep_going=keep_going, attempts=ATTEMPTS, until=until,
        time_s=asked.time_s, memory_mb=asked.memory_mb,
    )  # fmt: skip
    if until is not None and done.left and time.monotonic() > until:
        tell(f"{asked.hours:g} hours are over: {done.left} runs are left.")
    tell(f"{sum(r.status == 'ok' for r in done.records)} of {len(requests)} runs done")
    if as_json:
        emit_json({"runs": len(requests), "failed": done.lines, "log": str(file)})
    done.check(f"log: {file}")


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
