"""``harness export``: a data set or a run in a format that others read."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.options import FILE, plugin_option, roots_options
from harness.cli.render import examples
from harness.paths import atomic_write_text
from harness.plugins import Registry, load

CROISSANT, MODEL_CARD = "croissant", "model-card"


@click.command(
    epilog=examples(
        "harness export mosi --format croissant --to mosi.croissant.json",
        "harness export mosei-aligned-twin --format croissant",
        "harness export ramer-mosi-s0-0123456789ab --format model-card --to README.md",
    )
)
@click.argument("name")
@click.option(
    "--format", "kind", type=click.Choice((CROISSANT, MODEL_CARD)), required=True,
    help="croissant: JSON-LD of a data set's card. model-card: Hugging Face's, of a run's "
    "checkpoint.",
)  # fmt: skip
@click.option(
    "--to", type=FILE, metavar="FILE", default=None, help="File to write (default: print it)."
)
@plugin_option
@roots_options
def command(name: str, kind: str, to: Path | None, plugin: tuple[str, ...]) -> None:
    """Write what is known of NAME, a data set or a run, in an exchange format.

    A run is an id, or a folder that 'harness runs export' wrote.
    """
    registry = load(plugin)
    text = _croissant(name, registry) if kind == CROISSANT else _model_card(name, registry)
    if to is None:
        click.echo(text, nl=False)
        return
    atomic_write_text(to, text)
    click.echo(f"{name}: {kind} in {to}")


def _croissant(name: str, registry: Registry) -> str:
    from harness.data.locate import corpus_of
    from harness.exchange.croissant import croissant

    document = croissant(corpus_of(registry.dataset(name)))
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _model_card(name: str, registry: Registry) -> str:
    from harness.cli.runs.chosen import located
    from harness.errors import DataMissingError
    from harness.exchange.model_card import model_card

    store, run, moved = located(name)
    record = store.find(run, moved=moved)
    if record is None:
        raise DataMissingError(f"{name}: there is no record of a finished run.")
    return model_card(record, registry)
