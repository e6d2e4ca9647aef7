"""The one table: another code's figures, the limit, and ours, each program at a small size.

A row has what is measured, the other code's figure and ours (time in products, or as the unit
says), the share of the product limit that ours reaches, how many times as good ours is, and the
target. Rows that do not fit into the time are named.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks import prepare, records, startup, steps, store
from benchmarks.measuring import in_child, machine, table
from benchmarks.settings import settings

COLUMNS = ("what", "unit", "reference", "ours", "limit", "times", "target")
# Seconds that each part takes, about, on one core.
SECONDS = {
    "startup": 45.0,
    "boards": 30.0,
    "first start": 40.0,
    "preparation": 15.0,
    "overhead": 20.0,
    "steps": 25.0,
}
Row = dict[str, Any]


def measure(
    box: float = 600.0,
    isa: str = "default",
    here: bool = False,
    tell: Callable[[str], None] | None = None,
    size: Mapping[str, Any] | None = None,
    names: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return the rows, and what was left out for lack of time.

    Args:
        box: seconds; a part that would not fit into what is left is left out.
        isa: as of `benchmarks.steps.measure_all`.
        here: measure steps in this process.
        tell: called with the name of a part when it begins.
        size: fields of `Size`, of the steps.
        names: parts, as in the result; empty: all.
    """
    began, rows, left_out = time.perf_counter(), list[Row](), list[str]()
    for name, seconds, part in _parts(isa, here, size):
        if names and name not in names:
            continue
        if time.perf_counter() - began + seconds > box:
            left_out.append(name)
            continue
        if tell is not None:
            tell(name)
        rows += part()
    return {"machine": machine(), "isa": isa, "rows": rows, "left_out": left_out}


def _parts(
    isa: str, here: bool, size: Mapping[str, Any] | None
) -> Iterator[tuple[str, float, Callable[[], list[Row]]]]:
    """Yield every part: its name, its seconds and what measures it."""
    for name, setting in settings().items():
        if setting.reference is None:
            continue

        def step(name: str = name) -> list[Row]:
            given = {"rounds": 3, "limit": 15.0, "size": size}
            found = steps.measure_all([name], isa, here, **given)["models"]
            return [row for f in found.values() for row in _of_step(name, f)]

        yield name, SECONDS["steps"], step
    yield "preparation", SECONDS["preparation"], lambda: _prepare(here)
    yield "first start", SECONDS["first start"], lambda: _first(here)
    yield "boards", SECONDS["boards"], _boards
    yield "startup", SECONDS["startup"], _startup
    yield "overhead", SECONDS["overhead"], lambda: _overhead(here)


def _row(
    what: str, unit: str, ours: Any, reference: Any = None, limit: str = "", **facts: Any
) -> Row:
    return {
        "what": what, "unit": unit, "reference": reference, "ours": ours, "limit": limit, **facts
    }  # fmt: skip


def _of_step(name: str, found: Mapping[str, Any]) -> list[Row]:
    reference = found["reference"]
    rows = [
        _row(
            f"{name}: step", "products", found["products"], reference["products"],
            f"{found['limit_share']:.0%}", times=reference["times_as_fast"],
            target=_at_least(reference.get("target")), met=reference.get("met"),
            disturbed=found["disturbed"],
        )
    ]  # fmt: skip
    if "our_peak_gb" in reference:
        above = reference["above_built"]
        share = reference["memory_share"]
        limit = reference.get("memory_target")
        rows.append(
            _row(
                f"{name}: peak" + (" above the model" if above else ""), "GB",
                reference["our_peak_gb"], reference["peak_gb"],
                times=round(1 / share, 2) if share else None,
                target=_at_least(None if limit is None else round(1 / limit, 2)),
                met=reference.get("memory_met"),
            )
        )  # fmt: skip
    return rows


def _at_least(target: float | None) -> str:
    return "" if target is None else f">= {target:g}"


def _prepare(here: bool) -> list[Row]:
    found = prepare.measure(0.02, here=here)
    what = f"preparation of {found['clips']} clips"
    return [
        _row(f"{what}: CPU", "s", found["cpu_s"]),
        _row(f"{what}: peak", "GB", found["peak_gb"]),
    ]


def _first(here: bool) -> list[Row]:
    first = store.measure(here=here, passes=False)["first"]
    reference = first["reference_s"]
    return [
        _row("start to the first step of MulT, 2,000 clips to prepare", "s", first["very_first_s"],
             reference, times=round(reference / first["very_first_s"], 2), target=">= 1",
             met=first["met"]),
        _row("start to the first step of MulT, prepared", "s", first["prepared_s"]),
    ]  # fmt: skip


def _boards() -> list[Row]:
    found = records.measure((100,), runs=0, check=False)["boards"]["100"]
    return [
        _row("leaderboard of 100 records, first time", "ms a record", found["record_ms"]),
        _row("leaderboard after one record was added", "s", found["again_s"]),
    ]


def _startup() -> list[Row]:
    verbs = ("list", "data stats", "doctor", startup.FINISHED)
    found = startup.measure(verbs, rounds=1)["verbs"]
    rows = [_row(startup.TORCH, "s", found[startup.TORCH]["cpu_s"])]
    for verb in verbs:
        f = found[verb]
        target = f"<= {f['limit']:.3g}"
        rows.append(_row(f"harness {verb}", "s", f["cpu_s"], target=target, met=f["met"]))
    return rows


def _overhead(here: bool) -> list[Row]:
    rows = []
    for name in ("ml-gcn on mosi, quick",):
        given = {"name": name, "whole": False}
        found = in_child("benchmarks.overhead:measure", given, here=here)["figures"]
        rows += [
            _row(f"harness around a step: {name}", "us", found["step_us"]),
            _row(f"harness around an epoch: {name}", "ms", found["epoch_ms"]),
            _row(f"harness around a run: {name}", "ms", found["run_ms"]),
        ]
    return rows


def show(found: Mapping[str, Any]) -> str:
    """Return the one table; ``!`` marks a missed target, ``~`` a row that other work disturbed."""
    rows = []
    for row in found["rows"]:
        missed = " !" if row.get("met") is False else ""
        disturbed = " ~" if row.get("disturbed") else ""
        rows.append(
            (row["what"] + disturbed, row["unit"], row["reference"], row["ours"], row["limit"],
             row.get("times"), (row.get("target") or "") + missed)
        )  # fmt: skip
    about = found["machine"]
    lines = [
        f"{about['processor']}, {found['isa']} instructions, torch {about['torch']}; one thread, "
        f"{about['clock']} seconds; a product is a {about['product']}",
        table(COLUMNS, rows),
    ]
    if found["left_out"]:
        lines.append(f"left out for lack of time (--box): {', '.join(found['left_out'])}")
    return "\n".join(lines)
