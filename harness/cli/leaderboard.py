"""``harness leaderboard``: boards of all records, as files."""

from __future__ import annotations

from pathlib import Path

import click

from harness.boards.board import build_boards, write_board
from harness.boards.reported import read_reported, reported_by_plugins
from harness.cli.render import (
    FILE,
    FOLDER,
    emit_json,
    examples,
    json_option,
    plugin_option,
    roots_options,
)
from harness.errors import DataMissingError, UnknownNameError
from harness.records.store import RunStore
from harness.registry import load

OUT = Path("leaderboards")


@click.command(
    epilog=examples(
        "harness leaderboard",
        "harness leaderboard --dataset mosei-aligned --out boards",
        "harness leaderboard --records leaderboards/records --out leaderboards",
    ),
)
@click.option("--records", type=FOLDER, default=None, help="Folder of runs (default: HOME/runs).")
@click.option("--out", type=FOLDER, default=OUT, show_default=True, help="Where the boards go.")
@click.option("--dataset", default=None, help="Only this data set.")
@click.option(
    "--published", type=FILE, default=None, help="Reported figures (default: those of plugins)."
)
@plugin_option
@json_option
@roots_options
def command(
    records: Path | None,
    out: Path,
    dataset: str | None,
    published: Path | None,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write one board per data set as md, csv and json; equal records give equal bytes."""
    store = RunStore(records)
    found = store.all()
    for broken in store.broken:
        click.echo(f"left out: {broken.reason}", err=True)
    if not found:
        raise DataMissingError(f"no run records in {store.root}; make some with 'harness run'.")
    names = {r.dataset["name"] for r in found}
    if dataset is not None and dataset not in names:
        raise UnknownNameError("data set with records", dataset, names)
    registry = load(plugin)
    reported = read_reported(published) if published else reported_by_plugins(registry)
    written = [
        str(file)
        for board in build_boards(found, reported, dataset)
        for file in write_board(board, out, registry)
    ]
    if as_json:
        emit_json({"written": written, "left_out": [b.reason for b in store.broken]})
        return
    for name in written:
        click.echo(name)
