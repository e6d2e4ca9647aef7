"""What the mechanisms of trained models do, from the diagnostics in their records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.boards.selecting import Chosen
from harness.boards.views.mechanisms import (
    ABOUT,
    COSINE,
    PROBE,
    R2,
    SHARE,
    TITLES,
    Measured,
    over_seeds,
)
from harness.errors import DataMissingError
from harness.figures.canvas import (
    FORMATS,
    INK,
    MUTED,
    About,
    drawing,
    finish,
    legend,
    seeds_text,
    style,
)
from harness.figures.request import FigureRequest, name_part
from harness.specs import FigureKind, FigureReport

HEADS = (
    *("model", "setting", "measure", "of", "modality", "n", "mean", "std", "reference"),
    "seeds",
)
DRAWN = (SHARE, PROBE, R2)
GAP = 0.4
"""Between the bars of two terms, parts or levels."""
_ENDS: dict[str, tuple[float | None, float | None]] = {PROBE: (0.0, 1.0), R2: (None, 1.05)}


@dataclass(frozen=True)
class Diagnosed:
    """One row and its measures over seeds."""

    row: Chosen
    seeds: tuple[int, ...]
    found: tuple[Measured, ...]


@dataclass(frozen=True)
class MechanismFigure:
    """Rows of one data set, and the measures that any of them has."""

    about: About
    rows: tuple[Diagnosed, ...]

    def of(self, measure: str) -> list[str]:
        """Return what a measure is of, over all rows, in order."""
        return list(dict.fromkeys(m.of for r in self.rows for m in r.found if m.measure == measure))

    def height(self, measure: str) -> float:
        """Return the height of a measure's panel, in bars."""
        bars = sum(m.measure == measure and not m.modality for r in self.rows for m in r.found)
        return bars + GAP * len(self.of(measure))

    @property
    def measures(self) -> list[str]:
        """Return the measures that are drawn, a panel each."""
        return [measure for measure in DRAWN if self.of(measure)]


def _compute(asked: FigureRequest) -> MechanismFigure:
    rows = []
    for chosen in asked.rows():
        records = [asked.by_id[run] for run in chosen.row.runs]
        found, seeds = over_seeds(records), [r.seed for r in records]
        if not found:
            raise DataMissingError(
                f"no run of {chosen.name!r} holds diagnostics. Measure them, nothing is trained: "
                f"'harness runs diagnose {' '.join(chosen.row.runs)}', or train with 'harness run "
                "--diagnose'."
            )
        rows.append(Diagnosed(chosen, tuple(seeds), tuple(found)))
    first = rows[0].row.row.first
    notes = [ABOUT[m] for m in DRAWN if any(f.measure == m for r in rows for f in r.found)]
    if any(f.value.std is not None for r in rows for f in r.found):
        notes.append("Bars are means over seeds, whiskers one standard deviation.")
    about = About(
        f"Mechanisms of {', '.join(r.row.name for r in rows)}", first.dataset["name"],
        first.dataset["source"], "full@1 on validation", seeds_text(r.seeds for r in rows),
        tuple(notes),
    )  # fmt: skip
    return MechanismFigure(about, tuple(rows))


def draw(data: MechanismFigure, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw a panel a measure, a bar a row; write the files and the numbers.

    Raises as `harness.figures.canvas.save`.
    """
    panels = data.measures
    bars = max(data.height(measure) for measure in panels)
    with drawing(3.4 * len(panels), 0.8 + 0.19 * max(bars, 6.0)) as figure:
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for each, measure in zip(axes, panels, strict=True):
            _panel(each, data, measure)
        if len(data.rows) > 1:
            handles = [
                axes[0].barh([0], [0], color=style(i).colour, hatch=style(i).hatch)
                for i in range(len(data.rows))
            ]
            legend(figure, handles, [r.row.name for r in data.rows])
        return finish(figure, stem, data.about, formats, HEADS, number_rows(data))


def _panel(axes: Any, data: MechanismFigure, measure: str) -> None:
    place, ticks, names = 0.0, [], []
    for name in data.of(measure):
        first = place
        for i, row in enumerate(data.rows):
            for m in row.found:
                if (m.measure, m.of, m.modality) == (measure, name, ""):
                    _bar(axes, place, m, i)
                    place += 1.0
        ticks.append((first + place - 1.0) / 2)
        names.append(name)
        place += GAP
    axes.set_yticks(ticks, names)
    axes.set_ylim(-0.5 - GAP, data.height(measure) - 0.5)
    axes.invert_yaxis()
    axes.set_title(TITLES[measure] + (" (line: chance)" if measure == PROBE else ""))
    axes.axvline(0.0, color=MUTED, linewidth=0.8)
    low, high = _ENDS.get(measure, (0.0, None))
    axes.set_xlim(low, high)


def _bar(axes: Any, place: float, m: Measured, row: int) -> None:
    look = style(row)
    axes.barh(
        [place], [m.value.mean], 0.9, xerr=m.value.std, color=look.colour, hatch=look.hatch,
        edgecolor="white", ecolor=MUTED, linewidth=0.4,
    )  # fmt: skip
    if m.reference is not None:
        ends = [place - 0.45, place + 0.45]
        axes.plot([m.reference, m.reference], ends, color=INK, linewidth=1.4)


def number_rows(data: MechanismFigure) -> Iterator[tuple[object, ...]]:
    """Yield every measure of every row under `HEADS`, the cosines of gradients among them."""
    for row in data.rows:
        for m in row.found:
            yield (
                row.row.row.label, row.row.row.setting, m.measure, m.of, m.modality, m.value.n,
                m.value.mean, m.value.std, m.reference, " ".join(map(str, row.seeds)),
            )  # fmt: skip


def _report(data: MechanismFigure) -> FigureReport:
    rows = list(number_rows(data))
    shown = [r for r in rows if r[2] != COSINE and not r[4]]
    return FigureReport(
        facts={"mechanisms": [dict(zip(HEADS, row, strict=True)) for row in rows]},
        title=data.about.title,
        heads=("model", "measure", "of", "n", "mean", "std", "reference"),
        rows=tuple(
            tuple(_text(r[i]) for i in (0, 2, 3, 5, 6, 7, 8)) for r in shown
        ),
    )  # fmt: skip


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


FIGURE = FigureKind(
    name="mechanisms",
    summary="Draw what models' mechanisms do: losses in the gradient, probes, reconstructions.",
    description="Share of each loss in the gradient of the shared parameters, accuracy of a fresh "
    "linear probe for the modality, R² of each reconstruction against a constant mean, all on "
    "validation, from records alone: 'harness run --diagnose' and 'harness runs diagnose RUN' "
    "measure them. MODEL may be model:setting.",
    examples=(
        "harness figure mechanisms ramer --dataset mosei-aligned",
        "harness figure mechanisms ramer carat --dataset mosi --records leaderboards/records",
    ),
    compute=_compute,
    draw=draw,
    stem=lambda asked, _: "-".join(
        (asked["dataset"], "mechanisms", *map(name_part, asked.models))
    ),
    report=_report,
)  # fmt: skip
