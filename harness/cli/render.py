"""What verbs print: examples, messages, tables, JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.errors import DataFormatError, DataMissingError, UnknownNameError
from harness.paths import storage_errors

if TYPE_CHECKING:
    from harness.boards.grid import View
    from harness.records.committed import CommittedRecords
    from harness.records.record import RunRecord
    from harness.records.store import RunStore


WIDE = "harness.wide"
"""Where click keeps that ``--wide`` was given (`harness.cli.options.wide_option`)."""


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


def logging_teller(log: Path, as_json: bool) -> Callable[[str], None]:
    """Return what prints a line and appends it, with the time, to a log file."""
    with storage_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)

    def tell(line: str) -> None:
        click.echo(line, err=as_json)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        with storage_errors(log), log.open("a", encoding="utf-8") as stream:
            stream.write(f"{stamp} {line}\n")

    return tell


def records_of(
    folder: Path | None, empty: str = "make some with 'harness run'"
) -> tuple[RunStore | CommittedRecords, list[RunRecord]]:
    """Return a folder of runs or exported records (None: HOME/runs) and its readable records.

    Left out and named on stderr are records that cannot be read, and runs whose predictions are
    not what they wrote.

    Raises:
        DataMissingError: there is none; ``empty`` says what to do.
        DataFormatError: there is none that can be read.
    """
    from harness.records.committed import open_records
    from harness.records.store import RunStore

    store = RunStore() if folder is None else open_records(folder)
    found = store.whole(store.all())
    if store.broken and not found:
        raise DataFormatError("\n  ".join(b.reason for b in store.broken))
    say_left_out(store)
    if not found:
        raise DataMissingError(f"no run records in {store.root}; {empty}.")
    return store, found


def runs_named(store: RunStore | CommittedRecords, names: Sequence[str]) -> list[RunRecord]:
    """Return the readable runs of a store that are named, or all; the others are told on stderr.

    Raises:
        UnknownNameError: there is no run of that name.
        DataFormatError: its record cannot be read, or none can.
    """
    known = {r.id: r for r in store.all()}
    reasons = {b.path.parent.name: b.reason for b in store.broken}
    for name in names:
        if name in reasons:
            raise DataFormatError(reasons[name])
        if name not in known:
            raise UnknownNameError("run", name, known)
    if reasons and not known:
        raise DataFormatError("\n  ".join(reasons.values()))
    say_left_out(store)
    return [known[name] for name in names] if names else list(known.values())


def say_left_out(store: RunStore | CommittedRecords) -> None:
    """Name on stderr the runs that could not be read."""
    for broken in store.broken:
        click.echo(f"left out: {broken.reason}", err=True)


def paper_tables(
    views: Iterable[View], columns: Sequence[str], labels: Iterable[str]
) -> dict[str, str]:
    """Return tables for a paper, the files' texts by name.

    Args:
        views: of boards.
        columns: names of columns.
        labels: ``NAME=TEXT`` each: what an author writes instead of a name.

    Raises:
        UnknownNameError: no table has a column, or no row a name.
        UsageError: a label is none.
    """
    from harness.boards.render.latex import papers
    from harness.figures.paper import Paper, labels_of

    paper, seen = Paper(labels=labels_of(labels)), dict[str, None]()

    def rename(text: str) -> str:
        seen.setdefault(text)
        return paper.renamed(text)

    texts = papers(views, tuple(columns), rename)
    paper.check_used(seen, "table")
    return texts


def emit_json(value: Any) -> None:
    """Print a value as indented JSON."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def emit_table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under heads, in lines of `table_width`."""
    from harness.boards.render.console import fitted

    lines = [[_text(cell) for cell in row] for row in rows]
    click.echo(fitted(heads, lines, table_width()))


def table_width() -> int | None:
    """Return how long lines of tables may be; None: ``--wide`` was given."""
    from harness.boards.render.console import WIDTH

    context = click.get_current_context(silent=True)
    return None if context is not None and context.meta.get(WIDE) else WIDTH


def _text(cell: Any) -> str:
    if isinstance(cell, (list, tuple)):
        return ", ".join(map(str, cell))
    return "" if cell is None else str(cell)
