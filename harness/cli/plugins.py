"""``harness plugins``: what was loaded, from where, and what is broken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click

from harness.cli.options import json_option, plugin_option, wide_option
from harness.cli.render import emit_json, emit_table, examples
from harness.errors import PluginError, RunFailedError
from harness.plugins import Broken, Registry, load
from harness.plugins.cards import read_content
from harness.specs import SEARCH


@click.command(epilog=examples("harness plugins", "harness plugins --plugin my-model --strict"))
@click.option("--strict", is_flag=True, help="End with exit code 1 where anything is broken.")
@plugin_option
@wide_option
@json_option
def command(strict: bool, plugin: tuple[str, ...], as_json: bool) -> None:
    """List plugins with their hooks, what searches chose for models, and what is broken.

    HARNESS_PLUGINS restricts installed plugins to a comma list of names (empty: none).
    """
    registry = load(plugin, strict=False)
    chosen, unread = searches(registry)
    broken = [*registry.broken, *unread]
    if as_json:
        emit_json(
            {
                "plugins": [asdict(p) for p in registry.plugins],
                "broken": [asdict(b) for b in broken],
                "searches": chosen,
            }
        )
    else:
        rows = [(p.name, p.distribution, p.version, p.source, p.hooks) for p in registry.plugins]
        emit_table(["name", "distribution", "version", "source", "hooks"], rows)
        if chosen:
            click.secho("\nsearches (harness tune)", bold=True)
            keys = ("model", "layout", "data", "steps", "trials", "score", "date")
            emit_table(keys, [[str(one[key]) for key in keys] for one in chosen])
        if broken:
            click.secho("\nbroken", bold=True)
            lines = [(b.name, b.plugin, b.reason) for b in broken]
            emit_table(["name", "plugin", "reason"], lines)
    if strict and broken:
        names = ", ".join(dict.fromkeys(b.plugin for b in broken))
        raise RunFailedError(f"broken plugins: {names}.")


def searches(registry: Registry) -> tuple[list[dict[str, Any]], list[Broken]]:
    """Return what searches chose, a mapping a model and layout of data, and cards with faults."""
    rows: list[dict[str, Any]] = []
    broken = []
    for name, entry in registry.models.items():
        try:
            card = read_content(entry.spec.defaults) if entry.spec.defaults else {}
            rows += _searches_of(name, card)
        except PluginError as error:
            broken.append(Broken(name, entry.plugin, str(error)))
        except (KeyError, TypeError, AttributeError) as error:
            reason = f"{entry.spec.defaults}: {SEARCH} is not as harness tune writes it: {error!r}"
            broken.append(Broken(name, entry.plugin, reason))
    return rows, broken


def _searches_of(name: str, card: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for layout, found in (card.get(SEARCH) or {}).items():
        about = {"model": name, "layout": layout, "data": found["data"]["name"]}
        about |= {key: found[key] for key in ("steps", "score", "date", "values")}
        rows.append(about | {"trials": len(found["trials"])})
    return rows
