"""Row tables: the features that samples of grids share, one file per modality and data set.

A store of grids holds ``rows.<modality>.arrow``, ``rows.personality.arrow`` (one row per character
id) and ``<split>.arrow`` with the samples.
"""

from __future__ import annotations

from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.layouts.stored import open_table, values_of_lists

DIGEST_BYTES = 16
IntArray = NDArray[np.int64]


def rows_path(folder: Path, name: str) -> Path:
    """Return where the row table of a modality (or ``personality``) is kept."""
    return folder / f"rows.{name}.arrow"


class RowTable:
    """A table of float32 rows [K, d], memory-mapped, in blocks of equal size (but the last)."""

    def __init__(self, path: Path) -> None:
        table, _ = open_table(path)
        self.dim: int = table.schema.field("row").type.list_size
        self.blocks: list[NDArray[np.float32]] = [
            values_of_lists(chunk).reshape(-1, self.dim) for chunk in table["row"].chunks
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
        """Return a BLAKE2b hash of each row, uint8 [K, 16]."""
        found = b"".join(
            blake2b(np.ascontiguousarray(row, dtype="<f4").data, digest_size=DIGEST_BYTES).digest()
            for block in self.blocks
            for row in block
        )
        return np.frombuffer(found, dtype=np.uint8).reshape(-1, DIGEST_BYTES)
