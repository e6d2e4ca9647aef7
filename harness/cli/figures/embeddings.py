"""``harness figure embeddings``: a model's embeddings in the plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from harness.boards.collect import ablated, board_name
from harness.boards.selecting import Wanted
from harness.cli.figures.common import emit_written, figure_options, read_records
from harness.cli.figures.trained import (
    TrainedRun,
    ablated_twin,
    open_data,
    open_trained,
    rows_by_seed,
    runs_only,
)
from harness.cli.render import emit_table, examples
from harness.errors import UnknownNameError, UsageError
from harness.figures.canvas import require
from harness.figures.embeddings import draw_points, label_axes, parts_of, project, separations
from harness.figures.embeddings_drawing import HEADS, EmbeddingFigure, Panel, draw, number_rows
from harness.plugins import load
from harness.records.record import COMPLETE, RunRecord
from harness.records.store import RunStore


@click.command(
    epilog=examples(
        "harness figure embeddings --model ramer --dataset mosei-aligned-twin --without w/o-adv",
        "harness figure embeddings --model ramer --dataset mosi --of X_gamma --without w/o-rec",
        "harness figure embeddings ramer-mosi-s0-0123456789ab --against ramer-mosi-s1-0123456789ab",
    ),
)
@click.argument("run", required=False)
@click.option("--against", default=None, metavar="RUN", help="A second run, drawn beside.")
@click.option("--model", default=None, help="Instead of RUN: a model with trained runs.")
@click.option("--dataset", default=None, help="With --model: data set (or twin) of the run.")
@click.option("--seed", type=int, default=0, show_default=True, help="With --model: its seed.")
@click.option(
    "--without", multiple=True, metavar="NAME",
    help="Draw beside: the same run with this ablation; repeatable.",
)  # fmt: skip
@click.option(
    "--of", "asked", default="specificity-commonality", show_default=True, metavar="NAME",
    help="A tensor of the model's analysis, or several of one shape joined by '-'.",
)  # fmt: skip
@click.option("--points", type=click.IntRange(min=5), default=2000, show_default=True)
@click.option("--tsne-seed", type=int, default=0, show_default=True)
@click.option("--split", default="test", show_default=True)
@click.option("--mask", default=None, help="Mask option of the runs, where there are several.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@figure_options
def command(
    run: str | None,
    against: str | None,
    model: str | None,
    dataset: str | None,
    seed: int,
    without: tuple[str, ...],
    asked: str,
    points: int,
    tsne_seed: int,
    split: str,
    mask: str | None,
    device: str,
    out: Path,
    formats: tuple[str, ...],
    records: Path | None,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Draw what RUN (or a model's run) makes of each modality, by t-SNE.

    Two tensors (specificity and commonality) are coloured by modality, one tensor by label. How
    well the points fall apart is measured too: silhouette, and accuracy of a linear probe.
    """
    require("sklearn", "cc")
    store, found = read_records(records)
    runs = runs_only(store)
    if (run is None) == (model is None) or (model is None) != (dataset is None):
        raise UsageError("give either RUN, or --model and --dataset.")
    if run is not None:
        first = _named(run, found)
    else:
        wanted = Wanted(str(dataset), COMPLETE, None, mask)
        first = _of_seed(rows_by_seed(found, str(model), wanted, plugin), seed)
    shown = [first, *(ablated_twin(found, first, name) for name in without)]
    if against is not None:
        shown.append(_named(against, found))
    figure = _figure(runs, shown, asked, points, tsne_seed, split, device, plugin)
    of = "-".join(figure.parts)
    stem = out / f"{figure.dataset}-embeddings-{figure.model}-{of}"
    written = draw(figure, stem, formats)
    rows = list(number_rows(figure))
    if not as_json:
        emit_table(HEADS, [[f"{v:.3f}" if isinstance(v, float) else v for v in r] for r in rows])
        click.echo()
    numbers = [dict(zip(HEADS, row, strict=True)) for row in rows]
    emit_written(written, as_json, separations=numbers)


def _figure(
    runs: RunStore,
    shown: Sequence[RunRecord],
    asked: str,
    count: int,
    tsne_seed: int,
    split: str,
    device: str,
    plugin: tuple[str, ...],
) -> EmbeddingFigure:
    names = {board_name(r) for r in shown}
    if len(names) > 1:
        raise UsageError(f"runs of different data sets ({', '.join(sorted(names))}): choose one.")
    registry = load(plugin)
    data = open_data(str(shown[0].dataset["name"]), registry)
    made = [
        _panel(
            open_trained(r, runs.folder(r.id), data, registry, device, split),
            asked,
            count,
            tsne_seed,
        )
        for r in shown
    ]
    return EmbeddingFigure(
        model=str(shown[0].model["name"]),
        dataset=data.spec.name,
        source=data.spec.source,
        split=split,
        parts=made[0][0],
        modalities=data.spec.modality_names,
        labels=data.spec.labels if made[0][1] else (),
        panels=tuple(panel for _, _, panel in made),
        tsne_seed=tsne_seed,
    )


def _panel(
    run: TrainedRun, asked: str, count: int, seed: int
) -> tuple[tuple[str, ...], bool, Panel]:
    """Return the names of the tensors, whether they have a label axis, and the panel."""
    words = {asked, *asked.split("-"), "available"}
    tensors, given = run.analysis(lambda name: name in words)
    parts = parts_of(asked, given)
    spec, view = run.view.spec, run.view
    shaped = [label_axes(tensors[n], len(spec.labels), len(spec.modalities)) for n in parts]
    available = tensors.get("available", view.split.natural)
    drawn = draw_points(
        shaped, run.truth, np.asarray(available, dtype=bool), view.split.groups, count, seed
    )
    record = run.record
    less = ", ".join(ablated(record))
    title = f"{record.model['name']}{f' {less}' if less else ''}, seed {record.seed}"
    panel = Panel(
        title, record.id, record.seed, drawn, project(drawn, seed),
        tuple(separations(drawn, parts)),
    )  # fmt: skip
    return parts, shaped[0].shape[1] > 1, panel


def _named(run: str, found: Sequence[RunRecord]) -> RunRecord:
    known = {r.id: r for r in found if r.status == "ok" and r.role == "model"}
    if run not in known:
        raise UnknownNameError("run", run, known)
    return known[run]


def _of_seed(runs: Sequence[RunRecord], seed: int) -> RunRecord:
    by_seed = {r.seed: r for r in runs}
    if seed not in by_seed:
        there = ", ".join(map(str, sorted(by_seed)))
        raise UsageError(f"no run with seed {seed}; there are seeds {there}.")
    return by_seed[seed]
