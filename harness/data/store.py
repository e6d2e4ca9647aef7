"""A prepared data set: memory-mapped Arrow files with a card, read without `datasets` or torch.

One Arrow stream per split (``train.arrow``), written through `datasets` (so
``datasets.Dataset.from_file`` opens it too) and read here through the Arrow buffers, which is
several times faster than formatted rows. ``card.json`` says where the data came from.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness import paths
from harness.data.content import SplitHasher, content_hash
from harness.errors import DataFormatError, UsageError
from harness.specs import DatasetSpec, ModalitySpec, SourceFile

SCHEMA_VERSION = 1


class FeatureColumn:
    """The rows of one modality: every sample's [T_i, d] matrix, in one or a few mapped blocks."""

    def __init__(self, column: Any, dim: int) -> None:
        self.dim = dim
        self.blocks: list[NDArray[np.float32]] = []
        lengths: list[NDArray[np.int64]] = []
        starts: list[NDArray[np.int64]] = []
        for chunk in column.chunks:
            outer = chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk
            offsets = np.asarray(outer.offsets, dtype=np.int64)
            inner = outer.values
            first = inner.offsets[0].as_py() if len(inner) else 0
            flat = np.asarray(inner.values)[first : first + len(inner) * dim]
            self.blocks.append(flat.reshape(-1, dim))
            starts.append(offsets[:-1])
            lengths.append(np.diff(offsets))
        empty = np.zeros(0, dtype=np.int64)
        self.lengths = np.concatenate([empty, *lengths])
        self._starts = np.concatenate([empty, *starts])
        counts = [len(part) for part in lengths]
        self._block_of = np.repeat(np.arange(len(counts)), counts)

    def sample(self, index: int) -> NDArray[np.float32]:
        """Return one sample's rows, float32 [T_i, d], read-only and not copied."""
        start = self._starts[index]
        block = self.blocks[self._block_of[index]]
        rows: NDArray[np.float32] = block[start : start + self.lengths[index]]
        return rows

    def padded(self, indices: NDArray[np.int64], width: int) -> NDArray[np.float32]:
        """Return samples zero-padded at the end, or cut, to float32 [B, width, d]."""
        out = np.zeros((len(indices), width, self.dim), dtype=np.float32)
        steps = np.arange(width)
        for number, block in enumerate(self.blocks):
            chosen = np.flatnonzero(self._block_of[indices] == number)
            if not len(chosen) or not len(block):
                continue
            own = indices[chosen]
            rows = self._starts[own][:, None] + steps
            inside = steps < self.lengths[own][:, None]
            taken = block[np.where(inside, rows, 0)]
            if not inside.all():
                taken[~inside] = 0.0
            if len(chosen) == len(indices):
                return taken
            out[chosen] = taken
        return out


