"""``harness leaderboard`` over many records, for the first time and after one was added; rescore.

The records are copies of committed ones (`benchmarks.made_records`).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.made_records import make_records
from benchmarks.measuring import machine, spent, table
from harness.records.predictions import predictions_file
from harness.records.store import PREDICTIONS, RunStore

SIZES = (100, 1000, 10_000)
# Of 10,000 records: seconds and GB the first time, seconds after one was added.
LIMITS = {"first_s": 180.0, "peak_gb": 1.0, "again_s": 20.0}
COLUMNS = ("records", "first s", "ms a record", "peak GB", "one added s", "check s")


def command(words: Sequence[str], home: str) -> dict[str, float]:
    """Return what a command of the harness takes, in a home of its own."""
    return spent(["-m", "harness", *words], {"HARNESS_HOME": home})


def boards(number: int, check: bool = True) -> dict[str, Any]:
    """Return CPU seconds of writing and checking the boards of ``number`` records."""
    with TemporaryDirectory(prefix="harness-benchmark-") as folder:
        out, home = Path(folder) / "boards", str(Path(folder) / "home")
        folder_of_records = out / "records"
        make_records(folder_of_records, number)

        def taken(*words: str) -> dict[str, float]:
            return command(("leaderboard", *words, "--out", str(out)), home)

        write = ("--records", str(folder_of_records))
        first = taken(*write)
        make_records(folder_of_records, number + 1)
        again = taken(*write)
        found = {
            "first_s": round(first["cpu_s"], 2),
            "record_ms": round(1e3 * first["cpu_s"] / number, 2),
            "peak_gb": round(first["peak_gb"], 3),
            "again_s": round(again["cpu_s"], 2),
        }
        if check:
            found["check_s"] = round(taken("--check")["cpu_s"], 2)
    if number >= max(SIZES):
        found["met"] = all(found[key] <= limit for key, limit in LIMITS.items())
    return found


def rescored(number: int) -> dict[str, Any]:
    """Return CPU seconds of ``harness rescore`` over ``number`` runs: copies of one of MOSI."""
    from benchmarks.startup import RUN

    with TemporaryDirectory(prefix="harness-benchmark-") as home:
        command(RUN, home)
        runs = RunStore(Path(home) / "runs")
        (record,) = (r for r in runs.all() if r.role == "model")
        parts = runs.parts(record)
        content = predictions_file(parts, record.dataset["labels"])
        for other in runs.all():
            if other.id != record.id:
                shutil.rmtree(runs.folder(other.id))
        for seed in range(1, number):
            name = record.id.replace("-s0-", f"-s{seed}-")
            runs.write(replace(record, id=name, seed=seed), {PREDICTIONS: content})
        taken = command(("rescore",), home)
    return {
        "runs": number,
        "rescore_s": round(taken["cpu_s"], 2),
        "run_ms": round(1e3 * taken["cpu_s"] / number, 2),
        "peak_gb": round(taken["peak_gb"], 3),
    }


def measure(sizes: Sequence[int] = SIZES, runs: int = 100, check: bool = True) -> dict[str, Any]:
    """Return the figures of boards by number of records, and of rescoring.

    Args:
        sizes: numbers of records.
        runs: how many are rescored; 0: none.
        check: also measure ``leaderboard --check``.
    """
    found: dict[str, Any] = {"machine": machine()}
    found["boards"] = {str(n): boards(n, check) for n in sizes}
    if runs:
        found["rescore"] = rescored(runs)
    return found


def show(found: Mapping[str, Any]) -> str:
    """Return the figures as text."""
    keys = ("first_s", "record_ms", "peak_gb", "again_s", "check_s")
    rows = [(n, *(f.get(k) for k in keys)) for n, f in found["boards"].items()]
    lines = [table(COLUMNS, rows)]
    if one := found.get("rescore"):
        lines.append(
            f"rescore of {one['runs']} runs: {one['rescore_s']} s, {one['run_ms']} ms a run"
        )
    return "\n".join(lines)
