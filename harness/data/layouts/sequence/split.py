"""A stored split of sequences, read without `datasets` or torch.

Written through `datasets` (so ``datasets.Dataset.from_file`` opens it too) and read here through
the Arrow buffers, which is several times faster than formatted rows.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from harness.data.layouts.stored import Shown, StoredColumn, StoredSplit, Stream, values_of
from harness.data.mapped import release_part
from harness.specs import DatasetSpec, Layout, MaskOption, ModalitySpec

if TYPE_CHECKING:
    from harness.data.layouts.sequence.loader import SequenceLoader
    from harness.data.layouts.sequence.writer import SequenceWriter


IntArray = NDArray[np.int64]
# Rows that are looked at together.
SCANNED = 1 << 16


class FeatureColumn:
    """The rows of one modality: every sample's [T_i, d] matrix, in mapped blocks.

    Args:
        column: the Arrow column.
        dim: the number of features d.
        mapped: the file that the column is mapped from.
    """

    def __init__(self, column: Any, dim: int, mapped: mmap.mmap) -> None:
        self.dim = dim
        self.blocks: list[NDArray[np.float32]] = []
        lengths: list[NDArray[np.int64]] = []
        starts: list[NDArray[np.int64]] = []
        for chunk in column.chunks:
            outer = chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk
            offsets = values_of(outer.offsets).astype(np.int64)
            inner = outer.values
            first = inner.offsets[0].as_py() if len(inner) else 0
            flat = values_of(inner.values)[first : first + len(inner) * dim]
            self.blocks.append(flat.reshape(-1, dim))
            starts.append(offsets[:-1])
            lengths.append(np.diff(offsets))
        empty = np.zeros(0, dtype=np.int64)
        self.lengths = np.concatenate([empty, *lengths])
        self._starts = np.concatenate([empty, *starts])
        counts = [len(part) for part in lengths]
        self._block_of = np.repeat(np.arange(len(counts)), counts)
        # All rows of all blocks as windows of the file, so that one gather reaches every sample.
        whole = np.frombuffer(mapped, dtype=np.float32, count=len(mapped) // 4)
        self._rows = sliding_window_view(whole, dim) if len(whole) >= dim else whole[:0]
        first = [(b.ctypes.data - whole.ctypes.data) // 4 if b.size else 0 for b in self.blocks]
        of_blocks = np.array([0, *first], dtype=np.int64)[1:][self._block_of]
        self._places = of_blocks + self._starts * dim

    def sample(self, index: int) -> NDArray[np.float32]:
        """Return one sample's rows, float32 [T_i, d], read-only and not copied."""
        start = self._starts[index]
        block = self.blocks[self._block_of[index]]
        rows: NDArray[np.float32] = block[start : start + self.lengths[index]]
        return rows

    def padded(self, indices: NDArray[np.int64], width: int) -> NDArray[np.float32]:
        """Return samples zero-padded at the end, or cut, to float32 [B, width, d]."""
        steps = np.arange(width)
        inside = steps < self.lengths[indices][:, None]
        if not len(self._rows):
            return np.zeros((len(indices), width, self.dim), dtype=np.float32)
        taken = self._rows[np.where(inside, self._places[indices][:, None] + steps * self.dim, 0)]
        if not inside.all():
            taken[~inside] = 0.0
        return taken

    def places(self) -> tuple[IntArray, IntArray]:
        """Return the number of every row for `rows_at`, and its position in its sample."""
        first = np.cumsum(self.lengths) - self.lengths
        steps = np.arange(int(self.lengths.sum())) - np.repeat(first, self.lengths)
        return np.repeat(self._places, self.lengths) + steps * self.dim, steps

    def rows_at(self, numbers: IntArray) -> NDArray[np.float32]:
        """Return rows by number, float32 [len(numbers), d], a copy."""
        if not len(numbers):
            return np.zeros((0, self.dim), dtype=np.float32)
        return np.asarray(self._rows[numbers])

    @cached_property
    def last_filled(self) -> NDArray[np.int64]:
        """Return the number of rows of each sample up to its last that is not all zero."""
        found = np.zeros(len(self.lengths), dtype=np.int64)
        for number, block in enumerate(self.blocks):
            own = np.flatnonzero((self._block_of == number) & (self.lengths > 0))
            filled = np.concatenate(
                [np.full(1, -1)]
                + [
                    start + np.flatnonzero(block[start : start + SCANNED].any(axis=1))
                    for start in range(0, len(block), SCANNED)
                ]
            )
            starts, stops = self._starts[own], self._starts[own] + self.lengths[own]
            last = filled[np.searchsorted(filled, stops) - 1]
            found[own] = np.where(last >= starts, last - starts + 1, 0)
        return found


