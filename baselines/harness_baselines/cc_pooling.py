"""From padded sequences to one feature row per sample, for models without a time axis."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.errors import ConfigError
from harness.specs import ModalitySpec, TaskInfo

Pooling = Literal["mean", "mean_std", "flatten"]


def pool(batch: Batch, task: TaskInfo, pooling: Pooling, missing_indicator: bool) -> Tensor:
    """Return one row per sample, float64 [B, D], modalities in the task's order.

    Infinite values count as 0. Frames outside the mask are left out; a modality without any gives
    zeros. ``mean_std`` appends the population standard deviation of each modality to its mean.
    ``missing_indicator`` appends M columns that are 1 where a modality is missing.

    Args:
        batch: of B samples.
        task: names the modalities.
        pooling: how a modality becomes one vector.
        missing_indicator: see above.
    """
    columns = [pool_one(batch, modality, pooling) for modality in task.modalities]
    if missing_indicator:
        columns.append((~batch.present).double())
    return torch.cat(columns, dim=1)


def pool_one(batch: Batch, modality: ModalitySpec, pooling: Pooling) -> Tensor:
    """Return one modality as a vector a sample, float64 [B, d]; see `pool`.

    Args:
        batch: of B samples.
        modality: which.
        pooling: how it becomes one vector.
    """
    valid = batch.mask[modality.name][..., None]
    x = batch.features[modality.name].double()
    x = torch.where(valid & ~x.isinf(), x, 0.0)
    if pooling == "flatten":
        return _flatten(x, modality)
    count = valid.sum(dim=1).clamp(min=1)
    mean = x.sum(dim=1) / count
    if pooling == "mean":
        return mean
    gap = torch.where(valid, x - mean[:, None], 0.0)
    return torch.cat([mean, (gap.square().sum(dim=1) / count).sqrt()], dim=1)


def _flatten(x: Tensor, modality: ModalitySpec) -> Tensor:
    if x.shape[1] > modality.max_length:
        raise ConfigError(
            f"model.pooling: flatten expects at most {modality.max_length} frames of "
            f"{modality.name}, a batch has {x.shape[1]}; use mean or mean_std."
        )
    padded = torch.nn.functional.pad(x, (0, 0, 0, modality.max_length - x.shape[1]))
    return padded.flatten(start_dim=1)
