"""``harness new``: the project of a plugin that works at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click

from harness.cli.options import FOLDER, plugin_option
from harness.cli.render import examples
from harness.plugins import Registry, load
from harness.scaffold import KINDS


@click.command(
    name="new",
    epilog=examples(
        "harness new model my-model",
        "harness new dataset my-data",
        "harness new dataset my-data --from arrays",
        "harness new metric my-metric",
        "harness new dropout my-dropout",
        "harness new figure my-figure",
    ),
)
@click.argument("kind", type=click.Choice([*KINDS]))
@click.argument("name")
@click.option(
    "--from", "source", type=FOLDER, metavar="FOLDER",
    help="Make the data set of a folder of arrays (npz, csv or parquet), without a reader.",
)  # fmt: skip
@click.option(
    "--into", type=FOLDER, default=Path(), metavar="DIR",
    help="Folder that the project's folder NAME is made in (default: the current one).",
)  # fmt: skip
@plugin_option
def command(kind: str, name: str, source: Path | None, into: Path, plugin: tuple[str, ...]) -> None:
    """Write a project of KIND called NAME: package, entry point and test, all working.

    A model is a small transformer, a data set a generated sample, a metric, a family of dropout
    protocols and a kind of figure an example of each, to be changed.

    A folder of arrays holds either npz archives (ids, groups, labels, label_names, an array a
    modality) or tables (samples.csv with id, group and a column a label, and a table a modality).
    """
    from harness.scaffold import named, trial, write

    target = into / name
    names = named(name, _taken(kind, load(plugin)))
    files, card = write(kind, names, target, source)
    click.echo(f"{target}: {', '.join(files)}")
    for line in card.lines if card else ():
        click.echo(line)
    lines = [*trial(kind, names, target)]
    if card and card.repair:  # refused without it
        lines.insert(0, f"harness data prepare --plugin {target} {name} --repair")
    click.echo("\n  ".join(("\nTry it:", *lines)))
    click.echo(f"\nSee {target / 'README.md'}.")


def _taken(kind: str, registry: Registry) -> set[str]:
    held: dict[str, Callable[[], Iterable[str]]] = {
        "model": lambda: registry.models,
        "dataset": lambda: registry.datasets,
        "metric": _metrics,
        "dropout": _dropouts,
        "figure": lambda: registry.figures,
    }
    return {*held[kind](), *(p.name for p in registry.plugins)}


def _metrics() -> Iterable[str]:
    from harness.protocols.metrics import METRICS

    return METRICS


def _dropouts() -> Iterable[str]:
    from harness.protocols.dropout.protocol import FAMILIES
    from harness.protocols.suites import SUITES

    return {*FAMILIES, *SUITES}
