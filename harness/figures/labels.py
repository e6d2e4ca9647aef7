"""Scores per label as bars, with support: what micro-averages hide of rare labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.boards.grid import Statistic, statistic
from harness.boards.selecting import Chosen
from harness.errors import DataMissingError
from harness.figures.canvas import (
    FORMATS,
    INK,
    About,
    drawing,
    finish,
    legend,
    metric_text,
    seeds_text,
    style,
)
from harness.figures.request import FigureRequest, protocol_part
from harness.records.record import COMPLETE, RunRecord
from harness.specs import FigureKind, FigureOption

_TITLES = {"f1": "F1", "precision": "Precision", "recall": "Recall", "ap": "Average precision"}
METRICS = tuple(_TITLES)
HEADS = (
    "model", "setting", "role", "label", "support", "metric", "threshold", "mean", "std", "n",
)  # fmt: skip


@dataclass(frozen=True)
class LabelFigure:
    """Scores per label of several rows on one test set.

    ``support`` counts the samples with a label; ``scores`` holds a row's scores by its name, a
    label without a defined score left out. ``threshold`` is that of the decisions; empty: there
    are none, or none by a threshold.
    """

    about: About
    metric: str
    threshold: str
    support: Mapping[str, int]
    rows: tuple[Chosen, ...]
    scores: Mapping[str, Mapping[str, Statistic]]


def label_figure(
    chosen: Sequence[Chosen], records: Mapping[str, RunRecord], metric: str = "f1"
) -> LabelFigure:
    """Return the per-label scores over seeds, at the threshold that orders boards.

    Args:
        chosen: rows that may stand in one figure (`harness.boards.selecting.select`).
        records: runs by id.
        metric: one of `METRICS`.

    Raises:
        DataMissingError: a run has no scores per label.
    """
    key = chosen[0].key
    first = records[chosen[0].row.runs[0]]
    at = "tuned" if all(one.row.key.tuned for one in chosen) else "declared"
    if metric == "ap":  # of scores: records keep it beside the decisions at the declared one
        at = "declared"
    labels = list(first.dataset["labels"])
    scores: dict[str, dict[str, Statistic]] = {}
    support: dict[str, int] = {}
    for one in chosen:
        runs = [records[run] for run in one.row.runs]
        each = [run.metrics[one.key.dropout][one.key.split][at] for run in runs]
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
        scores[one.name] = {n: statistic(map(float, v)) for n, v in known.items() if None not in v}
    trained = [one for one in chosen if one.row.role == "model"] or chosen
    threshold, decided = at, f"Decided at the {at} threshold. "
    if metric == "ap":
        threshold = decided = ""
    elif first.dataset["label_kind"] == "singlelabel":
        threshold, decided = "", "Decided by the largest score. "
    about = About(
        f"{_TITLES[metric]} per label on {key.dataset}", key.dataset, first.dataset["source"],
        f"{key.dropout} on {key.split}", seeds_text(one.row.seeds for one in trained),
        (f"{decided}Bars: mean over seeds, whiskers: ± sample standard deviation; in brackets: "
         "test samples with the label.",),
    )  # fmt: skip
    return LabelFigure(about, metric, threshold, support, tuple(chosen), scores)


def draw(data: LabelFigure, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw grouped bars with deviations over seeds; write the files and their numbers.

    The ceiling is a line over its label, because nothing can be above it. Raises as
    `harness.figures.canvas.save`.
    """
    bars = [one for one in data.rows if one.row.role != "ceiling"]
    lines = [one for one in data.rows if one.row.role == "ceiling"]
    labels = list(data.support)
    width = 0.84 / max(len(bars), 1)
    longest = max(map(len, labels))
    inches = min(max(5.0, len(labels) * max(0.35 + 0.22 * len(bars), 0.075 * longest)), 16.0)
    with drawing(inches, 3.4) as figure:
        axes = figure.subplots()
        for number, model in enumerate(bars):
            look = style(number)
            at = [i - 0.42 + width * (number + 0.5) for i in range(len(labels))]
            axes.bar(
                at, [_mean(data, model, n) for n in labels], width * 0.92, label=model.name,
                color=look.colour, hatch=look.hatch, edgecolor="white", linewidth=0,
                yerr=[_std(data, model, n) for n in labels],
                error_kw={"ecolor": INK, "elinewidth": 0.9, "capsize": min(3.0, 12 * width)},
            )  # fmt: skip
        for model in lines:
            axes.hlines(
                [_mean(data, model, n) for n in labels], [i - 0.45 for i in range(len(labels))],
                [i + 0.45 for i in range(len(labels))], colors=INK, linestyles="dashed",
                linewidth=1.2, label=model.name,
            )  # fmt: skip
        axes.set_xticks(range(len(labels)), [f"{n}\n({c})" for n, c in data.support.items()])
        crowded = longest * len(labels) > inches * 14
        axes.tick_params(axis="x", length=0, rotation=35 if crowded else 0)
        axes.grid(axis="x", visible=False)
        axes.set_xlim(-0.55, len(labels) - 0.45)
        axes.set_ylim(0, 1)
        decided = f", {data.threshold} threshold" if data.threshold else ""
        axes.set_ylabel(f"{metric_text(_TITLES[data.metric])}{decided}")
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        names = [m.name for m in (*bars, *lines)]
        legend(figure, [handles[name] for name in names], names)
        return finish(figure, stem, data.about, formats, HEADS, _rows(data))


def _rows(data: LabelFigure) -> Iterable[tuple[object, ...]]:
    for one in data.rows:
        for name, count in data.support.items():
            found = data.scores[one.name].get(name)
            figures = (found.mean, found.std, found.n) if found else (None, None, 0)
            what = (name, count, data.metric, data.threshold)
            yield (one.name, one.row.setting, one.row.role, *what, *figures)


def _mean(data: LabelFigure, one: Chosen, label: str) -> float:
    found = data.scores[one.name].get(label)
    return math.nan if found is None else found.mean


def _std(data: LabelFigure, one: Chosen, label: str) -> float:
    found = data.scores[one.name].get(label)
    return math.nan if found is None or found.std is None else found.std


def _compute(asked: FigureRequest) -> LabelFigure:
    return label_figure(asked.with_ceiling(asked.rows()), asked.by_id, asked["metric"])


FIGURE = FigureKind(
    name="labels",
    summary="Draw each MODEL's scores per label, with support.",
    description="Bars are means over seeds, whiskers standard deviations. On twins the ceiling "
    "stands as a line over each label.",
    common=("dataset", "dropout", "train_dropout", "mask"),
    options=(FigureOption("metric", "Metric of each label.", "f1", choices=METRICS),),
    examples=(
        "harness figure labels ramer carat --dataset mosi",
        "harness figure labels ramer --dataset mosei-aligned-twin --metric ap --formats pdf",
        "harness figure labels ramer --dataset mosi --dropout drop-t@1",
    ),
    compute=_compute,
    draw=draw,
    stem=lambda asked, shown: (
        f"{asked['dataset']}-labels-{shown.metric}{protocol_part(asked['dropout'])}"
    ),
)
