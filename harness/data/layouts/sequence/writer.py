"""Writing splits of sequences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from datasets.features.features import Array2DExtensionType
from numpy.typing import NDArray

from harness.data.corpus import SplitArrays
from harness.data.layouts.writer import BLOCK_VALUES, SplitWriter, lists
from harness.data.mapped import release
from harness.data.rows import Block, blocks, filled, flat_of, lengths_of, per_sample


class SequenceWriter(SplitWriter[SplitArrays]):
    """Writes `SplitArrays`: a list of rows per sample and modality."""

    def deviations(self, split: SplitArrays) -> dict[str, list[float]]:
        """Return the population deviation per feature over the valid rows, per modality."""
        return {m.name: _deviation(split, m.name, m.dim) for m in self.spec.modalities}

    def _blocks(self, split: SplitArrays) -> Iterator[dict[str, Any]]:
        modalities = self.spec.modalities
        columns = self._columns(split)
        for m in modalities:
            if m.name in split.lengths:
                true = split.lengths[m.name].tolist()
                columns[f"length:{m.name}"] = pa.array(true, type=pa.int32())
        if split.personality is not None:
            known = split.personality_known
            known = np.ones(len(split.ids), dtype=np.bool_) if known is None else known
            columns["personality"] = lists(split.personality.astype(np.float32))
            columns["personality_known"] = pa.array(known.astype(np.int8))
        stored = {m.name: lengths_of(split.features[m.name]) for m in modalities}
        values = sum(m.dim * int(stored[m.name].max(initial=0)) for m in modalities)
        step = max(1, BLOCK_VALUES // max(values, 1))
        for start in range(0, len(split.ids), step):
            chosen = slice(start, start + step)
            part = {name: column[chosen] for name, column in columns.items()}
            held = [flat_of(split.features[m.name][chosen], m.dim) for m in modalities]
            for m, block in zip(modalities, held, strict=True):
                kind = Array2DExtensionType((None, m.dim), "float32")
                part[f"features:{m.name}"] = pa.ExtensionArray.from_storage(kind, _ragged(block))
                valid = _valid(split, m.name, block._replace(start=start))
                count = per_sample(valid.astype(np.int32), block.lengths)
                part[f"valid:{m.name}"] = pa.array(count, type=pa.int32())
            yield part
            release(*(block.flat for block in held))


def _valid(split: SplitArrays, modality: str, block: Block) -> NDArray[np.bool_]:
    """Return which stored rows of consecutive samples are valid positions, bool [K]."""
    true = split.lengths.get(modality)
    if true is None:
        return filled(block.flat)
    starts = np.cumsum(block.lengths) - block.lengths
    place = np.arange(len(block.flat)) - np.repeat(starts, block.lengths)
    own = true[block.start : block.start + len(block.lengths)]
    return np.asarray(place < np.repeat(own, block.lengths))


def _deviation(split: SplitArrays, modality: str, dim: int) -> list[float]:
    """Return the population deviation per feature over the valid rows, in one pass a moment.

    Rows are summed within samples, then samples, so that the block size changes no digit
    (``np.add.reduceat`` adds in another order).
    """

    def add(total: NDArray[np.float64], rows: NDArray[np.float64], lengths: Any) -> None:
        ends = np.cumsum(lengths).tolist()
        for start, end in zip([0, *ends], ends, strict=False):
            total += np.add.reduce(rows[start:end], axis=0)

    count, total, squares = 0, np.zeros(dim), np.zeros(dim)
    for rows, lengths in _valid_rows(split, modality, dim):
        count += len(rows)
        add(total, rows.astype(np.float64), lengths)
    mean = total / max(count, 1)
    for rows, lengths in _valid_rows(split, modality, dim):
        off = rows - mean
        add(squares, np.square(off, out=off), lengths)
    deviation: list[float] = np.sqrt(squares / max(count, 1)).tolist()
    return deviation


def _valid_rows(
    split: SplitArrays, modality: str, dim: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Yield the valid rows float32 [K, d] of consecutive samples, and each sample's number."""
    for block in blocks(split.features[modality], dim):
        valid = _valid(split, modality, block)
        if valid.all():
            yield block.flat, block.lengths
        else:
            yield block.flat[valid], per_sample(valid.astype(np.int64), block.lengths)


def _ragged(block: Block) -> Any:
    """Return matrices [T_i, d] as an Arrow column of lists of rows."""
    count, dim = block.flat.shape
    rows = np.arange(count + 1, dtype=np.int32) * dim
    inner = pa.ListArray.from_arrays(pa.array(rows), pa.array(block.flat.reshape(-1)))
    ends = np.concatenate([[0], np.cumsum(block.lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), inner)
