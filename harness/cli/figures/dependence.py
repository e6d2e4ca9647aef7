"""``harness figure dependence``: which modality a label is taken from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

from harness.boards.selecting import Wanted
from harness.cli.figures.common import emit_written, figure_options, read_records
from harness.cli.figures.trained import (
    TrainedRun,
    open_data,
    open_trained,
    rows_by_seed,
    runs_only,
)
from harness.cli.render import emit_table, examples
from harness.errors import UsageError
from harness.figures.dependence import (
    CONTRAST,
    SAMPLES,
    Matrix,
    Reading,
    occlusion_readings,
    readings_of,
    winner_readings,
)
from harness.figures.dependence_drawing import (
    AGREEMENTS,
    DependenceFigure,
    agreement_rows,
    draw,
)
from harness.plugins import load
from harness.records.record import COMPLETE

if TYPE_CHECKING:
    from harness.data.store import Store

WINNER, OCCLUSION, BOTH = "winner", "occlusion", "both"
# How models name the index [N, L] of the modality that won a maximum over modalities.
_WINNERS = ("winner_", "winning_")


@click.command(
    epilog=examples(
        "harness figure dependence --model ramer --dataset mosei-aligned-twin",
        "harness figure dependence --model tailor --dataset mosi --by occlusion",
        "harness figure dependence --model ramer --dataset m3ed-twin --by winner --samples present",
    ),
)
@click.option("--model", required=True, help="Model with trained runs, or model:setting.")
@click.option("--dataset", required=True, help="Data set (or twin) of the runs.")
@click.option(
    "--by", type=click.Choice((BOTH, WINNER, OCCLUSION)), default=None,
    help="What is read (default: both, or occlusion where the model names no winner).",
)  # fmt: skip
@click.option(
    "--samples", type=click.Choice(SAMPLES), default=CONTRAST, show_default=True,
    help="Drawn of winners: share with the label minus share without, with it, or over all.",
)  # fmt: skip
@click.option("--split", default="test", show_default=True)
@click.option("--train-dropout", default=None, help="Protocol trained under (default: full@1).")
@click.option("--mask", default=None, help="Mask option of the runs, where there are several.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@figure_options
def command(
    model: str,
    dataset: str,
    by: str | None,
    samples: str,
    split: str,
    train_dropout: str | None,
    mask: str | None,
    device: str,
    out: Path,
    formats: tuple[str, ...],
    records: Path | None,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Draw which modality a model takes each label from; on twins beside the planted truth.

    Winners are the modalities that give the score where a model takes a maximum over them.
    Occlusion is what a label loses when a modality is dropped; any model has it. The mean over the
    model's seeds is drawn; every reading is in the CSV files and, on twins, its rank correlation
    with the truth is printed.
    """
    store, found = read_records(records)
    runs = runs_only(store)
    registry = load(plugin)
    chosen = rows_by_seed(found, model, Wanted(dataset, COMPLETE, train_dropout, mask), plugin)
    data = open_data(dataset, registry)
    trained = [open_trained(r, runs.folder(r.id), data, registry, device, split) for r in chosen]
    readings = _readings(trained, by, model)
    known, attainable = _known(data, trained[0].view.split, split)
    figure = DependenceFigure(
        model=model,
        dataset=dataset,
        source=data.spec.source,
        split=split,
        seeds=tuple(r.seed for r in chosen),
        labels=data.spec.labels,
        modalities=data.spec.modality_names,
        support=tuple(int(n) for n in trained[0].truth.sum(axis=0)),
        readings=(*readings, *attainable),
        known=known,
    )
    shown = [r for r in readings if r.quantity in (samples, "ap")]
    stem = out / f"{dataset}-dependence-{model.replace(':', '-').replace(' ', '-')}"
    written = draw(figure, shown, stem, formats)
    table = [dict(zip(AGREEMENTS, row, strict=True)) for row in agreement_rows(figure)]
    if known and not as_json:
        _print(table, next(iter(known)))
    emit_written(written, as_json, seeds=list(figure.seeds), agreement=table)


def _readings(trained: Sequence[TrainedRun], by: str | None, model: str) -> list[Reading]:
    winners: list[dict[str, NDArray[Any]]] = []
    names: list[str] = []
    if by != OCCLUSION:
        for run in trained:
            tensors, names = run.analysis(lambda name: name.startswith(_WINNERS))
            winners.append(tensors)
        if not winners[0] and by is not None:
            gives = ", ".join(names) or "nothing"
            raise UsageError(
                f"{model!r} names no winning modality (its analysis gives: {gives}); "
                "use --by occlusion, which any model has."
            )
    found: list[Reading] = []
    for name in winners[0] if winners else ():
        count = len(trained[0].view.spec.modalities)
        each = [
            winner_readings(tensors[name], run.truth, count)
            for run, tensors in zip(trained, winners, strict=True)
        ]
        found += readings_of(name, each)
    if by != WINNER:
        found += readings_of(OCCLUSION, [_occluded(run) for run in trained])
    return found


def _occluded(run: TrainedRun) -> dict[str, Matrix]:
    dropped = [run.scores(f"drop-{m.key}@1") for m in run.view.spec.modalities]
    return occlusion_readings(run.scores(COMPLETE), dropped, run.truth)


def _known(data: Store, split: Any, name: str) -> tuple[dict[str, Matrix], list[Reading]]:
    """Return a twin's planted dependence, and the exact posterior's occlusion as readings."""
    from harness.data.loader import mask_request
    from harness.data.locate import corpus_of
    from harness.protocols.dropout import parse

    corpus = corpus_of(data.spec)
    planted = corpus.planted_dependence()
    if planted is None:
        return {}, []
    request, seed = mask_request(split, data.spec), int(data.card["twin"]["seed"])

    def posterior(protocol: str) -> NDArray[np.float64]:
        return corpus.ceiling_scores(split, parse(protocol).masks(request), seed)

    dropped = [posterior(f"drop-{m.key}@1") for m in data.spec.modalities]
    exact = occlusion_readings(posterior(COMPLETE), dropped, np.asarray(split.labels))
    found = readings_of("ceiling's occlusion", [exact])
    return {"planted": planted, "ceiling's loss of AP": exact["ap"]}, found


def _print(table: Sequence[dict[str, Any]], against: str) -> None:
    """Print the agreement with the first known dependence; the CSV file has the others."""
    heads = ("reading", "quantity", "rho", "interaction", "p rho", "p interaction", "strongest")
    rows = [
        [
            *(row["reading"], row["quantity"], f"{row['rho']:.2f}"),
            *(f"{row[k]:.2f}" for k in ("rho_interaction", "p", "p_interaction")),
            f"{row['strongest']}/{row['labels']}",
        ]
        for row in table
        if row["against"] == against
    ]
    click.echo(f"Rank correlation with the {against} dependence, one-sided p by exchanged labels")
    emit_table(heads, rows)
    click.echo()
