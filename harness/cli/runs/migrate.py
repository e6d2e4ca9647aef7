"""``harness runs migrate``: rewrite records of an earlier schema in place."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import FOLDER, json_option, roots_options, there
from harness.cli.render import emit_json, examples
from harness.errors import RunFailedError
from harness.paths import runs_dir
from harness.records.migrate import migrate


@click.command(
    epilog=examples("harness runs migrate", "harness runs migrate leaderboards/records"),
)
@click.argument("path", type=FOLDER, callback=there, required=False, default=None)
@json_option
@roots_options
def command(path: Path | None, as_json: bool) -> None:
    """Rewrite the records under PATH in today's schema (default: HOME/runs).

    PATH is a folder of runs or of committed records. Records are read in any case; rewriting them
    spares the conversion and lets other tools rely on one schema.
    """
    found = migrate(path or runs_dir())
    if as_json:
        emit_json(
            {
                "rewritten": [str(p) for p in found.rewritten],
                "current": len(found.current),
                "broken": [{"path": str(b.path), "reason": b.reason} for b in found.broken],
            }
        )
    else:
        click.echo(
            f"{len(found.rewritten)} records rewritten, {len(found.current)} as they should be."
        )
        for record in found.broken:
            click.echo(f"left as it is: {record.reason}", err=True)
    if found.broken:
        raise RunFailedError(f"{len(found.broken)} records could not be read.")
