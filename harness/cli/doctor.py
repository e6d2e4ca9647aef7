"""``harness doctor``: is everything there that a run needs, and how is it mended?"""

from __future__ import annotations

from dataclasses import asdict

import click

from harness.cli.options import json_option, plugin_option, roots_options
from harness.cli.render import emit_json, emit_table, examples
from harness.errors import RunFailedError
from harness.plugins import load


@click.command(epilog=examples("harness doctor", "harness doctor --json"))
@plugin_option
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
        for check in mended:
            click.echo(f"  {check.state:<4}  {check.what}: {check.fix}")
    failed = [c.what for c in checks if c.state == "FAIL"]
    if failed:
        raise RunFailedError(f"not in order: {', '.join(failed)}.")
