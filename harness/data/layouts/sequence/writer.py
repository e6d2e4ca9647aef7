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


class SequenceWriter(SplitWriter[SplitArrays]):
    """Writes `SplitArrays`: a list of rows per sample and modality."""

    def deviations(self, split: SplitArrays) -> dict[str, list[float]]:
        """Return the population deviation per feature over the valid rows, per modality."""
        return {m.name: _deviation(split, m.name, m.dim) for m in self.spec.modalities}

    def _blocks(self, split: SplitArrays) -> Iterator[dict[str, Any]]:
        modalities = self.spec.modalities
        columns = self._columns(split)
        for m in modalities:
            valid = [int(_valid(split, m.name, i).sum()) for i in range(len(split.ids))]
            columns[f"valid:{m.name}"] = pa.array(valid, type=pa.int32())
            if m.name in split.lengths:
                true = split.lengths[m.name].tolist()
                columns[f"length:{m.name}"] = pa.array(true, type=pa.int32())
        if split.personality is not None:
            known = split.personality_known
            known = np.ones(len(split.ids), dtype=np.bool_) if known is None else known
            columns["personality"] = lists(split.personality.astype(np.float32))
            columns["personality_known"] = pa.array(known.astype(np.int8))
        per_sample = sum(m.dim * max(len(x) for x in split.features[m.name]) for m in modalities)
        step = max(1, BLOCK_VALUES // max(per_sample, 1))
        for start in range(0, len(split.ids), step):
            part = {name: column[start : start + step] for name, column in columns.items()}
            for m in modalities:
                rows = _ragged(split.features[m.name][start : start + step], m.dim)
                kind = Array2DExtensionType((None, m.dim), "float32")
                part[f"features:{m.name}"] = pa.ExtensionArray.from_storage(kind, rows)
            yield part


def _valid(split: SplitArrays, modality: str, index: int) -> NDArray[np.bool_]:
    """Return which stored rows of a sample are valid positions, bool [T_i]."""
    matrix = split.features[modality][index]
    true = split.lengths.get(modality)
    if true is not None:
        return np.asarray(np.arange(len(matrix)) < true[index])
    return np.asarray(matrix.any(axis=1))


def _deviation(split: SplitArrays, modality: str, dim: int) -> list[float]:
    """Return the population deviation per feature over the valid rows, in one pass a moment."""

    def valid() -> Iterator[NDArray[np.float64]]:
        for i, matrix in enumerate(split.features[modality]):
            yield matrix[_valid(split, modality, i)].astype(np.float64)

    count = 0
    total = np.zeros(dim)
    for rows in valid():
        count += len(rows)
        total += rows.sum(axis=0)
    mean = total / max(count, 1)
    squares = np.zeros(dim)
    for rows in valid():
        squares += ((rows - mean) ** 2).sum(axis=0)
    deviation: list[float] = np.sqrt(squares / max(count, 1)).tolist()
    return deviation


def _ragged(block: Any, dim: int) -> Any:
    """Return matrices [T_i, d] as an Arrow column of lists of rows, without a Python loop."""
    flat = np.concatenate([*block, np.zeros((0, dim), dtype=np.float32)])
    rows = np.arange(len(flat) + 1, dtype=np.int32) * dim
    inner = pa.ListArray.from_arrays(pa.array(rows), pa.array(flat.ravel()))
    ends = np.cumsum([0, *(len(x) for x in block)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), inner)
