"""A small task, batches with holes, and a step context for RAMer's unit tests."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.model import ModelPlugin
from harness.specs import LabelKind, ModalitySpec, TaskInfo, TrainingConfig
from harness_ramer.config import RamerConfig, RamerPublicConfig

VAT = (
    ModalitySpec("text", "t", 5, 6),
    ModalitySpec("visual", "v", 4, 7),
    ModalitySpec("audio", "a", 3, 5),
)
SMALL: dict[str, Any] = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "heads": 2,
    "layers": 1,
    "projection_size": 4,
    "queue_size": 64,
    "dropout": 0.0,
    "commonality_dropout": 0.0,
}
PAPER: dict[str, Any] = {"head_dropout": 0.0}
PUBLIC: dict[str, Any] = {
    "personality_layers": 1,
    "max_positions": 8,
    "specificity_dropout": 0.0,
    "discriminator_dropout": 0.0,
    "cml_dropout": 0.0,
}


def paper_config(**changes: Any) -> RamerConfig:
    return RamerConfig(**(SMALL | PAPER | changes))


def public_config(**changes: Any) -> RamerPublicConfig:
    return RamerPublicConfig(**(SMALL | PUBLIC | changes))


def task_of(
    modalities: Sequence[ModalitySpec] = VAT,
    labels: int = 4,
    kind: LabelKind = "multilabel",
    personality: int = 0,
) -> TaskInfo:
    return TaskInfo(
        dataset="made",
        modalities=tuple(modalities),
        labels=tuple(f"label{i}" for i in range(labels)),
        label_kind=kind,
        personality_dim=personality,
    )


def batch_of(task: TaskInfo, size: int = 6, seed: int = 0, present: Tensor | None = None) -> Batch:
    """Return a labelled batch; modalities that ``present`` [B, M] denies are zero and masked."""
    draw = torch.Generator().manual_seed(seed)
    if present is None:
        present = torch.ones(size, len(task.modalities), dtype=torch.bool)
    features, mask = {}, {}
    for i, m in enumerate(task.modalities):
        lengths = torch.randint(1, m.max_length + 1, (size, 1), generator=draw)
        valid = (torch.arange(m.max_length) < lengths) & present[:, i : i + 1]
        x = torch.randn(size, m.max_length, m.dim, generator=draw)
        features[m.name], mask[m.name] = torch.where(valid[..., None], x, 0.0), valid
    if task.label_kind == "multilabel":
        labels = (torch.rand(size, task.num_labels, generator=draw) < 0.4).float()
    else:
        chosen = torch.randint(task.num_labels, (size,), generator=draw)
        labels = torch.nn.functional.one_hot(chosen, task.num_labels).float()
    personality = personality_mask = None
    if task.personality_dim:
        personality = torch.randn(size, 3, task.personality_dim, generator=draw)
        personality_mask = torch.ones(size, 3, dtype=torch.bool)
    ids = tuple(str(i) for i in range(size))
    return Batch(features, mask, present, present, ids, labels, personality, personality_mask)


class Context:
    """A `harness.model.StepContext` that counts the updates of each optimiser."""

    def __init__(self, model: ModelPlugin, training: TrainingConfig, total_steps: int = 10) -> None:
        self.model = model
        self.optimizers = model.configure_optimizers(training, total_steps)
        self.generator = torch.Generator().manual_seed(0)
        self.epoch = self.step = 0
        self.total_steps = total_steps
        self.progress = 0.0
        self.updates = [0] * len(self.optimizers)

    def autocast(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def zero_grad(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def backward(self, loss: Tensor, *, retain_graph: bool = False) -> None:
        loss.backward(retain_graph=retain_graph)

    def clip(self) -> Tensor:
        return torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)

    def step_optimizer(self, index: int = 0) -> None:
        self.updates[index] += 1
        self.optimizers[index].step()
