"""Robustness curves: a metric against what is missing, and per pattern of modalities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.boards.frame import Place, on_board
from harness.boards.robust import RobustRow, RobustTable, robustness
from harness.boards.settings import ablated
from harness.boards.tracks import trainings
from harness.boards.views.robustness import SPECIALIST
from harness.errors import DataMissingError, UnknownNameError, UsageError
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
from harness.protocols.aggregates import FULL
from harness.protocols.dropout import parse
from harness.protocols.dropout.protocol import FAMILIES
from harness.protocols.suites import ids
from harness.records.record import COMPLETE, RunRecord
from harness.specs import FigureKind, FigureOption

HEADS = (
    *("suite", "protocol", "level", "eta_hat", "model", "setting", "role", "metric"),
    *("mean", "std", "n", "share", "mask_digest", "train_dropout", "made_for_missing"),
)
# Families whose level stands on the axis as it is named: nothing is missing under them.
_STATED = ("noise", "noise-snr")
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


@dataclass(frozen=True)
class RobustFigure:
    """The rows of one suite's table that are drawn; ``source`` is ``real`` or ``twin``."""

    table: RobustTable
    source: str


def robust_table(asked: FigureRequest) -> RobustTable:
    """Return the table of a suite with one row a name, labelled by it, and the ceiling.

    Raises:
        UnknownNameError: no such suite, or no such metric in the records.
        DataMissingError: a row was not scored under every protocol of the suite.
        UsageError: nothing is missing under the suite.
    """
    suite, metric = str(asked["suite"]), str(asked["metric"])
    if suite not in ids():
        raise UnknownNameError("suite", suite, ids())
    chosen = asked.with_ceiling(asked.rows())
    key = next((one for one in chosen if one.row.role == "model"), chosen[0]).key
    _check_metric([record for one in chosen for record in one.row.records], metric)
    mine = [r for r in on_board(asked.records, key.board) if r.role != "external"]
    # Ablations apart, so that they change the setting of no full row.
    parts = ([r for r in mine if not ablated(r)], [r for r in mine if ablated(r)])
    tables = [t for part in parts for t in robustness(part, metric, asked.registry)]
    here, asked_for = (suite, key.content, key.mask), asked.wanted.train_dropout or COMPLETE
    tables = [
        t
        for t in tables
        if (t.suite, t.content, t.mask) == here and asked_for in (t.track.name, *t.track.training)
    ]
    found = {
        row.row.runs: row
        for table in tables
        if (table.protocols, table.digests) == (tables[0].protocols, tables[0].digests)
        for row in table.rows
    }
    lacking = [c.name for c in chosen if c.row.runs not in found and c.row.role != "ceiling"]
    if not tables or lacking:
        raise DataMissingError(_missing(lacking or [c.name for c in chosen], key, suite, asked_for))
    table = tables[0]
    rates = [table.rates.get(name) for name in table.protocols if name != FULL]
    stated = any(parse(name).family in _STATED for name in table.protocols)
    if not stated and all(rate == 0.0 for rate in rates):
        raise UsageError(
            f"{suite} takes nothing away from {table.dataset}: every realised missing rate is 0 (a "
            "modality that is one vector has no frames to lose). Choose another --suite."
        )
    rows = [
        replace(found[one.row.runs], label=one.name, setting=one.row.setting)
        for one in chosen
        if one.row.runs in found
    ]
    return replace(table, rows=tuple(rows))


def _check_metric(records: Iterable[RunRecord], metric: str) -> None:
    scored = [m for r in records for by_split in r.metrics.values() for m in by_split.values()]
    names = {n for s in scored for n, v in (s["declared"] or {}).items() if isinstance(v, float)}
    if names and metric not in names:
        raise UnknownNameError("metric", metric, names)


def _missing(names: Sequence[str], key: Place, suite: str, track: str) -> str:
    models = ",".join(dict.fromkeys(name.partition(":")[0] for name in names))
    protocol = trainings(track)[0]
    option = "" if protocol == COMPLETE else f" --train-dropout {protocol}"
    return (
        f"{', '.join(names)}: not scored under every protocol of {suite} on one content of "
        f"{key.board} (trained under {track}). 'harness run --model {models} --dataset "
        f"{key.dataset} --dropout {suite}{option}' adds the scores."
    )


