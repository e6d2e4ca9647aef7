"""Batches by length: samples of similar length together, so that little padding is computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

# Batches that are sorted together. Of MOSEI's lengths the mean longest of a batch of 64 is then
# 20.6 of 60 positions, where 19.8 is the mean length and 58 the longest of 64 at random.
CHUNK = 32
# Smaller splits keep as many chunks, whose samples are drawn anew in each epoch.
LEAST_CHUNKS = 4
# Share of positions that must be padding for lengths to say anything about an order.
WORTH = 0.1


def uneven(ends: IntArray) -> bool:
    """Return whether sorting samples by their ends, int64 [N, M], would save padding."""
    widest = int(ends.max(axis=0, initial=0).sum()) * len(ends)
    return int(ends.sum()) < (1 - WORTH) * widest


def bucketed(
    order: IntArray, ends: IntArray, batch_size: int, generator: torch.Generator
) -> IntArray:
    """Return a random order, rearranged so that batches hold samples of similar length.

    Batches are cut from chunks of the order that are sorted by length, and shuffled. So which
    samples meet depends on the draw, as does the sequence of the batches. What is left over for a
    last, smaller batch is left as drawn: it is no worse a sample of the lengths than any other.

    Args:
        order: sample indices, int64 [K], in a random order; repeats are allowed.
        ends: positions that each sample needs, int64 [N, M].
        batch_size: samples per batch.
        generator: the CPU generator of the batches' sequence.
    """
    count = len(order) // batch_size
    body, rest = order[: count * batch_size], order[count * batch_size :]
    if count < 2:
        return order
    length = ends.sum(axis=1)
    chunk = max(1, min(CHUNK, count // LEAST_CHUNKS)) * batch_size
    parts = [body[start : start + chunk] for start in range(0, len(body), chunk)]
    in_turn = np.concatenate([p[np.argsort(length[p], kind="stable")] for p in parts])
    batches = in_turn.reshape(count, batch_size)
    shuffled = torch.randperm(count, generator=generator).numpy()
    return np.concatenate([batches[shuffled].ravel(), rest])


def batches_within(
    rows: IntArray, ends: IntArray, dims: Sequence[int], values: int, most: int
) -> list[IntArray]:
    """Return batches of rows in their order, each as large as its padded features allow.

    Args:
        rows: sample indices, int64 [K]; sorted by length they give the largest batches.
        ends: positions that each sample needs, int64 [N, M].
        dims: feature sizes of the M modalities.
        values: numbers that a padded batch may hold; a single sample may hold more.
        most: samples that a batch may hold.
    """
    batches: list[IntArray] = []
    sizes = np.asarray(dims, dtype=np.int64)
    start = 0
    while start < len(rows):
        widths = np.maximum.accumulate(ends[rows[start : start + most]], axis=0)
        padded = (widths @ sizes) * np.arange(1, len(widths) + 1)
        count = max(1, int(np.searchsorted(padded, values, side="right")))
        batches.append(rows[start : start + count])
        start += count
    return batches
