"""Figure 3 as scatter plots side by side, one panel a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from harness.figures.embeddings import LABEL, MODALITY, PART, Points, Separation

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
