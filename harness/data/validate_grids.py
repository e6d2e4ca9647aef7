"""Validation of what a corpus of persons x segments hands over: cells, targets, shared rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.data.corpus import GridArrays
from harness.errors import DataFormatError, NotFiniteError
from harness.specs import DatasetSpec

# Rows checked at a time: the check needs a mask as large as what it looks at.
_STEP = 1024
# By name: what the first split handed over, and what of it is stored.
Tables: TypeAlias = dict[str, tuple[Any, NDArray[np.float32]]]


def check_grids(where: str, spec: DatasetSpec, split: GridArrays, tables: Tables) -> GridArrays:
    """Return a split of grids with its row tables as float32.

    Args:
        where: data set and split, for messages.
        spec: the data set.
        split: what the corpus handed over.
        tables: the row tables of the splits before; those of the first split are added.

    Raises:
        DataFormatError: cells do not fit the persons and segments or point outside the tables, or
            the splits do not share them.
    """
    names, dims = list(spec.modality_names), [m.dim for m in spec.modalities]
    if sorted(split.rows) != sorted(names) or sorted(split.index) != sorted(names):
        raise DataFormatError(
            f"{where}: rows of {', '.join(split.rows)} and cells of {', '.join(split.index)}, "
            f"expected {', '.join(names)}."
        )
    rows = {
        name: _table(where, tables, name, split.rows[name], dim)
        for name, dim in zip(names, dims, strict=True)
    }
    traits = _table(where, tables, "personality", split.personality, spec.personality_dim)
    n = len(split.ids)
    for what in ("characters", "target_person", "target_segment", "has_target"):
        found = len(getattr(split, what))
        if found != n:
            raise DataFormatError(f"{where}, {what}: expected {n} samples, found {found}.")
    shapes = [np.shape(x) for x in split.index[names[0]]]
    people = [len(c) for c in split.characters]
    for name in names:
        parts = [np.asarray(x) for x in split.index[name]]
        sizes = [x.shape for x in parts]
        whole = all(x.ndim == 2 and x.size and x.dtype.kind in "iu" for x in parts)
        if sizes != shapes or not whole or [s[0] for s in sizes] != people:
            raise DataFormatError(
                f"{where}, {name}: cells do not fit persons and segments; expected whole "
                "numbers [persons, segments], at least one of each."
            )
        cells = np.concatenate([x.ravel() for x in parts])
        if cells.min() < -1 or cells.max() >= len(rows[name]):
            raise DataFormatError(f"{where}, {name}: a cell points outside the row table.")
    targets = np.stack([split.target_person, split.target_segment], axis=1)
    known = np.concatenate(split.characters)
    inside = (targets >= 0).all() and (targets < np.array(shapes)).all()
    if not inside or known.min() < 0 or known.max() >= len(traits):
        raise DataFormatError(f"{where}: a target cell or character lies outside its grid.")
    return replace(split, rows=rows, personality=traits)


def _table(where: str, tables: Tables, name: str, given: Any, dim: int) -> NDArray[np.float32]:
    """Return a row table as float32; every split must hand over the same one."""
    if name not in tables:
        table = np.asarray(given)
        if table.ndim != 2 or table.shape[1] != dim or table.dtype.kind not in "biuf":
            raise DataFormatError(
                f"{where}, {name}: expected rows of {dim} numbers, found {table.dtype} of "
                f"shape {list(table.shape)}."
            )
        with np.errstate(over="ignore"):
            table = table.astype(np.float32, copy=False)
        blocks = (table[i : i + _STEP] for i in range(0, len(table), _STEP))
        if not all(np.isfinite(block).all() for block in blocks):
            raise NotFiniteError(f"{where}, {name}: features are NaN or infinite.")
        tables[name] = given, table
    first, table = tables[name]
    if first is not given:
        raise DataFormatError(
            f"{where}: the row table {name!r} is not the one of the split before; all splits "
            "share one."
        )
    return table
