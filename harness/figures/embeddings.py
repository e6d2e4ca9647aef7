"""Embeddings of trained models as scatter plots, a panel a run (figure 3 of Yang et al. 2025)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.boards.frame import board_name
from harness.boards.settings import ablated
from harness.errors import UsageError, require
from harness.figures.canvas import (
    FORMATS,
    About,
    drawing,
    legend,
    save,
    seeds_text,
    style,
    write_numbers,
)
from harness.figures.embedding_points import (
    LABEL,
    MODALITY,
    PART,
    Points,
    Separation,
    draw_points,
    label_axes,
    parts_of,
    project,
    separations,
)
from harness.figures.request import FigureRequest, TrainedRun
from harness.records.record import RunRecord
from harness.specs import FigureKind, FigureOption, FigureReport

HEADS = ("run", "of", "by", "silhouette", "probe_accuracy", "chance", "points")
POINT_HEADS = ("panel", "x", "y", "part", "modality", "label")


@dataclass(frozen=True)
class Panel:
    """One run's points: ``plane`` float32 [n, 2] is where they are drawn."""

    title: str
    run: str
    seed: int
    points: Points
    plane: NDArray[np.float32]
    separations: tuple[Separation, ...]


@dataclass(frozen=True)
class EmbeddingFigure:
    """Panels of one data set; ``parts`` names the tensors drawn, ``labels`` may be empty.

    With two parts colour is the modality and dark or light the part (figure 3 a, b); with one
    part colour is the label and the marker the modality (figure 3 c, d).
    """

    model: str
    dataset: str
    source: str
    split: str
    parts: tuple[str, ...]
    modalities: tuple[str, ...]
    labels: tuple[str, ...]
    panels: tuple[Panel, ...]
    tsne_seed: int


