"""Scores per label as bars, with support: what micro-averages hide of rare labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.boards.aggregate import Statistic, statistic
from harness.boards.selecting import Chosen
from harness.errors import DataMissingError
from harness.figure_specs import FigureKind, FigureOption
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
from harness.figures.request import FigureRequest, protocol_part
from harness.records.record import COMPLETE, RunRecord

METRICS = ("f1", "precision", "recall", "ap")
_TITLES = {"f1": "F1", "precision": "Precision", "recall": "Recall", "ap": "Average precision"}
_DECIDED = {
    "multilabel": "Decided at the declared threshold",
    "singlelabel": "Decided by the largest score",
}
HEADS = ("model", "setting", "role", "label", "support", "metric", "mean", "std", "n")


@dataclass(frozen=True)
class LabelScores:
    """One model's scores, a label each; a label without a defined score is left out."""

    name: str
    setting: str
    role: str
    seeds: tuple[int, ...]
    scores: Mapping[str, Statistic]


@dataclass(frozen=True)
class LabelFigure:
    """Scores per label of several models on one test set.

    ``decided`` says how scores became decisions, ``support`` counts the samples with a label.
    """

    dataset: str
    source: str
    protocol: str
    split: str
    metric: str
    decided: str
    support: Mapping[str, int]
    models: tuple[LabelScores, ...]


def label_figure(
    chosen: Sequence[Chosen], records: Mapping[str, RunRecord], metric: str = "f1"
) -> LabelFigure:
    """Return the per-label scores at the declared threshold, over seeds.

    Args:
        chosen: rows that may stand in one figure (`harness.boards.selecting.select`).
        records: runs by id.
        metric: one of `METRICS`.

    Raises:
        DataMissingError: a run has no scores per label.
    """
    key = chosen[0].key
    first = records[chosen[0].row.runs[0]]
    labels = list(first.dataset["labels"])
    models = []
    support: dict[str, int] = {}
    for one in chosen:
        runs = [records[run] for run in one.row.runs]
        each = [run.metrics[one.key.dropout][one.key.split]["declared"] for run in runs]
        if any(not set(labels) <= set(scored.get("per_label") or {}) for scored in each):
            advice = (
                "run 'harness rescore'"
                if key.dropout == COMPLETE
                else f"exported records keep them under {COMPLETE} only, the runs they were "
                "exported from have them"
            )
            raise DataMissingError(
                f"{one.name} has no scores per label under {key.dropout}: {advice}."
            )
        support = support or {n: int(each[0]["per_label"][n]["support"]) for n in labels}
        known = {n: [s["per_label"][n].get(metric) for s in each] for n in labels}
        models.append(
            LabelScores(
                one.name, one.row.setting, one.row.role, one.row.seeds,
                {n: statistic(map(float, v)) for n, v in known.items() if None not in v},
            )
        )  # fmt: skip
    return LabelFigure(
        key.dataset, first.dataset["source"], key.dropout, key.split, metric,
        _DECIDED[first.dataset["label_kind"]],
        support,
        tuple(models),
    )  # fmt: skip


def draw(data: LabelFigure, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw grouped bars with deviations over seeds; write the files and their numbers.

    The ceiling is a line over its label, because nothing can be above it. Raises as
    `harness.figures.canvas.save`.
    """
    bars = [m for m in data.models if m.role != "ceiling"]
    lines = [m for m in data.models if m.role == "ceiling"]
    labels = list(data.support)
    width = 0.84 / max(len(bars), 1)
    longest = max(map(len, labels))
    inches = min(max(5.0, len(labels) * max(0.35 + 0.22 * len(bars), 0.075 * longest)), 16.0)
    trained = [m for m in data.models if m.role == "model"] or data.models
    title = f"{_TITLES[data.metric]} per label on {data.dataset}"
    with drawing(inches, 3.4) as figure:
        axes = figure.subplots()
        for number, model in enumerate(bars):
            look = style(number)
            at = [i - 0.42 + width * (number + 0.5) for i in range(len(labels))]
            axes.bar(
                at, [_mean(model, n) for n in labels], width * 0.92, label=model.name,
                color=look.colour, hatch=look.hatch, edgecolor="white", linewidth=0,
                yerr=[_std(model, n) for n in labels],
                error_kw={"ecolor": INK, "elinewidth": 0.9, "capsize": min(3.0, 12 * width)},
            )  # fmt: skip
        for model in lines:
            axes.hlines(
                [_mean(model, n) for n in labels], [i - 0.45 for i in range(len(labels))],
                [i + 0.45 for i in range(len(labels))], colors=INK, linestyles="dashed",
                linewidth=1.2, label=model.name,
            )  # fmt: skip
        axes.set_xticks(range(len(labels)), [f"{n}\n({c})" for n, c in data.support.items()])
        crowded = longest * len(labels) > inches * 14
        axes.tick_params(axis="x", length=0, rotation=35 if crowded else 0)
        axes.grid(axis="x", visible=False)
        axes.set_xlim(-0.55, len(labels) - 0.45)
        axes.set_ylim(0, 1)
        axes.set_ylabel(metric_text(_TITLES[data.metric]))
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        names = [m.name for m in (*bars, *lines)]
        legend(figure, [handles[name] for name in names], names)
        about = About(
            title, data.dataset, data.source, f"{data.protocol} on {data.split}",
            seeds_text(m.seeds for m in trained),
            (f"{data.decided}; bars: mean over seeds, whiskers: ± sample standard deviation; "
             "in brackets: test samples with the label.",),
        )  # fmt: skip
        written = save(figure, stem, about, formats)
    return [*written, write_numbers(stem, HEADS, _rows(data))]


def _rows(data: LabelFigure) -> Iterable[tuple[object, ...]]:
    for model in data.models:
        for name, count in data.support.items():
            found = model.scores.get(name)
            figures = (found.mean, found.std, found.n) if found else (None, None, 0)
            yield (model.name, model.setting, model.role, name, count, data.metric, *figures)


def _mean(model: LabelScores, label: str) -> float:
    return model.scores[label].mean if label in model.scores else math.nan


def _std(model: LabelScores, label: str) -> float:
    std = model.scores[label].std if label in model.scores else None
    return math.nan if std is None else std


def _compute(asked: FigureRequest) -> LabelFigure:
    return label_figure(asked.with_ceiling(asked.rows()), asked.by_id, asked["metric"])


FIGURE = FigureKind(
    name="labels",
    summary="Draw each MODEL's scores per label, with support.",
    description="Bars are means over seeds, whiskers standard deviations. On twins the ceiling "
    "stands as a line over each label.",
    common=("dataset", "protocol", "train_dropout", "mask"),
    options=(FigureOption("metric", default="f1", choices=METRICS),),
    examples=(
        "harness figure labels ramer carat --dataset mosi",
        "harness figure labels ramer --dataset mosei-aligned-twin --metric ap --formats pdf",
        "harness figure labels ramer --dataset mosi --protocol drop-t@1",
    ),
    compute=_compute,
    draw=draw,
    stem=lambda asked, shown: (
        f"{asked['dataset']}-labels-{shown.metric}{protocol_part(shown.protocol)}"
    ),
)
