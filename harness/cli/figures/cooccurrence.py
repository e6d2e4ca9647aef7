"""``harness figure cooccurrence``: which labels occur together."""

from __future__ import annotations

from pathlib import Path

import click

from harness.boards.entrants import entrant, reader
from harness.boards.selecting import Wanted
from harness.cli.figures.common import (
    chosen_rows,
    emit_written,
    figure_options,
    read_records,
)
from harness.cli.render import examples
from harness.figures.cooccurrence import draw, model_figure, truth_figure, truth_record


@click.command(
    epilog=examples(
        "harness figure cooccurrence --dataset mosi",
        "harness figure cooccurrence ramer --dataset mosei-aligned-twin",
        "harness figure cooccurrence ramer --dataset mosi --records leaderboards/records",
    ),
)
@click.argument("model", required=False, metavar="[MODEL]")
@click.option("--dataset", required=True, help="Data set (or twin) of the runs.")
@click.option("--train-dropout", default=None, help="Protocol trained under (default: full@1).")
@click.option("--mask", default=None, help="Mask option of the runs, where there are several.")
@figure_options
def command(
    model: str | None,
    dataset: str,
    train_dropout: str | None,
    mask: str | None,
    out: Path,
    formats: tuple[str, ...],
    records: Path | None,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Draw P(label j | label i) of the test truth; with a MODEL also predicted minus true.

    The truth comes from stored predictions of the data set's runs.
    """
    store, found = read_records(records)
    read = reader(store)
    if model is None:
        data = truth_figure(truth_record(found, dataset), read)
        stem = out / f"{dataset}-cooccurrence"
    else:
        by_id = {r.id: r for r in found}
        wanted = Wanted(dataset, train_dropout=train_dropout, mask=mask)
        (chosen,) = chosen_rows(found, [model], wanted, plugin)
        one = entrant(chosen.row, chosen.key, by_id, read, name=chosen.name)
        data = model_figure(one, chosen.row.setting, by_id[chosen.row.runs[0]])
        stem = out / f"{dataset}-cooccurrence-{model.replace(':', '-').replace(' ', '-')}"
    emit_written(draw(data, stem, formats), as_json)
