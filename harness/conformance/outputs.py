"""What a model's methods return: scores, a step's output, optimisers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.conformance.errors import CheckFailedError
from harness.data.batch import Batch
from harness.model import ModelPlugin, StepOutput

# Sums of probabilities and bf16 rounding may step over [0, 1] by this much; more is a mistake.
ROUNDING = 1e-3


def check_scores(model: ModelPlugin, scores: Any, batch: Batch) -> NDArray[np.float32]:
    """Return what ``predict_step`` gave as an array, clipped to [0, 1].

    Args:
        model: the model.
        scores: what its ``predict_step`` returned.
        batch: the batch, of B samples.

    Returns:
        float32 [B, L].

    Raises:
        CheckFailedError: it is no dense floating-point tensor [B, L], holds NaN or an infinite
            score, or leaves [0, 1].
    """
    method = f"{type(model).__name__}.predict_step"
    expected = [len(batch), model.task.num_labels]
    if not isinstance(scores, Tensor):
        raise CheckFailedError(
            "score-type",
            f"{method} returned {type(scores).__name__}, expected a tensor {expected}.",
        )
    if scores.layout is not torch.strided:
        raise CheckFailedError(
            "score-type", f"{method} returned a sparse tensor, expected a dense one {expected}."
        )
    if not scores.dtype.is_floating_point:
        raise CheckFailedError(
            "score-dtype",
            f"{method} returned {str(scores.dtype).removeprefix('torch.')}, expected floating "
            "point.",
        )
    if list(scores.shape) != expected:
        raise CheckFailedError(
            "score-shape", f"{method} returned {list(scores.shape)}, expected {expected}."
        )
    array: NDArray[np.float32] = scores.detach().to("cpu", torch.float32).numpy()
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        first = batch.ids[int(np.argmin(finite))]
        raise CheckFailedError(
            "score-finite", f"{method} gave a NaN or infinite score for {first!r}."
        )
    if array.size and (array.min() < -ROUNDING or array.max() > 1 + ROUNDING):
        raise CheckFailedError(
            "score-range",
            f"{method} returned scores in [{array.min():.4g}, {array.max():.4g}]; they must lie "
            "in [0, 1].",
        )
    return np.clip(array, 0.0, 1.0)


def check_step_output(model: ModelPlugin, output: Any) -> StepOutput:
    """Return what ``training_step`` gave, known to be a `StepOutput` with a scalar loss.

    Raises:
        CheckFailedError: it is something else; or, where the loop takes the step, a loss without
            a gradient.
    """
    method = f"{type(model).__name__}.training_step"
    if not isinstance(output, StepOutput):
        raise CheckFailedError(
            "step-output",
            f"{method} returned {type(output).__name__}, expected StepOutput(loss, terms).",
        )
    parts = {"loss": output.loss, **dict(output.terms)}
    for name, value in parts.items():
        if not isinstance(value, Tensor) or value.numel() != 1 or value.dtype.is_complex:
            found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise CheckFailedError(
                "step-output",
                f"{method} returned {found} as {name!r}, expected a scalar tensor.",
            )
    if (
        model.automatic_optimization
        and not output.loss.requires_grad
        and any(p.requires_grad for p in model.parameters())
    ):
        raise CheckFailedError(
            "step-output",
            f"{method} returned a loss without a gradient; compute it from the model's parameters, "
            "or set automatic_optimization = False and take the step there.",
        )
    return output


def check_optimizers(model: ModelPlugin, found: Any) -> list[torch.optim.Optimizer]:
    """Return what ``configure_optimizers`` gave as a list.

    Raises:
        CheckFailedError: it is no sequence of optimisers that step without a closure, or an empty
            one although parameters are trainable.
    """
    method = f"{type(model).__name__}.configure_optimizers"
    if isinstance(found, torch.optim.Optimizer) or not isinstance(found, Sequence):
        raise CheckFailedError(
            "optimizers",
            f"{method} returned {type(found).__name__}, expected a sequence of optimisers.",
        )
    for one in found:
        if not isinstance(one, torch.optim.Optimizer):
            raise CheckFailedError(
                "optimizers",
                f"{method} returned {type(one).__name__} in its sequence, expected an optimiser.",
            )
        if isinstance(one, torch.optim.LBFGS):
            raise CheckFailedError(
                "optimizers",
                f"{method} returned LBFGS, which steps with a closure; the loop has none. Take "
                "another, or set iterative = False and train in fit.",
            )
    if not found and any(p.requires_grad for p in model.parameters()):
        raise CheckFailedError(
            "optimizers",
            f"{method} returned no optimiser although parameters are trainable: no parameter "
            "would change. Return one, or set requires_grad=False on what is not to be trained.",
        )
    return list(found)
