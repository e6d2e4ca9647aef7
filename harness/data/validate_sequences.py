"""Validation of what a corpus of sequences hands over: rows, lengths, personality; in blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.corpus import SplitArrays
from harness.data.rows import FlatRows, all_finite, blocks, lengths_of
from harness.errors import DataFormatError, NotFiniteError
from harness.specs import DatasetSpec, ModalitySpec


def check_sequences(
    where: str, spec: DatasetSpec, split: SplitArrays, warnings: list[str], *, repair: bool
) -> SplitArrays:
    """Return a split of sequences with features as float32, lengths as int64.

    Args:
        where: data set and split, for messages.
        spec: the data set.
        split: what the corpus handed over.
        warnings: added to.
        repair: set NaN and infinite features to 0 and count them.

    Raises:
        DataFormatError: it is not as the contract says.
    """
    features: dict[str, Any] = {}
    cleaned = dict(split.cleaned)
    stray = sorted(set(split.features) - set(spec.modality_names))
    if stray:
        raise DataFormatError(
            f"{where}: features of {', '.join(stray)}, which the data set does not list."
        )
    for m in spec.modalities:
        rows: Any = split.features.get(m.name, ())
        if len(rows) != len(split.ids):
            raise DataFormatError(
                f"{where}, {m.name}: expected {len(split.ids)} samples, found {len(rows)}."
            )
        rows = _converted(f"{where}, {m.name}", rows, split.ids)
        _check_shapes(where, m, rows, split.ids)
        features[m.name] = _finite(where, spec.name, m, rows, split, cleaned, repair=repair)
    stored = {name: lengths_of(rows) for name, rows in features.items()}
    lengths = _lengths(where, split, stored)
    _traits(where, spec, split)
    if spec.aligned:
        _aligned(split.name, stored, warnings)
    return replace(split, features=features, lengths=lengths, cleaned=cleaned)


def _converted(where: str, rows: Any, ids: Sequence[str]) -> Any:
    """Return features as float32; what is one array stays one."""
    if isinstance(rows, FlatRows) and rows.flat.dtype == np.float32:
        return rows
    if isinstance(rows, np.ndarray) and rows.dtype == np.float32:
        return rows
    out = []
    for i, given in enumerate(rows):
        matrix = np.asarray(given)
        if matrix.dtype == np.float32:
            out.append(matrix)
            continue
        if matrix.dtype.kind not in "biuf":
            raise DataFormatError(
                f"{where}, sample {ids[i]!r}: expected features of numbers, found {matrix.dtype}."
            )
        with np.errstate(over="ignore"):
            out.append(matrix.astype(np.float32))
    return out


def _check_shapes(where: str, m: ModalitySpec, rows: Any, ids: Sequence[str]) -> None:
    if isinstance(rows, FlatRows) and rows.flat.ndim == 2 and rows.flat.shape[1] == m.dim:
        wrong = np.flatnonzero(rows.lengths > m.max_length).tolist()
    else:
        shapes = ((i, np.shape(matrix)) for i, matrix in enumerate(rows))
        wrong = [
            i for i, s in shapes if len(s) != 2 or s[1] != m.dim or s[0] > m.max_length
        ]  # fmt: skip
    if wrong:
        raise DataFormatError(
            f"{where}, {m.name}, sample {ids[wrong[0]]!r}: expected at most {m.max_length} rows "
            f"of {m.dim}, found shape {np.shape(rows[wrong[0]])}."
        )


def _finite(
    where: str,
    name: str,
    m: ModalitySpec,
    rows: Any,
    split: SplitArrays,
    cleaned: dict[str, int],
    *,
    repair: bool,
) -> Any:
    """Return features without NaN and infinities: refused, or set to 0 and counted."""
    bad = [
        block.start + i
        for block in blocks(rows, m.dim)
        if not all_finite(block.flat)
        for i in range(len(block.lengths))
        if not np.isfinite(rows[block.start + i]).all()
    ]
    if not bad:
        return rows
    if not repair:
        raise NotFiniteError(
            f"{where}, {m.name}, sample {split.ids[bad[0]]!r}: features are NaN or infinite. If "
            f"that is known and meant, `harness data prepare {name} --repair` sets them to 0 and "
            "counts them."
        )
    rows = list(rows)
    key = f"{split.name} {m.name}:nan-or-inf"
    for i in bad:
        finite = np.isfinite(rows[i])
        cleaned[key] = cleaned.get(key, 0) + int((~finite).sum())
        rows[i] = np.where(finite, rows[i], np.float32(0))
    return rows


def _lengths(
    where: str, split: SplitArrays, stored: Mapping[str, NDArray[np.int64]]
) -> dict[str, NDArray[np.int64]]:
    checked = {}
    for name, given in split.lengths.items():
        lengths = np.asarray(given)
        rows = stored.get(name, np.zeros(0, dtype=np.int64))
        whole = lengths.dtype.kind in "iu" and lengths.shape == rows.shape
        if not whole or (lengths < 0).any() or (lengths > rows).any():
            found = f"found {lengths.dtype} of shape {list(lengths.shape)}"
            if whole:
                i = int(np.argmax(lengths > rows))
                found += f", sample {split.ids[i]!r} with {int(lengths[i])} of {int(rows[i])}"
            raise DataFormatError(
                f"{where}, {name}: expected a length of 0 to the stored rows for each of "
                f"{len(split.ids)} samples, {found}."
            )
        checked[name] = lengths.astype(np.int64)
    return checked


def _traits(where: str, spec: DatasetSpec, split: SplitArrays) -> None:
    n, wanted = len(split.ids), spec.personality_dim
    traits = (0, 0) if split.personality is None else np.shape(split.personality)
    if traits != (n, wanted) and (wanted or split.personality is not None):
        raise DataFormatError(
            f"{where}: personality of shape {traits}, expected {n} of {wanted} numbers."
        )
    if split.personality is not None and not np.isfinite(split.personality).all():
        raise NotFiniteError(f"{where}: personality is NaN or infinite.")


def _aligned(split: str, stored: Mapping[str, NDArray[np.int64]], warnings: list[str]) -> None:
    """Warn of aligned data whose modalities have other numbers of rows (0: missing)."""
    counts = np.stack(list(stored.values()), axis=1)
    most = counts.max(axis=1, keepdims=True)
    uneven = int(((counts != most) & (counts > 0)).any(axis=1).sum())
    if uneven:
        warnings.append(
            f"{uneven} samples of {split} have modalities of unequal lengths, though the "
            "data set says it is aligned: position 0 is taken to be the same moment in all."
        )
