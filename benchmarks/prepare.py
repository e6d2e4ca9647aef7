"""Preparation of MOSEI-aligned from the authors' format: CPU seconds and peak memory.

The file is generated: NumPy arrays in ``torch.save``'s container, as the authors' file has them,
with clips as long as the twin draws them. Preparation runs as ``harness data prepare`` does it, in
processes of its own, whose CPU times are added up; the peak is that of the largest of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from benchmarks.made import clip_lengths, made_labels
from benchmarks.measuring import GIGA, in_child, machine, product, seconds, spent
from harness.plugins import load
from harness_corpora.twins import files

DATASET = "mosei-aligned"
FILE = "mosei/train_valid_test.pt"
FULL: Mapping[str, int] = {"train": 16326, "valid": 1871, "test": 4659}
# The target of the peak, in float32 arrays of the largest split.
LIMIT = 1.5
REFERENCE_GB = 8.3


def write_file(root: str, counts: Mapping[str, int]) -> float:
    """Write the authors' file under ``root``; return the GB of its float32 arrays."""
    target = Path(root) / FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    spec = load().dataset(DATASET)
    content: dict[str, Any] = {}
    size = 0
    for split, count in counts.items():
        g = np.random.default_rng(count)
        lengths = clip_lengths(split, count)
        entry: dict[str, Any] = {}
        for m in spec.modalities:
            valid = np.arange(m.max_length) < lengths[:, None]
            values = g.standard_normal((count, m.max_length, m.dim), dtype=np.float32)
            values[~valid] = 0.0
            entry[f"src-{m.name}"] = values
            size += values.nbytes
        labels = made_labels(g, count, spec)
        entry["tgt"] = [[2, *(int(k) + 4 for k in np.flatnonzero(y)), 3] for y in labels]
        content[split] = entry
    files.write_torch(target, content)
    return size / GIGA


def prepared(root: str, home: str) -> dict[str, float]:
    """Return what ``harness data prepare`` of the file under ``root`` takes."""
    command = ["-m", "harness", "data", "prepare", DATASET]
    return spent(command, {"HARNESS_DATA": root, "HARNESS_HOME": home})


def measure(scale: float = 1.0, folder: str | None = None, here: bool = False) -> dict[str, Any]:
    """Return CPU seconds and peak memory of preparing MOSEI.

    Args:
        scale: of the published numbers of clips.
        folder: where the file is generated, and kept for the next time; None: nowhere.
        here: generate the file in this process.
    """
    counts = {split: max(4, int(count * scale)) for split, count in FULL.items()}
    with ExitStack() as stack:
        home = stack.enter_context(TemporaryDirectory(prefix="harness-benchmark-"))
        root = str(Path(folder or home) / f"mosei-{scale:g}")
        if not (Path(root) / FILE).is_file():
            given = {"root": root, "counts": counts}
            in_child("benchmarks.prepare:write_file", given, here=here)
        found = prepared(root, home)
        size = (Path(root) / FILE).stat().st_size
    spec = load().dataset(DATASET)
    sample = 4 * sum(m.max_length * m.dim for m in spec.modalities)
    largest = max(counts.values()) * sample / GIGA
    multiply = product(torch.device("cpu"))
    one = min(seconds(multiply) for _ in range(3))
    return {
        "scale": scale,
        "clips": sum(counts.values()),
        "file_gb": round(size / GIGA, 3),
        "arrays_gb": round(sum(counts.values()) * sample / GIGA, 3),
        "largest_split_gb": round(largest, 3),
        "cpu_s": round(found["cpu_s"], 2),
        "wall_s": round(found["wall_s"], 2),
        "products": round(found["cpu_s"] / one, 1),
        "peak_gb": round(found["peak_gb"], 3),
        "peak_in_largest_splits": round(found["peak_gb"] / largest, 2),
        "limit": LIMIT,
        # Python and torch alone take .3 GB: of a small split a multiple says nothing.
        "met": found["peak_gb"] <= LIMIT * largest if scale >= 1 else None,
        "reference": {"peak_gb": REFERENCE_GB, "what": "torch.load by the authors' loader"},
        "machine": machine(),
    }


def show(found: Mapping[str, Any]) -> str:
    """Return the figures as a sentence."""
    met = "" if found["met"] is None else (", met" if found["met"] else ", missed")
    return (
        f"{found['clips']} clips, {found['arrays_gb']} GB of arrays: {found['cpu_s']} s CPU, peak "
        f"{found['peak_gb']} GB = {found['peak_in_largest_splits']} x the largest split "
        f"(limit {found['limit']}{met}; the authors' loader at full size {REFERENCE_GB} GB)"
    )
