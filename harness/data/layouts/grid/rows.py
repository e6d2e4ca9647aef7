"""Row tables: the features that samples of grids share, one file per modality and data set.

A store of grids holds ``rows.<modality>.arrow``, ``rows.personality.arrow`` (one row per character
id) and ``<split>.arrow`` with the samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness.data.content import SplitHasher
from harness.data.layouts.stored import open_table

DIGEST_BYTES = 16
# Values of one Arrow block: a block is copied once in memory.
BLOCK_VALUES = 1 << 28
IntArray = NDArray[np.int64]


def rows_path(folder: Path, name: str) -> Path:
    """Return where the row table of a modality (or ``personality``) is kept."""
    return folder / f"rows.{name}.arrow"


class RowTable:
    """A table of float32 rows [K, d], memory-mapped, in blocks of equal size (but the last)."""

    def __init__(self, path: Path) -> None:
        table = open_table(path)
        self.dim: int = table.schema.field("row").type.list_size
        self.blocks: list[NDArray[np.float32]] = [
            np.asarray(chunk.flatten()).reshape(-1, self.dim) for chunk in table["row"].chunks
        ]
        self._block = max(1, *(len(b) for b in self.blocks)) if self.blocks else 1

    def __len__(self) -> int:
        return sum(len(b) for b in self.blocks)

    def take(self, rows: IntArray) -> NDArray[np.float32]:
        """Return rows, float32 [len(rows), d], a copy."""
        if len(self.blocks) == 1:
            return self.blocks[0][rows]
        out = np.empty((len(rows), self.dim), dtype=np.float32)
        number = rows // self._block
        for i in np.unique(number).tolist():
            chosen = number == i
            out[chosen] = self.blocks[i][rows[chosen] - i * self._block]
        return out

    @cached_property
    def digests(self) -> NDArray[np.uint8]:
        """Return a hash of each row, uint8 [K, 16]."""
        return row_digests(self.blocks)


def row_digests(blocks: Sequence[NDArray[np.float32]]) -> NDArray[np.uint8]:
    """Return a BLAKE2b hash of each row of [K_i, d] blocks, uint8 [K, 16]."""
    found = b"".join(
        blake2b(np.ascontiguousarray(row, dtype="<f4").data, digest_size=DIGEST_BYTES).digest()
        for block in blocks
        for row in block
    )
    return np.frombuffer(found, dtype=np.uint8).reshape(-1, DIGEST_BYTES)


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


def grid_digest(
    hasher: SplitHasher,
    labels: NDArray[np.uint8],
    index: Mapping[str, IntArray],
    digests: Mapping[str, NDArray[np.uint8]],
    whole: Mapping[str, NDArray[Any]],
    extras: Mapping[str, Sequence[Any]],
) -> str:
    """Return the content hash of a split of grids.

    What cells hold is hashed, not where their rows stand: the order of a table does not matter.

    Args:
        hasher: fed with name, ids and groups.
        labels: uint8 [N, L].
        index: per modality, the row of every cell of every sample, -1 where missing, int64 [S].
        digests: per modality, uint8 [K, 16].
        whole: the other arrays by name, in fixed order.
        extras: further columns.
    """
    hasher.labels(labels)
    for name, rows in index.items():
        hasher.array(f"valid:{name}", np.packbits(rows >= 0))
        hasher.array(f"cells:{name}", digests[name][rows[rows >= 0]])
    for name, array in whole.items():
        hasher.array(name, array)
    hasher.extras(extras)
    return hasher.hexdigest()
