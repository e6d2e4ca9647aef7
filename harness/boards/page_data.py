"""What the page knows: boards and their records as compact JSON values.

Figures are integers, ten-thousandths: four digits are what boards print, and the page stays small.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.boards.aggregate import SORT_BY, Row, Table, figure_of
from harness.boards.board import Board
from harness.boards.cells import HEADS
from harness.boards.page_suites import (
    SCALE,
    on_page,
    scaled,
    shown_metrics,
    sliced,
    suites,
    who,
)
from harness.boards.tables import commands_of
from harness.protocols.metrics import METRICS, summed
from harness.records.record import COMPLETE, RunRecord
from harness.statistics.ranks import rank_text

PER_LABEL = ("precision", "recall", "f1", "ap")

Records = Mapping[str, RunRecord]


def page_data(boards: Iterable[Board], records: Iterable[RunRecord]) -> dict[str, Any]:
    """Return the values that ``page.js`` reads.

    Seeds, per-label scores and tests are there for complete data; other dropout protocols have
    mean and deviation, from which the page draws its curves. A row is an object, or where it has
    nothing but figures ``[about, mean, std, ...]``.
    """
    by_id = {record.id: record for record in records}
    return {
        "scale": SCALE,
        "heads": dict(HEADS),
        "lower": [m.name for m in METRICS.values() if m.lower_is_better],
        "comparable": [*summed(), *(f"tuned_{name}" for name in summed())],
        "boards": [_board(board, by_id) for board in boards],
    }


class _Entries:
    """What rows of one model under several protocols share, kept once."""

    def __init__(self) -> None:
        self.about: list[dict[str, Any]] = []
        self._places: dict[tuple[Any, ...], int] = {}

    def place(self, row: Row) -> int:
        identity = (row.role, row.label, row.setting, row.version, row.runs)
        if identity not in self._places:
            self._places[identity] = len(self.about)
            self.about.append(
                {"model": row.model, "label": row.label, "role": row.role, "setting": row.setting,
                 "version": row.version, "parameters": row.parameters, "seeds": row.seeds,
                 "runs": row.runs, "commands": commands_of([row])}
            )  # fmt: skip
        return self._places[identity]


def _board(board: Board, by_id: Records) -> dict[str, Any]:
    entries = _Entries()
    tables = [
        _table(table, board, by_id, entries) | {"external": outside}
        for outside, some in ((False, board.tables), (True, board.external))
        for table in some
    ]
    return {
        "name": board.dataset,
        "base": board.base_name,
        "twin": board.source == "twin",
        "compat": board.dataset != board.dataset.removesuffix("-compat"),
        "single": board.label_kind == "singlelabel",
        "tested": on_page(SORT_BY, board.label_kind),
        "tables": tables,
        "suites": suites(board, by_id.values(), entries.place),
        "about": entries.about,
    }


def _table(table: Table, board: Board, by_id: Records, entries: _Entries) -> dict[str, Any]:
    key, metrics = table.key, shown_metrics(board, table)
    slices, by_slice = sliced(table, board.slices)
    rows = []
    for row in table.rows:
        mine = {"slices": by_slice[who(row)]} if who(row) in by_slice else {}
        values = _row(row, metrics, table, by_id) | mine
        place = entries.place(row)
        plain = list(values) == ["figures"]
        rows.append([place, *values["figures"]] if plain else values | {"about": place})
    return {
        "id": key.dataset_id, "hash": key.content_hash, "mask": key.mask,
        "train": key.train_dropout, "dropout": key.dropout, "split": key.split,
        "samples": table.samples, "rate": _rate(table, by_id), "metrics": metrics,
        "slices": slices or None,
        "rows": rows,
        "tests": [
            [t.first, t.second, int(t.told_apart),
             *map(scaled, (t.delta, *t.delta_ci, t.p_perm, t.p_seeds, t.p_holm))]
            for t in table.tests
        ],
        "failed": [[f.label, f.seed, f.run, " ".join(f.reason.split())] for f in table.failures],
    }  # fmt: skip


def _row(row: Row, metrics: Sequence[str], table: Table, by_id: Records) -> dict[str, Any]:
    figures: list[int | None] = []
    for name in metrics:
        found = row.figures.get(name)
        figures += [None, None] if found is None else [scaled(found.mean), scaled(found.std)]
    values: dict[str, Any] = {
        "figures": figures,
        "rank": rank_text(row.rank),
        "over_seeds": _ends(row.t_interval),
        "over_samples": _ends(row.sample_interval),
        "clusters": row.clusters,
    }
    if table.key.dropout == COMPLETE:
        runs = [by_id[run] for run in row.runs]
        values["seeds"] = [
            [scaled(figure_of(run, table.key, name)) for name in metrics] for run in runs
        ]
        values["labels"] = _per_label(runs, table)
    return {name: value for name, value in values.items() if value not in (None, "", [])}


def _per_label(runs: Iterable[RunRecord], table: Table) -> list[list[Any]]:
    """Return per label its name, support, and `PER_LABEL` as means over seeds."""
    key = table.key
    each = [run.metrics[key.dropout][key.split]["declared"].get("per_label") or {} for run in runs]
    lines = []
    for label in each[0]:
        mine = [found[label] for found in each if label in found]
        line: list[Any] = [label, mine[0].get("support")]
        for name in PER_LABEL:
            known = [one[name] for one in mine if one.get(name) is not None]
            line.append(scaled(statistics.fmean(known)) if known else None)
        lines.append(line)
    return lines


def _rate(table: Table, by_id: Records) -> int | None:
    """Return the realised missing rate of a table's dropout masks."""
    key = table.key
    for run in (run for row in table.rows for run in row.runs):
        about = by_id[run].protocols["dropout"].get(key.dropout, {}).get(key.split, {})
        if about.get("eta_hat") is not None:
            return scaled(about["eta_hat"])
    return None


def _ends(ends: tuple[float, float] | None) -> list[int | None] | None:
    return None if ends is None else [scaled(end) for end in ends]
