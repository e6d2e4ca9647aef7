"""Scores of a split: label-free, checked, in the split's order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.conformance import check_scores
from harness.data.batch import Batch
from harness.engine.device import Compute
from harness.model import ModelPlugin

PredictStep = Callable[[Batch], Tensor]


def predict(
    model: ModelPlugin, batches: Iterable[Batch], compute: Compute, step: PredictStep | None = None
) -> NDArray[np.float32]:
    """Return the scores [N, L] of all batches, float32 in [0, 1].

    ``step`` stands in for ``model.predict_step`` (its compiled form). The model is left in the
    mode it was in.

    Raises:
        CheckFailedError: what came is no dense floating-point tensor [B, L] of finite scores in
            [0, 1].
    """
    step = step or model.predict_step
    parts = []
    with predicting(model):
        for batch in batches:
            with compute.autocast():
                scores = step(batch.without_labels().to(compute.device))
            parts.append(check_scores(model, scores, batch))
    if not parts:
        return np.zeros((0, model.task.num_labels), dtype=np.float32)
    return np.concatenate(parts)


@contextmanager
def predicting(model: ModelPlugin) -> Iterator[None]:
    """Put a model into evaluation mode, without gradients, and back into the mode it was in."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)
