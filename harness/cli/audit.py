"""``harness audit``: what cannot be right in published tables, and what public code does."""

from __future__ import annotations

from pathlib import Path

import click

from harness.boards.audit import audit
from harness.boards.deviations import deviations_by_plugins, read_deviations
from harness.boards.render.markdown import markdown
from harness.boards.reported import read_reported, reported_by_plugins
from harness.boards.views.audit import lines, rows, view
from harness.cli.render import FILE, emit_json, examples, json_option, plugin_option
from harness.errors import DataMissingError
from harness.paths import atomic_write_text
from harness.plugins import load


@click.command(epilog=examples("harness audit", "harness audit --write docs/audit.md"))
@click.option(
    "--published", type=FILE, default=None, help="Reported figures (default: those of plugins)."
)
@click.option(
    "--deviations", type=FILE, default=None,
    help="Facts about them and their code (default: those of plugins).",
)  # fmt: skip
@click.option("--write", "page", type=FILE, default=None, help="Write the page instead.")
@plugin_option
@json_option
def command(
    published: Path | None,
    deviations: Path | None,
    page: Path | None,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print, row by row, what contradicts published figures and how their code departs.

    Lines with ! are arithmetic, lines with - what the public code does differently from the
    protocols here, with the switch that reproduces it.
    """
    registry = load(plugin)
    tables = read_reported(published) if published else reported_by_plugins(registry)
    known = read_deviations(deviations) if deviations else deviations_by_plugins(registry)
    if not tables:
        raise DataMissingError("no plugin brings published figures; name a file with --published.")
    findings = audit(tables, known)
    audited = rows(tables, known, findings)
    if page is not None:
        atomic_write_text(page, markdown(view(tables, known, findings)))
    if as_json:
        emit_json([row.as_json() for row in audited])
    elif page is not None:
        click.echo(page)
    else:
        for line in lines(audited):
            click.echo(line)
        click.echo(f"\n{len(findings)} contradictions in {len(audited)} rows.")
