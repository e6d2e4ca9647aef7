"""Writing splits of grids: shared rows once, samples as indices into them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness.data.corpus import GridArrays
from harness.data.layouts.grid.rows import rows_path
from harness.data.layouts.writer import BLOCK_VALUES, SplitWriter, lists

_STEP = 1024


class GridWriter(SplitWriter[GridArrays]):
    """Writes `GridArrays`; the row tables with the first of the splits."""

    def deviations(self, split: GridArrays) -> dict[str, list[float]]:
        """Return the population deviation per feature over a split's valid cells, per modality."""
        found: dict[str, list[float]] = {}
        for name, rows in split.rows.items():
            cells = np.concatenate([x.ravel() for x in split.index[name]])
            weight = np.bincount(cells[cells >= 0], minlength=len(rows)).astype(np.float64)
            total = max(float(weight.sum()), 1.0)
            parts = [slice(i, i + _STEP) for i in range(0, len(rows), _STEP)]
            zero = np.zeros(rows.shape[1])
            mean = sum((weight[p] @ rows[p].astype(np.float64) for p in parts), zero) / total
            squares = sum((weight[p] @ (rows[p] - mean) ** 2 for p in parts), zero)
            found[name] = np.sqrt(squares / total).tolist()
        return found

    def _blocks(self, split: GridArrays) -> Iterator[dict[str, Any]]:
        for name, rows in {**split.rows, "personality": split.personality}.items():
            path = rows_path(self.folder, name)
            if not path.exists():  # with the first split: all splits share one
                write_rows(path, rows)
        columns = self._columns(split)
        shapes = np.array([x.shape for x in split.index[self.spec.modalities[0].name]])
        for name, numbers in {
            "persons": shapes[:, 0],
            "segments": shapes[:, 1],
            "target_person": split.target_person,
            "target_segment": split.target_segment,
            "has_target": split.has_target,
        }.items():
            columns[name] = pa.array(np.asarray(numbers).astype(np.int32))
        columns["characters"] = lists([c.astype(np.int32) for c in split.characters])
        for name, parts in split.index.items():
            columns[f"index:{name}"] = lists([x.ravel().astype(np.int32) for x in parts])
        yield columns


def write_rows(path: Path, rows: NDArray[np.float32]) -> None:
    """Write a row table [K, d] as an Arrow stream of fixed-size lists."""
    width = rows.shape[1]
    kind = pa.list_(pa.float32(), width)
    schema = pa.schema([pa.field("row", kind)])
    step = max(1, BLOCK_VALUES // max(width, 1))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for start in range(0, len(rows), step):
            block = np.ascontiguousarray(rows[start : start + step], dtype=np.float32)
            values = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), width)
            writer.write_batch(pa.record_batch([values], schema=schema))
