"""Every option that two commands share, declared once; those of a run are `RunRequest`'s fields."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from harness.cli.render import WIDE
from harness.documents import comma_list
from harness.engine.request import OPTIONS as OF_A_RUN
from harness.errors import UsageError
from harness.paths import set_roots

Command = TypeVar("Command", bound=Callable[..., Any])

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


def option(name: str, **changes: Any) -> Callable[[Command], Command]:
    """Return the decorator of a shared option.

    Args:
        name: the parameter's name, a key of `SHARED`.
        changes: click's attributes that differ in this command (``required``, ``default``,
            ``help``); ``multiple=False`` makes a repeatable option one of a single value.
    """
    flag, facts = SHARED[name]
    facts = {**facts, **changes}
    if "default" in changes and not facts.get("is_flag"):
        facts.setdefault("show_default", changes["default"] is not None)
    return click.option(f"--{flag}", name, **facts)


def run_options(*without: str) -> Callable[[Command], Command]:
    """Return the decorator that adds the options of a run, handed over as ``asked``.

    ``asked`` holds arguments of `harness.engine.request.RunRequest` by name; comma lists of
    ``--dropout`` are split, and ``--plugin`` is among them as ``plugins``.

    Args:
        without: fields that the command has no option for.
    """
    names = [name for name in OF_A_RUN if name not in without]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_request(**given: Any) -> Any:
            asked = {name: given.pop(name) for name in names}
            if "dropout" in asked:
                asked["dropout"] = tuple(p for t in asked["dropout"] for p in words(t, "--dropout"))
            asked["plugins"] = given["plugin"]
            return command(asked=asked, **given)

        decorated: Any = with_request
        for name in reversed(names):
            decorated = option(name)(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


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

    return click.option(
        "--plugin", multiple=True, metavar="FILE", callback=loaded, is_eager=True,
        help="A plugin file, or the folder of a plugin's project, to load as well; repeatable.",
    )(command)  # fmt: skip


def launcher_options(command: Command) -> Command:
    """Add ``--launcher NAME`` and ``--launcher-option KEY=VALUE``, repeatable, as ``settings``.

    ``--per-job N`` is the setting ``per_job=N``.
    """

    @functools.wraps(command)
    def with_settings(*args: Any, settings: tuple[str, ...], per_job: int | None, **k: Any) -> Any:
        if per_job is not None:
            settings = (*settings, f"per_job={per_job}")
        return command(*args, settings=settings, **k)

    for flag, facts in (
        ("per-job", {"type": click.IntRange(min=1), "metavar": "N", "help": "Runs of a job."}),
        (
            "launcher-option",
            {"multiple": True, "metavar": "KEY=VALUE",
             "help": "Set an option of the launcher; repeatable."},
        ),
        (
            "launcher",
            {"default": "local", "show_default": True, "metavar": "NAME",
             "help": "Where runs happen (docs/cluster.md)."},
        ),
    ):  # fmt: skip
        name = "settings" if flag == "launcher-option" else flag.replace("-", "_")
        with_settings = click.option(f"--{flag}", name, **facts)(with_settings)  # type: ignore
    return with_settings  # type: ignore[return-value]


def there(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Refuse a folder to read from that is not there; ``callback`` of an option or argument.

    Raises:
        UsageError: there is no such folder.
    """
    if value is not None and not value.is_dir():
        flag = f"{param.opts[0]} " if isinstance(param, click.Option) else ""
        raise UsageError(f"{flag}{value}: there is no such folder.")
    return value


def json_option(command: Command) -> Command:
    """Add ``--json`` as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")(command)


def wide_option(command: Command) -> Command:
    """Add ``--wide``, which lets tables be as wide as they are; the verb's function is not told."""

    def keep(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        ctx.meta[WIDE] = value

    return click.option(
        "--wide", is_flag=True, expose_value=False, callback=keep,
        help="Every column, each row in one line; without it tables fit 100 characters.",
    )(command)  # fmt: skip


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


def words(text: str, option: str) -> list[str]:
    """Return the parts of a comma list, each once.

    Raises:
        UsageError: a part is empty.
        click.BadParameter: the list is empty.
    """
    parts = comma_list(text, option)
    if not parts:
        raise click.BadParameter("give at least one value", param_hint=option)
    return parts


def seeds_of(text: str) -> list[int]:
    """Return the numbers of ``--seeds``, each once.

    Raises:
        UsageError: a part is empty, or no whole number.
        click.BadParameter: the list is empty.
    """
    try:
        return [int(part) for part in words(text, "--seeds")]
    except ValueError as error:
        raise UsageError(f"--seeds {text!r}: give whole numbers, for example 0,1,2.") from error


def _data_set_protocol(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Refuse what ``--protocol`` meant in earlier versions: dropout protocols and mask options."""
    from harness.protocols.dataset import check_protocol

    check_protocol(value)
    return value


def _of_a_run(name: str) -> tuple[str, dict[str, Any]]:
    """Return the flag and click's attributes of a field of `RunRequest`."""
    declared = OF_A_RUN[name]
    about, default = declared.metadata, declared.default
    facts: dict[str, Any] = {"default": default, "help": about["help"]}
    if isinstance(default, bool):
        facts["is_flag"] = True
    elif default not in (None, ()):
        facts["show_default"] = True
    if "choices" in about:
        facts["type"] = click.Choice(about["choices"])
    if "least" in about:
        facts["type"] = click.IntRange(min=about["least"])
    for ours, clicks in (("metavar", "metavar"), ("multiple", "multiple"), ("env", "envvar")):
        if ours in about:
            facts[clicks] = about[ours]
    return about.get("flag", name.replace("_", "-")), facts


SHARED: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: _of_a_run(name) for name in OF_A_RUN},
    "model": ("model", {"metavar": "NAME", "help": "A model."}),
    "dataset": ("dataset", {"metavar": "NAME", "help": "A data set; NAME-twin is its twin."}),
    "seeds": ("seeds", {"default": "0", "help": "Training seeds, a comma list."}),
    "seed": ("seed", {"type": click.IntRange(min=0), "default": 0, "show_default": True}),
    "records": (
        "records",
        {"type": FOLDER, "callback": there,
         "help": "Folder of runs or of exported records (default: HOME/runs)."},
    ),
    "out": ("out", {"type": FOLDER, "help": "Folder to write to."}),
    "label": (
        "label",
        {"multiple": True, "metavar": "NAME=TEXT",
         "help": "Write TEXT instead of a model's NAME; repeatable."},
    ),
    "published": (
        "published", {"type": FILE, "help": "Reported figures (default: those of plugins)."}
    ),
    "metric": (
        "metric",
        {"default": "micro_f1", "show_default": True, "metavar": "NAME",
         "help": "A metric (harness list metrics)."},
    ),
    "jobs": (
        "jobs",
        {"type": click.IntRange(min=0), "default": 0, "metavar": "N", "envvar": "HARNESS_JOBS",
         "help": "Runs at a time, each in a process of its own; default: one a core on a CPU, else "
         "one."},
    ),
}  # fmt: skip
"""Per parameter its flag and click's attributes."""

SHARED["protocol"][1]["callback"] = _data_set_protocol
SHARED["config"][1]["type"] = FILE
