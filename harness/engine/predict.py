"""Scores of a split: label-free, checked, in the split's order."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.batch import Batch
from harness.engine.device import Compute
from harness.errors import PluginError, RunFailedError
from harness.model import ModelPlugin

# Sums of probabilities and bf16 rounding may step over [0, 1] by this much; more is a mistake.
_ROUNDING = 1e-3

PredictStep = Callable[[Batch], Tensor]


def predict(
    model: ModelPlugin, batches: Iterable[Batch], compute: Compute, step: PredictStep | None = None
) -> NDArray[np.float32]:
    """Return the scores [N, L] of all batches, float32 in [0, 1].

    ``step`` stands in for ``model.predict_step`` (its compiled form). The model is left in the
    mode it was in.

    Raises:
        PluginError: the scores have another shape than [B, L] or leave [0, 1].
        RunFailedError: a score is NaN or infinite.
    """
    step = step or model.predict_step
    was_training = model.training
    model.eval()
    parts = []
    try:
        with torch.no_grad():
            for batch in batches:
                with compute.autocast():
                    scores = step(batch.without_labels().to(compute.device))
                parts.append(_checked(model, scores, batch))
    finally:
        model.train(was_training)
    if not parts:
        return np.zeros((0, model.task.num_labels), dtype=np.float32)
    return np.concatenate(parts)


def _checked(model: ModelPlugin, scores: Tensor, batch: Batch) -> NDArray[np.float32]:
    name, expected = type(model).__name__, (len(batch), model.task.num_labels)
    if tuple(scores.shape) != expected:
        raise PluginError(
            f"{name}.predict_step returned {list(scores.shape)}, expected {list(expected)}."
        )
    array: NDArray[np.float32] = scores.detach().to("cpu", torch.float32).numpy()
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        first = batch.ids[int(np.argmin(finite))]
        raise RunFailedError(f"{name}.predict_step gave a NaN or infinite score for {first!r}.")
    if array.min() < -_ROUNDING or array.max() > 1 + _ROUNDING:
        raise PluginError(
            f"{name}.predict_step returned scores in [{array.min():.4g}, {array.max():.4g}]; "
            "they must lie in [0, 1]."
        )
    return np.clip(array, 0.0, 1.0)
