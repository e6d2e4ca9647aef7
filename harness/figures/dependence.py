"""Which modality a model takes each label from, as heat maps (figure 4 of Yang et al. 2025)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.figures.canvas import (
    DIVERGING,
    FORMATS,
    SEQUENTIAL,
    About,
    drawing,
    heat_map,
    save,
    seeds_text,
    write_numbers,
)
from harness.figures.dependence_readings import (
    ALL,
    CONTRAST,
    PRESENT,
    SAMPLES,
    Matrix,
    Reading,
    occlusion_readings,
    readings_of,
    winner_readings,
)
from harness.figures.request import FigureRequest, TrainedRun, name_part
from harness.records.record import COMPLETE
from harness.specs import FigureKind, FigureOption, FigureReport
from harness.statistics.agreement import Agreement, agreement

_MEANING = {
    "contrast": "wins, label present − absent",
    "present": "wins where label is present",
    "all": "wins over all samples",
    "ap": "loss of AP when dropped",
    "separation": "loss of separation when dropped",
}
_WIDEST = 3
WINNER, OCCLUSION, BOTH = "winner", "occlusion", "both"
# How models name the index [N, L] of the modality that won a maximum over modalities.
_WINNERS = ("winner_", "winning_")
NUMBERS = ("reading", "quantity", "label", "modality", "mean", "std", "n", "support")
AGREEMENTS = (
    *("reading", "quantity", "against", "rho", "rho_interaction", "p", "p_interaction"),
    *("strongest", "labels", "rho_by_seed", "rho_interaction_by_seed"),
)


@dataclass(frozen=True)
class DependenceFigure:
    """Readings of one model's runs on one data set; L labels, M modalities.

    ``drawn`` are the readings with a panel; the files have the numbers of all. ``support`` counts
    the samples with each label. ``known`` holds float64 [L, M] by name: what
    the readings are compared with (the planted dependence first); empty for real data.
    """

    model: str
    dataset: str
    source: str
    split: str
    seeds: tuple[int, ...]
    labels: tuple[str, ...]
    modalities: tuple[str, ...]
    support: tuple[int, ...]
    readings: tuple[Reading, ...]
    drawn: tuple[Reading, ...]
    known: Mapping[str, Matrix] = field(default_factory=dict)


def agreements(data: DependenceFigure) -> Iterator[tuple[Reading, str, Agreement]]:
    """Yield how each reading, over seeds, agrees with each known dependence."""
    for reading in data.readings:
        for name, known in data.known.items():
            yield reading, name, agreement(reading.mean, known)


def draw(data: DependenceFigure, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw the known dependences and the readings that are drawn; write the files and all numbers.

    ``<stem>.csv`` holds every cell, ``<stem>-agreement.csv`` (where something is known) the
    correlations. Raises as `harness.figures.canvas.save`.
    """
    panels: list[tuple[str, Matrix, bool]] = [
        (f"known: {name}\n", known, False) for name, known in data.known.items()
    ]
    panels += [(_title(data, r), r.mean, r.quantity not in (PRESENT, ALL)) for r in data.drawn]
    columns = min(len(panels), _WIDEST)
    rows = math.ceil(len(panels) / columns)
    each = 0.95 + 0.62 * len(data.modalities)
    tall = 0.75 + 0.27 * len(data.labels)
    with drawing(columns * each + 0.7, rows * tall) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for number, axes in enumerate(grid.flat):
            if number >= len(panels):
                axes.set_axis_off()
                continue
            title, values, signed = panels[number]
            top = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
            low, colours = (-top, DIVERGING) if signed else (0.0, SEQUENTIAL)
            heat_map(axes, values, low=low, high=top or 1.0, cmap=colours)
            axes.set_title(title, fontsize=8)
            axes.set_xticks(range(len(data.modalities)), data.modalities)
            first = number % columns == 0
            axes.set_yticks(range(len(data.labels)), data.labels if first else [])
        written = save(figure, stem, _about(data), formats)
    written.append(write_numbers(stem, NUMBERS, _numbers(data)))
    if data.known:
        beside = stem.with_name(f"{stem.name}-agreement")
        written.append(write_numbers(beside, AGREEMENTS, agreement_rows(data)))
    return written


def agreement_rows(data: DependenceFigure) -> Iterator[tuple[object, ...]]:
    """Yield the correlations as rows under `AGREEMENTS`."""
    for reading, against, found in agreements(data):
        each = [agreement(one, data.known[against]) for one in reading.values]
        yield (
            *(reading.source, reading.quantity, against, found.rho, found.rho_interaction),
            *(found.p, found.p_interaction, found.strongest, found.labels),
            " ".join(f"{one.rho:.3f}" for one in each),
            " ".join(f"{one.rho_interaction:.3f}" for one in each),
        )


def _title(data: DependenceFigure, reading: Reading) -> str:
    text = f"{reading.source}: {_MEANING[reading.quantity]}"
    if not data.known:
        return text
    found = agreement(reading.mean, next(iter(data.known.values())))
    return f"{text}\nρ {found.rho:.2f}, interaction {found.rho_interaction:.2f}".replace("-", "−")


def _about(data: DependenceFigure) -> About:
    notes = ["Each panel has its own colours; zero is the middle of those with both signs."]
    if data.known:
        first = next(iter(data.known))
        notes.append(
            f"ρ: Spearman's rank correlation with the {first} dependence over all cells; "
            "interaction: the same without the means of labels and modalities."
        )
    return About(
        f"Which modality {data.model} takes a label from, {data.dataset}", data.dataset,
        data.source, f"full@1 on {data.split}", seeds_text([data.seeds]), tuple(notes),
    )  # fmt: skip


