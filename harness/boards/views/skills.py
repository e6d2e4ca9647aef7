"""What can this model do: models x skills, each measured on a generated data set of its own."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.boards.board import Board, build_boards
from harness.boards.entrants import Reader, entrant
from harness.boards.frame import SORT_BY, Place, board_name
from harness.boards.grid import (
    DATA,
    EVERYONE,
    NOT_PAPER,
    Cell,
    Column,
    Grid,
    GridRow,
    View,
    older_note,
)
from harness.boards.rows import Row
from harness.boards.settings import named
from harness.errors import DataFormatError, DataMissingError, NoValidationError
from harness.plugins import Registry, resolve
from harness.records.record import COMPLETE, RunRecord
from harness.specs import Skill
from harness.statistics import skill as statistics
from harness.statistics.counts import group_sums
from harness.statistics.entrants import Entrant
from harness.statistics.share import LEAST_RANGE

log = logging.getLogger("harness")

STEM = "skills"
CLAIMED = "*"
_SHOWN = EVERYONE - DATA
_NOTES = (
    "Generated data: a skill says whether a model can do one thing, not how good it is at",
    "emotions. Skill = (F - F0) / (F1 - F0) on the same test samples: F the model's micro-F1, mean",
    "over seeds; F1 that of the exact posterior; F0 the larger of an exact observer without the",
    "skill and the best constant set. 0: nothing of the skill, 1: all of it, below 0: worse than",
    "without it. In brackets: 95 %, paired bootstrap over samples.",
    f"`{CLAIMED}` The skill may be claimed: the interval lies above what thresholds alone reach.",
)


@dataclass(frozen=True)
class SkillRow:
    """A model's skill; ``track`` is the protocol that it was trained under."""

    model: str
    setting: str
    track: str
    seeds: tuple[int, ...]
    older: bool
    skill: statistics.Skill

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what makes cells of one line."""
        return self.model, self.setting, self.track

    @property
    def name(self) -> str:
        """Return model, setting and protocol of training in one."""
        return named(self.model, _setting(self.setting, self.track))


@dataclass(frozen=True)
class Measured:
    """One skill, measured.

    Attributes:
        skill: its name.
        dataset: the data set's name.
        dropout: the protocol that is scored.
        claims: skill above which an interval has to lie.
        doc: what has to be done.
        samples: number of test samples.
        constant: whether F0 is that of the best constant set.
        rows: models.
        left_out: rows that have no skill, and why.
    """

    skill: str
    dataset: str
    dropout: str
    claims: float
    doc: str
    samples: int
    constant: bool
    rows: tuple[SkillRow, ...]
    left_out: tuple[str, ...]

    def only(self, models: Collection[str]) -> Measured:
        """Return the skill of some models."""
        return replace(self, rows=tuple(row for row in self.rows if row.model in models))

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> Measured:
        """Return what `dataclasses.asdict` gave, also after JSON."""
        rows = []
        for row in known["rows"]:
            ends = row["skill"]["interval"]
            own = {**row["skill"], "interval": None if ends is None else tuple(ends)}
            plain = {**row, "seeds": tuple(row["seeds"]), "skill": statistics.Skill(**own)}
            rows.append(SkillRow(**plain))
        return cls(**{**known, "rows": tuple(rows), "left_out": tuple(known["left_out"])})


def measured(board: Board, read: Reader) -> Measured | None:
    """Return the skill that a board's data set measures; None: it measures none.

    Rows are those on the newest content. A row without predictions, or without a
    threshold tuned under the scored protocol, has no skill and is left out by name.

    Args:
        board: of one data set.
        read: gives predictions.

    Raises:
        PluginError: the skill's observers cannot be imported.
    """
    if board.skill is None or board.compat:
        return None
    about = board.skill
    rows: list[tuple[Row, list[Entrant]]] = []
    left_out: list[str] = []
    for table in board.tables:
        if table.place.dropout != about.dropout or table.place.content != board.hashes[0]:
            continue
        for row in (row for row in table.rows if row.trained):
            try:
                rows.append((row, _entrants(row, table.place, read)))
            except (DataMissingError, DataFormatError, NoValidationError) as error:
                left_out.append(f"{_name(row)}: {error}")
    try:
        known = _Splits(about, [one for _, each in rows for one in each])
    except DataFormatError as error:
        log.warning("%s: no skill: %s", board.dataset, error)
        rows, known, left_out = [], _Splits(about, []), [*left_out, str(error)]
    return Measured(
        about.name, about.dataset, about.dropout, about.claims, about.doc,
        known.samples, known.constant,
        tuple(
            SkillRow(
                row.label, row.setting, str(row.first.protocols["train_dropout"]), row.seeds,
                row.older, statistics.skill([known.part(one) for one in each]),
            )
            for row, each in rows
        ),
        tuple(left_out),
    )  # fmt: skip


def of_records(records: Iterable[RunRecord], registry: Registry, read: Reader) -> list[Measured]:
    """Return the skills that records measure, in the order of their data sets' names.

    Args:
        records: runs of any data sets.
        registry: the loaded plugins.
        read: gives predictions.
    """
    wanted = {entry.spec.dataset for entry in registry.skills.values()}
    mine = [r for r in records if board_name(r) in wanted]
    found = (measured(board, read) for board in build_boards(mine, registry=registry))
    return [one for one in found if one is not None]


def view(found: Iterable[Measured]) -> View | None:
    """Return models x skills, and what each skill was measured with; None: nothing was measured."""
    every = list(found)
    known = [one for one in every if one.rows]
    if not known:
        return None
    grids = (_models(known), _skills(known))
    notes = [*_NOTES, *_decided(known)]
    left_out = [f"{one.skill}: {line}" for one in every for line in one.left_out]
    notes += [f"Left out: {line}" for line in left_out]
    notes += older_note(grids)
    return View(STEM, STEM, "What can this model do?", grids, tuple(notes), source="generated")


def _decided(known: Sequence[Measured]) -> list[str]:
    """Return how models decide, and where something else than complete data is scored."""
    others = [f"`{one.dropout}` for {one.skill}" for one in known if one.dropout != COMPLETE]
    text = "Models decide by the threshold tuned on validation under the protocol that is scored"
    return [f"{text}: {', '.join([f'`{COMPLETE}`', *others])}."]


def shown(row: SkillRow, claims: float) -> str:
    """Return a skill as people read it: ``.92* (.90, .93)``."""
    value, interval = row.skill.value, row.skill.interval
    if value is None or interval is None:
        return "refused"
    mark = CLAIMED if row.skill.above(claims) else ""
    return f"{short(value)}{mark} ({', '.join(map(short, interval))})"


def lines(known: Sequence[Measured]) -> list[tuple[str, str, str]]:
    """Return the keys of the lines of the table, those that claim most skills first."""
    claimed: dict[tuple[str, str, str], int] = {}
    for one in known:
        for row in one.rows:
            claimed[row.key] = claimed.get(row.key, 0) + row.skill.above(one.claims)
    return sorted(claimed, key=lambda key: (-claimed[key], key))


def short(value: float) -> str:
    """Return a number with two digits and without the zero before its point."""
    text = f"{value:.2f}"
    return "0" if float(text) == 0 else text.replace("0.", ".", 1) if abs(value) < 0.995 else text


class _Splits:
    """The observers on each test split that models were scored on, by its digest of samples."""

    def __init__(self, about: Skill, entrants: Sequence[Entrant]) -> None:
        self._parts: dict[int, statistics.SkillPart] = {}
        self.samples, self.constant = 0, False
        by_split: dict[str, list[Entrant]] = {}
        for one in entrants:
            by_split.setdefault(one.samples, []).append(one)
        for number, digest in enumerate(sorted(by_split)):
            self._add(about, number, by_split[digest])

    def part(self, one: Entrant) -> statistics.SkillPart:
        """Return an entrant beside the observers."""
        return self._parts[id(one)]

    def _add(self, about: Skill, number: int, entrants: Sequence[Entrant]) -> None:
        first = entrants[0]
        decided = dict(
            resolve(about.observers, f"skill {about.name!r}")(about.dataset, first.ids, first.truth)
        )
        decided["constant"] = statistics.best_constant(first.truth)
        sums = {
            name: group_sums(SORT_BY.metric, first.truth, said[None].astype("int8"), first.groups)
            for name, said in decided.items()
        }
        self.constant = sums["constant"].per_seed()[0] >= sums["lacking"].per_seed()[0]
        floor = sums["constant" if self.constant else "lacking"]
        every = [sums["full"], floor, *(one.sums(SORT_BY.metric) for one in entrants)]
        full, lacking, *models = statistics.resample_all(every, seed=number)
        for one, model in zip(entrants, models, strict=True):
            self._parts[id(one)] = statistics.SkillPart(model, full, lacking)
        self.samples = len(first.ids)


def _entrants(row: Row, place: Place, read: Reader) -> list[Entrant]:
    """Return a row's decisions, an entrant a seed: each may be of a twin of its own."""
    each = (replace(row, records=(record,)) for record in row.records)
    return [entrant(one, place, read, matched=True).parts[0] for one in each]


