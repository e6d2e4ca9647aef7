"""`SplitWriter`: checks the arrays a corpus hands over and writes them as splits of a store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import datasets
import numpy as np
import pyarrow as pa
from datasets.arrow_writer import ArrowWriter
from numpy.typing import NDArray

from harness.data.corpus import GridArrays, SplitArrays
from harness.errors import DataFormatError
from harness.specs import DatasetSpec

# Arrow counts the values of a list column in 32 bits, and a block is copied once in memory.
BLOCK_VALUES = 1 << 28

Read = TypeVar("Read", SplitArrays, GridArrays)


class SplitWriter(ABC, Generic[Read]):
    """Writes the splits of one data set through `datasets`, one ``<split>.arrow`` each.

    Args:
        folder: where to write.
        spec: the data set.
        source: names of the authors' files, which error messages begin with; may be empty.
    """

    arrays: ClassVar[type]

    def __init__(self, folder: Path, spec: DatasetSpec, source: str = "") -> None:
        self.folder, self.spec = folder, spec
        self._source = f"{source}: " if source else ""

    def write(self, split: Read) -> None:
        """Check and write a split.

        Raises:
            DataFormatError: it is not what `SplitArrays` or `GridArrays` describes.
        """
        self._check(split, f"{self._source}{self.spec.name}, split {split.name!r}")
        writer = None
        for columns in self._blocks(split):
            table = pa.table(columns)
            if writer is None:
                features = datasets.Features.from_arrow_schema(table.schema)
                path = self.folder / f"{split.name}.arrow"
                writer = ArrowWriter(features=features, path=str(path))
            writer.write_table(table, writer_batch_size=len(table))
        if writer is not None:
            writer.finalize()

    @abstractmethod
    def deviations(self, split: Read) -> dict[str, list[float]]:
        """Return the population deviation per feature over a split's valid positions."""

    @abstractmethod
    def _blocks(self, split: Read) -> Iterator[dict[str, Any]]:
        """Yield the Arrow columns of consecutive samples."""

    def _columns(self, split: Read) -> dict[str, Any]:
        """Return the Arrow columns that every layout has."""
        return {
            "id": pa.array([str(i) for i in split.ids]),
            "group": pa.array([str(g) for g in split.groups]),
            "labels": lists(split.labels.astype(np.int8)),
            **{f"extra:{name}": pa.array(list(x)) for name, x in split.extras.items()},
        }

    def _check(self, split: Read, where: str) -> None:
        if not isinstance(split, self.arrays):
            raise DataFormatError(
                f"{where}: data of the layout {self.spec.layout!r} must be read as "
                f"{self.arrays.__name__}, not {type(split).__name__}."
            )
        n, labels = len(split.ids), len(self.spec.labels)
        if n == 0:
            raise DataFormatError(f"{where}: is empty; every split needs at least one sample.")
        if len(set(split.ids)) != n:
            raise DataFormatError(f"{where}: sample ids repeat; each must be unique.")
        if len(split.groups) != n or split.labels.shape != (n, labels):
            raise DataFormatError(
                f"{where}: {n} ids, {len(split.groups)} groups and labels of shape "
                f"{split.labels.shape}; expected {n} groups and labels ({n}, {labels})."
            )
        if not np.isin(split.labels, (0, 1)).all():
            raise DataFormatError(f"{where}: labels must be 0 or 1.")
        counts = split.labels.sum(axis=1)
        if self.spec.label_kind == "singlelabel" and (counts != 1).any():
            i = int(np.flatnonzero(counts != 1)[0])
            raise DataFormatError(
                f"{where}, sample {split.ids[i]!r}: single-label data with {int(counts[i])} "
                "labels; expected exactly one."
            )


def lists(parts: Sequence[NDArray[Any]] | NDArray[Any]) -> Any:
    """Return ragged 1-d arrays, or the rows of a matrix, as an Arrow column of lists."""
    ends = np.cumsum([0, *(len(x) for x in parts)], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(np.concatenate([*parts])))
