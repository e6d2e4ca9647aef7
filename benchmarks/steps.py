"""Training step and evaluation of every model at the paper's size, against the product limit.

Each setting runs in a process of its own, so that its peak memory is its own. The share of the
limit is the time that the counted products (`benchmarks.counting`) would take at the rate of the
product, over the time of the step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from benchmarks.counting import count
from benchmarks.measuring import (
    GIGA,
    ISA,
    PRODUCT_FLOP,
    Peak,
    disturbed,
    in_child,
    in_turn,
    machine,
    table,
)
from benchmarks.settings import Reference, settings
from benchmarks.subject import Size, Subject
from harness.engine.device import choose

COLUMNS = (
    "setting", "batch", "GFLOP", "step s", "products", "limit", "peak GB", "eval s",
    "eval products", "reference", "faster", "target", "memory",
)  # fmt: skip


def measure(
    name: str,
    rounds: int = 5,
    limit: float = 60.0,
    device: str = "cpu",
    precision: str = "fp32",
    threads: int = 1,
    size: Mapping[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Return a setting's figures; None: its model is fitted at once and has no step.

    Args:
        name: of the setting.
        rounds: of evaluation, step and product, in turn.
        limit: seconds after which no further round begins, from the second on.
        device: cpu or cuda.
        precision: fp32 or bf16.
        threads: of a CPU.
        size: fields of `Size`.
    """
    setting = settings()[name]
    compute = choose(device, precision, threads)
    given = dict(size or {})
    given["overrides"] = tuple(given.get("overrides", ()))
    with Subject(setting, compute, Size(**given)) as subject:
        if not subject.model.iterative:
            return None
        each = len(subject.batches)
        # Evaluation alone first: its peak is not that of training.
        of_evaluation = Peak()
        subject.evaluate()
        evaluating = of_evaluation.read()
        of_training = Peak()
        compute.reset_peak_memory()
        works = {"step": subject.step, "evaluation": subject.evaluate}
        times = in_turn(works, compute.device, rounds, limit)
        peak = of_training.read()
        on_device = compute.peak_memory() if compute.device.type == "cuda" else None
        flop, flop_evaluation = count(subject.step), count(subject.evaluate)
    best = {k: min(v) for k, v in times.items()}
    step, evaluation = best["step"] / each, best["evaluation"] / each
    rate = PRODUCT_FLOP / best["product"]
    # What evaluation keeps is no part of the model, nor is what the process gave back since.
    starts = [p.start for p in (of_evaluation, of_training) if p.start is not None]
    built = min(starts, default=None)
    if on_device is not None:
        peak, built = on_device / GIGA, 0.0
    found = {
        "model": setting.model,
        "layout": subject.task.layout,
        "batch": len(subject.batches[0]),
        "batches": each,
        "mask": setting.mask,
        "parameters": subject.parameters,
        "rounds": len(times["step"]),
        "gflop": round(flop / each / GIGA, 2),
        "step_s": round(step, 5),
        "step_median_s": round(median(times["step"]) / each, 5),
        "products": round(step / best["product"], 3),
        "limit_share": round(flop / each / rate / step, 3),
        "evaluation_gflop": round(flop_evaluation / each / GIGA, 2),
        "evaluation_s": round(evaluation, 5),
        "evaluation_products": round(evaluation / best["product"], 3),
        "evaluation_limit_share": round(flop_evaluation / each / rate / evaluation, 3),
        "product_s": round(best["product"], 5),
        "product_gflops": round(rate / GIGA, 1),
        "built_gb": _rounded(built),
        "peak_gb": _rounded(peak),
        "evaluation_peak_gb": _rounded(evaluating),
        "disturbed": disturbed(times),
    }
    if setting.reference is not None:
        found["reference"] = against(setting.reference, found)
    return {"figures": found, "machine": machine(compute.device)}


def against(reference: Reference, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reference's figures and what they say of ours."""
    facts = {k: v for k, v in asdict(reference).items() if v is not None}
    facts["products"] = round(reference.products, 2)
    facts["times_as_fast"] = round(reference.products / found["products"], 2)
    if reference.target is not None:
        facts["met"] = facts["times_as_fast"] >= reference.target
    if reference.peak_gb is not None and found["peak_gb"] is not None:
        ours = found["peak_gb"] - (found["built_gb"] if reference.above_built else 0.0)
        facts["our_peak_gb"] = round(ours, 3)
        facts["memory_share"] = round(ours / reference.peak_gb, 3)
        if reference.memory_target is not None:
            facts["memory_met"] = facts["memory_share"] <= reference.memory_target
    return facts


def measure_all(
    names: Sequence[str],
    isa: str = "default",
    here: bool = False,
    tell: Any = None,
    **arguments: Any,
) -> dict[str, Any]:
    """Return the figures of settings, each from a process of its own.

    Args:
        names: of settings; empty: all.
        isa: ``avx2`` keeps the libraries from AVX-512.
        here: measure in this process.
        tell: called with each row as it comes.
        arguments: of `measure`.
    """
    rows, where = {}, {}
    for name in names or settings():
        found = in_child("benchmarks.steps:measure", {"name": name, **arguments}, ISA[isa], here)
        if found is None:
            continue
        rows[name], where = found["figures"], found["machine"]
        if tell is not None:
            tell(name, rows[name])
    return {"machine": where, "models": rows}


def show(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures as a table; ``!`` marks a missed target, ``~`` a disturbed row."""
    return table(COLUMNS, [_row(name, found) for name, found in rows.items()])


def _row(name: str, found: Mapping[str, Any]) -> list[Any]:
    reference = found.get("reference", {})
    share = reference.get("memory_share")
    memory = None if share is None else f"{share:.2f}"
    if reference.get("memory_target"):
        missed = "" if reference["memory_met"] else " !"
        memory = f"{memory} (<= {reference['memory_target']:.2f}){missed}"
    target = reference.get("target")
    return [
        name + (" ~" if found["disturbed"] else ""),
        found["batch"], found["gflop"], found["step_s"], found["products"],
        f"{found['limit_share']:.0%}", found["peak_gb"], found["evaluation_s"],
        found["evaluation_products"], reference.get("products"), reference.get("times_as_fast"),
        None if target is None else f">= {target}" + ("" if reference["met"] else " !"),
        memory,
    ]  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
