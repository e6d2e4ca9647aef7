"""Made data for every registered model, and the loop that trains on it: one batch, any device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.config import resolve_config
from harness.data.batch import Batch
from harness.engine.checks import RunChecks
from harness.engine.device import Compute
from harness.engine.evaluate import metrics_at, scalar_metrics
from harness.engine.loop import BatchSource, Trained, Trainer, fit_once
from harness.engine.predict import predict
from harness.engine.progress import TrainingProgress
from harness.engine.seeds import isolated_rng
from harness.engine.state import ResumeFolder
from harness.model import ModelPlugin
from harness.plugins import load, resolve
from harness.specs import TaskInfo, TrainingConfig
from tests.unit.baselines import grids, sequences

CPU = Compute(torch.device("cpu"))


@cache
def cases(role: str = "model") -> list[tuple[str, str]]:
    """Return every registered model with every layout it takes."""
    return [
        (name, layout)
        for name, entry in load().models.items()
        if entry.spec.role == role
        for layout in entry.spec.layouts
    ]


# Of tests of every model these run always, the others in the full tier: products alone, BERT with
# a state that moves, grids, packed sequences of a grid, and a model that steps in stages.
ALWAYS = {
    ("ml-gcn", "sequence"),
    ("ramer", "sequence"),
    ("amer", "grid"),
    ("bilstm-tfn", "grid"),
    ("mmin", "sequence"),
}


def pairs(role: str = "model") -> list[Any]:
    """Return `cases` as parameters; those that are not in `ALWAYS` are long tests."""
    found = cases(role)
    assert role != "model" or set(found) >= ALWAYS
    return [
        pytest.param(*case, marks=() if case in ALWAYS or role != "model" else pytest.mark.full)
        for case in found
    ]


def made_task(layout: str) -> TaskInfo:
    """Return the task of the made data: multi-label sequences, single-label grids."""
    if layout == "grid":
        return grids.task()
    return sequences.made_task(("text", "visual", "audio"), max_length=12, step=0)


def made_batch(layout: str) -> Batch:
    """Return six or seven labelled samples, some of them with missing modalities."""
    if layout == "grid":
        return grids.made_batch()
    batch = sequences.made_batch(made_task(layout), 7, lengths=True, longest=12)
    return sequences.without(batch, "visual", 2)


def built(name: str, layout: str) -> ModelPlugin:
    """Return a model with the sizes of its quick preset, from a fixed seed."""
    registry = load()
    spec = registry.model(name)
    dataset = "memor-primary" if layout == "grid" else "mosei-aligned"
    config = resolve_config(spec, registry.dataset(dataset), "quick", None, [])
    torch.manual_seed(0)
    model: ModelPlugin = resolve(spec.factory)(config.model, made_task(layout))
    return model


@dataclass
class OneBatch:
    """Training data of one batch, which is its own validation split and `FitData` too."""

    batch: Batch
    task: TaskInfo

    @property
    def fit(self) -> OneBatch:
        return self

    @property
    def fit_once(self) -> OneBatch:
        return self

    @property
    def labels(self) -> Tensor:
        return self.batch.targets

    def batches(self, batch_size: int) -> Iterator[Batch]:
        yield self.batch

    def __len__(self) -> int:
        return len(self.batch)

    def epoch(self, epoch: int) -> BatchSource:
        return [self.batch]

    def complete(self, epoch: int) -> None:
        return None

    def validate(self, score: Callable[[BatchSource], Any]) -> dict[str, float]:
        truth = self.labels.numpy().astype(np.uint8)
        task = self.task
        return scalar_metrics(
            metrics_at(score([self.batch]), truth, task.labels, task.label_kind, 0.5)
        )


def trained(
    name: str,
    layout: str,
    compute: Compute,
    folder: Path,
    *,
    epochs: int = 2,
    compiled: bool = False,
    prepare: Callable[[ModelPlugin], object] = lambda model: None,
    checks: Callable[[ModelPlugin, Compute], RunChecks] = RunChecks,
) -> tuple[ModelPlugin, Trained]:
    """Return a model after some epochs of one step, trained by the engine's own loop."""
    model, task = built(name, layout), made_task(layout)
    prepare(model)
    made = checks(model, compute)
    data, training = OneBatch(made_batch(layout), task), TrainingConfig(epochs=epochs)
    observer = TrainingProgress("made", "micro_f1", bar=False)
    with isolated_rng():
        if not model.iterative:
            return model, fit_once(model, training, 0, compute, data, observer, made)

        def scorer(batches: BatchSource) -> Any:
            return predict(model, batches, compute)

        trainer = Trainer(
            model, training, 0, compute, data, ResumeFolder(folder / "resume"), observer,
            "micro_f1", scorer, made, compiled=compiled,
        )  # fmt: skip
        return model, trainer.run()


def scores(model: ModelPlugin, layout: str, compute: Compute) -> np.ndarray[Any, Any]:
    """Return a model's scores of the made batch."""
    return predict(model.to(compute.device), [made_batch(layout)], compute)


def with_precision(compute: Compute, precision: Any) -> Compute:
    """Return the compute at another precision."""
    return replace(compute, precision=precision)
