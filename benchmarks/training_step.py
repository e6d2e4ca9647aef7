"""Time of a training step of every model, relative to a matrix product in the same run.

Usage: python benchmarks/training_step.py [--device cpu|cuda] [--model NAME]... [--precision bf16]
       [--batch 16] [--rounds 8] [--limit 60] [--threads 1] [--write]

A step is what the loop does: zero_grad, forward, loss, backward, clipping and the optimisers, with
the sizes and the recipe of the model's `paper` preset, its batch size included unless one is given:
AMP's takes a CPU over a minute. A model made for sequences is given
MOSEI-aligned's sizes at full length, one made for grids MEmoR's. Models that are fitted at once
(`iterative = False`) have no step and are left out. The ratio to the product tells machines apart
from code. After ``--limit`` seconds a model has no further round, but it has two.

Another process on the machine slows a step down: a model whose median step takes more than 1.5
times its best is marked ``disturbed``, and with any of them nothing is written and the exit status
is 2.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import torch
from measuring import (
    DISTURBED,
    PRODUCT,
    RESULTS,
    device_name,
    grid_batch,
    product,
    seconds,
    sequence_batch,
    write,
)

from harness.config import resolve_config
from harness.engine.context import LoopContext
from harness.engine.device import Compute, choose
from harness.model import ModelPlugin
from harness.plugins import load, resolve
from harness.specs import TaskInfo

DATASETS = {"sequence": "mosei-aligned", "grid": "memor-primary"}
LEAST_ROUNDS = 2


class OneBatch:
    """Training data of one batch, for `setup_fit`."""

    def __init__(self, batch: Any) -> None:
        self.batch, self.labels = batch, batch.targets

    def batches(self, batch_size: int) -> Any:
        """Yield the batch."""
        yield self.batch

    def __len__(self) -> int:
        return len(self.batch)


def measure(
    name: str, compute: Compute, rounds: int, size: int | None, limit: float
) -> dict[str, Any] | None:
    """Return the times of a model's step and of the product; None: it has no step."""
    registry = load()
    spec = registry.model(name)
    dataset = registry.dataset(DATASETS[spec.layouts[0]])
    config = resolve_config(spec, dataset, "paper", None, [])
    task = TaskInfo.of(dataset, config.threshold, spec.layouts)
    torch.manual_seed(0)
    model: ModelPlugin = resolve(spec.factory)(config.model, task)
    if not model.iterative:
        return None
    made = grid_batch if task.cells else sequence_batch
    batch = made(size or config.training.batch_size, task)
    device, total = compute.device, 1 + rounds
    model.to(device)
    model.setup_fit(OneBatch(batch))
    model.to(device).train()
    optimizers = list(model.configure_optimizers(config.training, total))
    ctx = LoopContext(
        model.parameters(), optimizers, config.training, compute, torch.Generator(), total
    )
    model.on_epoch_start(ctx)
    batch, multiply = batch.to(device), product(device)

    def step() -> None:
        model.on_step_start(ctx)
        if not model.automatic_optimization:
            float(model.training_step(batch, ctx).loss)
            return
        with compute.autocast():
            loss = model.training_step(batch, ctx).loss
        float(loss.detach())
        ctx.zero_grad()
        ctx.backward(loss)
        if ctx.clips:
            ctx.clip()
        for index in range(len(optimizers)):
            ctx.step_optimizer(index)

    times: dict[str, list[float]] = {"step": [], "product": []}
    began = time.perf_counter()
    for number in range(total):
        if number > LEAST_ROUNDS and time.perf_counter() - began > limit:
            break
        products = [seconds(multiply, device) for _ in range(3)]
        taken = seconds(step, device)
        ctx.step += 1
        if number:
            times["product"] += products
            times["step"].append(taken)
    best, middle = ({k: f(v) for k, v in times.items()} for f in (min, median))
    return {
        "layout": task.layout,
        "batch": len(batch),
        "rounds": len(times["step"]),
        "parameters": sum(p.numel() for p in model.parameters()),
        "step_ms": round(best["step"] * 1e3, 2),
        "step_median_ms": round(middle["step"] * 1e3, 2),
        "product_ms": round(best["product"] * 1e3, 3),
        "ratio": round(best["step"] / best["product"], 2),
        "disturbed": any(middle[k] > DISTURBED * best[k] for k in times),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, say so, and write the result where it is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--model", action="append", help="a model's name; default: all")
    parser.add_argument("--batch", type=int, help="samples a step; default: the recipe's")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds a model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write the result file")
    options = parser.parse_args(arguments)
    compute = choose(options.device, options.precision, options.threads)
    every = [n for n, e in load().models.items() if e.spec.role == "model"]
    models: dict[str, Any] = {}
    with compute.deterministic():
        for name in options.model or every:
            found = measure(name, compute, options.rounds, options.batch, options.limit)
            if found is not None:
                models[name] = found
                line = f"{name:20} {found['step_ms']:9.2f} ms  {found['ratio']:8.2f} products"
                print(line, flush=True)
    disturbed = [name for name, found in models.items() if found["disturbed"]]
    result = {
        "device": device_name(compute.device),
        "threads": compute.threads if compute.device.type == "cpu" else None,
        "torch": torch.__version__,
        "precision": compute.precision,
        "product": PRODUCT,
        "models": models,
    }
    if disturbed:
        print(f"disturbed by other work, not a result: {', '.join(disturbed)}; run it again")
        return 2
    if options.write:
        half = "" if compute.precision == "fp32" else f"-{compute.precision}"
        write(RESULTS / f"training_step-{compute.device.type}{half}.json", result)
    else:
        print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
