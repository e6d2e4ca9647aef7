"""``harness figure labels``: scores per label."""

from __future__ import annotations

from pathlib import Path

import click

from harness.boards.selecting import Wanted
from harness.cli.figures.common import (
    chosen_rows,
    emit_written,
    figure_options,
    protocol_part,
    read_records,
    with_ceiling,
)
from harness.cli.render import examples
from harness.figures.labels import METRICS, draw, label_figure
from harness.records.record import COMPLETE


@click.command(
    epilog=examples(
        "harness figure labels ramer carat --dataset mosi",
        "harness figure labels ramer --dataset mosei-aligned-twin --metric ap --formats pdf",
        "harness figure labels ramer --dataset mosi --protocol drop-t@1",
    ),
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--dataset", required=True, help="Data set (or twin) of the runs.")
@click.option("--metric", type=click.Choice(METRICS), default="f1", show_default=True)
@click.option("--protocol", default=COMPLETE, show_default=True, help="Dropout protocol scored.")
@click.option("--train-dropout", default=None, help="Protocol trained under (default: full@1).")
@click.option("--mask", default=None, help="Mask option of the runs, where there are several.")
@figure_options
def command(
    models: tuple[str, ...],
    dataset: str,
    metric: str,
    protocol: str,
    train_dropout: str | None,
    mask: str | None,
    out: Path,
    formats: tuple[str, ...],
    records: Path | None,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Draw each MODEL's scores per label, with deviations over seeds and support.

    On twins the ceiling stands as a line over each label.
    """
    _, found = read_records(records)
    wanted = Wanted(dataset, protocol, train_dropout, mask)
    chosen = with_ceiling(chosen_rows(found, models, wanted, plugin), found, wanted, plugin)
    data = label_figure(chosen, {r.id: r for r in found}, metric)
    stem = out / f"{dataset}-labels-{metric}{protocol_part(protocol)}"
    emit_written(draw(data, stem, formats), as_json)
