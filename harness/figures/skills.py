"""What can this model do: a heat map of models x skills (`harness.boards.views.skills`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.boards.entrants import reader
from harness.boards.rows import label_of
from harness.boards.views.skills import Measured, SkillRow, lines, of_records, short
from harness.errors import DataMissingError, UnknownNameError, require
from harness.figures.canvas import (
    DIVERGING,
    FORMATS,
    About,
    drawing,
    finish,
    heat_map,
    ink_of,
    seeds_text,
)
from harness.figures.request import FigureRequest
from harness.records.record import COMPLETE
from harness.specs import FigureKind

HEADS = (
    *("model", "setting", "train_dropout", "skill", "dataset", "dropout", "seeds"),
    *("value", "low", "high", "claimed_above", "claimed", "micro_f1", "full", "without"),
)


@dataclass(frozen=True)
class SkillFigure:
    """The skills that are drawn, a column each, with at least one row in all."""

    skills: tuple[Measured, ...]

    @property
    def names(self) -> list[str]:
        """Return the rows' names, in order."""
        return [self._named[key] for key in lines(self.skills)]

    @property
    def _named(self) -> dict[tuple[str, str, str], str]:
        return {row.key: row.name for one in self.skills for row in one.rows}

    def cells(self) -> list[list[SkillRow | None]]:
        """Return the cells, a list a model; None: not measured."""
        each = [{row.key: row for row in one.rows} for one in self.skills]
        return [[column.get(key) for column in each] for key in lines(self.skills)]

    def values(self) -> NDArray[np.float64]:
        """Return the skills, float64 [models, skills]; NaN: not measured, or refused."""
        return np.array(
            [[math.nan if c is None else _known(c.skill.value) for c in row]
             for row in self.cells()]
        )  # fmt: skip


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _compute(asked: FigureRequest) -> SkillFigure:
    found = of_records(asked.records, asked.registry, reader(asked.store))
    # Rows bear a model's label (`ramer (paper)`); people give its name, as to every other kind.
    labels = {str(r.model["name"]): label_of(r.model) for r in asked.records}
    known = {row.model for one in found for row in one.rows}
    for name in asked.models:
        if labels.get(name, name) not in known:
            names = sorted(name for name, label in labels.items() if label in known)
            raise UnknownNameError("model with a skill", name, names)
    wanted = {labels.get(name, name) for name in asked.models} or known
    kept = [one.only(wanted) for one in found]
    kept = [one for one in kept if one.rows]
    if not kept:
        sets = ", ".join(entry.spec.dataset for entry in asked.registry.skills.values())
        raise DataMissingError(
            f"no run measures a skill; the data sets that do: {sets}. Run one: 'harness run "
            "--model logistic --dataset diag-xor'."
        )
    return SkillFigure(tuple(kept))


def draw(data: SkillFigure, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw the heat map and write its numbers; a frame is around skills that may be claimed.

    Colours end at -1 and 1. Raises as `harness.figures.canvas.save`.
    """
    values, cells = data.values(), data.cells()
    width, height = 1.25 * values.shape[1] + 1.6, 0.5 * values.shape[0] + 0.9
    with drawing(width, max(height, 1.6)) as figure:
        axes = figure.subplots()
        image = heat_map(axes, values, low=-1.0, high=1.0, cmap=DIVERGING, form="{:.2f}")
        for i, row in enumerate(cells):
            for j, cell in enumerate(row):
                if cell is not None:
                    _mark(axes, i, j, cell, data.skills[j].claims, image)
        axes.set_xticks(range(len(data.skills)), [f"{s.skill}\n{s.dataset}" for s in data.skills])
        axes.set_yticks(range(len(cells)), data.names)
        axes.xaxis.tick_top()
        figure.colorbar(image, ax=axes, shrink=0.8, label="skill")
        return finish(figure, stem, _about(data), formats, HEADS, _numbers(data))


def _mark(axes: Any, i: int, j: int, cell: SkillRow, claims: float, image: Any) -> None:
    if cell.skill.interval is None or cell.skill.value is None:
        axes.text(j, i, "refused", ha="center", va="center", fontsize=7)
        return
    ends = ", ".join(map(short, cell.skill.interval))
    ink = ink_of(image.to_rgba(cell.skill.value))
    axes.text(j, i + 0.32, f"({ends})", ha="center", va="center", color=ink, fontsize=6)
    if cell.skill.above(claims):
        patches = require("matplotlib.patches", "plots")
        axes.add_patch(
            patches.Rectangle((j - 0.47, i - 0.46), 0.94, 0.92, fill=False, edgecolor=ink)
        )


def _about(data: SkillFigure) -> About:
    claims = [f"{s.skill} {s.claims:.2f}" for s in data.skills if s.claims]
    above = f" ({', '.join(claims)}; else 0)" if claims else ""
    notes = (
        "0: nothing of the skill, as the best predictor without it; 1: all of it, as the exact "
        "posterior. In brackets: 95 %, paired bootstrap over samples.",
        f"Framed: the interval lies above what thresholds alone can reach{above}.",
        "Generated data: it says nothing about how good a model is at emotions.",
    )
    others = [f"{s.skill}: {s.dropout}" for s in data.skills if s.dropout != COMPLETE]
    also = f" ({', '.join(others)})" if others else ""
    return About(
        "What can this model do?", "generated, one skill a data set", "generated",
        f"{COMPLETE} on test{also}",
        seeds_text(row.seeds for one in data.skills for row in one.rows), notes,
    )  # fmt: skip


def _numbers(data: SkillFigure) -> Iterable[tuple[object, ...]]:
    for row in data.cells():
        for one, cell in zip(data.skills, row, strict=True):
            if cell is not None:
                found = cell.skill
                yield (
                    *(*cell.key, one.skill, one.dataset, one.dropout),
                    " ".join(map(str, cell.seeds)),
                    *(found.value, *(found.interval or (None, None)), one.claims),
                    "yes" if found.above(one.claims) else "no",
                    *(found.model, found.full, found.lacking),
                )


FIGURE = FigureKind(
    name="skills",
    summary="Draw what models can do: skills measured on the diagnostic data sets.",
    description="A skill is 0 where a model is as good as the best predictor without it, and 1 "
    "where it is as good as the exact posterior. Without MODEL every model with runs on a diag "
    "data set is drawn. 'harness run --dataset diag-xor' and the others make the runs.",
    models="any",
    common=(),
    examples=(
        "harness figure skills",
        "harness figure skills ramer carat logistic",
        "harness figure skills --records leaderboards/records",
    ),
    compute=_compute,
    draw=draw,
    stem=lambda asked, _: "-".join(("skills", *asked.models)),
)
