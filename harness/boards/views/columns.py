"""Columns that several views have: figures by their keys, and what tells rows apart."""

from __future__ import annotations

from collections.abc import Iterable

from harness.boards.frame import Key
from harness.boards.grid import DATA, Column
from harness.protocols.metrics import columns, headings
from harness.specs import LabelKind


def keys(label_kind: LabelKind) -> tuple[Key, ...]:
    """Return what a leaderboard shows of data with such labels, in the order of its columns."""
    shown = tuple(map(Key, columns(label_kind)))
    return shown if label_kind == "singlelabel" else (*shown, Key("micro_f1", "tuned"))


def heading(key: Key) -> str:
    """Return what people read at the head of a figure's column."""
    name = headings().get(key.metric, key.metric)
    return " ".join(part for part in (key.slice, name, key.tuned) if part)


def figures(shown: Iterable[Key]) -> list[Column]:
    """Return a column a figure."""
    return [Column(key.name, heading(key), "figure") for key in shown]


def about_run() -> list[Column]:
    """Return the columns that tell rows of a data file apart."""
    return [Column("role", readers=DATA), Column("seeds", readers=DATA)]