class StoredSplit:
    """One split of a store. N samples, M modalities in the data set's order, L labels.

    Attributes:
        name: split name.
        ids: N sample ids. groups: N group names.
        labels: uint8 [N, L].
        stored_lengths: int64 [N, M], rows stored (0: the modality is missing).
        valid_lengths: int64 [N, M], valid positions: the true length where the authors record
            one, else the number of rows that are not all zero. What dropout protocols count.
        true_lengths: per modality name int64 [N], where the authors record lengths.
        natural: bool [N, M], natural availability.
        extras: further columns of the corpus.
        feature_sd: per modality name float64 [d], deviation over the valid positions of the
            training split (for noise protocols).
    """

    def __init__(
        self, name: str, path: Path, spec: DatasetSpec, sd: Mapping[str, Sequence[float]]
    ) -> None:
        self.name = name
        self.path = path
        self.modalities: tuple[ModalitySpec, ...] = spec.modalities
        self.num_labels = len(spec.labels)
        self._padded: dict[tuple[tuple[str, int], ...], dict[str, NDArray[np.float32]]] = {}
        self.feature_sd = {m: np.asarray(v, dtype=np.float64) for m, v in sd.items()}
        try:
            with paths.storage_errors(path):
                self._table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
        except pa.ArrowInvalid as error:
            raise _damaged(path, str(error)) from error
        self.ids: list[str] = self._table["id"].to_pylist()
        self.groups: list[str] = self._table["group"].to_pylist()
        self.columns = {
            m.name: FeatureColumn(self._table[f"features:{m.name}"], m.dim) for m in self.modalities
        }
        self.stored_lengths = self._per_modality({n: c.lengths for n, c in self.columns.items()})
        self.valid_lengths = self._per_modality(
            {m.name: self._integers(f"valid:{m.name}") for m in self.modalities}
        )
        self.natural = self.stored_lengths > 0

    def __len__(self) -> int:
        return len(self.ids)

    def _per_modality(self, columns: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
        return np.stack([columns[m.name] for m in self.modalities], axis=1).astype(np.int64)

    def _integers(self, column: str) -> NDArray[np.int64]:
        return np.asarray(self._table[column].to_numpy(), dtype=np.int64)

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """Return the labels, uint8 [N, L]."""
        flat = self._table["labels"].combine_chunks().flatten()
        return np.asarray(flat.to_numpy(zero_copy_only=False), dtype=np.uint8).reshape(
            len(self), self.num_labels
        )

    @cached_property
    def true_lengths(self) -> dict[str, NDArray[np.int64]]:
        """Return the recorded lengths, int64 [N], of the modalities that have them."""
        known = [m.name for m in self.modalities if f"length:{m.name}" in self._table.column_names]
        return {name: self._integers(f"length:{name}") for name in known}

    @cached_property
    def personality(self) -> NDArray[np.float32] | None:
        """Return each sample's personality, float32 [N, d_p]; None where the data has none.

        (For grids: one row per character id.)
        """
        if "personality" not in self._table.column_names:
            return None
        flat = self._table["personality"].combine_chunks().flatten()
        return np.asarray(flat, dtype=np.float32).reshape(len(self), -1)

    @cached_property
    def personality_known(self) -> NDArray[np.bool_]:
        """Return whose personality is known, bool [N]."""
        if "personality_known" not in self._table.column_names:
            return np.ones(len(self), dtype=np.bool_)
        return self._integers("personality_known") > 0

    @cached_property
    def extras(self) -> dict[str, list[Any]]:
        """Return the corpus's further columns, N values each."""
        names = [c for c in self._table.column_names if c.startswith("extra:")]
        return {c.removeprefix("extra:"): self._table[c].to_pylist() for c in names}

    @property
    def slices(self) -> dict[str, NDArray[np.bool_]]:
        """Return the parts of the split that are scored on their own, bool [N]: here none."""
        return {}

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

    def digest(self) -> str:
        """Return the split's content hash, recomputed from what is stored."""
        hasher = SplitHasher(self.name, self.ids, self.groups)
        hasher.labels(self.labels)
        for name, column in self.columns.items():
            hasher.modality(name, column.lengths, self.true_lengths.get(name), column.blocks)
        if self.personality is not None:
            hasher.array("personality", self.personality)
            hasher.array("personality_known", self.personality_known)
        hasher.extras(self.extras)
        return hasher.hexdigest()


class Store:
    """A prepared data set. ``notice`` is what a user should be told about it, or empty."""

    def __init__(self, path: Path, card: Mapping[str, Any], notice: str = "") -> None:
        self.path = path
        self.card = dict(card)
        self.notice = notice
        self.spec: DatasetSpec = spec_from_json(card["spec"])
        self.content_hash: str = card["content_hash"]
        self._splits: dict[str, StoredSplit] = {}

    @property
    def is_twin(self) -> bool:
        """Return whether the data is generated."""
        return self.spec.source == "twin"

    def split(self, name: str) -> StoredSplit:
        """Return a split, opened once.

        Raises:
            UsageError: the data set has no such split.
            DataFormatError: the store is damaged.
        """
        if name not in self.spec.splits:
            raise UsageError(
                f"{self.spec.name} has no split {name!r}; it has {', '.join(self.spec.splits)}."
            )
        if name not in self._splits:
            path = self.path / f"{name}.arrow"
            kind = _split_class(self.spec)
            self._splits[name] = kind(name, path, self.spec, self.card["feature_sd"])
        return self._splits[name]

    def recompute_hash(self) -> str:
        """Return the content hash of what is on disk now (equal to the card's if intact)."""
        digests = {name: self.split(name).digest() for name in self.spec.splits}
        return content_hash(self.spec, digests)


def _split_class(spec: DatasetSpec) -> type[StoredSplit]:
    if spec.layout == "grid":
        from harness.data.grid_store import StoredGridSplit

        return StoredGridSplit
    return StoredSplit


def open_store(name: str) -> Store | None:
    """Return the prepared store of that name under `harness.paths.stores_dir`, or None.

    Raises:
        DataFormatError: its card is damaged, or of another schema version.
    """
    return read_store(paths.stores_dir() / name)


def read_store(path: Path) -> Store | None:
    """Return the store in a folder, or None where there is no card."""
    card = path / "card.json"
    if not card.is_file():
        return None
    with paths.storage_errors(card):
        text = card.read_text()
    try:
        content = json.loads(text)
        if content["schema"] != SCHEMA_VERSION:
            raise _damaged(card, f"schema {content['schema']}, expected {SCHEMA_VERSION}")
        return Store(path, content)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise _damaged(card, repr(error)) from error


def spec_to_json(spec: DatasetSpec) -> dict[str, Any]:
    """Return a spec as JSON values."""
    return dataclasses.asdict(spec)


def spec_from_json(value: Mapping[str, Any]) -> DatasetSpec:
    """Return the spec that `spec_to_json` wrote."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    fields["modalities"] = tuple(ModalitySpec(**m) for m in value["modalities"])
    fields["files"] = tuple(SourceFile(**f) for f in value["files"])
    return DatasetSpec(**fields)


def _damaged(path: Path, reason: str) -> DataFormatError:
    return DataFormatError(
        f"{path} is damaged ({reason}). Delete the folder {path.parent} and prepare it again."
    )
