"""What the page knows of suites of dropout protocols and of slices, as compact JSON values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from harness.boards.aggregate import SORT_BY, Row, Statistic, Table
from harness.boards.board import EXTERNAL, Board
from harness.boards.collect import ablated, board_name
from harness.boards.robustness import RobustRow, RobustTable, robustness
from harness.boards.slices import FIGURES, SliceRow, SliceTable
from harness.records.record import COMPLETE, RunRecord

SCALE = 10_000
ACCURACY = "accuracy"
# Further metrics whose aggregates a page holds, by kind of labels.
AGGREGATED = {"multilabel": ("jaccard", "macro_f1"), "singlelabel": ("macro_f1", "weighted_f1")}

Place = Callable[[Row], int]
Who = tuple[str, str, str, tuple[int, ...]]


def scaled(value: float | None) -> int | None:
    """Return a figure as the page holds it: an integer, ten-thousandths."""
    return None if value is None else round(value * SCALE)


def on_page(metric: str, kind: str) -> str:
    """Return the page's name of a metric: with one label a sample micro-F1 is accuracy."""
    return ACCURACY if (metric, kind) == (SORT_BY, "singlelabel") else metric


def who(row: Row | RobustRow | SliceRow) -> Who:
    """Return what tells a row from the others of its table."""
    return (row.role, row.label, row.setting, row.seeds)


def shown_metrics(board: Board, table: Table) -> tuple[str, ...]:
    """Return the metrics of a table that the page shows, the one that is tested first.

    Protocols of other suites than ``core@1`` have those whose aggregates there are: the page stays
    small, and the board's own files hold the others.
    """
    kind = board.label_kind
    kept = (n for n in table.figures if n != ACCURACY or kind != "singlelabel")
    other = table.key.dropout.removesuffix("@1") in _of_other_suites(board)
    wanted = (SORT_BY, *AGGREGATED[kind]) if other else table.figures
    return tuple(on_page(n, kind) for n in kept if n in wanted)


def suites(board: Board, records: Iterable[RunRecord], place: Place) -> list[dict[str, Any]]:
    """Return a board's suites: which protocols, and aggregates over seeds by metric.

    Figures per protocol are those of the board's tables; they are not repeated. A row is
    ``[place, n, mean, std, ...]`` in the order of ``names``; None where an aggregate is undefined.
    """
    own = [
        r for r in records
        if board_name(r) == board.dataset and r.role != EXTERNAL and not ablated(r)
    ]  # fmt: skip
    by_metric = {SORT_BY: list(board.robustness)}
    if any(row.aggregates for table in board.robustness for row in table.rows):
        by_metric |= {m: robustness(own, m) for m in AGGREGATED[board.label_kind]}
    found = []
    for table in board.robustness:
        rows = _places(board, table, place)
        aggregates = {
            on_page(metric, board.label_kind): _aggregates(other, rows)
            for metric, tables in by_metric.items()
            for other in tables
            if _key(other) == _key(table) and any(row.aggregates for row in other.rows)
        }
        found.append(
            {"hash": table.content_hash, "mask": table.mask, "train": table.track,
             "suite": table.suite, "protocols": [f"{name}@1" for name in table.protocols],
             "rows": [rows[who(row)] for row in table.rows if who(row) in rows],
             "aggregates": aggregates}
        )  # fmt: skip
    return found


def sliced(table: Table, slices: Sequence[SliceTable]) -> tuple[dict[str, Any], dict[Who, Any]]:
    """Return a table's slices (names, samples, metrics) and per row its figures.

    A row's figures are ``mean, std`` by slice and metric; empty where the data has no slices.
    Other protocols than complete data have the metric that is tested only.
    """
    mine = next((s for s in slices if s.key == table.key), None)
    if mine is None:
        return {}, {}
    metrics = FIGURES if table.key.dropout == COMPLETE else (SORT_BY,)
    about = {
        "names": list(mine.samples),
        "samples": list(mine.samples.values()),
        "metrics": [on_page(name, table.label_kind) for name in metrics],
    }
    rows = {
        who(row): [
            value
            for name in mine.samples
            for figure in metrics
            for value in _pair(row.slices.get(name, {}).get(figure))
        ]
        for row in mine.rows
    }
    return about, rows


def _of_other_suites(board: Board) -> set[str]:
    core = {n for t in board.robustness if t.suite == "core@1" for n in t.protocols}
    return {n for t in board.robustness for n in t.protocols} - core - {"full"}


def _places(board: Board, table: RobustTable, place: Place) -> dict[Who, int]:
    """Return the places of the rows of a suite's table on complete data."""
    for full in board.tables:
        key = full.key
        where = (key.content_hash, key.mask, key.train_dropout, key.dropout)
        if where == (table.content_hash, table.mask, table.track, COMPLETE):
            known = {who(row)[:3]: row for row in full.rows}
            return {
                who(row): place(known[who(row)[:3]]) for row in table.rows if who(row)[:3] in known
            }
    return {}


def _aggregates(table: RobustTable, rows: dict[Who, int]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for row in table.rows for name in row.aggregates))
    return {
        "names": names,
        "rows": [
            [rows[who(row)], len(row.seeds),
             *(v for name in names for v in _pair(row.aggregates.get(name)))]
            for row in table.rows
            if who(row) in rows
        ],
    }  # fmt: skip


def _key(table: RobustTable) -> tuple[str, ...]:
    return (table.content_hash, table.mask, table.track, table.suite)


def _pair(value: Statistic | None) -> tuple[int | None, int | None]:
    return (None, None) if value is None else (scaled(value.mean), scaled(value.std))
