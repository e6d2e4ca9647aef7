"""``harness score``: score predictions of other code by the same rules."""

from __future__ import annotations

import re
from pathlib import Path

import click

from harness.cli.options import (
    FILE,
    json_option,
    option,
    plugin_option,
    roots_options,
    wide_option,
    words,
)
from harness.cli.render import emit_json, emit_table, examples
from harness.errors import UsageError
from harness.plugins import Registry, load
from harness.records.record import RunRecord
from harness.records.store import RunStore


@click.command(
    epilog=examples(
        "harness score predictions.csv --dataset mosei-aligned",
        "harness score seed1.csv --dataset mosi --name my-model --seed 1 --threshold 0.3",
        "harness score all.csv --dataset mosi --name my-model --dropout core@1",
    ),
)
@click.argument("predictions", type=FILE)
@option("dataset", required=True)
@option("protocol")
@option("dropout", default=("full@1",), help="Dropout protocols and suites of the predictions.")
@click.option("--name", default=None, help="Name on the board (default: the file's).")
@option("seed", help="Training seed.")
@click.option(
    "--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True,
    help="Declared threshold of scores (multi-label).",
)  # fmt: skip
@option("real")
@option("twin_seed")
@plugin_option
@wide_option
@json_option
@roots_options
def command(
    predictions: Path,
    dataset: str,
    protocol: str | None,
    dropout: tuple[str, ...],
    name: str | None,
    seed: int,
    threshold: float,
    real: bool,
    twin_seed: int | None,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Score a CSV file with columns id and score:LABEL (0 to 1) or predicted:LABEL (0 or 1).

    Optional columns: split (test; with all of valid too, a threshold is tuned on it) and protocol.
    The record is marked external and stands in a section of its own.
    """
    registry = load(plugin)
    label = _checked(name or predictions.stem, registry)
    from harness.data.locate import find_store
    from harness.engine.external import read_submission, score
    from harness.protocols.dataset import check_protocol
    from harness.protocols.dropout import Traits, expand

    store = find_store(
        registry.dataset(dataset, protocol),
        real=real,
        seed=seed,
        twin_seed=twin_seed,
        announce=lambda text: click.echo(text, err=True),
    )
    check_protocol(protocol, store.spec)
    names = [name for text in dropout for name in words(text, "--dropout")]
    asked = expand(names, Traits.of(store.spec))
    submission = read_submission(predictions, store.spec, [p.id for p in asked])
    record = score(submission, store, RunStore(), asked, name=label, seed=seed, threshold=threshold)
    if as_json:
        emit_json(record.as_dict())
        return
    _emit(record)


def _checked(name: str, registry: Registry) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._+-]+", name):
        raise UsageError(f"name {name!r}: use letters, digits and . _ + - only (--name).")
    if name in registry.models:
        raise UsageError(
            f"{name!r} is a model of the harness; external predictions need a name of their own "
            "(--name)."
        )
    return name


def _emit(record: RunRecord) -> None:
    from harness.protocols.metrics import columns

    first = next(iter(record.metrics.values()))["test"]["declared"]
    shown = [n for n in columns(record.dataset["label_kind"]) if n in first]
    rows = []
    for protocol, by_split in record.metrics.items():
        for at in ("declared", "tuned"):
            found = by_split["test"][at]
            if found is not None:
                figures = [f"{found[n]:.4f}" for n in shown]
                rows.append([protocol, at, record.threshold[at], *figures])
    emit_table(["protocol", "threshold", "at", *shown], rows)
    click.echo(
        f"\n{record.id}: external, scored on {record.dataset['id']}, {record.dataset['source']} "
        "data. 'harness leaderboard' shows it in a section of its own."
    )
