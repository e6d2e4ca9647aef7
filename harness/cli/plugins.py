"""``harness plugins``: what was loaded, from where, and what is broken."""

from __future__ import annotations

from dataclasses import asdict

import click

from harness.cli.options import json_option, plugin_option
from harness.cli.render import emit_json, emit_table, examples
from harness.errors import RunFailedError
from harness.plugins import load


@click.command(epilog=examples("harness plugins", "harness plugins --plugin my_model.py --strict"))
@click.option("--strict", is_flag=True, help="End with exit code 1 where anything is broken.")
@plugin_option
@json_option
def command(strict: bool, plugin: tuple[str, ...], as_json: bool) -> None:
    """List plugins with their hooks, and what is broken with its reason.

    HARNESS_PLUGINS restricts installed plugins to a comma list of names (empty: none).
    """
    registry = load(plugin, strict=False)
    if as_json:
        emit_json(
            {
                "plugins": [asdict(p) for p in registry.plugins],
                "broken": [asdict(b) for b in registry.broken],
            }
        )
    else:
        rows = [(p.name, p.distribution, p.version, p.source, p.hooks) for p in registry.plugins]
        emit_table(["name", "distribution", "version", "source", "hooks"], rows)
        if registry.broken:
            click.secho("\nbroken", bold=True)
            lines = [(b.name, b.plugin, b.reason) for b in registry.broken]
            emit_table(["name", "plugin", "reason"], lines)
    if strict and registry.broken:
        names = ", ".join(dict.fromkeys(b.plugin for b in registry.broken))
        raise RunFailedError(f"broken plugins: {names}.")
