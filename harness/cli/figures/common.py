"""What the kinds of figures share: options, reading records, saying what was written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from harness.boards.collect import board_name
from harness.boards.reported import reported_by_plugins
from harness.boards.selecting import Chosen, Wanted, select
from harness.cli.render import (
    FOLDER,
    Command,
    emit_json,
    json_option,
    plugin_option,
    roots_options,
    split_list,
)
from harness.errors import DataMissingError
from harness.figures.canvas import FORMATS
from harness.plugins import load
from harness.records.committed import CommittedRecords, open_records
from harness.records.record import COMPLETE, RunRecord
from harness.records.store import RunStore

Store = RunStore | CommittedRecords


def figure_options(command: Command) -> Command:
    """Add ``--out``, ``--formats``, ``--records``, ``--plugin``, ``--json`` and the roots.

    As parameters: ``out`` Path, ``formats`` tuple of strings, ``records`` Path or None, ``plugin``
    tuple of strings, ``as_json`` bool.
    """
    command = roots_options(json_option(plugin_option(command)))
    command = click.option(
        "--records", type=FOLDER, default=None,
        help="Folder of runs or of exported records (default: HOME/runs).",
    )(command)  # fmt: skip
    command = click.option(
        "--formats", callback=_formats, default=",".join(FORMATS), show_default=True,
        metavar="LIST", help="Any of svg, png and pdf.",
    )(command)  # fmt: skip
    return click.option(
        "--out", type=FOLDER, default=Path("figures"), show_default=True, help="Where files go."
    )(command)


def read_records(folder: Path | None) -> tuple[Store, list[RunRecord]]:
    """Return the store of a folder (None: HOME/runs) and its records.

    Broken records are named on stderr and left out.

    Raises:
        DataMissingError: there are none.
    """
    store = RunStore() if folder is None else open_records(folder)
    found = store.all()
    for broken in store.broken:
        click.echo(f"left out: {broken.reason}", err=True)
    if not found:
        raise DataMissingError(f"no run records in {store.root}; make some with 'harness run'.")
    return store, found


def chosen_rows(
    records: Iterable[RunRecord], names: Sequence[str], wanted: Wanted, plugins: Sequence[str]
) -> list[Chosen]:
    """Return a row a name, each name once; raises as `harness.boards.selecting.select`."""
    unique = list(dict.fromkeys(names))
    return select(records, unique, wanted, reported_by_plugins(load(plugins)))


def with_ceiling(
    chosen: list[Chosen],
    records: Sequence[RunRecord],
    wanted: Wanted,
    plugins: Sequence[str],
) -> list[Chosen]:
    """Return the rows and, where the same data has one, its ceiling."""
    key = chosen[0].key
    there = any(
        r.role == "ceiling"
        and board_name(r) == wanted.dataset
        and r.dataset["content_hash"] == key.content_hash
        and wanted.protocol in r.metrics
        for r in records
    )
    if not there or any(c.row.role == "ceiling" for c in chosen):
        return chosen
    names = [c.name for c in chosen]
    return chosen_rows(records, [*names, "ceiling"], wanted, plugins)


def protocol_part(protocol: str) -> str:
    """Return what a file's name says of a protocol: nothing for complete data."""
    return "" if protocol == COMPLETE else f"-{protocol.partition('@')[0]}"


def train_part(train_dropout: str | None) -> str:
    """Return what a file's name says of the protocol trained under: nothing for complete data."""
    return protocol_part(train_dropout or COMPLETE)


def emit_written(paths: Iterable[Path], as_json: bool, **facts: Any) -> None:
    """Print the written files; with JSON also ``facts``."""
    written = [str(path) for path in paths]
    if as_json:
        emit_json({"written": written, **facts})
        return
    for name in written:
        click.echo(name)


def _formats(ctx: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
    chosen = split_list(value, "--formats")
    allowed = (*FORMATS, "pdf")
    for name in chosen:
        if name not in allowed:
            raise click.BadParameter(f"{name!r} is not one of {', '.join(allowed)}.")
    return tuple(chosen)
