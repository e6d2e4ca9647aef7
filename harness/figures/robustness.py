"""Robustness curves: a metric against what is missing, and per pattern of modalities."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.boards.robustness import FULL, RobustRow, RobustTable
from harness.figures.canvas import (
    FORMATS,
    INK,
    About,
    drawing,
    legend,
    metric_text,
    save,
    seeds_text,
    style,
    write_numbers,
)

HEADS = (
    *("suite", "protocol", "level", "eta_hat", "model", "setting", "role", "metric"),
    *("mean", "std", "n", "of_ceiling", "mask_digest"),
)
_LEVEL = re.compile(r"(.+)-([0-9.]+)")
_AXES = {
    "random": "realised missing rate of modalities",
    "frames": "realised missing rate of frames",
    "frames-sync": "realised missing rate of frames, all modalities at once",
    "burst": "realised missing rate of frames, in one burst",
    "burst-sync": "realised missing rate of frames, in one burst of all modalities",
    "noise": "noise, standard deviations of the feature",
    "noise-snr": "signal-to-noise ratio, dB",
    "nonspeaker": "realised missing rate of non-speakers",
    "random-seg": "realised missing rate of segments",
}


def draw(
    data: RobustTable, source: str, stem: Path, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Draw curves over levels and, beside them, single patterns; write files and numbers.

    Raises as `harness.figures.canvas.save`.
    """
    curves, single = _panels(data)
    widths = [4.2 for _ in curves] + ([max(2.4, 0.62 * len(single) + 0.6)] if single else [])
    with drawing(sum(widths) + 0.4, 3.5) as figure:
        panels = figure.subplots(1, len(widths), sharey=True, squeeze=False, width_ratios=widths)[0]
        for axes, (family, points) in zip(panels, curves.items(), strict=False):
            for number, row in enumerate(data.rows):
                _curve(axes, points, row, number)
            axes.set_xlabel(_AXES.get(family, family))
            if family == "noise-snr":
                axes.invert_xaxis()
            if family == "random":
                axes.set_title(f"Random modalities missing ({points[0][0]} to {points[-1][0]})")
        if single:
            _patterns(panels[-1], single, data.rows)
            panels[-1].set_title("Fixed patterns")
        panels[0].set_ylabel(f"test {metric_text(data.metric)}")
        legend(figure, *_legend(panels[0]))
        written = save(figure, stem, _about(data, source, single), formats)
    return [*written, write_numbers(stem, HEADS, _numbers(data))]


def _curve(axes: Any, points: Sequence[tuple[str, float]], row: RobustRow, number: int) -> None:
    look, top = style(number), row.role == "ceiling"
    axes.errorbar(
        [x for _, x in points], [row.scores[name].mean for name, _ in points],
        yerr=None if top else [_std(row, name) for name, _ in points],
        color=INK if top else look.colour, linestyle="dashed" if top else look.dash,
        marker="" if top else look.marker, linewidth=1.2 if top else 1.6,
        elinewidth=0.9, capsize=2.0, label=_label(row),
    )  # fmt: skip


def _patterns(axes: Any, names: Sequence[str], rows: Sequence[RobustRow]) -> None:
    models = [row for row in rows if row.role != "ceiling"]
    step = 0.7 / max(len(models), 1)
    for number, row in enumerate(rows):
        means = [row.scores[name].mean for name in names]
        if row.role == "ceiling":
            ends = [i - 0.42 for i in range(len(names))], [i + 0.42 for i in range(len(names))]
            axes.hlines(means, *ends, colors=INK, linestyles="dashed", linewidth=1.2)
            continue
        look, place = style(number), models.index(row)
        axes.errorbar(
            [i - 0.35 + step * (place + 0.5) for i in range(len(names))], means,
            yerr=[_std(row, name) for name in names], linestyle="none",
            color=look.colour, marker=look.marker, elinewidth=0.9, capsize=2.0,
        )  # fmt: skip
    for edge in range(1, len(names)):
        axes.axvline(edge - 0.5, color="#e6e6e6", linewidth=0.6)
    axes.grid(axis="x", visible=False)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0)


def _panels(
    data: RobustTable,
) -> tuple[dict[str, list[tuple[str, float]]], list[str]]:
    """Return per family its protocols with their place on the axis, and what has no level.

    The place is the realised rate, as the rate asked for is not what happens (one modality always
    stays); for noise the level the name gives. Complete data is at 0, and has no place in decibels.
    """
    families: dict[str, list[tuple[str, float]]] = {}
    single = []
    for name in data.protocols:
        found = _LEVEL.fullmatch(name)
        if found:
            rate = data.rates.get(name)
            x = float(found[2]) if rate is None or data.suite == "noise@1" else rate
            families.setdefault(found[1], []).append((name, x))
        elif name != FULL:
            single.append(name)
    for family in [f for f, points in families.items() if len(points) < 2]:
        single += [name for name, _ in families.pop(family)]
    for family, points in families.items():
        points.sort(key=lambda p: p[1])
        if family != "noise-snr" and FULL in data.protocols:
            points.insert(0, (FULL, 0.0))
    return families, single if families else [FULL, *single]


def _about(data: RobustTable, source: str, single: Sequence[str]) -> About:
    notes = ["Mean over seeds; whiskers: ± sample standard deviation."]
    if data.suite == "core@1":
        notes.append("nAUILC: area under the curve over its range of rates.")
    if any(row.role == "ceiling" for row in data.rows):
        notes.append("Ceiling: the best any model could do on what is left.")
    notes.append("Masks are the same for every model.")
    models = [row for row in data.rows if row.role == "model"] or list(data.rows)
    return About(
        f"{data.suite.partition('@')[0].capitalize()} robustness on {data.dataset}",
        data.dataset, source, f"{data.suite} on test, trained under {data.track}",
        seeds_text(row.seeds for row in models), tuple(notes),
    )  # fmt: skip


def _numbers(data: RobustTable) -> Iterable[tuple[object, ...]]:
    for name in data.protocols:
        found = _LEVEL.fullmatch(name)
        for row in data.rows:
            score = row.scores[name]
            yield (
                *(data.suite, name, found[2] if found else None, data.rates.get(name)),
                *(row.label, row.setting, row.role, data.metric),
                *(score.mean, score.std, score.n, row.of_ceiling.get(name), data.digests[name]),
            )
    for row in data.rows:
        for name, score in row.aggregates.items():
            yield (
                *(data.suite, name, None, None, row.label, row.setting, row.role, data.metric),
                *(score.mean, score.std, score.n, None, None),
            )


def _std(row: RobustRow, name: str) -> float:
    std = row.scores[name].std
    return math.nan if std is None else std


def _label(row: RobustRow) -> str:
    area = row.aggregates.get("nauilc")
    return row.label if area is None else f"{row.label}  (nAUILC {area.mean:.3f})"


def _legend(axes: Any) -> tuple[list[Any], list[str]]:
    handles, labels = axes.get_legend_handles_labels()
    return handles, labels
