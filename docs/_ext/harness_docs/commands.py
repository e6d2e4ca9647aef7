"""The reference of the command line, from the click commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

import click

from harness.cli import VERBS, cli
from harness_docs.markdown import cell, code, literal, section, table


def walk(
    command: click.Command | None = None, path: tuple[str, ...] = ("harness",)
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command with its words, as in ``("harness", "data", "stats")``; groups first."""
    command = command or cli
    if len(path) > 1:
        yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            member = command.get_command(context, name)
            if member is not None and not member.hidden:
                yield from walk(member, (*path, name))


def options(command: click.Command) -> list[click.Option]:
    """Return the options of a command that a user is shown."""
    return [p for p in command.params if isinstance(p, click.Option) and not p.hidden]


def page() -> str:
    """Return the page of all commands."""
    about = (
        "Every command prints the same with `--help`. Exit codes: 0 done, 1 a run or check failed, "
        "2 wrong input, or a path that cannot be used, 3 data missing, 130 interrupted."
    )
    verbs = table(
        ["command", "what it does"],
        [(f"[`harness {name}`](#harness-{name})", text) for name, text in VERBS.items()],
    )
    parts = [_command(path, command) for path, command in walk()]
    return section(1, "Command line", about, verbs, *parts) + "\n"


def _command(path: tuple[str, ...], command: click.Command) -> str:
    context = click.Context(command, info_name=path[-1])
    words = [piece for p in command.get_params(context) for piece in p.get_usage_pieces(context)]
    usage = " ".join([*path, "[OPTIONS]", *words, *(["COMMAND"] if _group(command) else [])])
    shown = [(_flags(o), _help(o, context)) for o in options(command)]
    return section(
        len(path), " ".join(path), _told(command.help or ""), code(usage),
        table(["option", "meaning"], shown) if shown else "",
        _examples(command.epilog or ""),
    )  # fmt: skip


def _group(command: click.Command) -> bool:
    return isinstance(command, click.Group)


def _told(text: str) -> str:
    """Return a help text as Markdown: click's own layout marks out, names in capitals kept."""
    return cleandoc(text).replace("\b\n", "").replace("*", r"\*").replace("<", r"\<")


def _flags(option: click.Option) -> str:
    names = ", ".join(literal(n) for n in (*option.opts, *option.secondary_opts))
    metavar = "" if option.is_flag else option.make_metavar(click.Context(click.Command("x")))
    return f"{names} {literal(metavar)}".strip()


def _help(option: click.Option, context: click.Context) -> str:
    extra: Any = option.get_help_extra(context)
    told = [cell(option.help or "").replace("*", r"\*").replace("<", r"\<")]
    if "default" in extra:
        told.append(f"Default: {extra['default']}.")
    if "range" in extra:
        told.append(f"Range: {extra['range']}.".replace("<", r"\<"))
    if option.multiple:
        told.append("Repeatable." if "epeatable" not in told[0] else "")
    if "required" in extra:
        told.append("Required.")
    return " ".join(t for t in told if t)


def _examples(epilog: str) -> str:
    lines = [line.strip() for line in epilog.replace("\b", "").splitlines()]
    found = [line for line in lines if line.startswith("harness ")]
    return "Examples:\n\n" + code("\n".join(found), "sh") if found else ""
