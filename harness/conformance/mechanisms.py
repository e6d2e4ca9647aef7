"""What a model lays open of its mechanisms: terms of its loss, vectors for probes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from harness.conformance.errors import CheckFailedError
from harness.data.batch import Batch
from harness.model import Diagnostics, ModelPlugin

SUM_TOLERANCE = 1e-3


def check_loss_terms(model: ModelPlugin, terms: Any, loss: Tensor) -> dict[str, Tensor]:
    """Return what ``loss_terms`` gave, known to add up to the loss.

    Args:
        model: the model.
        terms: what its ``loss_terms`` returned.
        loss: the loss of its ``training_step`` for the same batch, state and random numbers.

    Raises:
        CheckFailedError: it is no mapping of names to scalars, or they add up to something else.
    """
    method = f"{type(model).__name__}.loss_terms"
    if not isinstance(terms, Mapping) or not all(
        isinstance(x, Tensor) and x.numel() == 1 for x in terms.values()
    ):
        raise CheckFailedError(
            "loss-terms", f"{method} must return a mapping from names to scalar tensors."
        )
    total, wanted = sum(float(x.detach()) for x in terms.values()), float(loss.detach())
    if terms and not abs(total - wanted) <= SUM_TOLERANCE * max(1.0, abs(wanted)):
        raise CheckFailedError(
            "loss-terms",
            f"the terms of {method} add up to {total:.6g}, the loss of training_step is "
            f"{wanted:.6g}; give every term, weighted, computed as in training_step.",
        )
    return dict(terms)


def check_diagnostics(model: ModelPlugin, found: Any, batch: Batch) -> Diagnostics | None:
    """Return what ``diagnostics`` gave, known to be of the shapes that its class demands.

    Args:
        model: the model.
        found: what its ``diagnostics`` returned.
        batch: the batch, of B samples.

    Raises:
        CheckFailedError: it is something else; names the tensor.
    """
    if found is None:
        return None
    method = f"{type(model).__name__}.diagnostics"
    size = (len(batch), len(model.task.modalities))
    if not isinstance(found, Diagnostics):
        raise CheckFailedError(
            "diagnostics", f"{method} returned {type(found).__name__}, expected Diagnostics."
        )
    valid = found.valid
    if not isinstance(valid, Tensor) or valid.dtype != torch.bool or valid.shape[:2] != size:
        raise CheckFailedError(
            "diagnostics", f"{method}: valid must be a bool tensor that begins with {list(size)}."
        )
    named = {f"parts[{name!r}]": x for name, x in found.parts.items()}
    for name, (made, target) in found.levels.items():
        named |= {f"levels[{name!r}]": made, f"the target of levels[{name!r}]": target}
        if made.shape != target.shape:
            raise CheckFailedError(
                "diagnostics",
                f"{method}: levels[{name!r}] has the shape {list(made.shape)}, its target "
                f"{list(target.shape)}.",
            )
    for name, x in named.items():
        fits = x.ndim in (3, 4) and x.ndim > valid.ndim and x.shape[: valid.ndim] == valid.shape
        if not fits or not x.is_floating_point():
            raise CheckFailedError(
                "diagnostics",
                f"{method}: {name} has the shape {list(x.shape)} and {x.dtype}; it must be "
                f"floating point, [B, M, H] or [B, M, K, H], and begin with {list(valid.shape)}, "
                "as valid.",
            )
        if not bool(x[valid].isfinite().all()):
            raise CheckFailedError("diagnostics", f"{method}: {name} is not finite.")
    return found
