"""The split of a prediction: encodings that are shared between patterns give the same scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.conformance.errors import CheckFailedError
from harness.conformance.prediction import BATCH, TOLERANCE
from harness.data.batch import Batch
from harness.model import ModelPlugin, SharedEncodings

CHECK = "encode-fuse"

PredictWith = Callable[[Batch, Callable[[Batch], Tensor] | None], NDArray[np.float32]]


def check_encodings(
    model: ModelPlugin, batch: Batch, predict: PredictWith, tolerance: float = TOLERANCE
) -> None:
    """Check that `fuse` of shared encodings is ``predict_step``, whatever modalities are missing.

    The first `BATCH` samples are scored as they are, with one modality after the other missing
    in every second of them, and with one alone. So an encoding that looks at another modality is
    found as well.

    Args:
        model: a model with ``shares_encodings``, in evaluation mode.
        batch: a batch without labels, on the model's device.
        predict: a function of a batch and a step in the place of ``predict_step`` (None: itself)
            that returns checked scores, float32 [B, L].
        tolerance: the largest difference that rounding explains.

    Raises:
        CheckFailedError: says which modalities gave other scores, and by how much; or that an
            encoding is no tuple of tensors with a row a sample.
    """
    kind = type(model).__name__
    batch = batch.select(range(min(len(batch), BATCH)))
    names = [m.name for m in model.task.modalities]
    every_second = torch.arange(len(batch), device=batch.device) % 2 == 0
    patterns: list[tuple[str, Tensor]] = [("every modality", torch.ones_like(batch.present))]
    for column, name in enumerate(names):
        without = torch.ones_like(batch.present)
        without[every_second, column] = False
        alone = torch.zeros_like(batch.present)
        alone[:, column] = True
        patterns += [(f"{name!r} missing in some samples", without), (f"{name!r} alone", alone)]
    for what, kept in patterns:

        def step(given: Batch, kept: Tensor = kept) -> Tensor:
            shared = SharedEncodings(model, given)
            _check_rows(kind, shared, names, len(given))
            return shared.scores(kept)

        left = batch.keeping(kept)
        if model.needs_nonempty_mask:
            left = left.with_null_positions()
        # First: what is no encoding must be named before `fuse` stumbles over it.
        shared_scores = predict(batch, step)
        gap = float(np.abs(shared_scores - predict(left, None)).max(initial=0.0))
        if gap > tolerance:
            raise CheckFailedError(
                CHECK,
                f"{kind}.fuse of {kind}.encode gives other scores than predict_step with {what} "
                f"(they differ by {gap:.2g}). An encoding must depend on its own modality alone; "
                "where it cannot, leave shares_encodings False.",
            )


def _check_rows(kind: str, shared: SharedEncodings, names: list[str], size: int) -> None:
    for encoded in shared.encodings:
        if list(encoded) != names:
            raise CheckFailedError(
                CHECK, f"{kind}.encode gave encodings of {list(encoded)}, expected {names}."
            )
        for name, parts in encoded.items():
            rows = isinstance(parts, tuple) and all(
                isinstance(t, Tensor) and t.ndim > 0 and len(t) == size for t in parts
            )
            if not rows:
                raise CheckFailedError(
                    CHECK,
                    f"{kind}.encode must give {name!r} as a tuple of tensors with a row a sample.",
                )
