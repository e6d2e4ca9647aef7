"""The content hash: SHA-256 over the arrays and names of a data set, not over file bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.specs import DatasetSpec


def _field(state: Any, tag: str, payload: bytes) -> None:
    """Feed one tagged field with its length: different contents never feed the same bytes."""
    state.update(f"{tag}\x1f{len(payload)}\x1f".encode())
    state.update(payload)


class SplitHasher:
    """The hash of one split, fed field by field; the order of the calls is part of it."""

    def __init__(self, name: str, ids: Sequence[str], groups: Sequence[str]) -> None:
        self._state = hashlib.sha256()
        _field(self._state, "split", name.encode())
        _field(self._state, "ids", json.dumps(list(ids)).encode())
        _field(self._state, "groups", json.dumps(list(groups)).encode())

    def labels(self, labels: NDArray[np.uint8]) -> None:
        """Feed labels, uint8 [N, L]."""
        _field(self._state, "labels", np.ascontiguousarray(labels, dtype=np.uint8).tobytes())

    def modality(
        self,
        name: str,
        stored: NDArray[np.int64],
        true: NDArray[np.int64] | None,
        rows: Iterable[NDArray[np.float32]],
    ) -> None:
        """Feed a modality: stored lengths [N], true lengths [N] or None, rows [*, d] in order.

        Args:
            name: modality name.
            stored: int64 [N], stored rows of each sample.
            true: int64 [N], recorded lengths, or None.
            rows: float32 [*, d] blocks of all rows, in the order of samples.
        """
        _field(self._state, f"stored:{name}", np.asarray(stored, dtype="<i8").tobytes())
        if true is not None:
            _field(self._state, f"true:{name}", np.asarray(true, dtype="<i8").tobytes())
        self._state.update(f"rows:{name}\x1f".encode())
        for block in rows:
            self._state.update(np.ascontiguousarray(block, dtype="<f4").data)

    def array(self, name: str, array: NDArray[Any]) -> None:
        """Feed an array of integers, booleans or float32 with its shape."""
        kinds = {"b": "u1", "u": "u1", "i": "<i8", "f": "<f4"}
        plain = np.ascontiguousarray(array, dtype=kinds[array.dtype.kind])
        _field(self._state, f"{name}:{plain.shape}", plain.tobytes())

    def extras(self, extras: Mapping[str, Sequence[Any]]) -> None:
        """Feed the further columns."""
        plain = {name: list(extras[name]) for name in sorted(extras)}
        _field(self._state, "extras", json.dumps(plain).encode())

    def hexdigest(self) -> str:
        """Return the hash so far, hexadecimal."""
        return self._state.hexdigest()


def content_hash(spec: DatasetSpec, splits: Mapping[str, str]) -> str:
    """Return the hash of a data set from the hashes of its splits, hexadecimal.

    Names and sizes of modalities and labels belong to it; the data set's own name does not.
    """
    meaning = {
        "modalities": [[m.name, m.key, m.dim, m.max_length] for m in spec.modalities],
        "labels": list(spec.labels),
        "label_kind": spec.label_kind,
        "splits": {name: splits[name] for name in sorted(splits)},
    }
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()
