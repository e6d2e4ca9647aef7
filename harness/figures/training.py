"""Training curves: loss and a validation metric per epoch, and the epoch that was selected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.boards.grid import Statistic, statistic
from harness.boards.selecting import Chosen
from harness.errors import NoValidationError, UnknownNameError, UsageError
from harness.figures.canvas import (
    FORMATS,
    About,
    Style,
    drawing,
    finish,
    legend,
    line_key,
    metric_text,
    seeds_text,
    style,
)
from harness.figures.request import protocol_part
from harness.records.record import RunRecord
from harness.specs import FigureKind, FigureOption

LOSS = "loss"
# Losses of several models that differ by more than this are drawn on a logarithmic axis.
_WIDE = 20.0


@dataclass(frozen=True)
class Curve:
    """One row's training, over its seeds.

    ``loss`` and ``metric`` are by epoch (from 0), over the seeds that reached the epoch; empty
    where none is defined. ``chosen`` holds each seed's selected epoch and its metric there.
    """

    row: Chosen
    loss: Mapping[int, Statistic]
    metric: Mapping[int, Statistic]
    chosen: Mapping[int, tuple[int, float | None]]


@dataclass(frozen=True)
class TrainingFigure:
    """Curves of models trained on one data set; ``metric`` is on the validation split."""

    about: About
    metric: str
    curves: tuple[Curve, ...]


def training_figure(
    chosen: Sequence[Chosen], records: Mapping[str, RunRecord], metric: str | None = None
) -> TrainingFigure:
    """Return the curves of rows.

    Args:
        chosen: rows of one data content (`harness.boards.selecting.select`).
        records: runs by id.
        metric: a validation metric of the records; None: the one epochs are selected by.

    Raises:
        UsageError: a model was not trained in epochs.
        UnknownNameError: no such validation metric.
        DataMissingError: no epoch of any run has the metric (no validation split).
    """
    first = records[chosen[0].row.runs[0]]
    selected_by = (first.selection or {}).get("metric") or first.protocols["selection_metric"]
    name = metric or str(selected_by)
    each = {one.name: [records[run] for run in one.row.runs] for one in chosen}
    for one in chosen:
        if not any(run.epochs for run in each[one.name]):
            raise UsageError(
                f"{one.name!r} has no epochs: it is fitted at once, so there is no curve. "
                "Leave it out."
            )
    _check(name, metric is not None, [run for runs in each.values() for run in runs])
    curves = [
        Curve(
            row=one,
            loss=_by_epoch(each[one.name], lambda epoch: epoch[LOSS]),
            metric=_by_epoch(each[one.name], lambda epoch: (epoch["valid"] or {}).get(name)),
            chosen={run.seed: point for run in each[one.name] if (point := _chosen(run, name))},
        )
        for one in chosen
    ]
    notes = ["Lines: mean over seeds; bands: ± sample standard deviation."]
    if any(curve.metric for curve in curves):
        notes.append("Open marks: the epoch each seed's checkpoint was taken from.")
    else:
        notes.append("There is no validation split.")
    if len(curves) > 1:
        notes.append("Losses of different models are different functions: compare shapes only.")
    key = chosen[0].key
    about = About(
        f"Training on {key.dataset}", key.dataset, first.dataset["source"],
        f"trained under {key.train_dropout}", seeds_text(one.row.seeds for one in chosen),
        tuple(notes),
    )  # fmt: skip
    return TrainingFigure(about, name, tuple(curves))


def draw(data: TrainingFigure, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw loss and metric side by side; write the files and their numbers.

    Raises as `harness.figures.canvas.save`.
    """
    with_metric = any(curve.metric for curve in data.curves)
    with drawing(9.0 if with_metric else 4.8, 3.3) as figure:
        panels = figure.subplots(1, 2 if with_metric else 1, squeeze=False)[0]
        draw_losses(panels[0], data.curves)
        if with_metric:
            draw_metric(panels[1], data.curves)
        titles = ("Training loss", f"Validation {metric_text(data.metric)}")
        for panel, title in zip(panels, titles, strict=False):
            panel.set_title(title)
            panel.set_xlabel("epoch")
            panel.xaxis.get_major_locator().set_params(integer=True)
        keys = [line_key(style(number)) for number in range(len(data.curves))]
        legend(figure, keys, [curve.row.name for curve in data.curves])
        return finish(figure, stem, data.about, formats, _heads(data), _rows(data))


