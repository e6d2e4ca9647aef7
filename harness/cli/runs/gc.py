"""``harness runs gc``: remove what nothing refers to."""

from __future__ import annotations

import click

from harness.cli.options import json_option, plugin_option, roots_options, wide_option
from harness.cli.render import emit_json, emit_table, examples
from harness.cli.runs.chosen import agree, yes_option
from harness.housekeeping.garbage import DEFAULT_AGE, find_garbage, remove_garbage
from harness.housekeeping.inventory import bytes_text, seconds_of
from harness.plugins import load
from harness.records.store import RunStore


@click.command(
    epilog=examples(
        "harness runs gc --dry-run",
        "harness runs gc --older-than 2d --yes",
    )
)
@click.option(
    "--older-than", metavar="AGE", default=DEFAULT_AGE, show_default=True,
    help="Only what was last written to before this age: 12h, 14d, 2w.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@yes_option
@plugin_option
@wide_option
@json_option
@roots_options
def command(
    older_than: str, dry_run: bool, yes: bool, plugin: tuple[str, ...], as_json: bool
) -> None:
    """Remove what nothing under the home refers to.

    That is: files that ended processes left behind; states of trainings that nobody went on with;
    leases of runs that are gone; stores that no run refers to and that can be made again (twins,
    and real data whose authors' files are here). No record, prediction or checkpoint is removed,
    and nothing that is in use.
    """
    store = RunStore()
    found = find_garbage(store, load(plugin), seconds_of(older_than))
    garbage, kept = found.garbage, found.kept
    if not as_json and garbage:
        emit_table(
            ("what", "size", "why", "path"),
            [(g.kind, bytes_text(g.bytes), g.why, g.path) for g in garbage],
        )
    size = sum(g.bytes for g in garbage)
    if garbage and not dry_run:
        agree(f"Remove these {len(garbage)} ({bytes_text(size)})?", yes, as_json)
        garbage, in_use = remove_garbage(store, garbage)
        kept = [*kept, *in_use]
        size = sum(g.bytes for g in garbage)
    if as_json:
        emit_json(
            {"dry_run": dry_run, "removed": [g.as_dict() for g in garbage], "bytes": size,
             "kept": kept}
        )  # fmt: skip
        return
    for sentence in kept:
        click.echo(sentence, err=True)
    would = "would be " if dry_run else ""
    click.echo(f"{len(garbage)} files and folders, {size} bytes ({bytes_text(size)}), "
               f"{would}removed.")  # fmt: skip
