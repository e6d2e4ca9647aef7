"""Rows between the best constant set and the ceiling of their table (`harness.statistics.share`).

The best constant is the best trivial predictor of a table: none of them sees the input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.boards.frame import Key, twin_of
from harness.statistics.measured import Measured
from harness.statistics.share import against, share

if TYPE_CHECKING:
    from harness.boards.rows import Row

Values = Mapping[str, float]
"""A figure by the id of its run."""


def ceiling_of(rows: Sequence[Row]) -> Row | None:
    """Return the ceiling among rows; None: there is none, as on real data."""
    return next((row for row in rows if row.role == "ceiling"), None)


def constant_of(rows: Sequence[Row]) -> Row | None:
    """Return the best trivial predictor among rows; None: there is none."""
    return max((r for r in rows if r.role == "trivial"), key=lambda r: r.best, default=None)


def values_of(rows: Sequence[Row], key: Key) -> dict[str, float]:
    """Return a figure of every run that has it, by run id."""
    return {
        record.id: values[key]
        for row in rows
        for record, values in zip(row.records, row.values, strict=True)
        if key in values
    }


def share_of(row: Row, values: Values, rows: Sequence[Row]) -> float | None:
    """Return the share of a row by a figure, over its runs on twins that all three have.

    Args:
        row: of a table.
        values: the figure by run id.
        rows: of the table.
    """
    constant, ceiling = constant_of(rows), ceiling_of(rows)
    if constant is None or ceiling is None:
        return None
    low, high = (
        {twin_of(r): values[r.id] for r in one.records if r.id in values}
        for one in (constant, ceiling)
    )
    known = [
        (values[r.id], low[twin], high[twin])
        for r in row.records
        for twin in [twin_of(r)]
        if r.id in values and twin in low and twin in high
    ]
    if not known:
        return None
    value, least, most = (sum(one) / len(known) for one in zip(*known, strict=True))
    return share(value, least, most)


def with_shares(rows: Sequence[Row], key: Key) -> list[Row]:
    """Return the rows of a table with their shares by a figure."""
    values = values_of(rows, key)
    return [replace(row, share=share_of(row, values, rows)) for row in rows]


def with_intervals(rows: Sequence[Row], found: Mapping[int, Measured]) -> list[Row]:
    """Return rows with intervals of their shares, and whether they are told from a constant.

    Args:
        rows: of a table.
        found: what is tested, by the place of its row.
    """
    places = {id(row): number for number, row in enumerate(rows)}
    constant, ceiling = (
        replace(found[places[id(row)]], deterministic=True)
        if row is not None and places[id(row)] in found
        else None
        for row in (constant_of(rows), ceiling_of(rows))
    )
    if constant is None:
        return list(rows)
    made = []
    for number, row in enumerate(rows):
        known = against(found[number], constant, ceiling) if number in found else None
        if known is not None and row.role not in ("ceiling", "trivial"):
            row = replace(row, share_interval=known.interval, above_constant=known.above)
        made.append(row)
    return made