def draw_losses(axes: Any, curves: Sequence[Curve]) -> None:
    """Draw the losses, on a logarithmic axis where they are far apart."""
    for number, curve in enumerate(curves):
        _line(axes, curve.loss, style(number), curve.row.name)
    means = [s.mean for curve in curves for s in curve.loss.values()]
    if means and min(means) > 0 and max(means) / min(means) > _WIDE:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")


def draw_metric(axes: Any, curves: Sequence[Curve]) -> None:
    """Draw the validation metric and mark each seed's selected epoch."""
    size = 7.0 if len(curves) <= 5 else 5.0
    for number, curve in enumerate(curves):
        look = style(number)
        _line(axes, curve.metric, look, curve.row.name)
        points = [p for p in curve.chosen.values() if p[1] is not None]
        axes.plot(
            [e + 1 for e, _ in points], [v for _, v in points], linestyle="none",
            marker=look.marker, markersize=size, markerfacecolor="white",
            markeredgecolor=look.colour, markeredgewidth=1.5, zorder=4,
        )  # fmt: skip


def _line(axes: Any, points: Mapping[int, Statistic], look: Style, name: str) -> None:
    epochs = [epoch + 1 for epoch in points]
    means = [s.mean for s in points.values()]
    spread = [s.std or 0.0 for s in points.values()]
    alone = "" if len(epochs) > 1 else look.marker
    axes.plot(epochs, means, color=look.colour, linestyle=look.dash, marker=alone, label=name)
    low = [m - s for m, s in zip(means, spread, strict=True)]
    high = [m + s for m, s in zip(means, spread, strict=True)]
    axes.fill_between(epochs, low, high, color=look.colour, alpha=0.15, linewidth=0)


def _check(name: str, asked: bool, runs: Sequence[RunRecord]) -> None:
    known = {n for run in runs for epoch in run.epochs for n in (epoch["valid"] or {})}
    if name in known or (not known and not asked):
        return
    if not known:
        raise NoValidationError(str(runs[0].dataset["name"]), "--metric")
    raise UnknownNameError("validation metric", name, known)


def _by_epoch(runs: Sequence[RunRecord], read: Any) -> dict[int, Statistic]:
    found: dict[int, list[float]] = {}
    for run in runs:
        for epoch in run.epochs:
            value = read(epoch)
            if value is not None:
                found.setdefault(int(epoch["epoch"]), []).append(float(value))
    return {epoch: statistic(found[epoch]) for epoch in sorted(found)}


def _chosen(run: RunRecord, metric: str) -> tuple[int, float | None] | None:
    """Return the epoch a run's checkpoint is from (its last where none was selected)."""
    if not run.epochs:
        return None
    last = int(run.epochs[-1]["epoch"])
    at = last if run.selection is None else int(run.selection["epoch"])
    valid = next((e["valid"] for e in run.epochs if int(e["epoch"]) == at), None) or {}
    value = valid.get(metric)
    return at, None if value is None else float(value)


def _heads(data: TrainingFigure) -> tuple[str, ...]:
    valid = f"valid_{data.metric}"
    return (
        *("model", "setting", "epoch", "loss_mean", "loss_std", "loss_n"),
        *(f"{valid}_mean", f"{valid}_std", f"{valid}_n", "chosen_by_seeds"),
    )


def _rows(data: TrainingFigure) -> Iterable[tuple[object, ...]]:
    for curve in data.curves:
        for epoch in sorted({*curve.loss, *curve.metric}):
            seeds = [str(s) for s, (at, _) in curve.chosen.items() if at == epoch]
            yield (
                *(curve.row.name, curve.row.row.setting, epoch + 1),
                *_figures(curve.loss.get(epoch)),
                *_figures(curve.metric.get(epoch)),
                " ".join(seeds),
            )


def _figures(found: Statistic | None) -> tuple[float | None, float | None, int]:
    return (None, None, 0) if found is None else (found.mean, found.std, found.n)


FIGURE = FigureKind(
    name="training",
    summary="Draw each MODEL's loss and validation metric per epoch.",
    description="Lines are means over seeds with a band of one standard deviation. The epochs of "
    "the kept checkpoints are marked.",
    options=(
        FigureOption(
            "metric", "Validation metric (default: the one epochs are selected by).",
            metavar="NAME",
        ),
    ),
    examples=(
        "harness figure training ramer carat --dataset mosei-aligned-twin",
        "harness figure training ramer:paper --dataset mosi --metric macro_f1",
        "harness figure training ramer --dataset mosi --train-dropout train-mix@1",
    ),
    compute=lambda asked: training_figure(asked.rows(), asked.by_id, asked["metric"]),
    draw=draw,
    stem=lambda asked, _: f"{asked['dataset']}-training{protocol_part(asked['train_dropout'])}",
)  # fmt: skip
