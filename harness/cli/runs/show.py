"""``harness runs show``: one run in detail."""

from __future__ import annotations

from typing import Any

import click

from harness.boards.older import changes
from harness.cli.options import json_option, plugin_option, roots_options, wide_option
from harness.cli.render import emit_json, emit_table, examples
from harness.cli.runs.chosen import chosen
from harness.housekeeping.inventory import StoredRun, bytes_text, size_of
from harness.plugins import load
from harness.records.store import RunStore


@click.command(epilog=examples("harness runs show ramer-mosi-s0-0123456789ab --json"))
@click.argument("run")
@plugin_option
@wide_option
@json_option
@roots_options
def command(run: str, plugin: tuple[str, ...], as_json: bool) -> None:
    """Show what RUN was asked, how it ended, its figures, its files, and whether the code of its
    model or of the harness has changed since.
    """
    registry = load(plugin)
    (found,) = chosen(RunStore(), [run])
    older = [] if found.record is None else changes(registry)(found.record)
    files = {
        path.relative_to(found.folder).as_posix(): size_of(path)[0]
        for path in sorted(found.folder.rglob("*"))
        if path.is_file()
    }
    if as_json:
        record = None if found.record is None else found.record.as_dict()
        emit_json({**found.as_dict(), "older": older, "files": files, "record": record})
        return
    click.secho(found.id, bold=True)
    for name, value in _about(found, older):
        click.echo(f"  {name}: {value}")
    rows = list(_figures(found))
    if rows:
        click.echo()
        emit_table(("dropout", "split", "threshold", "micro_f1", "macro_f1", "micro_ap"), rows)
    click.echo()
    emit_table(("file", "size"), [(name, bytes_text(size)) for name, size in files.items()])


def _about(found: StoredRun, older: list[str]) -> list[tuple[str, str]]:
    r = found.record
    lines = [("state", found.state), ("folder", str(found.folder))]
    if found.holder is not None:
        silent = ", without a sign of life for the time of its lease" if found.holder.silent else ""
        lines.append(("held by", f"{found.holder}{silent}"))
    if found.reason:
        lines.append(("reason", found.reason))
    if found.resumable:
        lines.append(("resume state", "there; the same command goes on from its last epoch"))
    if r is None:
        return lines
    if r.status != "ok":
        lines.append(("failed", (r.failure or {}).get("reason", "unknown")))
    packages = r.provenance.get("packages") or {}
    lines += [
        ("command", r.command),
        ("made", f"{r.created}, {r.timings['epochs']} epochs, {r.timings['train_s'] or 0:.0f} s"),
        ("data", f"{r.dataset['id']}, content {r.dataset['content_hash'][:12]}, "
                 f"mask {r.dataset['mask']}"),
        ("model", f"{r.model['name']} {r.model['version']}, {r.parameters} parameters"),
        ("role", r.role),
        ("ran on", f"{r.device}, {r.provenance.get('processor') or 'processor not known'}, "
                   f"torch {packages.get('torch', 'not known')}"),
        ("code", "; ".join(older) or "as it is installed"),
        ("size", bytes_text(found.bytes)),
    ]  # fmt: skip
    return lines


def _figures(found: StoredRun) -> Any:
    for protocol, splits in (found.record.metrics if found.record else {}).items():
        for split, thresholds in splits.items():
            for threshold, figures in thresholds.items():
                shown = [(figures or {}).get(n) for n in ("micro_f1", "macro_f1", "micro_ap")]
                texts = ["" if v is None else f"{v:.4f}" for v in shown]
                yield (protocol, split, threshold, *texts)
