"""A prediction is a function of its sample: not of the call, the batch, its order or its size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.conformance.errors import CheckFailedError
from harness.data.batch import Batch
from harness.model import ModelPlugin

CHECK = "prediction-per-sample"
TOLERANCE = 1e-5
# CUDA sums in other orders for other batch sizes; bf16 rounds to 2**-8 besides.
LOOSE_TOLERANCE = 1e-3
BF16_TOLERANCE = 2**-8
ALONE = 3
BATCH = 16

Predict = Callable[[Batch], NDArray[np.float32]]


def check_prediction(
    model: ModelPlugin, batch: Batch, predict: Predict, tolerance: float = TOLERANCE
) -> None:
    """Check that scores are a function of the sample, and that the batch is left as it was.

    The first `BATCH` samples are predicted twice, in reverse order, by halves, and a few of them
    alone, each with the padding that they have in the batch.

    Args:
        model: the model, in evaluation mode.
        batch: a batch without labels, on the model's device.
        predict: ``predict_step`` and the checks of its result, float32 [B, L].
        tolerance: the largest difference that rounding explains.

    Raises:
        CheckFailedError: says which of these gave other scores, and by how much.
    """
    method = f"{type(model).__name__}.predict_step"
    batch = batch.select(range(min(len(batch), BATCH)))
    watch = BatchWatch(batch)
    scores = predict(batch)
    watch.check(method)
    size = len(batch)
    orders: list[tuple[str, list[int]]] = [
        ("the same batch", list(range(size))),
        ("the samples in another order", list(reversed(range(size)))),
        ("a batch of another size", list(range((size + 1) // 2))),
        *(("a sample alone", [i]) for i in range(0, size, max(size // ALONE, 1))),
    ]
    for what, order in orders:
        again = predict(batch.select(order))
        gap = float(np.abs(again - scores[order]).max(initial=0.0))
        if gap > tolerance:
            raise CheckFailedError(
                CHECK,
                f"{method} gives other scores for {what} (they differ by {gap:.2g}). A score must "
                "depend on nothing but its sample: no random numbers, dropout, statistics of the "
                "batch, or state kept between calls.",
            )


def padding_gap(batch: Batch, predict: Predict) -> float:
    """Return by how much scores change where positions that are masked at the end are left out.

    Asked of the shorter half of the first `BATCH` samples. 0 where the batch shows nothing: no
    such positions, grids.

    Args:
        batch: a batch without labels, on the model's device.
        predict: as of `check_prediction`.
    """
    batch = batch.select(range(min(len(batch), BATCH)))
    if not batch.mask:
        return 0.0
    length = torch.stack(list(batch.ends.values())).sum(0)
    padded = batch.select(length.argsort(stable=True)[: (len(batch) + 1) // 2].tolist())
    trimmed = padded.trimmed()
    if all(trimmed.mask[m].shape == x.shape for m, x in padded.mask.items()):
        return 0.0
    return float(np.abs(predict(trimmed) - predict(padded)).max())


class BatchWatch:
    """Remembers a batch, to see that it is left as it was."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._before = {name: tensor.clone() for name, tensor in tensors_of(batch)}

    def check(self, method: str) -> None:
        """Check that ``method`` left the batch as it was.

        Raises:
            CheckFailedError: it changed a tensor of the batch, or put another in its place.
        """
        now = dict(tensors_of(self._batch))
        names = sorted(
            name
            for name in now.keys() | self._before.keys()
            if name not in now
            or name not in self._before
            or not _same(now[name], self._before[name])
        )
        if names:
            raise CheckFailedError(
                "batch-unchanged",
                f"{method} changed the batch in place ({', '.join(names)}); work on a copy.",
            )


def tensors_of(batch: Batch) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor of a batch with its name, such as ``features[text]``."""
    yield from _walk("", vars(batch))


def _walk(prefix: str, values: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    for name, value in values.items():
        full = f"{prefix}[{name}]" if prefix else name
        if isinstance(value, Tensor):
            yield full, value
        elif isinstance(value, dict):
            yield from _walk(full, value)
        elif hasattr(value, "__dataclass_fields__"):
            yield from _walk(full, vars(value))


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)))
