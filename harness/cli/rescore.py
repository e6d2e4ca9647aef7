"""``harness rescore``: recompute metrics from stored predictions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from harness.cli.options import json_option, option, plugin_option, roots_options, wide_option
from harness.cli.render import emit_json, emit_table, examples, runs_named
from harness.errors import DataFormatError, DataMissingError, HarnessError
from harness.plugins import load
from harness.records.record import RunRecord
from harness.records.store import RunStore


@click.command(
    epilog=examples("harness rescore", "harness rescore ramer-mosi-s0-0123456789ab --json")
)
@click.argument("runs", nargs=-1)
@option("records", help="Folder of runs (default: HOME/runs).")
@plugin_option
@wide_option
@json_option
@roots_options
def command(
    runs: tuple[str, ...], records: Path | None, plugin: tuple[str, ...], as_json: bool
) -> None:
    """Recompute every metric of RUNS (all where none is given) and report what changed.

    Nothing is trained; records are replaced atomically. Metrics that were registered since a run
    are added to its record. A run whose predictions are not what it wrote is named and left alone.
    """
    load(plugin)
    from harness.api import rescore

    store = RunStore(records)
    chosen = runs_named(store, runs)
    if not chosen:
        raise DataMissingError(f"no run records in {store.root}; make some with 'harness run'.")
    changes: list[dict[str, Any]] = []
    added: list[dict[str, Any]] = []
    done: list[str] = []
    failed: list[HarnessError] = []
    for before in chosen:
        try:
            after = rescore([before], store)[0]
        except (DataFormatError, DataMissingError) as error:
            failed.append(error)
            continue
        done.append(before.id)
        for change in _differences(before, after):
            (changes if "before" in change else added).append({"run": before.id, **change})
    if failed and not done:
        raise DataFormatError("\n  ".join(map(str, failed)))
    for fault in failed:
        click.echo(f"left out: {fault}", err=True)
    if as_json:
        emit_json({"runs": done, "changes": changes, "added": added})
        return
    if changes:
        heads = ["run", "figure", "before", "after"]
        emit_table(heads, [[c[h] for h in heads] for c in changes])
    new = f", {len(added)} of new metrics added" if added else ""
    click.echo(f"{len(done)} runs rescored, {len(changes)} figures changed{new}.")


def _differences(before: RunRecord, after: RunRecord) -> Iterator[dict[str, Any]]:
    from harness.engine.evaluate import leaves

    old = dict(leaves({"metrics": before.metrics, "threshold": before.threshold}))
    new = dict(leaves({"metrics": after.metrics, "threshold": after.threshold}))
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield {"figure": name, "after": new[name]}
        elif old[name] != new.get(name):
            yield {"figure": name, "before": old[name], "after": new.get(name)}
