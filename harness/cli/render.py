"""What verbs print: examples, messages, tables, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.errors import DataMissingError

if TYPE_CHECKING:
    from harness.records.committed import CommittedRecords
    from harness.records.record import RunRecord
    from harness.records.store import RunStore


def examples(*lines: str) -> str:
    """Return a help epilog with examples, kept line by line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def teller(as_json: bool) -> Callable[[str], None]:
    """Return what prints a message once: a twin in use concerns every model, but is news once."""
    said: set[str] = set()

    def tell(message: str) -> None:
        if message not in said:
            said.add(message)
            click.echo(message, err=as_json)

    return tell


def records_of(
    folder: Path | None, empty: str = "make some with 'harness run'"
) -> tuple[RunStore | CommittedRecords, list[RunRecord]]:
    """Return a folder of runs or exported records (None: HOME/runs) and its readable records.

    Records that cannot be read are named on stderr.

    Raises:
        DataMissingError: there is none; ``empty`` says what to do.
    """
    from harness.records.committed import open_records
    from harness.records.store import RunStore

    store = RunStore() if folder is None else open_records(folder)
    found = store.all()
    for broken in store.broken:
        click.echo(f"left out: {broken.reason}", err=True)
    if not found:
        raise DataMissingError(f"no run records in {store.root}; {empty}.")
    return store, found


def emit_json(value: Any) -> None:
    """Print a value as indented JSON."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def emit_table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under heads."""
    from tabulate import tabulate

    lines = [[_text(cell) for cell in row] for row in rows]
    click.echo(tabulate(lines, heads, tablefmt="simple", disable_numparse=True))


def _text(cell: Any) -> str:
    if isinstance(cell, (list, tuple)):
        return ", ".join(map(str, cell))
    return "" if cell is None else str(cell)
