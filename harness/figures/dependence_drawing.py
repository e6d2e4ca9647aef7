"""Figure 4 as heat maps: label by modality, known dependence first, readings after it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

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
from harness.figures.dependence import ALL, PRESENT, Agreement, Matrix, Reading, agreement

_MEANING = {
    "contrast": "wins, label present − absent",
    "present": "wins where label is present",
    "all": "wins over all samples",
    "ap": "loss of AP when dropped",
    "separation": "loss of separation when dropped",
}
_WIDEST = 3
NUMBERS = ("reading", "quantity", "label", "modality", "mean", "std", "n", "support")
AGREEMENTS = (
    *("reading", "quantity", "against", "rho", "rho_interaction", "p", "p_interaction"),
    *("strongest", "labels", "rho_by_seed", "rho_interaction_by_seed"),
)


@dataclass(frozen=True)
class DependenceFigure:
    """Readings of one model's runs on one data set; L labels, M modalities.

    ``support`` counts the samples with each label. ``known`` holds float64 [L, M] by name: what
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
    known: Mapping[str, Matrix] = field(default_factory=dict)


def agreements(data: DependenceFigure) -> Iterator[tuple[Reading, str, Agreement]]:
    """Yield how each reading, over seeds, agrees with each known dependence."""
    for reading in data.readings:
        for name, known in data.known.items():
            yield reading, name, agreement(reading.mean, known)


def draw(
    data: DependenceFigure,
    shown: Sequence[Reading],
    stem: Path,
    formats: Sequence[str] = FORMATS,
) -> list[Path]:
    """Draw the known dependences and the ``shown`` readings; write the files and all numbers.

    ``<stem>.csv`` holds every cell, ``<stem>-agreement.csv`` (where something is known) the
    correlations. Raises as `harness.figures.canvas.save`.
    """
    panels: list[tuple[str, Matrix, bool]] = [
        (f"known: {name}\n", known, False) for name, known in data.known.items()
    ]
    panels += [(_title(data, r), r.mean, r.quantity not in (PRESENT, ALL)) for r in shown]
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
