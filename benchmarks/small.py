"""Steps a second on small configurations: ``quick`` on made batches, and real small data's size."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.measuring import machine, seconds, table
from benchmarks.settings import DATASETS, Setting
from benchmarks.subject import Size, Subject
from harness.engine.device import choose
from harness.engine.plan import misfit
from harness.plugins import load

COLUMNS = ("model on data, preset", "batch", "steps/s", "us a step", "samples/s evaluated")
MOSI = "mosi"


def cases() -> dict[str, tuple[Setting, str]]:
    """Return what is measured by name: a setting and a preset."""
    registry, found = load(), {}
    for name, entry in registry.models.items():
        if entry.spec.role != "model":
            continue
        quick = DATASETS[entry.spec.layouts[0]]
        found[f"{name} on {quick}, quick"] = (Setting("", name, quick), "quick")
        if not misfit(entry.spec, registry.dataset(MOSI)):
            found[f"{name} on {MOSI}, paper"] = (Setting("", name, MOSI), "paper")
    return found


def measure(
    names: Sequence[str] = (), least: float = 0.5, batch: int | None = None
) -> dict[str, Any]:
    """Return steps a second and samples a second in evaluation.

    Args:
        names: of cases, or of models; empty: all.
        least: seconds that each is measured for.
        batch: samples a step; None: the recipe's.
    """
    compute, rows = choose("cpu"), {}
    for name, (setting, preset) in cases().items():
        if names and name not in names and setting.model not in names:
            continue
        with Subject(setting, compute, Size(preset, batch)) as subject:
            if not subject.model.iterative:
                continue
            step, evaluation = rate(subject.step, least), rate(subject.evaluate, least / 2)
            samples = len(subject.batches[0])
        rows[name] = {
            "batch": samples,
            "steps_per_second": round(1 / step, 1),
            "step_us": round(1e6 * step, 1),
            "evaluated_per_second": round(samples / evaluation),
        }
    return {"machine": machine(), "models": rows}


def rate(work: Callable[[], object], least: float) -> float:
    """Return the least seconds of a call among those of ``least`` seconds, five at a time."""
    work()
    found: list[float] = []
    began = time.perf_counter()
    while not found or time.perf_counter() - began < least:
        found.append(seconds(lambda: [work() for _ in range(5)]) / 5)
    return min(found)


def show(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures as a table."""
    keys = ("batch", "steps_per_second", "step_us", "evaluated_per_second")
    return table(COLUMNS, [(name, *(f[k] for k in keys)) for name, f in rows.items()])
