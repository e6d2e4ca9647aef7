"""`BatchLoader`: stored samples -> CPU batches, under a mask option and dropout masks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.data.batch import Batch
from harness.errors import UsageError
from harness.protocols.dataset import check_mask_option
from harness.protocols.dropout import SplitMasks
from harness.specs import Layout

# Batches that are read before they are asked for, where a split is not in memory.
AHEAD = 2

if TYPE_CHECKING:
    from harness.data.layouts.stored import StoredSplit


class BatchLoader(ABC):
    """Batches of one split; each iteration is one pass. `StoredSplit.loader` makes them.

    Args:
        split: the stored split, N samples.
        batch_size: samples per batch.
        mask_option: ``ones`` pads to each modality's ``max_length``, the others to the longest
            sample of the batch.
        layout: what the model takes, one of ``split.spec.layouts``.
        masks: masks of a dropout protocol for this split; None: no dropout.
        generator: CPU generator that draws a new order for each pass; None: stored order.
        order: int [*], explicit sample indices instead (repeats allowed).
        parts: the sample indices of each batch instead, in place of an order and a size.
        trim: leave out positions at the end that no sample of the batch may attend to.
        drop_last: leave out a last batch that is not full.
        labelled: whether batches carry labels.
        null_positions: give modalities without positions one null position (rule 4 of dropout).

    Raises:
        UsageError: the data set lacks the mask option, masks are of another split, or both
            ``generator`` and ``order`` are given.
    """

    def __init__(
        self,
        split: StoredSplit,
        *,
        batch_size: int,
        mask_option: str,
        layout: Layout = "sequence",
        masks: SplitMasks | None = None,
        generator: torch.Generator | None = None,
        order: Sequence[int] | NDArray[np.int64] | None = None,
        parts: Sequence[NDArray[np.int64]] | None = None,
        trim: bool = False,
        drop_last: bool = False,
        labelled: bool = False,
        null_positions: bool = False,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch size must be at least 1, not {batch_size}.")
        if generator is not None and order is not None:
            raise UsageError("a loader takes a generator or an explicit order, not both.")
        if masks is not None and masks.keep.shape != split.natural.shape:
            raise UsageError(
                f"dropout masks are for {masks.keep.shape} samples and modalities, split "
                f"{split.name!r} has {split.natural.shape}."
            )
        self.split, self.spec, self.masks = split, split.spec, masks
        self.mask_option = check_mask_option(mask_option, self.spec.mask_options, self.spec.name)
        self.layout, self.trim = layout, trim
        self.batch_size, self.drop_last = batch_size, drop_last
        self.labelled, self.null_positions = labelled, null_positions
        self._generator, self._parts = generator, parts
        self._order = None if order is None else np.asarray(order, dtype=np.int64)
        self._ids = np.array(split.ids, dtype=object)
        self._prepare()

    def __len__(self) -> int:
        if self._parts is not None:
            return len(self._parts)
        count = len(self.split) if self._order is None else len(self._order)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        parts = self._parts
        if parts is None:
            order = self._order
            if self._generator is not None:
                order = torch.randperm(len(self.split), generator=self._generator).numpy()
            elif order is None:
                order = np.arange(len(self.split))
            starts = range(0, len(self) * self.batch_size, self.batch_size)
            parts = [order[start : start + self.batch_size] for start in starts]
        if self.resident or len(parts) < 2:
            return map(self.batch, parts)
        return _ahead(self.batch, parts)

    def batch(self, indices: NDArray[np.int64]) -> Batch:
        """Return the samples at these indices as one batch."""
        given = self._inputs(indices)
        if self.labelled:
            given["labels"] = self.split.labels[indices].astype(np.float32)
        batch = Batch(ids=tuple(self._ids[indices]), **tensors(given))
        return batch.with_null_positions() if self.null_positions else batch

    @property
    def resident(self) -> bool:
        """Return whether the split is held in memory; else a thread reads batches ahead."""
        return True

    @abstractmethod
    def _prepare(self) -> None:
        """Set up what every batch needs."""

    @abstractmethod
    def _inputs(self, indices: NDArray[np.int64]) -> dict[str, Any]:
        """Return the fields of the batch of these samples, but for ids and labels, as arrays."""


def _ahead(
    make: Callable[[NDArray[np.int64]], Batch], parts: Iterable[NDArray[np.int64]]
) -> Iterator[Batch]:
    """Yield what is made of the parts, in order; a thread works up to `AHEAD` parts ahead.

    It ends with the iterator, also where that is left early.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
    try:
        waiting: deque[Future[Batch]] = deque()
        for part in parts:
            waiting.append(pool.submit(make, part))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def tensors(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return arrays, also those of mappings in it, as tensors that share their memory."""
    found: dict[str, Any] = {}
    for name, value in arrays.items():
        if isinstance(value, Mapping):
            found[name] = tensors(value)
        else:
            found[name] = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
    return found


def class_balanced_order(
    labels: NDArray[np.uint8],
    generator: torch.Generator,
    held_out: NDArray[np.uint8] | None = None,
) -> NDArray[np.int64]:
    """Draw N + V sample indices with replacement, each with weight 1 / (size of its class).

    As MEmoR's reference does, the validation samples count in the sizes of the classes and in the
    number of draws; none of them is drawn.

    Args:
        labels: uint8 [N, L], one-hot: single-label data.
        generator: the CPU generator of the order.
        held_out: uint8 [V, L], labels of the validation samples, or None: V = 0.

    Raises:
        UsageError: the data is not single-label.
    """
    if not (labels.sum(axis=1) == 1).all():
        raise UsageError("the class-balanced sampler needs single-label data; use sampler=shuffle.")
    every = labels if held_out is None else np.concatenate([labels, held_out])
    weights = 1.0 / every.sum(axis=0, dtype=np.int64)[labels.argmax(axis=1)]
    drawn = torch.multinomial(
        torch.from_numpy(weights), len(every), replacement=True, generator=generator
    )
    order: NDArray[np.int64] = drawn.numpy()
    return order