def _numbers(data: DependenceFigure) -> Iterator[tuple[object, ...]]:
    for name, known in data.known.items():
        for i, label in enumerate(data.labels):
            for j, modality in enumerate(data.modalities):
                value = float(known[i, j])
                yield ("known", name, label, modality, value, None, None, data.support[i])
    for r in data.readings:
        count = len(r.values)
        spread = r.values.std(axis=0, ddof=1) if count > 1 else np.full(r.values[0].shape, math.nan)
        mean = r.mean
        for i, label in enumerate(data.labels):
            for j, modality in enumerate(data.modalities):
                yield (
                    *(r.source, r.quantity, label, modality, float(mean[i, j])),
                    *(float(spread[i, j]), count, data.support[i]),
                )


def _compute(asked: FigureRequest) -> DependenceFigure:
    (model,), split = asked.models, str(asked["split"])
    trained = [asked.trained(record) for record in asked.runs_of(model)]
    readings = _readings(trained, asked["by"], model)
    known, attainable = _known(trained[0])
    spec = trained[0].data.spec
    return DependenceFigure(
        model=model,
        dataset=str(asked["dataset"]),
        source=spec.source,
        split=split,
        seeds=tuple(run.record.seed for run in trained),
        labels=spec.labels,
        modalities=spec.modality_names,
        support=tuple(int(n) for n in trained[0].truth.sum(axis=0)),
        readings=(*readings, *attainable),
        drawn=tuple(r for r in readings if r.quantity in (asked["samples"], "ap")),
        known=known,
    )


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
        count = len(trained[0].data.spec.modalities)
        each = [
            winner_readings(tensors[name], run.truth, count)
            for run, tensors in zip(trained, winners, strict=True)
        ]
        found += readings_of(name, each)
    if by != WINNER:
        found += readings_of(OCCLUSION, [_occluded(run) for run in trained])
    return found


def _occluded(run: TrainedRun) -> dict[str, Matrix]:
    dropped = [run.scores(f"drop-{m.key}@1") for m in run.data.spec.modalities]
    return occlusion_readings(run.scores(COMPLETE), dropped, run.truth)


def _known(run: TrainedRun) -> tuple[dict[str, Matrix], list[Reading]]:
    """Return a twin's planted dependence, and the exact posterior's occlusion as readings."""
    from harness.data.locate import corpus_of
    from harness.protocols.dropout import parse

    data, split = run.data, run.split
    corpus = corpus_of(data.spec)
    planted = corpus.planted_dependence()
    if planted is None:
        return {}, []
    request, seed = split.mask_request(), int(data.card["twin"]["seed"])

    def posterior(protocol: str) -> NDArray[np.float64]:
        return corpus.ceiling_scores(split, parse(protocol).masks(request), seed)

    dropped = [posterior(f"drop-{m.key}@1") for m in data.spec.modalities]
    exact = occlusion_readings(posterior(COMPLETE), dropped, np.asarray(split.labels))
    found = readings_of("ceiling's occlusion", [exact])
    return {"planted": planted, "ceiling's loss of AP": exact["ap"]}, found


def _report(data: DependenceFigure) -> FigureReport:
    """Return the agreement with the first known dependence; the CSV file has the others."""
    table: list[dict[str, Any]] = [
        dict(zip(AGREEMENTS, row, strict=True)) for row in agreement_rows(data)
    ]
    against = next(iter(data.known), "")
    rows = [
        (
            *(row["reading"], row["quantity"], f"{row['rho']:.2f}"),
            *(f"{row[k]:.2f}" for k in ("rho_interaction", "p", "p_interaction")),
            f"{row['strongest']}/{row['labels']}",
        )
        for row in table
        if row["against"] == against
    ]
    return FigureReport(
        facts={"seeds": list(data.seeds), "agreement": table},
        title=f"Rank correlation with the {against} dependence, one-sided p by exchanged labels",
        heads=("reading", "quantity", "rho", "interaction", "p rho", "p interaction", "strongest"),
        rows=tuple(rows),
    )


FIGURE = FigureKind(
    name="dependence",
    summary="Draw which modality MODEL takes each label from; on twins beside the planted truth.",
    description="Winners are the modalities that give the score where a model takes a maximum over "
    "them. Occlusion is what a label loses when a modality is dropped; any model has it. The mean "
    "over the model's seeds is drawn (model:setting names one of several rows); every reading is "
    "in the CSV files and, on twins, its rank correlation with the truth is printed.",
    models="one",
    common=("dataset", "split", "train_dropout", "mask", "device"),
    options=(
        FigureOption(
            "by", "What is read (default: both, or occlusion where the model names no winner).",
            choices=(BOTH, WINNER, OCCLUSION),
        ),
        FigureOption(
            "samples",
            "Drawn of winners: share with the label minus share without, with it, or over all.",
            CONTRAST, choices=SAMPLES,
        ),
    ),
    examples=(
        "harness figure dependence ramer --dataset mosei-aligned-twin",
        "harness figure dependence tailor --dataset mosi --by occlusion",
        "harness figure dependence ramer --dataset m3ed-twin --by winner --samples present",
    ),
    compute=_compute,
    draw=draw,
    stem=lambda asked, _: f"{asked['dataset']}-dependence-{name_part(asked.models[0])}",
    trained=True,
    report=_report,
)  # fmt: skip
