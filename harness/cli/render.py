"""What verbs share: options, tables, JSON and examples."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from harness.errors import UsageError
from harness.paths import set_roots

Command = TypeVar("Command", bound=Callable[..., Any])

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


def examples(*lines: str) -> str:
    """Return a help epilog with examples, kept line by line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def plugin_option(command: Command) -> Command:
    """Add ``--plugin FILE``, repeatable, as ``plugin``: a tuple of strings.

    The files are loaded while the command line is parsed, so that a file that cannot be loaded is
    the first error of every verb.
    """

    def loaded(ctx: click.Context, param: click.Parameter, files: tuple[str, ...]) -> Any:
        if files:
            from harness.plugins import load

            load(files, strict=False)
        return files

    option = click.option(
        "--plugin", multiple=True, metavar="FILE", callback=loaded, is_eager=True,
        help="A plugin file to load as well; repeatable.",
    )  # fmt: skip
    return option(command)


def json_option(command: Command) -> Command:
    """Add ``--json`` as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")(command)


def roots_options(command: Command) -> Command:
    """Add ``--home`` and ``--data-root``, and set the roots before the verb runs."""

    @functools.wraps(command)
    def with_roots(*args: Any, home: Path | None, data_root: Path | None, **options: Any) -> Any:
        set_roots(home=home, data=data_root)
        return command(*args, **options)

    for name, text in (
        ("--data-root", "Folder of the authors' files (default: HARNESS_DATA, then HOME/data)."),
        ("--home", "Folder of prepared data and runs (default: HARNESS_HOME, then ~/.harness)."),
    ):
        with_roots = click.option(name, type=FOLDER, default=None, metavar="DIR", help=text)(
            with_roots
        )
    return with_roots  # type: ignore[return-value]


def emit_json(value: Any) -> None:
    """Print a value as indented JSON."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def emit_table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under heads."""
    from tabulate import tabulate

    lines = [[_text(cell) for cell in row] for row in rows]
    click.echo(tabulate(lines, heads, tablefmt="simple", disable_numparse=True))


def split_list(text: str, option: str) -> list[str]:
    """Return the parts of a comma list, each once.

    Raises:
        click.BadParameter: the list is empty.
    """
    parts = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not parts:
        raise click.BadParameter("give at least one value", param_hint=option)
    return parts


def split_seeds(text: str, option: str) -> list[int]:
    """Return the numbers of a comma list, each once.

    Raises:
        UsageError: a part is no whole number.
        click.BadParameter: the list is empty.
    """
    try:
        return [int(part) for part in split_list(text, option)]
    except ValueError as error:
        raise UsageError(f"{option} {text!r}: give whole numbers, for example 0,1,2.") from error


def _text(cell: Any) -> str:
    if isinstance(cell, (list, tuple)):
        return ", ".join(map(str, cell))
    return "" if cell is None else str(cell)
