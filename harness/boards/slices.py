"""Scores by slice: parts of a split scored on their own, beside the score over all of it.

On MEmoR the slices say what the target shows at the target moment: speaker or non-speaker, visible
or invisible. A group's slices have a table of their own.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.boards.aggregate import Statistic, Table, statistic
from harness.boards.cells import HEADS, NOTHING, csv_statistic, format_statistic, pipe
from harness.boards.collect import GroupKey
from harness.records.record import RunRecord

FIGURES = ("micro_f1", "macro_f1", "weighted_f1")
_SHOWN = ("micro_f1", "macro_f1")


@dataclass(frozen=True)
class SliceRow:
    """A row of a table, its figures per slice over seeds at the declared threshold."""

    label: str
    role: str
    setting: str
    seeds: tuple[int, ...]
    slices: Mapping[str, Mapping[str, Statistic]]


@dataclass(frozen=True)
class SliceTable:
    """The slices of one table; ``samples`` counts the samples of each."""

    key: GroupKey
    samples: Mapping[str, int]
    rows: tuple[SliceRow, ...]


def by_slice(table: Table, records: Mapping[str, RunRecord]) -> SliceTable | None:
    """Return a table by slice, in the order of its rows; None where no run has slices.

    Rows whose runs have none (they were made before the data had slices) are left out.
    """
    samples: dict[str, int] = {}
    rows = []
    for row in table.rows:
        scored = [_slices(records[run], table.key) for run in row.runs]
        if not scored or not all(scored):
            continue
        for name, found in scored[0].items():
            samples.setdefault(name, int(found["samples"]))
        figures = {name: _statistics([found[name] for found in scored]) for name in scored[0]}
        rows.append(SliceRow(row.label, row.role, row.setting, row.seeds, figures))
    return SliceTable(table.key, samples, tuple(rows)) if rows else None


def sections(tables: Iterable[SliceTable]) -> list[str]:
    """Return the tables as Markdown: a heading, a line of facts and the figures, each."""
    parts = []
    for table in tables:
        key = table.key
        heads = [f"{name} {HEADS[shown]}" for name in table.samples for shown in _SHOWN]
        lines = [_cells(row, table) for row in table.rows]
        counts = ", ".join(f"{name} {n}" for name, n in table.samples.items())
        parts += [
            f"### By slice: scored under {key.dropout}, trained under {key.train_dropout}, "
            f"mask {key.mask}",
            f"The rows above over parts of `{key.split}` alone, in samples: {counts}. Averages are "
            "over all labels; a label that a part does not have counts 0.",
            pipe(["model", "setting", "n", *heads], lines),
        ]
    return parts


def csv_text(tables: Iterable[SliceTable]) -> str:
    """Return the tables as CSV, one line a row and slice."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = [f"{name}_{part}" for name in FIGURES for part in ("mean", "std")]
    writer.writerow(
        ["dataset", "data_hash", "mask", "train_dropout", "dropout", "split", "slice", "samples",
         "role", "model", "setting", "n", *heads]
    )  # fmt: skip
    for table in tables:
        key = table.key
        where = [key.dataset_id, key.content_hash, key.mask, key.train_dropout, key.dropout]
        for name, row in ((n, r) for n in table.samples for r in table.rows):
            found = row.slices.get(name, {})
            values = [text for figure in FIGURES for text in csv_statistic(found.get(figure))]
            writer.writerow(
                [*where, key.split, name, table.samples[name], row.role, row.label, row.setting,
                 len(row.seeds), *values]
            )  # fmt: skip
    return out.getvalue()


def _slices(record: RunRecord, key: GroupKey) -> dict[str, Any]:
    found: dict[str, Any] = record.metrics[key.dropout][key.split]["declared"].get("slices", {})
    return found


def _statistics(found: list[dict[str, Any]]) -> dict[str, Statistic]:
    """Return the figures that every seed has."""
    return {
        name: statistic(float(f[name]) for f in found)
        for name in FIGURES
        if all(f.get(name) is not None for f in found)
    }


def _cells(row: SliceRow, table: SliceTable) -> list[str]:
    trained = row.role in ("model", "external")
    name = row.label if trained else f"*{row.label}*"
    cells = [name, (row.setting if trained else row.role) or NOTHING, str(len(row.seeds))]
    for part in table.samples:
        for figure in _SHOWN:
            cells.append(format_statistic(row.slices.get(part, {}).get(figure)))
    return cells
