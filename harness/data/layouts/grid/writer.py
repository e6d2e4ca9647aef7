"""Writing splits of grids: shared rows once, samples as indices into them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness.data.content import SplitHasher
from harness.data.corpus import GridArrays
from harness.data.layouts.grid.rows import grid_digest, row_digests, rows_path, write_rows
from harness.data.layouts.writer import SplitWriter
from harness.errors import DataFormatError
from harness.specs import DatasetSpec

_STEP = 1024


class GridWriter(SplitWriter[GridArrays]):
    """Writes `GridArrays`; the row tables with the first of the splits."""

    arrays: ClassVar[type] = GridArrays

    def __init__(self, folder: Path, spec: DatasetSpec, source: str = "") -> None:
        super().__init__(folder, spec, source)
        self._tables: dict[str, NDArray[np.float32]] = {}
        self._digests: dict[str, NDArray[np.uint8]] = {}

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

    def _write(self, split: GridArrays, where: str) -> str:
        self._share(split, where)
        flat = _checked(split, self.spec, where)
        columns: dict[str, Any] = {
            "id": pa.array([str(i) for i in split.ids]),
            "group": pa.array([str(g) for g in split.groups]),
            "labels": _lists(list(split.labels.astype(np.int8))),
            "characters": _lists([np.asarray(c, dtype=np.int32) for c in split.characters]),
        }
        some = split.index[self.spec.modalities[0].name]
        whole: dict[str, NDArray[Any]] = {
            "persons": np.array([len(x) for x in some], dtype=np.int64),
            "segments": np.array([x.shape[1] for x in some], dtype=np.int64),
            "characters": np.concatenate(split.characters).astype(np.int64),
            "target_person": np.asarray(split.target_person, dtype=np.int64),
            "target_segment": np.asarray(split.target_segment, dtype=np.int64),
            "has_target": np.asarray(split.has_target, dtype=np.bool_),
        }
        for name in whole.keys() - {"characters"}:
            columns[name] = pa.array(whole[name].astype(np.int32))
        for name, parts in split.index.items():
            columns[f"index:{name}"] = _lists([x.ravel().astype(np.int32) for x in parts])
        for name, values in split.extras.items():
            columns[f"extra:{name}"] = pa.array(list(values))
        table = pa.table(columns)
        path = str(self.path(split))
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        hasher = SplitHasher(split.name, list(split.ids), list(split.groups))
        whole["personality"] = split.personality
        return grid_digest(hasher, split.labels, flat, self._digests, whole, split.extras)

    def _share(self, split: GridArrays, where: str) -> None:
        """Write the row tables with the first split; demand the same ones of the others."""
        given = {**split.rows, "personality": split.personality}
        for name, rows in given.items():
            known = self._tables.setdefault(name, rows)
            if known is not rows:
                raise DataFormatError(
                    f"{where}: the row table {name!r} is not the one of the split before; all "
                    "splits share one."
                )
            if name not in self._digests:
                _check_rows(f"{where}, {name}", rows)
                write_rows(rows_path(self.folder, name), rows)
                self._digests[name] = row_digests([rows])


def _check_rows(where: str, rows: NDArray[np.float32]) -> None:
    for start in range(0, len(rows), _STEP):
        if not np.isfinite(rows[start : start + _STEP]).all():
            raise DataFormatError(f"{where}: features are NaN or infinite.")


def _checked(split: GridArrays, spec: DatasetSpec, where: str) -> dict[str, NDArray[np.int64]]:
    """Return the flat index per modality, int64 [S].

    Raises:
        DataFormatError: shapes or numbers that do not fit.
    """
    dims = {m.name: m.dim for m in spec.modalities}
    sizes = {name: rows.shape[1] for name, rows in split.rows.items()}
    if sizes != dims or split.personality.shape[1] != spec.personality_dim:
        raise DataFormatError(f"{where}: features of sizes {sizes}, expected {dims}.")
    shapes = [(len(c), x.shape[1]) for c, x in zip(split.characters, _first(split), strict=True)]
    flat: dict[str, NDArray[np.int64]] = {}
    for name in dims:
        parts = split.index[name]
        if [x.shape for x in parts] != shapes:
            raise DataFormatError(f"{where}, {name}: cells do not fit persons and segments.")
        flat[name] = np.concatenate([x.ravel() for x in parts]).astype(np.int64)
        if flat[name].min() < -1 or flat[name].max() >= len(split.rows[name]):
            raise DataFormatError(f"{where}, {name}: a cell points outside the row table.")
    limits = np.array(shapes)
    targets = np.stack([split.target_person, split.target_segment], axis=1)
    known = np.concatenate(split.characters)
    inside = (targets >= 0).all() and (targets < limits).all()
    if not inside or known.min() < 0 or known.max() >= len(split.personality):
        raise DataFormatError(f"{where}: a target cell or character lies outside its grid.")
    return flat


def _first(split: GridArrays) -> Sequence[NDArray[np.int64]]:
    return next(iter(split.index.values()))


def _lists(parts: Sequence[NDArray[Any]]) -> Any:
    """Return ragged 1-d arrays as an Arrow column of lists."""
    ends = np.cumsum([0, *(len(x) for x in parts)])
    return pa.LargeListArray.from_arrays(pa.array(ends), pa.array(np.concatenate(parts)))
