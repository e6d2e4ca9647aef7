"""The clip diagnostic's scores twice: correct, and as the legacy code computes them.

Public code that scored merged clips passes predictions where the labels belong (protocol-memor.md,
section 8): precision and recall change places, and "weighted" F1 weighs labels by how often they
were predicted. Micro-F1 and Jaccard are the same both ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.boards.aggregate import Statistic, Table, statistic
from harness.boards.cells import HEADS, format_statistic, pipe
from harness.boards.collect import GroupKey
from harness.records.record import RunRecord

SWAPPED = ("micro_p", "micro_r", "weighted_f1")


@dataclass(frozen=True)
class SwappedRow:
    """A row of a table: figures that the exchange changes, ``correct`` and ``swapped``."""

    label: str
    role: str
    setting: str
    seeds: tuple[int, ...]
    correct: Mapping[str, Statistic]
    swapped: Mapping[str, Statistic]


@dataclass(frozen=True)
class SwappedTable:
    """One table's figures both ways, at the declared threshold."""

    key: GroupKey
    rows: tuple[SwappedRow, ...]


def both_ways(table: Table, records: Mapping[str, RunRecord]) -> SwappedTable | None:
    """Return a table's figures both ways; None unless it is about merged clips.

    Those are the multi-label data sets of grids: no person is asked about.
    """
    runs = [[records[run] for run in row.runs] for row in table.rows]
    if table.label_kind != "multilabel" or not runs or not _of_clips(runs[0][0]):
        return None
    rows = []
    for row, own in zip(table.rows, runs, strict=True):
        correct = [r.metrics[table.key.dropout][table.key.split]["declared"] for r in own]
        swapped = [exchanged(found) for found in correct]
        rows.append(
            SwappedRow(
                row.label,
                row.role,
                row.setting,
                row.seeds,
                {n: statistic(float(f[n]) for f in correct) for n in SWAPPED},
                {n: statistic(f[n] for f in swapped) for n in SWAPPED},
            )
        )
    return SwappedTable(table.key, tuple(rows))


def exchanged(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return what a metrics mapping's figures are with truth and prediction exchanged.

    They follow from the figures themselves: a label was predicted recall * support / precision
    times; where that is undefined its F1 is 0 and its weight has no effect.
    """
    hits, total = 0.0, 0.0
    for label in metrics["per_label"].values():
        right = label["recall"] * label["support"]
        hits += right
        total += label["f1"] * right / label["precision"] if label["precision"] else 0.0
    precision = float(metrics["micro_p"])
    return {
        "micro_p": float(metrics["micro_r"]),
        "micro_r": precision,
        "weighted_f1": total * precision / hits if hits else 0.0,
    }


def sections(tables: tuple[SwappedTable, ...]) -> list[str]:
    """Return the tables as Markdown: a heading, what it is, and the figures, each."""
    parts = []
    for table in tables:
        key = table.key
        heads = [f"{HEADS[name]} {way}" for way in ("correct", "swapped") for name in SWAPPED]
        lines = [
            [row.label, row.setting or row.role, str(len(row.seeds)),
             *(format_statistic(way[n]) for way in (row.correct, row.swapped) for n in SWAPPED)]
            for row in table.rows
        ]  # fmt: skip
        parts += [
            f"### Correct and legacy swapped: scored under {key.dropout}, trained under "
            f"{key.train_dropout}, mask {key.mask}",
            "`swapped` is what code gives that passes predictions where the labels belong: "
            "precision and recall change places, weighted-F1 weighs by predicted counts. Micro-F1 "
            "and Jaccard are the same both ways. To be set beside published rows only.",
            pipe(["model", "setting", "n", *heads], lines),
        ]
    return parts


def _of_clips(record: RunRecord) -> bool:
    return bool(record.dataset["layout"] == "grid")
