"""``harness figure training``: training curves."""

from __future__ import annotations

from pathlib import Path

import click

from harness.boards.selecting import Wanted
from harness.cli.figures.common import (
    chosen_rows,
    emit_written,
    figure_options,
    read_records,
    train_part,
)
from harness.cli.render import examples
from harness.figures.training import draw, training_figure


@click.command(
    epilog=examples(
        "harness figure training ramer carat --dataset mosei-aligned-twin",
        "harness figure training ramer:paper --dataset mosi --metric macro_f1",
        "harness figure training ramer --dataset mosi --train-dropout train-mix@1",
    ),
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--dataset", required=True, help="Data set (or twin) of the runs.")
@click.option(
    "--metric", default=None, metavar="NAME",
    help="Validation metric (default: the one epochs are selected by).",
)  # fmt: skip
@click.option("--train-dropout", default=None, help="Protocol trained under (default: full@1).")
@click.option("--mask", default=None, help="Mask option of the runs, where there are several.")
@figure_options
def command(
    models: tuple[str, ...],
    dataset: str,
    metric: str | None,
    train_dropout: str | None,
    mask: str | None,
    out: Path,
    formats: tuple[str, ...],
    records: Path | None,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Draw each MODEL's loss and validation metric per epoch, mean over seeds with a band.

    The epochs of the kept checkpoints are marked.
    """
    _, found = read_records(records)
    wanted = Wanted(dataset, train_dropout=train_dropout, mask=mask)
    chosen = chosen_rows(found, models, wanted, plugin)
    data = training_figure(chosen, {r.id: r for r in found}, metric)
    emit_written(
        draw(data, out / f"{dataset}-training{train_part(train_dropout)}", formats), as_json
    )
