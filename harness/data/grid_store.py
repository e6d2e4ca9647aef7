"""A stored split of grids: rows of features once per data set, samples as indices into them.

A store of the layout ``grid`` holds ``rows.<modality>.arrow`` (one table for all splits),
``rows.personality.arrow`` (one row per character id) and ``<split>.arrow`` with the samples.
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

from harness import paths
from harness.data.content import SplitHasher
from harness.data.store import StoredSplit
from harness.errors import DataFormatError
from harness.specs import DatasetSpec

DIGEST_BYTES = 16
BoolArray = NDArray[np.bool_]
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


class StoredGridSplit(StoredSplit):
    """One split of grids. N samples, S cells in all, person-major within each sample.

    Attributes beyond (or other than) those of `StoredSplit`:
        persons, segments: int64 [N], numbers of persons P_i and of segments R_i.
        offsets: int64 [N + 1], where each sample's cells begin in the flat arrays.
        index: per modality name, int64 [S], row of each cell, -1 where missing.
        tables: per modality name, its `RowTable`. personality: float32 [C, d_p].
        characters: int64 [sum of P_i]; ``person_offsets``: int64 [N + 1].
        target_person, target_segment: int64 [N]. has_target: bool [N].
        natural: bool [N, M], the modality is there in some cell of the sample: what a protocol
            that drops whole modalities acts on.
        target_natural: bool [N, M], it is there in some segment of the target person.
        stored_lengths: int64 [N, M], R_i where the modality is there for the target, else 0.
        valid_lengths: int64 [N, M], number of the sample's cells that have the modality.
    """

    def __init__(
        self, name: str, path: Path, spec: DatasetSpec, sd: Mapping[str, Sequence[float]]
    ) -> None:
        self.name, self.path = name, path
        self.modalities = spec.modalities
        self.num_labels = len(spec.labels)
        self.feature_sd = {m: np.asarray(v, dtype=np.float64) for m, v in sd.items()}
        self._padded = {}
        self._table = open_table(path)
        self.ids = self._table["id"].to_pylist()
        self.groups = self._table["group"].to_pylist()
        self.persons, self.segments = self._integers("persons"), self._integers("segments")
        self.target_person = self._integers("target_person")
        self.target_segment = self._integers("target_segment")
        self.has_target: BoolArray = self._integers("has_target") > 0
        self.offsets = _starts(self.persons * self.segments)
        self.person_offsets = _starts(self.persons)
        self.characters = self._flat("characters")
        names = [m.name for m in self.modalities]
        self.index = {m: self._flat(f"index:{m}") for m in names}
        self.tables = {m: RowTable(rows_path(path.parent, m)) for m in names}
        # The same table counts cells over samples, over target rows, and finds the target cell.
        counted = [_sums(self.index[m] >= 0, self.offsets) for m in names]
        self.valid_lengths = np.stack(counted, axis=1)
        self.natural = self.valid_lengths > 0
        first = self.offsets[:-1] + self.target_person * self.segments
        rows = np.stack([first, first + self.segments])
        own = [_between(self.index[m] >= 0, rows) for m in names]
        self.target_natural: BoolArray = np.stack(own, axis=1) > 0
        self.stored_lengths = np.where(self.target_natural, self.segments[:, None], 0)

    @cached_property
    def personality(self) -> NDArray[np.float32]:
        """Return the traits by character id, float32 [C, d_p]."""
        table = RowTable(rows_path(self.path.parent, "personality"))
        return table.take(np.arange(len(table)))

    @property
    def target_cells(self) -> IntArray:
        """Return the flat position of each sample's target cell, int64 [N]."""
        return self.offsets[:-1] + self.target_person * self.segments + self.target_segment

    @property
    def slices(self) -> dict[str, BoolArray]:
        """Return which samples belong to a slice, bool [N] each, by what is naturally there.

        ``speaker``/``nonspeaker``: the target does or does not speak in the target segment (has
        the modality with key ``t``, or else ``a``); ``visible``/``invisible``: has ``v`` there.
        Samples without target cell belong to none; empty where no sample has one.
        """
        if not self.has_target.any():
            return {}
        key_of = {m.key: m.name for m in self.modalities}
        found: dict[str, BoolArray] = {}
        for keys, yes, no in ((("t", "a"), "speaker", "nonspeaker"), (("v",), "visible", "")):
            known = [key_of[k] for k in keys if k in key_of]
            if known:
                there = self.index[known[0]][self.target_cells] >= 0
                found[yes] = there & self.has_target
                found[no or f"in{yes}"] = ~there & self.has_target
        return found

    def gather(self, indices: Sequence[int]) -> dict[str, list[NDArray[np.float32]]]:
        """Return the target person's rows float32 [R_i, d] per modality, zero where missing."""
        return {m.name: [self._row(m.name, i) for i in indices] for m in self.modalities}

    def padded(
        self, indices: IntArray, widths: Mapping[str, int]
    ) -> dict[str, NDArray[np.float32]]:
        """Return the target persons' rows zero-padded (or cut) to float32 [B, widths[m], d]."""
        found: dict[str, NDArray[np.float32]] = {}
        for m in self.modalities:
            out = np.zeros((len(indices), widths[m.name], m.dim), dtype=np.float32)
            for place, i in enumerate(indices):
                row = self._row(m.name, int(i))[: widths[m.name]]
                out[place, : len(row)] = row
            found[m.name] = out
        return found

    def padded_cache(
        self, widths: Mapping[str, int], limit: int
    ) -> dict[str, NDArray[np.float32]] | None:
        """Return None: grids are gathered batch by batch."""
        return None

    def digest(self) -> str:
        """Return the split's content hash, recomputed from what is stored."""
        hasher = SplitHasher(self.name, self.ids, self.groups)
        digests = {m: table.digests for m, table in self.tables.items()}
        whole = {
            "persons": self.persons,
            "segments": self.segments,
            "characters": self.characters,
            "target_person": self.target_person,
            "target_segment": self.target_segment,
            "has_target": self.has_target,
            "personality": self.personality,
        }
        return grid_digest(hasher, self.labels, self.index, digests, whole, self.extras)

    def _row(self, modality: str, i: int) -> NDArray[np.float32]:
        start = self.offsets[i] + self.target_person[i] * self.segments[i]
        rows = self.index[modality][start : start + self.segments[i]]
        table = self.tables[modality]
        out = np.zeros((len(rows), table.dim), dtype=np.float32)
        out[rows >= 0] = table.take(rows[rows >= 0])
        return out

    def _flat(self, column: str) -> IntArray:
        lists = self._table[column].combine_chunks()
        return np.asarray(lists.flatten().to_numpy(zero_copy_only=False), dtype=np.int64)


def open_table(path: Path) -> Any:
    """Return an Arrow stream as a memory-mapped table.

    Raises:
        DataFormatError: it is damaged.
    """
    try:
        with paths.storage_errors(path):
            return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    except pa.ArrowInvalid as error:
        raise DataFormatError(
            f"{path} is damaged ({error}). Delete the folder {path.parent} and prepare it again."
        ) from error


def _starts(counts: IntArray) -> IntArray:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])


def _between(marks: BoolArray, spans: IntArray) -> IntArray:
    """Return the number of marks in each half-open span, int64 [N]; spans are [2, N]."""
    total = _starts(marks.astype(np.int64))
    counts: IntArray = total[spans[1]] - total[spans[0]]
    return counts


def _sums(marks: BoolArray, offsets: IntArray) -> IntArray:
    return _between(marks, np.stack([offsets[:-1], offsets[1:]]))
