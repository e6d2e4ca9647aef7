"""``harness doctor``: is everything there that a run needs, and how is it mended?"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from harness.cli.options import json_option, plugin_option, roots_options, wide_option
from harness.cli.render import emit_json, emit_table, examples, table_width
from harness.errors import RunFailedError
from harness.plugins import load

if TYPE_CHECKING:
    from harness.housekeeping.installation import Check


@click.command(epilog=examples("harness doctor", "harness doctor --json"))
@plugin_option
@wide_option
@json_option
@roots_options
def command(plugin: tuple[str, ...], as_json: bool) -> None:
    """Check Python, packages, devices, roots, data sets and plugins; say how to mend them.

    FAIL is what keeps a run from working, a note is what not every run needs. Ends with exit code
    1 where something failed.
    """
    from harness.housekeeping.installation import installation
    from harness.housekeeping.readiness import readiness

    checks = [*installation(), *readiness(load(plugin, strict=False))]
    if as_json:
        emit_json([asdict(check) for check in checks])
    else:
        emit_table(["", "what", "found"], [[c.state, c.what, c.found] for c in checks])
        mended = [c for c in checks if c.fix]
        if mended:
            click.echo("\nTo mend:")
        for line in _mending(mended):
            click.echo(line)
    failed = [c.what for c in checks if c.state == "FAIL"]
    if not failed and not as_json:
        click.echo("\nIn order: all that every run needs is there.")
    if failed:
        raise RunFailedError(f"not in order: {', '.join(failed)}.")


def _mending(checks: Iterable[Check]) -> Iterator[str]:
    """Yield how to mend what was found, a fix once, with the names of all that it mends."""
    mends: dict[tuple[str, str], list[str]] = {}
    for check in checks:
        mends.setdefault((check.state, check.fix), []).append(check.what)
    for (state, fix), names in mends.items():
        kinds = {name.rpartition(" ")[0] for name in names}
        if len(names) > 1 and len(kinds) == 1 and (kind := kinds.pop()):
            names = [f"{kind}s {', '.join(name.rpartition(' ')[2] for name in names)}"]
        line = f"  {state:<4}  {', '.join(names)}: {fix}"
        yield textwrap.fill(
            line, table_width() or len(line), subsequent_indent=" " * 8,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