def draw(shown: RobustFigure, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw curves over levels and, beside them, single patterns; write files and numbers.

    Raises as `harness.figures.canvas.save`.
    """
    data = shown.table
    curves, single = _panels(data)
    labels = _labels(data.rows)
    widths = [4.2 for _ in curves] + ([max(2.4, 0.62 * len(single) + 0.6)] if single else [])
    with drawing(sum(widths) + 0.4, 3.5) as figure:
        panels = figure.subplots(1, len(widths), sharey=True, squeeze=False, width_ratios=widths)[0]
        for axes, (family, points) in zip(panels, curves.items(), strict=False):
            for number, row in enumerate(data.rows):
                _curve(axes, points, row, number, labels[number])
            axes.set_xlabel(_AXES.get(family, family))
            if family == "noise-snr":
                axes.invert_xaxis()
            if family == "random":
                axes.set_title(f"Random modalities missing ({points[0][0]} to {points[-1][0]})")
        if single:
            _patterns(panels[-1], single, data.rows)
            panels[-1].set_title("Fixed patterns")
        panels[0].set_ylabel(f"test {metric_text(data.key.name)}")
        legend(figure, *panels[0].get_legend_handles_labels())
        return finish(figure, stem, _about(data, shown.source), formats, HEADS, _numbers(data))


def _marks(row: RobustRow) -> dict[str, Any]:
    """Return how marks are filled: open ones are of models made for missing modalities."""
    return {"markerfacecolor": "white", "markeredgewidth": 1.3} if row.specialist else {}


def _curve(
    axes: Any, points: Sequence[tuple[str, float]], row: RobustRow, number: int, label: str
) -> None:
    look, top = style(number), row.role == "ceiling"
    ink = INK if top else look.colour
    axes.errorbar(
        [x for _, x in points], [_mean(row, name) for name, _ in points],
        yerr=None if top else [_std(row, name) for name, _ in points],
        color=ink, linestyle="dashed" if top else look.dash,
        marker="" if top else look.marker, linewidth=1.2 if top else 1.6,
        elinewidth=0.9, capsize=2.0, label=label, **_marks(row),
    )  # fmt: skip


def _patterns(axes: Any, names: Sequence[str], rows: Sequence[RobustRow]) -> None:
    models = [row for row in rows if row.role != "ceiling"]
    step = 0.7 / max(len(models), 1)
    for number, row in enumerate(rows):
        means = [_mean(row, name) for name in names]
        if row.role == "ceiling":
            known = [i for i, mean in enumerate(means) if math.isfinite(mean)]
            ends = [i - 0.42 for i in known], [i + 0.42 for i in known]
            axes.hlines(
                [means[i] for i in known], *ends, colors=INK, linestyles="dashed", linewidth=1.2
            )
            continue
        look, place = style(number), models.index(row)
        axes.errorbar(
            [i - 0.35 + step * (place + 0.5) for i in range(len(names))], means,
            yerr=[_std(row, name) for name in names], linestyle="none",
            color=look.colour, marker=look.marker, elinewidth=0.9, capsize=2.0, **_marks(row),
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
        protocol, rate = parse(name), data.rates.get(name)
        kind = FAMILIES[protocol.family]
        if kind.number and not kind.worded and protocol.argument:
            x = protocol.level if rate is None or protocol.family in _STATED else rate
            families.setdefault(protocol.family, []).append((name, x))
        elif name != FULL:
            single.append(name)
    for family in [f for f, points in families.items() if len(points) < 2]:
        single += [name for name, _ in families.pop(family)]
    for family, points in families.items():
        points.sort(key=lambda p: p[1])
        if family != "noise-snr" and FULL in data.protocols:
            points.insert(0, (FULL, 0.0))
    return families, single if families else [FULL, *single]


def _about(data: RobustTable, source: str) -> About:
    notes = ["Mean over seeds; whiskers: ± sample standard deviation."]
    if any("nauilc" in row.aggregates for row in data.rows):
        notes.append("nAUILC: area under the curve over its range of rates.")
    if any(row.role == "ceiling" for row in data.rows):
        notes.append("Ceiling: the best any model could do on what is left.")
    notes.append("Masks are the same for every model.")
    if any(row.specialist for row in data.rows):
        notes.append(f"{SPECIALIST}, open marks: made for missing modalities.")
    models = [row for row in data.rows if row.role == "model"] or list(data.rows)
    return About(
        f"{data.suite.partition('@')[0].capitalize()} robustness on {data.dataset}",
        data.dataset, source, f"{data.suite} on test, trained under {', '.join(data.trainings)}",
        seeds_text(row.seeds for row in models), tuple(notes),
    )  # fmt: skip


def _numbers(data: RobustTable) -> Iterable[tuple[object, ...]]:
    for name in data.protocols:
        protocol = parse(name)
        level = protocol.argument if FAMILIES[protocol.family].number else ""
        for row in data.rows:
            score = row.scores.get(name)
            if score is None:  # a ceiling that is not known under this protocol
                continue
            yield (
                *(data.suite, name, level, data.rates.get(name)),
                *(row.label, row.setting, row.role, data.key.name),
                *(score.mean, score.std, score.n, row.shares.get(name), data.digests[name]),
                *_about_row(row),
            )
    for row in data.rows:
        for name, score in row.aggregates.items():
            yield (
                *(data.suite, name, None, None, row.label, row.setting, row.role, data.key.name),
                *(score.mean, score.std, score.n, None, None),
                *_about_row(row),
            )


def _about_row(row: RobustRow) -> tuple[str, str]:
    return row.trained, "yes" if row.specialist else ""


def _mean(row: RobustRow, name: str) -> float:
    """Return a row's mean under a protocol; NaN: it has none there, and nothing is drawn."""
    return row.scores[name].mean if name in row.scores else math.nan


def _std(row: RobustRow, name: str) -> float:
    std = row.scores[name].std if name in row.scores else None
    return math.nan if std is None else std


def _labels(rows: Sequence[RobustRow]) -> list[str]:
    """Return what the legend says of rows: mark, training where they differ in it, and nAUILC."""
    several = len({row.training for row in rows if row.row.trained}) > 1
    found = []
    for row in rows:
        area = row.aggregates.get("nauilc")
        text = f"{row.label} {SPECIALIST}" if row.specialist else row.label
        text += f", {row.training}" if several and row.training else ""
        found.append(text if area is None else f"{text}  (nAUILC {area.mean:.3f})")
    return found


def _training(table: RobustTable) -> str:
    """Return the protocol of training of rows that share one, else their track."""
    return table.trainings[0] if len(table.trainings) == 1 else table.track.name


def _compute(asked: FigureRequest) -> RobustFigure:
    table = robust_table(asked)
    return RobustFigure(table, str(table.rows[0].row.first.dataset["source"]))


FIGURE = FigureKind(
    name="robustness",
    summary="Draw each MODEL's metric against the realised missing rate, and per pattern.",
    description="On twins the ceiling under the same masks stands beside them. Runs get these "
    "scores from 'harness run --dropout core@1' (or another suite).",
    options=(
        FigureOption("metric", "Metric that is drawn.", "micro_f1", metavar="NAME"),
        FigureOption("suite", "Suite whose protocols are drawn.", "core@1", metavar="NAME"),
    ),
    examples=(
        "harness figure robustness ramer carat --dataset mosei-aligned-twin",
        "harness figure robustness ramer --dataset mosi --suite noise@1 --metric macro_f1",
        "harness figure robustness ramer --dataset mosi --train-dropout train-mix@1",
        "harness figure robustness ramer mmin --dataset mosi --suite missing@1 "
        "--train-dropout dropout-trained",
    ),
    compute=_compute,
    draw=draw,
    stem=lambda asked, shown: (
        f"{shown.table.dataset}-robustness-{shown.table.suite.partition('@')[0]}-"
        f"{shown.table.key.metric}{protocol_part(_training(shown.table))}"
    ),
)
