"""What verbs print: examples, messages, tables, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from harness.cli.options import FILE as FILE
from harness.cli.options import FOLDER as FOLDER
from harness.cli.options import json_option as json_option
from harness.cli.options import plugin_option as plugin_option
from harness.cli.options import roots_options as roots_options


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
