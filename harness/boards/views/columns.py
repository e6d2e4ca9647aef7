"""Columns that several views have: figures by their keys, and what tells rows apart."""

from __future__ import annotations

from collections.abc import Iterable

from harness.boards.frame import SORT_BY, TUNED, Key
from harness.boards.grid import DATA, Column
from harness.protocols.metrics import METRICS, columns, headings
from harness.specs import LabelKind


def keys(label_kind: LabelKind) -> tuple[Key, ...]:
    """Return what a leaderboard shows of data with such labels, in the order of its columns.

    Figures at the threshold tuned on validation stand before those at the declared one.
    """
    shown = tuple(map(Key, columns(label_kind)))
    if label_kind == "singlelabel":
        return shown
    # Average precision and the like know no threshold.
    decided = (key for key in shown if METRICS[key.metric].sums is not None)
    return (*(Key(key.metric, TUNED.threshold) for key in decided), *shown)


def heading(key: Key, label_kind: LabelKind = "multilabel") -> str:
    """Return what people read at the head of a figure's column.

    With one label a sample micro-F1 is accuracy.
    """
    name = headings().get(key.metric, key.metric)
    if label_kind == "singlelabel" and key.metric == SORT_BY.metric:
        name = "accuracy"
    return " ".join(part for part in (key.slice, name, key.tuned) if part)


def figures(shown: Iterable[Key]) -> list[Column]:
    """Return a column a figure."""
    return [Column(key.name, heading(key), "figure") for key in shown]


def about_run() -> list[Column]:
    """Return the columns that tell rows of a data file apart."""
    return [Column("role", readers=DATA), Column("seeds", readers=DATA)]