def draw(data: EmbeddingFigure, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw the panels; write the files, the numbers and (``-points.csv``) every point.

    Raises as `harness.figures.canvas.save`.
    """
    with drawing(4.1 * len(data.panels), 4.0) as figure:
        axes = figure.subplots(1, len(data.panels), squeeze=False)[0]
        for each, panel in zip(axes, data.panels, strict=True):
            _scatter(each, data, panel)
            each.set_title(f"{panel.title}\n{_told(data, panel)}", fontsize=8)
            each.set_axis_off()
        legend(figure, *_keys(axes[0], data))
        written = save(figure, stem, _about(data), formats)
    written.append(write_numbers(stem, HEADS, number_rows(data)))
    written.append(
        write_numbers(stem.with_name(f"{stem.name}-points"), POINT_HEADS, _point_rows(data))
    )
    return written


def number_rows(data: EmbeddingFigure) -> Iterator[tuple[object, ...]]:
    """Yield the separations of every panel as rows under `HEADS`."""
    for panel in data.panels:
        for s in panel.separations:
            count = len(panel.points) if s.by == PART else len(panel.points) // len(data.parts)
            yield (panel.run, s.of, s.by, s.silhouette, s.probe, s.chance, count)


def _scatter(axes: Any, data: EmbeddingFigure, panel: Panel) -> None:
    for part, modality, label in _classes(data):
        own = (panel.points.part == part) & (panel.points.modality == modality)
        if label is not None:
            own &= panel.points.label == label
        colour, marker = _look(data, part, modality, label)
        axes.scatter(
            panel.plane[own, 0], panel.plane[own, 1], s=7, color=colour, marker=marker,
            linewidths=0, alpha=0.8, rasterized=True,
        )  # fmt: skip


def _classes(data: EmbeddingFigure) -> Iterator[tuple[int, int, int | None]]:
    by_label = len(data.parts) == 1 and bool(data.labels)
    for part in range(len(data.parts)):
        for modality in range(len(data.modalities)):
            for label in range(len(data.labels)) if by_label else (None,):
                yield part, modality, label


def _look(data: EmbeddingFigure, part: int, modality: int, label: int | None) -> tuple[Any, str]:
    if label is not None:
        return _label_colour(label), style(modality).marker
    return _shade(style(modality).colour, part), style(modality).marker


def _label_colour(number: int) -> Any:
    """Return the n-th label's colour: the palette, then the same lighter."""
    return _shade(style(number).colour, number // 7)


def _shade(colour: str, step: int) -> tuple[float, float, float]:
    """Return a colour mixed with white, the lighter the higher the step."""
    share = 0.45**step
    red, green, blue = (1 - share * (1 - int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return red, green, blue


def _keys(axes: Any, data: EmbeddingFigure) -> tuple[list[Any], list[str]]:
    handles, names = [], []

    def add(colour: Any, marker: str, name: str) -> None:
        handles.append(axes.scatter([], [], s=28, color=colour, marker=marker, linewidths=0))
        names.append(name)

    if len(data.parts) == 1 and data.labels:
        for number, label in enumerate(data.labels):
            add(_label_colour(number), "s", label)
        for number, modality in enumerate(data.modalities):
            add("#555555", style(number).marker, modality)
        return handles, names
    for number, modality in enumerate(data.modalities):
        for part, name in enumerate(data.parts):
            what = f"{modality}, {name}" if len(data.parts) > 1 else modality
            add(_shade(style(number).colour, part), style(number).marker, what)
    return handles, names


def _told(data: EmbeddingFigure, panel: Panel) -> str:
    shown = (MODALITY, LABEL) if len(data.parts) == 1 and data.labels else (MODALITY, PART)
    lines = []
    for s in panel.separations:
        if s.by not in shown:
            continue
        what = "between the two" if s.by == PART else f"{s.of} by {s.by}"
        lines.append(
            f"{what}: silhouette {s.silhouette:.2f}, probe {s.probe:.2f} (chance {s.chance:.2f})"
        )
    return "\n".join(lines).replace("-", "−")


def _about(data: EmbeddingFigure) -> About:
    drawn = len(data.panels[0].points)
    notes = (
        f"{drawn} points a panel, each one modality's vector for a label its sample has; t-SNE "
        f"seed {data.tsne_seed}.",
        "Silhouette and linear probe (logistic regression, cross-validated over groups) are "
        "measured in the embedding space, not in the plane.",
    )
    return About(
        f"{' and '.join(data.parts)} of {data.model}, {data.dataset}", data.dataset, data.source,
        f"full@1 on {data.split}", seeds_text([[p.seed] for p in data.panels]), notes,
    )  # fmt: skip


def _point_rows(data: EmbeddingFigure) -> Iterator[tuple[object, ...]]:
    for panel in data.panels:
        p = panel.points
        for i, (x, y) in enumerate(panel.plane.tolist()):
            label = data.labels[p.label[i]] if data.labels else None
            yield (panel.run, x, y, data.parts[p.part[i]], data.modalities[p.modality[i]], label)


def _compute(asked: FigureRequest) -> EmbeddingFigure:
    require("sklearn", "cc")
    (name,) = asked.models
    if asked["dataset"] is None and name in {r.model["name"] for r in asked.records}:
        raise UsageError(f"{name!r} is a model: say on which data, with --dataset.")
    first = asked.run(name) if asked["dataset"] is None else _of_seed(asked, name)
    shown = [first, *(asked.ablated_twin(first, name) for name in asked["without"])]
    if asked["against"] is not None:
        shown.append(asked.run(asked["against"]))
    names = {board_name(r) for r in shown}
    if len(names) > 1:
        raise UsageError(f"runs of different data sets ({', '.join(sorted(names))}): choose one.")
    trained = [asked.trained(record) for record in shown]
    made = [_panel(one, asked["of"], asked["points"], asked["tsne_seed"]) for one in trained]
    spec = trained[0].data.spec
    return EmbeddingFigure(
        model=str(first.model["name"]),
        dataset=spec.name,
        source=spec.source,
        split=asked["split"],
        parts=made[0][0],
        modalities=spec.modality_names,
        labels=spec.labels if made[0][1] else (),
        panels=tuple(panel for _, _, panel in made),
        tsne_seed=asked["tsne_seed"],
    )


def _of_seed(asked: FigureRequest, model: str) -> RunRecord:
    by_seed = {record.seed: record for record in asked.runs_of(model)}
    if asked["seed"] not in by_seed:
        there = ", ".join(map(str, sorted(by_seed)))
        raise UsageError(f"no run with seed {asked['seed']}; there are seeds {there}.")
    return by_seed[asked["seed"]]


def _panel(
    run: TrainedRun, asked: str, count: int, seed: int
) -> tuple[tuple[str, ...], bool, Panel]:
    """Return the names of the tensors, whether they have a label axis, and the panel."""
    words = {asked, *asked.split("-"), "available"}
    tensors, given = run.analysis(lambda name: name in words)
    parts = parts_of(asked, given)
    spec, split = run.data.spec, run.split
    sizes = len(spec.labels), len(spec.modalities)
    shaped = [label_axes(tensors[n], *sizes, run.axes.get(n, "")) for n in parts]
    available = np.asarray(tensors.get("available", split.natural), dtype=bool)
    drawn = draw_points(shaped, run.truth, available, split.groups, count, seed)
    record = run.record
    less = ", ".join(ablated(record))
    title = f"{record.model['name']}{f' {less}' if less else ''}, seed {record.seed}"
    panel = Panel(
        title, record.id, record.seed, drawn, project(drawn, seed),
        tuple(separations(drawn, parts)),
    )  # fmt: skip
    return parts, shaped[0].shape[1] > 1, panel


def _report(data: EmbeddingFigure) -> FigureReport:
    rows = list(number_rows(data))
    return FigureReport(
        facts={"separations": [dict(zip(HEADS, row, strict=True)) for row in rows]},
        heads=HEADS,
        rows=tuple(
            tuple(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row) for row in rows
        ),
    )


FIGURE = FigureKind(
    name="embeddings",
    summary="Draw what MODEL (or a run of that id) makes of each modality, by t-SNE.",
    description="Two tensors (specificity and commonality) are coloured by modality, one tensor by "
    "label. How well the points fall apart is measured too: silhouette, and accuracy of a linear "
    "probe.",
    models="one",
    common=("split", "mask", "device"),
    options=(
        FigureOption("against", "A second run, drawn beside.", metavar="RUN"),
        FigureOption("dataset", "Of MODEL: data set (or twin) it was trained on."),
        FigureOption("seed", "Of MODEL: the seed.", 0, int),
        FigureOption(
            "without", "Draw beside: the same run with this ablation; repeatable.", multiple=True,
            metavar="NAME",
        ),
        FigureOption(
            "of", "A tensor of the model's analysis, or several of one shape joined by '-'.",
            "specificity-commonality", metavar="NAME",
        ),
        FigureOption("points", "Most points of a panel.", 2000, int, minimum=5),
        FigureOption("tsne_seed", "Seed of t-SNE and of the drawn points.", 0, int),
    ),
    examples=(
        "harness figure embeddings ramer --dataset mosei-aligned-twin --without w/o-adv",
        "harness figure embeddings ramer --dataset mosi --of X_gamma --without w/o-rec",
        "harness figure embeddings ramer-mosi-s0-0123456789ab --against ramer-mosi-s1-0123456789ab",
    ),
    compute=_compute,
    draw=draw,
    stem=lambda _, shown: (
        f"{shown.dataset}-embeddings-{shown.model}-{'-'.join(shown.parts)}"
    ),
    trained=True,
    report=_report,
)  # fmt: skip
