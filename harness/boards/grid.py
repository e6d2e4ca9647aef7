"""What every view of the records is made of, and all that a format writes: `View` and `Grid`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Interval = tuple[float, float]
Kind = Literal["text", "figure", "mean", "signed", "share", "count"]
Reader = Literal["page", "data", "paper"]
"""Who reads a column or a grid: people (Markdown, HTML, console), programs (CSV, JSON), papers
(LaTeX)."""

EVERYONE: frozenset[Reader] = frozenset({"page", "data", "paper"})
PAGE: frozenset[Reader] = frozenset({"page"})
DATA: frozenset[Reader] = frozenset({"data"})
NOT_PAPER: frozenset[Reader] = frozenset({"page", "data"})
NOT_PAGE: frozenset[Reader] = frozenset({"data", "paper"})
TRAINED = ("model", "external", "full", "ablated")
"""Roles of rows that are trained models."""
# Deviations of equal figures are rounding.
_NO_SPREAD = 1e-12


@dataclass(frozen=True)
class Statistic:
    """A figure over n seeds; ``std`` is the sample standard deviation, None for one seed."""

    mean: float
    std: float | None
    n: int

    @property
    def deterministic(self) -> bool:
        """Return whether all seeds give one figure: the model has no random part."""
        return self.std is not None and self.std < _NO_SPREAD


def statistic(values: Iterable[float]) -> Statistic:
    """Return mean, sample standard deviation and n of at least one value."""
    known = list(values)
    n = len(known)
    mean = math.fsum(known) / n
    if n < 2:
        return Statistic(mean, None, n)
    # `statistics.stdev` adds fractions, which takes fifty times as long.
    away = [value - mean for value in known]
    squares = math.fsum(d * d for d in away) - math.fsum(away) ** 2 / n
    return Statistic(mean, math.sqrt(max(squares, 0.0) / (n - 1)), n)


Cell = str | int | float | Statistic | Interval | None


@dataclass(frozen=True)
class Column:
    """A column: ``name`` for programs, ``heading`` for people.

    ``kind`` is ``text``, ``figure`` (number, `Statistic` or `Interval`), ``mean`` (likewise; people
    are shown no deviation), ``signed`` (a difference), ``share`` (of 1, shown in percent) or
    ``count``. ``interval`` names the cell that people read in brackets behind it. ``about`` holds
    facts about the column itself, such as
    the missing rate of its dropout protocol; with them a CSV file has a line a row and column.
    """

    name: str
    heading: str = ""
    kind: Kind = "text"
    digits: int = 4
    readers: frozenset[Reader] = EVERYONE
    printed: bool = False
    about: Mapping[str, Cell] = field(default_factory=dict)
    interval: str = ""

    @property
    def head(self) -> str:
        """Return the heading, or the name where they are the same."""
        return self.heading or self.name


@dataclass(frozen=True)
class GridRow:
    """A row: cells by column name; those that are missing are empty.

    ``role`` is a record's role or ``full``, ``ablated``, ``printed``. ``marks`` names cells that a
    paper prints ``best``, ``second`` or ``apart``; ``older``: by older code than is installed.
    """

    cells: Mapping[str, Cell]
    role: str = "model"
    marks: Mapping[str, str] = field(default_factory=dict)
    older: bool = False


@dataclass(frozen=True)
class Grid:
    """A table: ``about`` says in a sentence what its figures hold for, ``facts`` the same as data.

    ``commands`` make its rows again; ``section`` heads consecutive grids that share it. ``readers``
    are who is shown the grid at all.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[GridRow, ...]
    notes: tuple[str, ...] = ()
    about: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    commands: tuple[str, ...] = ()
    section: str = ""
    readers: frozenset[Reader] = EVERYONE

    def read_by(self, reader: Reader) -> list[Column]:
        """Return the columns that a reader is shown."""
        return [column for column in self.columns if reader in column.readers]


@dataclass(frozen=True)
class View:
    """The grids of one file, in every format: ``<stem><suffix of the format>``.

    ``name`` is the kind of view and ``board`` the name of the board it belongs to; empty: all.
    ``after`` stands behind the grids, ``notes`` before them. ``wide``: cells hold sentences, and
    lines are as long as they are.
    """

    name: str
    stem: str
    title: str
    grids: tuple[Grid, ...]
    notes: tuple[str, ...] = ()
    board: str = ""
    source: str = ""
    wide: bool = False
    after: tuple[str, ...] = ()

    def read_by(self, reader: Reader) -> list[Grid]:
        """Return the grids that a reader is shown."""
        return [grid for grid in self.grids if reader in grid.readers]


def older_note(grids: Iterable[Grid]) -> tuple[str, ...]:
    """Return the line that explains the mark of rows by older code, where there are any."""
    note = (
        "‡ Made by an older version of the harness or of the model's code than what is installed; "
        "the boards are trained anew as a whole."
    )
    return (note,) if any(row.older for grid in grids for row in grid.rows) else ()


def percent(value: float) -> str:
    """Return a share as people read it: ``32 %``, and never ``-0 %``."""
    return f"{100 * value:z.0f} %"


def rounded(value: Any) -> Any:
    """Return nested values with floats to ten digits, so that no platform's last bit shows.

    Nor does a zero's sign, which such a bit decides.
    """
    if isinstance(value, Mapping):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    return round(value, 10) + 0.0 if isinstance(value, float) else value
