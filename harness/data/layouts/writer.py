"""`SplitWriter`: writes what a corpus hands over, once validated, as splits of a store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import datasets
import numpy as np
import pyarrow as pa
from datasets.arrow_writer import ArrowWriter
from numpy.typing import NDArray

from harness.data.corpus import GridArrays, SplitArrays
from harness.specs import DatasetSpec

# Features that are written together; a block is copied in memory.
BLOCK_VALUES = 1 << 23

Read = TypeVar("Read", SplitArrays, GridArrays)


class SplitWriter(ABC, Generic[Read]):
    """Writes the splits of one data set through `datasets`, one ``<split>.arrow`` each.

    Args:
        folder: where to write.
        spec: the data set.
    """

    def __init__(self, folder: Path, spec: DatasetSpec) -> None:
        self.folder, self.spec = folder, spec

    def write(self, split: Read) -> None:
        """Write a split that `harness.data.validate` let pass."""
        # An open file: of a path the writer would take '::' for chained file systems.
        with (self.folder / f"{split.name}.arrow").open("wb") as stream:
            writer = None
            for columns in self._blocks(split):
                table = pa.table(columns)
                if writer is None:
                    features = datasets.Features.from_arrow_schema(table.schema)
                    writer = ArrowWriter(features=features, stream=stream)
                writer.write_table(table, writer_batch_size=len(table))
            if writer is not None:
                writer.finalize(close_stream=False)

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


def lists(parts: Sequence[NDArray[Any]] | NDArray[Any]) -> Any:
    """Return ragged 1-d arrays, or the rows of a matrix, as an Arrow column of lists."""
    ends = np.cumsum([0, *(len(x) for x in parts)], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(np.concatenate([*parts])))