def _models(known: Sequence[Measured]) -> Grid:
    columns = [Column("model"), Column("setting")]
    for one in known:
        columns += [
            Column(one.skill, kind="text", readers=_SHOWN),
            Column(f"{one.skill}_skill", kind="figure", readers=DATA),
            Column(f"{one.skill}_interval", kind="figure", readers=DATA),
            Column(f"{one.skill}_claimed", readers=DATA),
            Column(f"{one.skill}_micro_f1", kind="figure", readers=DATA),
            Column(f"{one.skill}_seeds", readers=DATA),
        ]
    cells: dict[tuple[str, str, str], dict[str, Cell]] = {}
    older: set[tuple[str, str, str]] = set()
    for one in known:
        for row in one.rows:
            older |= {row.key} if row.older else set()
            claimed = "yes" if row.skill.above(one.claims) else "no"
            cells.setdefault(row.key, {}).update({
                one.skill: shown(row, one.claims),
                f"{one.skill}_skill": row.skill.value,
                f"{one.skill}_interval": row.skill.interval,
                f"{one.skill}_claimed": "refused" if row.skill.value is None else claimed,
                f"{one.skill}_micro_f1": row.skill.model,
                f"{one.skill}_seeds": " ".join(map(str, row.seeds)),
            })  # fmt: skip
    rows = tuple(
        GridRow({"model": key[0], "setting": _setting(*key[1:]), **cells[key]}, older=key in older)
        for key in lines(known)
    )
    return Grid("Models and skills", tuple(columns), rows)


