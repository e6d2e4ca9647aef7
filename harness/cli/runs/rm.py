"""``harness runs rm``: remove runs."""

from __future__ import annotations

import click

from harness.cli.options import json_option, roots_options
from harness.cli.render import emit_json, examples
from harness.cli.runs.chosen import agree, chosen, filters, yes_option
from harness.errors import UsageError
from harness.housekeeping.inventory import RUNNING, bytes_text
from harness.housekeeping.removal import remove_runs
from harness.records.store import RunStore


@click.command(
    epilog=examples(
        "harness runs rm ramer-mosi-s0-0123456789ab",
        "harness runs rm --status failed --older-than 14d --dry-run",
        "harness runs rm --role trial --dataset mosi --yes",
    )
)
@click.argument("runs", nargs=-1)
@filters
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@yes_option
@json_option
@roots_options
def command(
    runs: tuple[str, ...], dry_run: bool, yes: bool, as_json: bool, **wanted: str | None
) -> None:
    """Remove RUNS, or those that the filters choose: record, predictions, checkpoint.

    A run that is under way stays, and the exit code is 2. Each run is there whole or gone, also
    where the command is killed. Without RUNS and filters nothing is removed.
    """
    if not runs and not any(wanted.values()):
        raise UsageError("name runs, or choose them by a filter; 'harness runs list' shows them.")
    store = RunStore()
    found = chosen(store, runs, **wanted)
    size = sum(run.bytes for run in found)
    if not as_json:
        for run in found:
            click.echo(f"{run.id}  {run.state}  {bytes_text(run.bytes)}")
    going = [run for run in found if run.state == RUNNING]
    if found and not dry_run:
        agree(f"Remove {len(found)} runs ({bytes_text(size)})?", yes, as_json)
        remove_runs(store, found)
    if as_json:
        emit_json({"dry_run": dry_run, "runs": [r.as_dict() for r in found], "bytes": size})
        return
    click.echo(f"{len(found)} runs, {bytes_text(size)}, {'would be ' if dry_run else ''}removed.")
    if dry_run and going:
        click.echo(f"Under way, and would stay: {', '.join(run.id for run in going)}.")
