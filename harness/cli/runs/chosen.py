"""The options by which verbs choose runs, and the runs that they choose."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from harness.api.collection import FILTERS
from harness.cli.options import words
from harness.errors import UnknownNameError, UsageError
from harness.housekeeping.exported import CHECKPOINT
from harness.housekeeping.inventory import STATES, StoredRun, seconds_of, stored_runs
from harness.records.store import RECORD, RunStore

CHOICES = {
    "model": "Only of these models, a comma list.",
    "dataset": "Only on these data sets.",
    "seed": "Only with these training seeds.",
    "preset": "Only of these presets.",
    "role": "Only of these roles: model, trial, fold, trivial, ceiling, observer, external.",
    "status": f"Only in these states: {', '.join(STATES)}.",
}


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose runs; the verb takes them as of `chosen`."""

    @functools.wraps(command)
    def with_filters(*args: Any, **options: Any) -> Any:
        return command(*args, **options)

    ages = (
        ("older-than", "Only runs last written to before this age: 12h, 14d, 2w."),
        ("newer-than", "Only runs last written to within this age."),
    )
    for name, text in reversed(ages):
        with_filters = click.option(f"--{name}", metavar="AGE", default=None, help=text)(
            with_filters
        )
    for name, text in reversed(CHOICES.items()):
        with_filters = click.option(f"--{name}", metavar="NAMES", default=None, help=text)(
            with_filters
        )
    return with_filters


def chosen(
    store: RunStore,
    names: Sequence[str] = (),
    *,
    older_than: str | None = None,
    newer_than: str | None = None,
    **wanted: str | None,
) -> list[StoredRun]:
    """Return the runs that are named, or all, and agree with every filter.

    Args:
        store: the runs.
        names: ids; none: all.
        older_than: an age as of `seconds_of`.
        newer_than: likewise.
        wanted: comma lists by the names of `CHOICES`; None: any.

    Raises:
        UnknownNameError: there is no run of a name, or no such state.
        UsageError: an age is none.
    """
    found = stored_runs(store)
    known = {run.id: run for run in found}
    for name in names:
        if name not in known:
            raise UnknownNameError("run", name, known)
    kept = [known[name] for name in dict.fromkeys(names)] if names else found
    for what, text in wanted.items():
        if text is None:
            continue
        values = words(text, f"--{what}")
        if what == "status":
            for value in values:
                if value not in STATES:
                    raise UnknownNameError("state of a run", value, STATES)
        kept = [run for run in kept if _value(run, what) in values]
    now = time.time()
    if older_than is not None:
        edge = now - seconds_of(older_than)
        kept = [run for run in kept if run.changed < edge]
    if newer_than is not None:
        edge = now - seconds_of(newer_than)
        kept = [run for run in kept if run.changed >= edge]
    return kept


def located(text: str) -> tuple[RunStore, str, bool]:
    """Return where a run is that is given by its id, or by its folder or a copy of it.

    Returns:
        the store, the run's name there, and whether it was given as a folder.

    Raises:
        UnknownNameError: there is no run of that id.
        UsageError: there is no such folder, or no run is in it.
    """
    path = Path(text)
    if path.is_dir():
        if not any((path / name).is_file() for name in (RECORD, CHECKPOINT[0])):
            raise UsageError(
                f"{text}: no run is in this folder (neither {RECORD} nor {CHECKPOINT[0]})."
            )
        whole = path.absolute()
        return RunStore(whole.parent), whole.name, True
    if len(path.parts) > 1:
        raise UsageError(f"{text}: there is no such folder.")
    store = RunStore()
    if text not in store.names():
        chosen(store, [text])  # a run under way, or none
    return store, text, False


def _value(run: StoredRun, what: str) -> str | None:
    if what == "status":
        return run.state
    return None if run.record is None else str(FILTERS[what](run.record))


def yes_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--yes`` as ``yes``."""
    return click.option("--yes", is_flag=True, help="Do not ask.")(command)


def agree(question: str, yes: bool, as_json: bool) -> None:
    """Ask before something is removed, unless ``yes`` was given.

    Raises:
        UsageError: nobody can be asked: the input is no terminal, or JSON was asked for.
        click.Abort: the answer is no.
    """
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise UsageError(f"{question} Give --yes to do so, or --dry-run to see what it would be.")
    click.confirm(question, abort=True)
