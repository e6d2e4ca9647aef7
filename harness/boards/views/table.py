"""The main table of a place: what a person reads of it first, and beside it all that is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.boards.frame import Key
from harness.boards.grid import (
    DATA,
    EVERYONE,
    Cell,
    Column,
    Grid,
    GridRow,
    Statistic,
    percent,
    statistic,
)
from harness.boards.rows import Row, Table
from harness.boards.shares import ceiling_of, constant_of
from harness.boards.views.columns import about_run, figures, heading, keys
from harness.records.record import COMPLETE, RunRecord
from harness.statistics.ranks import rank_text

BEST, SECOND, APART = "best", "second", "apart"
MAIN = {"multilabel": ("jaccard", "macro_f1"), "singlelabel": ("macro_f1", "weighted_f1")}
"""Metrics of the main table beside the one that rows are ordered by."""
_SHOWN = EVERYONE - DATA
NAMED = ("setting", "seeds")
"""What a row's name says where it is not that of most rows."""


def table_grid(table: Table) -> Grid:
    """Return one table as a grid.

    People are shown at most eight columns; programs get every figure, at the tuned and at the
    declared threshold, and what a run cost.
    """
    key, shown = table.key, keys(table.label_kind)
    beside = [Key(name, key.threshold) for name in MAIN[table.label_kind]]
    name, samples = key.name, f"{key.name}_samples"
    tested = any(row.sample_interval is not None for row in table.rows)
    constant, shares = constant_of(table.rows), any(row.share is not None for row in table.rows)
    head = heading(key, table.label_kind) + " [95 %]" * tested
    columns = [
        Column("name", "model", readers=_SHOWN),
        Column("model", readers=DATA), Column("setting", readers=DATA), *about_run(),
        Column("n", kind="figure", readers=DATA),
        Column(name, head, "figure", interval=samples),
    ]  # fmt: skip
    if tested:
        columns += [
            Column("rank", kind="figure"),
            Column(f"{name}_seeds", "95 % seeds", "figure", readers=DATA),
            Column(samples, "95 % samples", "figure", readers=DATA),
            Column("clusters", readers=DATA),
        ]
    if shares:
        columns += [
            Column("share", kind="share", interval="share_interval"),
            Column("share_interval", "95 % share", "share", readers=DATA),
        ]
    elif constant is not None:
        columns.append(Column("over_constant", "over constant", "signed"))
    columns += [replace(column, kind="mean") for column in figures(beside)]
    columns += [
        Column("seconds", kind="mean", digits=0),
        Column("parameters", kind="count"),
        *(Column(part, kind="figure", readers=DATA) for part in ("trials", "steps")),
        *(Column(part, kind="figure", readers=DATA) for part in ("cpu_s", "peak_memory")),
        Column("tested_before", "settings tested before", readers=DATA),
    ]
    others = [k for k in shown if k not in (key, *beside)]
    columns += [replace(column, readers=DATA) for column in figures(others)]
    usual, alike = _alike(table)
    rows = tuple(
        GridRow(
            common(row)
            | {k.name: row.figures.get(k) for k in shown}
            | {"name": named_row(row, usual),
               "rank": rank_text(row.rank), f"{name}_seeds": row.t_interval,
               samples: row.sample_interval, "clusters": row.clusters,
               "share": row.share, "share_interval": row.share_interval,
               "over_constant": _over(row, constant), "tested_before": row.tested_before}
            | _cost(row),
            row.role,
            {name: mark} if mark else {},
            row.older,
        )
        for row, mark in zip(table.rows, marks(table.rows), strict=True)
    )  # fmt: skip
    place, how = table.place, trained_how(table)
    about = (
        f"Protocol `{place.protocol}`, mask `{place.mask}`, {how}, scored under `{place.dropout}` "
        f"on `{place.split}` ({table.samples} samples), {table.data}."
    )
    title = f"Scored under {place.dropout}, {how}, mask {place.mask}".replace("`", "")
    notes = (*failures(table.failed), *warned(table.rows), *further(table.rows))
    text = " ".join(part for part in (about, alike, chance(table)) if part)
    return Grid(title, tuple(columns), rows, notes, text, table.facts)


def chance(table: Table) -> str:
    """Return how far from chance the best model stands, in a sentence; empty: it is not known."""
    constant, ceiling = constant_of(table.rows), ceiling_of(table.rows)
    best = max((r for r in table.rows if r.trained), key=lambda r: r.best, default=None)
    if constant is None or best is None:
        return ""
    which = "" if constant.label == "best-constant" else f" ({constant.label})"
    said = f"Best constant{which} {constant.best:.4f}"
    if ceiling is None or best.share is None:
        gap = best.best - constant.best
        return f"{said}; the best model, {best.label}, stands {gap:+z.4f} from it."
    return (
        f"{said}, ceiling {ceiling.best:.4f}; the best model, {best.label}, stands at "
        f"{percent(best.share)} of the way between them."
    )


def _alike(table: Table) -> tuple[Mapping[str, str | None], str]:
    """Return setting and seeds of most trained models, None where no more than half agree.

    And a sentence: these two, which the names of other rows say, and what else all have.
    """
    rows = [row for row in table.rows if row.role == "model"]
    if not rows:
        return {}, ""
    facts: dict[str, Callable[[Row], str]] = {
        "setting": setting_of,
        "seeds": seeds_of,
        "trials": lambda row: _amount(row, "trials", "trial"),
        "steps": lambda row: _amount(row, "steps", "step"),
    }
    same, most, differing = {}, {}, []
    for name, fact in facts.items():
        (text, count), *others = Counter(map(fact, rows)).most_common()
        if not others:
            same[name] = text
        elif name in NAMED and count > len(rows) / 2:
            most[name] = text
        else:
            differing.append(name)
    parts = [f"All models: {', '.join(filter(None, same.values()))}."] if any(same.values()) else []
    if most:
        usual = ", ".join(text or "class defaults" for text in most.values())
        parts.append(f"Where a row does not say otherwise: {usual}.")
    if differing:
        parts.append(f"Not alike in all rows: {', '.join(differing)} (see the CSV).")
    return {name: (same | most).get(name) for name in NAMED}, " ".join(parts)


