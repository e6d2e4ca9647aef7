"""``harness runs list``: which runs there are, in what state, and what they take."""

from __future__ import annotations

import click

from harness.boards.render.text import numbered
from harness.boards.settings import setting
from harness.cli.options import json_option, roots_options, wide_option
from harness.cli.render import emit_json, emit_table, examples
from harness.cli.runs.chosen import chosen, filters
from harness.housekeeping.inventory import bytes_text, disk_use
from harness.records.store import RunStore


@click.command(
    epilog=examples(
        "harness runs list --model ramer --dataset mosei-aligned",
        "harness runs list --status failed,interrupted --older-than 14d",
        "harness runs list --role trial --json",
    )
)
@filters
@wide_option
@json_option
@roots_options
def command(as_json: bool, **wanted: str | None) -> None:
    """List runs with their state and size, and what everything under the home takes.

    States: ok, failed, running (a process holds it), interrupted (begun, no record yet), expired
    (likewise, and its process on another machine gave no sign of life), broken.
    """
    runs, use = chosen(RunStore(), (), **wanted), disk_use()
    total = sum(run.bytes for run in runs)
    if as_json:
        emit_json({"runs": [r.as_dict() for r in runs], "bytes": total, "disk_use": use})
        return
    emit_table(
        ("run", "state", "setting", "role", "size", "changed"),
        [
            (
                r.id,
                r.state + (", can go on" if r.resumable and r.state != "running" else ""),
                setting(r.record) if r.record else None,
                r.record.role if r.record else None,
                bytes_text(r.bytes),
                r.as_dict()["changed"][:16],
            )
            for r in runs
        ],
    )
    click.echo(f"\n{numbered(len(runs), 'run')}, {bytes_text(total)}.")
    if use:
        shares = (f"{name} {bytes_text(size)}" for name, size in use.items())
        click.echo(f"Under the home: {', '.join(shares)}.")
