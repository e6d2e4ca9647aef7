"""Batches from a prepared store, and how long a user waits for the first of them.

``epoch`` passes over the batches of 2,000 clips of MOSEI's size without a model. ``first`` is the
CPU time from the start of a process, its children included, to the first training step, with the
store prepared before and with the authors' file only (the very first start).
"""

from __future__ import annotations

import resource
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import torch

from benchmarks.made import made_store
from benchmarks.measuring import Peak, in_child, machine, product, seconds, table
from benchmarks.settings import dataset_of

CLIPS: Mapping[str, int] = {"train": 2000, "valid": 300, "test": 600}
# speed-peer: MMSA's MulT from process start to the first step, with a 1536^3 product of .209 s.
REFERENCE_FIRST_S = 13.4
MODEL = "mult"
MASKS = ("ones", "nonzero")


class FirstStepError(Exception):
    """Raised at the first step, to end the run there."""


def epoch(counts: Mapping[str, int], mask: str, length: int | None = None) -> dict[str, Any]:
    """Return the time of passes over the training batches, and memory.

    Args:
        counts: samples by split.
        mask: mask option.
        length: positions of every modality; None: MOSEI's.
    """
    from harness.data.store import read_store
    from harness.engine.splits import TRAIN, SplitView

    dataset = dataset_of("mosei-aligned", length)
    with made_store(dataset, counts, mask_options=MASKS) as store:
        memory = Peak()
        passes: list[int] = []

        def first() -> None:
            opened = read_store(store.path)
            assert opened is not None
            view = SplitView(opened.split(TRAIN), mask)  # type: ignore[arg-type]
            next(iter(view.batches(64, labelled=True)))

        view = SplitView(store.split(TRAIN), mask)  # type: ignore[arg-type]

        def whole() -> None:
            drawn = torch.Generator().manual_seed(len(passes))
            batches = view.batches(64, labelled=True, generator=drawn)
            passes.append(sum(1 for _ in batches))

        first_s, cold, warm = seconds(first), seconds(whole), min(seconds(whole) for _ in range(3))
        above = memory.above()
    return {
        "batches": passes[0],
        "first_batch_ms": round(1e3 * first_s, 2),
        "first_pass_ms": round(1e3 * cold, 2),
        "pass_ms": round(1e3 * warm, 2),
        "batch_us": round(1e6 * warm / passes[0], 1),
        "above_gb": None if above is None else round(above, 3),
    }


def used() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    uses = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def first_step(
    home: str, model: str = MODEL, preset: str = "paper", since_start: bool = True
) -> dict[str, float]:
    """Return the CPU seconds of this process and its children up to the first training step.

    Args:
        home: of stores and runs, with the authors' files in its folder ``data``.
        model: its name.
        preset: of its configuration.
        since_start: count from the start of the process; else from the call.
    """
    from harness import paths
    from harness.engine.execute import plans_of
    from harness.engine.request import RunRequest
    from harness.engine.run import run_one
    from harness.plugins import load
    from harness.records.store import RunStore

    found: dict[str, float] = {}
    before = 0.0 if since_start else used()

    def stop(*_: Any) -> None:
        found["cpu_s"] = used() - before
        raise FirstStepError

    with paths.using_home(home):
        request = RunRequest(model, "mosei-aligned", preset=preset, bar=False)
        (plan,) = plans_of([request], load())
        made = type(plan.model_class.__name__, (plan.model_class,), {"on_step_start": stop})
        record = run_one(replace(plan, model_class=made), RunStore())
    if not found:
        raise click.ClickException(f"no step was made: {record.failure}")
    return found


def measure(
    clips: Mapping[str, int] = CLIPS,
    length: int | None = None,
    here: bool = False,
    passes: bool = True,
    start: bool = True,
    preset: str = "paper",
) -> dict[str, Any]:
    """Return the figures of both masks' batches and of both starts.

    Args:
        clips: by split.
        length: positions of every modality in ``epoch``; None: MOSEI's.
        here: measure in this process; its CPU time then counts from its own start.
        passes: measure passes over batches.
        start: measure the first start.
        preset: of its configuration.
    """
    found: dict[str, Any] = {"clips": dict(clips), "machine": machine(), "epoch": {}}
    for mask in MASKS if passes else ():
        given: dict[str, Any] = {"counts": clips, "mask": mask, "length": length}
        found["epoch"][mask] = in_child("benchmarks.store:epoch", given, here=here)
    if not start:
        return found
    with TemporaryDirectory(prefix="harness-benchmark-") as home:
        given = {"root": str(Path(home) / "data"), "counts": clips}
        in_child("benchmarks.prepare:write_file", given, here=here)
        given = {"home": home, "preset": preset, "since_start": not here}
        very = in_child("benchmarks.store:first_step", given, here=here)["cpu_s"]
        later = in_child("benchmarks.store:first_step", given, here=here)["cpu_s"]
    one = min(seconds(product(torch.device("cpu"))) for _ in range(3))
    found["first"] = {
        "model": MODEL,
        "very_first_s": round(very, 2),
        "prepared_s": round(later, 2),
        "preparation_s": round(very - later, 2),
        "very_first_products": round(very / one, 1),
        "reference_s": REFERENCE_FIRST_S,
        "met": very <= REFERENCE_FIRST_S,
    }
    return found


def show(found: Mapping[str, Any]) -> str:
    """Return the figures as text."""
    keys = ("batches", "first_batch_ms", "first_pass_ms", "pass_ms", "batch_us", "above_gb")
    lines = [
        table(("mask", *keys), [(m, *(f[k] for k in keys)) for m, f in found["epoch"].items()])
    ]
    if first := found.get("first"):
        lines.append(
            f"process start to the first step of {first['model']}: {first['prepared_s']} s CPU, "
            f"the very first with preparation {first['very_first_s']} s (MMSA, on its machine: "
            f"{first['reference_s']} s)"
        )
    return "\n".join(lines)