class SequenceSplit(StoredSplit):
    """One split of sequences. N samples, M modalities.

    Attributes (beyond those of `StoredSplit`):
        columns: per modality name, its `FeatureColumn`.
        stored_lengths: int64 [N, M], rows stored (0: the modality is missing).

    ``valid_lengths`` is the recorded length, else the number of rows that are not all zero.
    """

    def __init__(
        self, name: str, path: Path, spec: DatasetSpec, sd: Mapping[str, Sequence[float]]
    ) -> None:
        super().__init__(name, path, spec, sd)
        self._ends: dict[str, IntArray] = {}
        self._padded: dict[tuple[tuple[str, int], ...], dict[str, NDArray[np.float32]]] = {}
        self.columns = {
            m.name: FeatureColumn(self._table[f"features:{m.name}"], m.dim, self._mapped)
            for m in self.modalities
        }
        self.stored_lengths = np.stack([c.lengths for c in self.columns.values()], axis=1)
        valid = [self._integers(f"valid:{m.name}") for m in self.modalities]
        self.valid_lengths = np.stack(valid, axis=1)
        self.natural = self.available = self.stored_lengths > 0
        self.longest = self.stored_lengths.max(axis=0)
        recorded = [n for n in self.columns if f"length:{n}" in self._table.column_names]
        self.true_lengths = {n: self._integers(f"length:{n}") for n in recorded}

    @classmethod
    def _described(cls, spec: DatasetSpec) -> list[StoredColumn]:
        found = []
        for m in spec.modalities:
            features = f"features of {m.name}, a row a position; no row: it is missing"
            valid = f"positions of {m.name} that count"
            found += [
                StoredColumn(f"features:{m.name}", "float32", features, (-1, m.dim), m.name),
                StoredColumn(f"valid:{m.name}", "int32", valid, modality=m.name),
            ]
        if spec.personality_dim:
            traits, known = "traits of the person", "1 where the person's traits are known"
            found += [
                StoredColumn("personality", "float32", traits, (spec.personality_dim,)),
                StoredColumn("personality_known", "int8", known),
            ]
        return found

    @classmethod
    def writer(cls, folder: Path, spec: DatasetSpec) -> SequenceWriter:
        """Return the writer of splits of sequences."""
        from harness.data.layouts.sequence.writer import SequenceWriter

        return SequenceWriter(folder, spec)

    def loader(self, *, layout: Layout = "sequence", **options: Any) -> SequenceLoader:
        """Return the split's batches."""
        from harness.data.layouts.sequence.loader import SequenceLoader

        return SequenceLoader(self, layout=layout, **options)

    @cached_property
    def personality(self) -> NDArray[np.float32] | None:
        """Return each sample's personality, float32 [N, d_p]; None where the data has none."""
        if "personality" not in self._table.column_names:
            return None
        return self._flat("personality").astype(np.float32).reshape(len(self), -1)

    @cached_property
    def personality_known(self) -> NDArray[np.bool_]:
        """Return whose personality is known, bool [N]."""
        if "personality_known" not in self._table.column_names:
            return np.ones(len(self), dtype=np.bool_)
        return self._integers("personality_known") > 0

    def ends(self, mask_option: MaskOption, layout: Layout) -> IntArray:
        """Return the positions up to the last that may be attended to; under ``ones`` all."""
        if mask_option not in self._ends:
            self._ends[mask_option] = np.stack(
                [self._ends_of(m, mask_option, k) for k, m in enumerate(self.modalities)], axis=1
            )
        return self._ends[mask_option]

    def _ends_of(self, modality: ModalitySpec, mask_option: MaskOption, column: int) -> IntArray:
        if mask_option == "ones":
            return np.full(len(self), max(1, modality.max_length), dtype=np.int64)
        ends: IntArray = self.stored_lengths[:, column]
        true = self.true_lengths.get(modality.name)
        if mask_option == "length" and true is not None:
            ends = np.minimum(true, ends)
        # Where every row is filled there is nothing to look for.
        elif true is not None or (self.valid_lengths[:, column] < ends).any():
            ends = self.columns[modality.name].last_filled
        return ends.clip(1)

    def gather(self, indices: Sequence[int]) -> dict[str, list[NDArray[np.float32]]]:
        """Return the rows of samples as mapped, read-only float32 [T_i, d], per modality."""
        return {n: [c.sample(i) for i in indices] for n, c in self.columns.items()}

    def padded(
        self, indices: NDArray[np.int64], widths: Mapping[str, int]
    ) -> dict[str, NDArray[np.float32]]:
        """Return samples zero-padded at the end (or cut) to float32 [B, widths[m], d]."""
        return {n: c.padded(indices, widths[n]) for n, c in self.columns.items()}

    def padded_cache(
        self, widths: Mapping[str, int], limit: int
    ) -> dict[str, NDArray[np.float32]] | None:
        """Return the whole split padded to ``widths``, kept for the next call; shared, read-only.

        None where it would take more than ``limit`` bytes.
        """
        size = sum(4 * len(self) * widths[m.name] * m.dim for m in self.modalities)
        if size > limit:
            return None
        key = tuple(sorted(widths.items()))
        if key not in self._padded:
            whole = self.padded(np.arange(len(self)), widths)
            for array in whole.values():
                array.flags.writeable = False
            self._padded = {key: whole}
        return self._padded[key]

    def valid_positions(self, column: int) -> tuple[IntArray, IntArray]:
        """Return the rows within the recorded length, else those that are not all zero."""
        name = self.modalities[column].name
        numbers, steps = self.columns[name].places()
        stored, true = self.stored_lengths[:, column], self.true_lengths.get(name)
        if true is not None:
            valid = steps < np.repeat(true, stored)
        else:
            valid = np.repeat(self.valid_lengths[:, column] == stored, stored)
            unsure = np.flatnonzero(~valid)
            for begin in range(0, len(unsure), SCANNED):
                part = unsure[begin : begin + SCANNED]
                valid[part] = self.rows_at(column, numbers[part]).any(axis=1)
        sample = np.repeat(np.arange(len(stored)), stored)
        return numbers[valid], np.bincount(sample[valid], minlength=len(stored))

    def rows_at(self, column: int, numbers: IntArray) -> NDArray[np.float32]:
        """Return rows of a modality."""
        return self.columns[self.modalities[column].name].rows_at(numbers)

    def _units(self) -> dict[str, Any]:
        """Return units and parties: where positions are utterances, each of them is a unit.

        Positions are counted the same under every mask option (`valid_lengths`), so that masks and
        digests of two options agree. Under ``ones`` a model attends to padding as well: no protocol
        drops padding, which holds nothing, and positions that are dropped are not attended.
        """
        return {
            "aligned": self.spec.aligned,
            "unit_per_position": self.spec.position_unit == "utterance",
            "parties": self._parties,
        }

    @cached_property
    def _parties(self) -> list[list[str]] | None:
        """Return who speaks at each valid position of each sample; None: it is not known."""
        if not self.spec.party_column:
            return None
        counts = self.valid_lengths.max(axis=1, initial=0)
        column = self.extras[self.spec.party_column]
        return [list(str(p)[: int(n)]) for p, n in zip(column, counts, strict=True)]

    @cached_property
    def speakers(self) -> IntArray | None:
        """Return who speaks at each position, int64 [N, T], 0 behind a sample; None: unknown."""
        if self._parties is None:
            return None
        longest = max(map(len, self._parties), default=0)
        found = np.zeros((len(self._parties), longest), dtype=np.int64)
        for row, own in zip(found, self._parties, strict=True):
            row[: len(own)] = np.unique(own, return_inverse=True)[1]
        return found

    def unpad(self, modality: str, padded: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the stored positions of padded values [N, T, ...]."""
        lengths = self.stored_lengths[:, self.spec.modality_names.index(modality)]
        return [row[:n] for row, n in zip(padded, lengths, strict=True)]

    def shown(self, place: int) -> Shown:
        """Return the streams of a sample."""
        facts = (self.natural[place], self.stored_lengths[place], self.valid_lengths[place])
        return Shown(
            tuple(
                Stream(m.name, bool(there), int(stored), int(valid))
                for m, there, stored, valid in zip(self.modalities, *facts, strict=True)
            )
        )

    def _released(self, blocks: Sequence[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Yield blocks of rows; their pages are let go of after it."""
        for block in blocks:
            yield block
            release_part(self._mapped)

    def digest(self, shared: dict[str, Any]) -> str:
        """Return the content hash of what is stored."""
        hasher = self._hasher()
        for name, column in self.columns.items():
            rows = self._released(column.blocks)
            hasher.modality(name, column.lengths, self.true_lengths.get(name), rows)
        if self.personality is not None:
            hasher.array("personality", self.personality)
            hasher.array("personality_known", self.personality_known)
        return self._finished(hasher)
