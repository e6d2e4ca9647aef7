"""Small tasks and batches with holes for the tests of MulT and HHMPN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.specs import LabelKind, ModalitySpec, TaskInfo

NAMES = ("text", "visual", "audio")


def task_of(
    lengths: Sequence[int] = (6, 6, 6),
    kind: LabelKind = "multilabel",
    names: Sequence[str] = NAMES,
) -> TaskInfo:
    streams = tuple(
        ModalitySpec(n, n[0], 3 + i, t) for i, (n, t) in enumerate(zip(names, lengths, strict=True))
    )
    return TaskInfo("made", streams, ("joy", "anger", "fear", "calm"), label_kind=kind)


def batch_of(task: TaskInfo, size: int, *, padded: bool = False, seed: int = 1) -> Batch:
    """Return a labelled batch; ``padded``: zeros past a length that all modalities share."""
    draw = torch.Generator().manual_seed(seed)
    share = torch.rand(size, 1, generator=draw) * 0.5
    features, mask = {}, {}
    for m in task.modalities:
        steps = torch.arange(m.max_length).expand(size, -1)
        valid = steps < (share * m.max_length).ceil() if padded else steps >= 0
        x = torch.randn(size, m.max_length, m.dim, generator=draw)
        features[m.name], mask[m.name] = torch.where(valid[..., None], x, 0.0), valid
    labels = torch.randint(0, 2, (size, task.num_labels), generator=draw).float()
    if task.label_kind == "singlelabel":
        labels = F.one_hot(labels.argmax(1), task.num_labels).float()
    present = torch.ones(size, len(task.modalities), dtype=torch.bool)
    return Batch(features, mask, present, present, tuple(map(str, range(size))), labels)


def rows(batch: Batch, index: Tensor) -> Batch:
    return replace(
        batch,
        features={n: x[index] for n, x in batch.features.items()},
        mask={n: x[index] for n, x in batch.mask.items()},
        present=batch.present[index],
        natural=batch.natural[index],
        ids=tuple(batch.ids[i] for i in index.tolist()),
        labels=None if batch.labels is None else batch.labels[index],
    )


def widened(batch: Batch, by: int) -> Batch:
    """Return the batch with ``by`` more padded steps in every modality."""
    return replace(
        batch,
        features={n: F.pad(x, (0, 0, 0, by)) for n, x in batch.features.items()},
        mask={n: F.pad(x, (0, by)) for n, x in batch.mask.items()},
    )


def without(batch: Batch, task: TaskInfo, name: str, sample: int) -> Batch:
    """Return the batch as the loader hands it out when a sample lacks a modality."""
    features, mask = dict(batch.features), dict(batch.mask)
    features[name], mask[name] = features[name].clone(), mask[name].clone()
    features[name][sample], mask[name][sample] = 0.0, False
    present = batch.present.clone()
    present[sample, [m.name for m in task.modalities].index(name)] = False
    return replace(batch, features=features, mask=mask, present=present).with_null_positions()
