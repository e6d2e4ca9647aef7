"""Writing splits of sequences through `datasets`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import datasets
import numpy as np
import pyarrow as pa
from datasets.arrow_writer import ArrowWriter
from datasets.features.features import Sequence as ListOf
from numpy.typing import NDArray

from harness.data.content import SplitHasher
from harness.data.corpus import SplitArrays
from harness.data.layouts.writer import SplitWriter
from harness.errors import DataFormatError

# Arrow counts the values of a list column in 32 bits, and a block is copied once in memory.
BLOCK_VALUES = 1 << 28


class SequenceWriter(SplitWriter[SplitArrays]):
    """Writes `SplitArrays`: a list of rows per sample and modality."""

    arrays: ClassVar[type] = SplitArrays

    def deviations(self, split: SplitArrays) -> dict[str, list[float]]:
        """Return the population deviation per feature over the valid rows, per modality."""
        return {m.name: _deviation(split, m.name, m.dim) for m in self.spec.modalities}

    def _check(self, split: SplitArrays, where: str) -> None:
        super()._check(split, where)
        n = len(split.ids)
        traits = (0, 0) if split.personality is None else split.personality.shape
        if traits[1] != self.spec.personality_dim or (traits[1] and traits[0] != n):
            raise DataFormatError(
                f"{where}: personality of shape {traits}, expected {n} of "
                f"{self.spec.personality_dim} numbers."
            )
        for m in self.spec.modalities:
            rows = split.features.get(m.name, ())
            if len(rows) != n:
                raise DataFormatError(
                    f"{where}, {m.name}: expected {n} samples, found {len(rows)}."
                )
            for i, matrix in enumerate(rows):
                if matrix.ndim != 2 or matrix.shape[1] != m.dim or len(matrix) > m.max_length:
                    raise DataFormatError(
                        f"{where}, {m.name}, sample {split.ids[i]!r}: expected at most "
                        f"{m.max_length} rows of {m.dim}, found shape {matrix.shape}."
                    )
                if not np.isfinite(matrix).all():
                    raise DataFormatError(
                        f"{where}, {m.name}, sample {split.ids[i]!r}: features are NaN or infinite."
                    )

    def _write(self, split: SplitArrays, where: str) -> str:
        modalities = self.spec.modalities
        features: dict[str, Any] = {
            "id": datasets.Value("string"),
            "group": datasets.Value("string"),
            "labels": ListOf(datasets.Value("int8")),
        }
        columns: dict[str, Any] = {
            "id": pa.array([str(i) for i in split.ids]),
            "group": pa.array([str(g) for g in split.groups]),
            "labels": _nested(split.labels.astype(np.int8)),
        }
        hasher = SplitHasher(split.name, list(split.ids), list(split.groups))
        hasher.labels(split.labels)
        for m in modalities:
            rows, true = split.features[m.name], split.lengths.get(m.name)
            stored = np.array([len(x) for x in rows], dtype=np.int64)
            hasher.modality(m.name, stored, true, rows)
            numbers = {"valid": [int(valid_rows(split, m.name, i).sum()) for i in range(len(rows))]}
            if true is not None:
                numbers["length"] = true.tolist()
            for kind, counted in numbers.items():
                columns[f"{kind}:{m.name}"] = pa.array(counted, type=pa.int32())
                features[f"{kind}:{m.name}"] = datasets.Value("int32")
            features[f"features:{m.name}"] = datasets.Array2D(shape=(None, m.dim), dtype="float32")
        if split.personality is not None:
            known = split.personality_known
            known = np.ones(len(split.ids), dtype=np.bool_) if known is None else known
            hasher.array("personality", split.personality)
            hasher.array("personality_known", known)
            columns["personality"] = _nested(split.personality.astype(np.float32))
            columns["personality_known"] = pa.array(known.astype(np.int8))
            features["personality"] = ListOf(datasets.Value("float32"))
            features["personality_known"] = datasets.Value("int8")
        hasher.extras(split.extras)
        for name, values in split.extras.items():
            columns[f"extra:{name}"] = pa.array(list(values))
            kind = "int64" if isinstance(values[0], int) else "string"
            features[f"extra:{name}"] = datasets.Value(kind)
        described = datasets.Features(features)
        per_sample = sum(m.dim * max(len(x) for x in split.features[m.name]) for m in modalities)
        step = max(1, BLOCK_VALUES // max(per_sample, 1))
        writer = ArrowWriter(features=described, path=str(self.path(split)), writer_batch_size=step)
        for start in range(0, len(split.ids), step):
            part = {name: column[start : start + step] for name, column in columns.items()}
            for m in modalities:
                block = split.features[m.name][start : start + step]
                kind = described.arrow_schema.field(f"features:{m.name}").type
                rows = _ragged(block, m.dim)
                part[f"features:{m.name}"] = pa.ExtensionArray.from_storage(kind, rows)
            table = pa.table({name: part[name] for name in features}, schema=described.arrow_schema)
            writer.write_table(table, writer_batch_size=step)
        writer.finalize()
        return hasher.hexdigest()


def valid_rows(split: SplitArrays, modality: str, index: int) -> NDArray[np.bool_]:
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
            yield matrix[valid_rows(split, modality, i)].astype(np.float64)

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


def _nested(matrix: NDArray[Any]) -> Any:
    """Return an [N, L] matrix as an Arrow column of lists."""
    n, width = matrix.shape
    offsets = pa.array(np.arange(n + 1, dtype=np.int32) * width)
    return pa.ListArray.from_arrays(offsets, pa.array(matrix.ravel()))


def _ragged(block: Any, dim: int) -> Any:
    """Return matrices [T_i, d] as an Arrow column of lists of rows, without a Python loop."""
    flat = np.concatenate([*block, np.zeros((0, dim), dtype=np.float32)])
    rows = np.arange(len(flat) + 1, dtype=np.int32) * dim
    inner = pa.ListArray.from_arrays(pa.array(rows), pa.array(flat.ravel()))
    ends = np.cumsum([0, *(len(x) for x in block)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), inner)
