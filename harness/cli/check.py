"""``harness check``: what is odd about a data set that no loader notices."""

from __future__ import annotations

from dataclasses import asdict

import click

from harness.cli.options import json_option, option, plugin_option, roots_options
from harness.cli.render import emit_json, examples
from harness.errors import RunFailedError
from harness.plugins import load


@click.command(
    name="check",
    epilog=examples("harness check --dataset mosi", "harness check --dataset emotify --json"),
)
@option("dataset", required=True)
@option("twin_seed")
@plugin_option
@roots_options
@json_option
def command(dataset: str, twin_seed: int | None, plugin: tuple[str, ...], as_json: bool) -> None:
    """Look for wrong pairings, copies, constants, leaks; ends with 1 if results are in doubt.

    A ridge regression from features to labels is fitted to the stated pairing of rows and to those
    that public data sets got wrong: rows late or early, the order of a file listing.
    """
    from harness.data.locate import find_store
    from harness.data.soundness import findings

    spec = load(plugin).dataset(dataset)
    store = find_store(spec, twin_seed=twin_seed, announce=lambda text: click.echo(text, err=True))
    found = findings(store)
    if as_json:
        emit_json(
            {
                "dataset": store.spec.name,
                "content_hash": store.content_hash,
                "findings": [asdict(finding) for finding in found],
            }
        )
    else:
        for finding in found:
            note = "" if finding.harmful else " (a note)"
            click.echo(f"{finding.check}{note}: {finding.text}")
        if not found:
            click.echo(f"{store.spec.name}: nothing odd was found")
    harmful = sum(finding.harmful for finding in found)
    if harmful:
        raise RunFailedError(
            f"{store.spec.name}: {harmful} findings put results in doubt; see above"
        )
