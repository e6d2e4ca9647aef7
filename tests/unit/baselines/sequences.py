"""Made tasks, batches and a step context for models that TAILOR's and AMP's tests share."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.model import ModelPlugin
from harness.specs import ModalitySpec, TaskInfo

NAMES = ("text", "face", "a.voice")


def made_task(
    names: tuple[str, ...] = NAMES, *, max_length: int = 6, step: int = 1, **task: Any
) -> TaskInfo:
    """Return a task of three labels; modality i has 3 + i features, lengths grow by ``step``."""
    streams = tuple(
        ModalitySpec(n, n[0], 3 + i, max_length + step * i) for i, n in enumerate(names)
    )
    return TaskInfo("made", streams, ("joy", "anger", "fear"), **task)


def made_batch(task: TaskInfo, size: int, *, lengths: bool = False, longest: int = 5) -> Batch:
    """Return a labelled batch at full length; with ``lengths`` samples end at 1 to ``longest``."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 2, (size, 3), generator=generator).float()
    if task.label_kind == "singlelabel":
        labels = F.one_hot(labels.argmax(1), 3).float()
    present = torch.ones(size, len(task.modalities), dtype=torch.bool)
    features: dict[str, Tensor] = {}
    mask: dict[str, Tensor] = {}
    for m in task.modalities:
        ends = torch.full((size, 1), m.max_length)
        if lengths:
            ends = torch.randint(1, longest + 1, (size, 1), generator=generator)
        mask[m.name] = torch.arange(m.max_length) < ends
        x = torch.randn(size, m.max_length, m.dim, generator=generator)
        features[m.name] = torch.where(mask[m.name][..., None], x, 0.0)
    ids = tuple(map(str, range(size)))
    return Batch(features, mask, present, present.clone(), ids, labels)


def rows(batch: Batch, index: Tensor) -> Batch:
    """Return some samples of a batch, in the order of ``index``."""
    return replace(
        batch,
        features={k: v[index] for k, v in batch.features.items()},
        mask={k: v[index] for k, v in batch.mask.items()},
        present=batch.present[index],
        natural=batch.natural[index],
        ids=tuple(batch.ids[i] for i in index.tolist()),
        labels=None if batch.labels is None else batch.labels[index],
    )


def cropped(batch: Batch, length: int) -> Batch:
    """Return the batch with at most ``length`` positions."""
    return replace(
        batch,
        features={k: v[:, :length] for k, v in batch.features.items()},
        mask={k: v[:, :length] for k, v in batch.mask.items()},
    )


def without(batch: Batch, name: str, row: int) -> Batch:
    """Return the batch with one modality of one sample missing, as a null position."""
    mask = {k: v.clone() for k, v in batch.mask.items()}
    features = {k: v.clone() for k, v in batch.features.items()}
    mask[name][row], features[name][row] = False, 0.0
    present = batch.present.clone()
    present[row, list(mask).index(name)] = False
    return replace(batch, mask=mask, features=features, present=present).with_null_positions()


def score(model: ModelPlugin, batch: Batch) -> Tensor:
    """Return the scores of a batch in evaluation mode, without labels."""
    with torch.no_grad():
        return model.eval().predict_step(batch.without_labels())


class Context:
    """A step context that does what the loop's does, clipping to norm 1."""

    epoch = step = 0
    total_steps = 10

    def __init__(self, model: ModelPlugin, optimizers: list[torch.optim.Optimizer]) -> None:
        self.model, self.optimizers = model, optimizers
        self.generator = torch.Generator().manual_seed(3)
        self.norms: list[float] = []

    def autocast(self) -> nullcontext[None]:
        return nullcontext()

    def zero_grad(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor, *, retain_graph: bool = False) -> None:
        torch.autograd.backward(loss, retain_graph=retain_graph)

    def clip(self) -> Tensor:
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.norms.append(float(norm))
        return norm

    def step_optimizer(self, index: int = 0) -> None:
        self.optimizers[index].step()
