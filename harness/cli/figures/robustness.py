"""``harness figure robustness``: scores as modalities fail."""

from __future__ import annotations

from pathlib import Path

import click

from harness.boards.collect import board_name
from harness.cli.figures.common import (
    emit_written,
    figure_options,
    protocol_part,
    read_records,
)
from harness.cli.render import examples
from harness.figures.robust_rows import SUITE_NAMES, Asked, robust_rows
from harness.figures.robustness import draw
from harness.records.record import COMPLETE


@click.command(
    epilog=examples(
        "harness figure robustness ramer carat --dataset mosei-aligned-twin",
        "harness figure robustness ramer --dataset mosi --suite noise@1 --metric macro_f1",
        "harness figure robustness ramer --dataset mosi --train-dropout train-mix@1",
    ),
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--dataset", required=True, help="Data set (or twin) of the runs.")
@click.option("--metric", default="micro_f1", show_default=True, metavar="NAME")
@click.option("--suite", type=click.Choice(SUITE_NAMES), default="core@1", show_default=True)
@click.option("--train-dropout", default=None, help="Protocol trained under (default: full@1).")
@click.option("--mask", default=None, help="Mask option of the runs, where there are several.")
@figure_options
def command(
    models: tuple[str, ...],
    dataset: str,
    metric: str,
    suite: str,
    train_dropout: str | None,
    mask: str | None,
    out: Path,
    formats: tuple[str, ...],
    records: Path | None,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Draw each MODEL's metric against the realised missing rate, and per pattern.

    On twins the ceiling under the same masks stands beside them. Runs get these scores from
    'harness run --dropout core@1' (or another suite).
    """
    _, found = read_records(records)
    track = train_dropout or COMPLETE
    asked = Asked(dataset, suite, metric, track, mask)
    table = robust_rows(found, list(dict.fromkeys(models)), asked)
    source = next(str(r.dataset["source"]) for r in found if board_name(r) == dataset)
    name = suite.partition("@")[0]
    stem = out / f"{dataset}-robustness-{name}-{metric}{protocol_part(track)}"
    emit_written(draw(table, source, stem, formats), as_json)
