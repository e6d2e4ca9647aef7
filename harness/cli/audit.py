"""``harness audit``: what cannot be right in published tables, and what public code does."""

from __future__ import annotations

from pathlib import Path

import click

from harness.boards.audit import audit
from harness.boards.deviations import deviations_by_plugins, read_deviations
from harness.boards.render.console import console
from harness.boards.render.markdown import markdown
from harness.boards.reported import read_reported, reported_by_plugins
from harness.boards.views.audit import as_json as audited
from harness.boards.views.audit import view
from harness.cli.options import FILE, json_option, option, plugin_option, wide_option
from harness.cli.render import emit_json, examples, table_width
from harness.errors import DataMissingError
from harness.paths import atomic_write_text
from harness.plugins import load


@click.command(epilog=examples("harness audit", "harness audit --write docs/audit.md"))
@option("published")
@click.option(
    "--deviations", type=FILE, default=None,
    help="Facts about them and their code (default: those of plugins).",
)  # fmt: skip
@click.option("--write", "page", type=FILE, default=None, help="Write the page instead.")
@plugin_option
@wide_option
@json_option
def command(
    published: Path | None,
    deviations: Path | None,
    page: Path | None,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print what contradicts published figures, row by row, and how their public code departs.

    Arithmetic first, then what the public code does differently from the protocols here, with the
    switch that reproduces it.
    """
    registry = load(plugin)
    tables = read_reported(published) if published else reported_by_plugins(registry)
    known = read_deviations(deviations) if deviations else deviations_by_plugins(registry)
    if not tables:
        raise DataMissingError("no plugin brings published figures; name a file with --published.")
    findings = audit(tables, known)
    shown = view(tables, known, findings)
    if page is not None:
        atomic_write_text(page, markdown(shown))
    if as_json:
        emit_json(audited(tables, known, findings))
    elif page is not None:
        click.echo(page)
    else:
        rows = sum(len(table.rows) for table in tables.values())
        click.echo(
            f"{console(shown, table_width())}\n{len(findings)} contradictions in {rows} rows."
        )
