"""What the benchmarks of training steps share: made batches, the clock, the product, the file."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from harness.data.batch import Batch
from harness.data.grid import Grid
from harness.specs import TaskInfo

PERSONS, SEGMENTS, SIDE = 3, 8, 1536
# MEmoR's shares of cells that have a modality.
SHARES = {"visual": 0.54, "audio": 0.19, "text": 0.25}
# A run is disturbed whose median takes this many times its best.
DISTURBED = 1.5
RESULTS = Path(__file__).parent / "results"
PRODUCT = f"{SIDE} x {SIDE} float32 matrix product"


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of one call, waiting for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def product(device: torch.device) -> Callable[[], object]:
    """Return the product that times are set in relation to."""
    a = torch.randn(SIDE, SIDE, device=device)
    return lambda: torch.mm(a, a)


def device_name(device: torch.device) -> str:
    """Return the name of the processor or the accelerator."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")]
    return names[0] if names else platform.machine()


def grid_batch(size: int, task: TaskInfo) -> Batch:
    """Return labelled grids of `PERSONS` x `SEGMENTS` whose share of valid cells is the data's.

    No row is shared between samples, which real batches do: the slow case.
    """
    g = torch.Generator().manual_seed(0)
    shape = (size, PERSONS, SEGMENTS)
    rows, index = {}, {}
    for m in task.modalities:
        valid = torch.rand(shape, generator=g) < SHARES[m.name]
        rows[m.name] = torch.randn(int(valid.sum()), m.dim, generator=g)
        index[m.name] = torch.where(valid, valid.flatten().cumsum(0).view(shape) - 1, -1)
    draw = torch.randint(0, PERSONS * SEGMENTS, (size,), generator=g)
    grid = Grid(
        rows=rows,
        index=index,
        exists=torch.ones(shape, dtype=torch.bool),
        characters=torch.randint(0, 8, (size, PERSONS), generator=g),
        personality=torch.randn(size, PERSONS, task.personality_dim, generator=g),
        target_person=draw // SEGMENTS,
        target_segment=draw % SEGMENTS,
        num_persons=torch.full((size,), PERSONS),
        num_segments=torch.full((size,), SEGMENTS),
        has_target=torch.ones(size, dtype=torch.bool),
    )
    present = torch.ones(size, len(task.modalities), dtype=torch.bool)
    labels = torch.eye(task.num_labels)[torch.randint(0, task.num_labels, (size,), generator=g)]
    return Batch({}, {}, present, present, tuple(map(str, range(size))), labels, grid=grid)


def sequence_batch(size: int, task: TaskInfo) -> Batch:
    """Return labelled sequences of full length, each label set for about a quarter of them."""
    g = torch.Generator().manual_seed(0)
    shapes = {m.name: (size, m.max_length, m.dim) for m in task.modalities}
    features = {name: torch.randn(shape, generator=g) for name, shape in shapes.items()}
    mask = {name: torch.ones(shape[:2], dtype=torch.bool) for name, shape in shapes.items()}
    present = torch.ones(size, len(task.modalities), dtype=torch.bool)
    labels = (torch.rand(size, task.num_labels, generator=g) < 0.25).float()
    return Batch(features, mask, present, present, tuple(map(str, range(size))), labels)


def write(path: Path, found: Mapping[str, Any]) -> None:
    """Write a result as JSON, whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