def setting_of(row: Row) -> str:
    """Return the setting of a row as sentences have it; empty: class defaults."""
    return f"`{row.setting}`" if row.setting else ""


def seeds_of(row: Row) -> str:
    """Return the training seeds of a row as sentences have them."""
    return f"seeds {', '.join(map(str, row.seeds))}"


def _amount(row: Row, name: str, unit: str) -> str:
    known = [int(r.budget[name]) for r in row.records if r.budget.get(name) is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    text = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{text} {unit}{'' if text == '1' else 's'}"


def named_row(row: Row, usual: Mapping[str, str | None]) -> str:
    """Return a row's name, with what tells it from other rows.

    Args:
        row: of a table.
        usual: setting and seeds (`setting_of`, `seeds_of`) that are said elsewhere, as those of
            rows whose names say no others; None: there are none. Without seeds no name says any.
    """
    if not row.trained:
        return row.label if row.role == "ceiling" else f"{row.label} ({row.role})"
    plain = usual.get("setting") == setting_of(row) and row.role == "model"
    name = row.label if plain else row.name
    counted = f"n {len(row.seeds)}" if usual.get("seeds", seeds_of(row)) != seeds_of(row) else ""
    less = row.lacking or counted
    return f"{name}, {less}" if less else name


def _over(row: Row, constant: Row | None) -> float | None:
    return None if constant is None or row is constant else row.best - constant.best


def _cost(row: Row) -> dict[str, Cell]:
    """Return what the runs of a trained model cost."""
    if not row.trained:
        return {}
    budgets = [record.budget for record in row.records]
    return {
        "seconds": _mean(b.get("seconds") for b in budgets),
        "parameters": row.first.parameters or None,
        "trials": _mean(b.get("trials") for b in budgets),
        "steps": _mean(b.get("steps") for b in budgets),
        "cpu_s": _mean(b.get("cpu_s") for b in budgets),
        "peak_memory": _mean(b.get("peak_memory") for b in budgets),
    }


def _mean(values: Iterable[Any]) -> Statistic | None:
    known = [float(value) for value in values if value is not None]
    return statistic(known) if known else None


def beside_validation(grid: Grid, table: Table) -> Grid:
    """Return the grid of a table with what its rows are sorted by on validation beside it."""
    names = [column.name for column in grid.columns]
    key = table.key if table.key.name in names else keys(table.label_kind)[0]
    found = [row.on("valid", key) for row in table.rows]
    if not any(found) or table.place.dropout != COMPLETE or table.place.split == "valid":
        return grid
    at = names.index(key.name) + 1
    name = f"valid_{key.name}"
    column = Column(name, f"{heading(key, table.label_kind)} valid", "figure")
    rows = tuple(
        replace(row, cells={**row.cells, name: value})
        for row, value in zip(grid.rows, found, strict=True)
    )
    return replace(grid, columns=(*grid.columns[:at], column, *grid.columns[at:]), rows=rows)


def common(row: Row) -> dict[str, Cell]:
    """Return the cells that tell rows apart."""
    return {
        "model": row.label, "role": row.role, "setting": _setting(row),
        "seeds": " ".join(map(str, row.seeds)), "n": len(row.seeds),
    }  # fmt: skip


def _setting(row: Row) -> str:
    """Return a row's setting, or its role, and how many of its table's twins it lacks."""
    said = (row.setting if row.trained else row.role, row.lacking)
    return ", ".join(part for part in said if part)


def failures(failed: Sequence[RunRecord]) -> tuple[str, ...]:
    """Return a note about each run without a result."""
    return tuple(
        f"Failed: {r.model['name']}, seed {r.seed}: {failure_of(r)} ({r.id})" for r in failed
    )


def warned(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return a note about each row with runs whose checks warned (`RunRecord.checks`)."""
    return tuple(f"Checks of {r.name}: {' '.join(r.warnings)}" for r in rows if r.warnings)


def further(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return a note about each row with runs on twins that its table does not have."""
    return tuple(
        f"Left out of {row.name}: its runs on twins {', '.join(map(str, row.beyond))}."
        for row in rows
        if row.beyond and row.trained
    )


def failure_of(record: RunRecord) -> str:
    """Return why a run failed, in one line."""
    return " ".join(str((record.failure or {}).get("reason", "unknown")).split())


def trained_how(table: Table) -> str:
    """Return how the rows of a table were trained."""
    outside = any(row.role == "external" for row in table.rows)
    return "trained elsewhere" if outside else f"trained under `{table.place.train_dropout}`"


def marks(rows: Sequence[Row]) -> list[str]:
    """Return per row `BEST`, `SECOND` or nothing, by the tested metric.

    The best trained model is marked where it is told apart from every other one, the second where
    it is told apart too, and the first is marked: in a tie nothing is. Rows without a rank were
    not tested, and nothing is marked beside them.
    """
    trained = [i for i, row in enumerate(rows) if row.trained]
    marked = ["" for _ in rows]
    if len(trained) < 2 or not all(rows[i].rank for i in trained):
        return marked
    order = sorted(trained, key=lambda i: -rows[i].best)
    for place, mark in zip(order, (BEST, SECOND), strict=False):
        mine = set(rows[place].rank)
        if any(mine & set(rows[other].rank) for other in order if other != place):
            break
        marked[place] = mark
    return marked
