"""``harness runs export``: one directory with all that a run is used for elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import FOLDER, json_option, roots_options
from harness.cli.render import emit_json, examples
from harness.cli.runs.chosen import chosen
from harness.housekeeping.exported import SUMS, export_run
from harness.records.request import to_bring
from harness.records.store import RunStore


@click.command(
    epilog=examples(
        "harness runs export ramer-mosi-s0-0123456789ab --to ramer-mosi",
        "harness predict ramer-mosi --split test --out scores.csv",
    )
)
@click.argument("run")
@click.option("--to", type=FOLDER, required=True, metavar="DIR", help="A folder to be made.")
@json_option
@roots_options
def command(run: str, to: Path, as_json: bool) -> None:
    """Write RUN into one folder: configuration, checkpoint, predictions, environment, README.

    'harness predict' takes the folder on any machine that has the model's plugin. Predictions of
    data whose terms do not allow it are left out, and sums over clusters stand in their place.
    """
    store = RunStore()
    (known,) = chosen(store, [run])
    names = export_run(store, run, to)
    needed = known.record.request["plugins"] if known.record else []
    if as_json:
        emit_json({"run": run, "folder": str(to), "files": names, "to_bring": needed})
        return
    click.echo(f"{run}: {len(names)} files in {to}")
    if SUMS in names:
        click.echo(
            "The terms of the data do not let its samples be passed on: no predictions, but sums "
            f"over clusters of samples ({SUMS})."
        )
    if needed:
        click.echo(to_bring(needed))
