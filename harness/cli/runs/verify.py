"""``harness runs verify``: are the figures of stored runs those of their predictions?"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import json_option, option, plugin_option, roots_options, wide_option
from harness.cli.render import emit_json, emit_table, examples, runs_named
from harness.errors import DataMissingError, RunFailedError
from harness.plugins import load
from harness.records.committed import open_records
from harness.records.store import RunStore


@click.command(
    epilog=examples(
        "harness runs verify",
        "harness runs verify ramer-mosi-s0-0123456789ab",
        "harness runs verify --records leaderboards/records --json",
    )
)
@click.argument("runs", nargs=-1)
@option("records")
@plugin_option
@wide_option
@json_option
@roots_options
def command(
    runs: tuple[str, ...], records: Path | None, plugin: tuple[str, ...], as_json: bool
) -> None:
    """Compare the files of RUNS (all where none is given) with their digests, and compute every
    figure a second time with torchmetrics.

    Nothing is written. A file that is not as the run wrote it and a figure that differs by more
    than 1e-6 are named, and the exit code is 1.
    """
    load(plugin)
    store = RunStore() if records is None else open_records(records)
    named = runs_named(store, runs)
    damaged = {r.id: faults for r in named if (faults := store.faults(r))}
    for fault in (fault for faults in damaged.values() for fault in faults):
        click.echo(f"left out: {fault}", err=True)
    chosen = [r for r in named if r.status == "ok" and r.id not in damaged]
    broken = len(damaged) + (0 if runs else len(store.broken))
    if not chosen and not broken:
        raise DataMissingError(f"no finished runs to verify in {store.root}.")
    from harness.engine.second_opinion import verify_all

    compared, wrong = 0, []
    for record, found in verify_all(store, chosen):
        compared += found.compared
        wrong += [
            {"run": record.id, "protocol": d.protocol, "split": d.split, "threshold": d.threshold,
             "metric": d.figure or "(all)", "recorded": d.stored, "torchmetrics": d.found}
            for d in found.differences
        ]  # fmt: skip
    if as_json:
        faults = [b.reason for b in store.broken] + sum(damaged.values(), list[str]())
        emit_json({"runs": [r.id for r in chosen], "compared": compared, "differences": wrong,
                   "faults": faults})  # fmt: skip
    elif wrong:
        emit_table([*wrong[0]], [list(w.values()) for w in wrong])
    if wrong:
        raise RunFailedError(
            f"{len(wrong)} of {compared} figures of {len(chosen)} runs do not follow from the "
            "predictions. 'harness rescore' computes them anew."
        )
    if broken:
        raise RunFailedError(
            f"{broken} of {broken + len(chosen)} runs are not as they were written."
        )
    if not as_json:
        click.echo(f"{compared} figures of {len(chosen)} runs computed again: none differs.")