def _skills(known: Sequence[Measured]) -> Grid:
    columns = (
        Column("skill"), Column("data set"), Column("scored under"),
        Column("samples", kind="figure"), Column("full", "F1, exact", "figure"),
        Column("without", "F0, without", "figure"), Column("without is"),
        Column("claimed above", kind="figure", digits=2, readers=NOT_PAPER),
        Column("doc", readers=DATA),
    )  # fmt: skip
    rows = tuple(
        GridRow({
            "skill": one.skill, "data set": one.dataset, "scored under": one.dropout,
            "samples": one.samples, "full": one.rows[0].skill.full,
            "without": one.rows[0].skill.lacking,
            "without is": "constant set" if one.constant else "observer",
            "claimed above": one.claims, "doc": one.doc,
        })
        for one in known
    )  # fmt: skip
    few = LEAST_RANGE
    notes = [f"{one.skill}: {one.doc}." for one in known]
    notes.append(f"A skill is refused where F1 - F0 is below {few}: it would say nothing.")
    return Grid("What each skill is measured with", columns, rows, tuple(notes))


def _name(row: Row) -> str:
    return named(row.label, _setting(row.setting, str(row.first.protocols["train_dropout"])))


def _setting(setting: str, track: str) -> str:
    trained = "" if track == COMPLETE else f"trained under {track}"
    return ", ".join(part for part in (setting, trained) if part)
