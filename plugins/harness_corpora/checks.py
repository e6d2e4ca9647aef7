"""Checks of nested values and arrays that the readers share, beyond `harness.data.values`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.values import fail, shown
from harness.errors import DataFormatError

# Rows cleaned at a time: the checks need a mask as large as what they look at.
_STEP = 512


def child(path: Path, value: Any, key: str, where: str = "") -> Any:
    """Return ``value[key]`` of a dict.

    Args:
        path: the file, for messages.
        value: should be a dict.
        key: the key.
        where: place of ``value`` in the file; empty: top level.

    Raises:
        DataFormatError: no dict, or no such key.
    """
    if not isinstance(value, dict):
        raise fail(path, where or "top level", "a dict", shown(value))
    if key not in value:
        name = f"{where}/{key}" if where else key
        known = ", ".join(str(k) for k in value)
        raise fail(path, name, "this key", f"only {known or 'an empty dict'}")
    return value[key]


def section(path: Path, value: Any, key: str) -> dict[str, Any]:
    """Return a copy of the dict ``value[key]``; arguments and errors as of `child`."""
    found = child(path, value, key)
    if not isinstance(found, dict):
        raise fail(path, key, "a dict", shown(found))
    return dict(found)


def float_array(
    path: Path, value: Any, key: str, shape: tuple[int | None, ...]
) -> NDArray[np.float32]:
    """Return a float32 or float64 array as float32.

    Args:
        path: the file, for messages.
        value: should be an array.
        key: its place in the file.
        shape: expected sizes; None: any.

    Raises:
        DataFormatError: not an array of floats, or of another shape (None: any size).
    """
    wanted = "×".join("N" if s is None else str(s) for s in shape)
    fits = (
        isinstance(value, np.ndarray)
        and value.dtype.kind == "f"
        and value.ndim == len(shape)
        and all(s is None or s == n for s, n in zip(shape, value.shape, strict=True))
    )
    if not fits:
        raise fail(path, key, f"a float array {wanted}", shown(value))
    with np.errstate(over="ignore"):
        array: NDArray[np.float32] = np.asarray(value, dtype=np.float32)
    return array


def clean(
    path: Path,
    array: NDArray[np.float32],
    key: str,
    counts: dict[str, int],
    *,
    zero_minus_inf: bool = False,
    repair: bool = False,
) -> NDArray[np.float32]:
    """Return the array with the values that may be repaired set to 0.

    Args:
        path: the file, for messages.
        array: float32 [N, ...]; not written to.
        key: its place in the file.
        counts: repaired values by kind, added to.
        zero_minus_inf: set -inf to 0, as the loaders of every published model do.
        repair: set NaN and +inf to 0 as well.

    Raises:
        DataFormatError: values that are not finite are left.
    """
    minus = other = 0
    out = array
    for start in range(0, len(array), _STEP):
        block = out[start : start + _STEP]
        if np.isfinite(block).all():
            continue
        if out is array:
            out = array.copy()
            block = out[start : start + _STEP]
        low = np.isneginf(block) if zero_minus_inf else np.zeros(block.shape, dtype=bool)
        bad = ~np.isfinite(block) & ~low
        minus, other = minus + int(low.sum()), other + int(bad.sum())
        block[low | bad] = 0.0
    if minus:
        counts[f"{key}:-inf"] = counts.get(f"{key}:-inf", 0) + minus
    if other and not repair:
        allowed = " (only -inf is repaired here)" if zero_minus_inf else ""
        raise DataFormatError(
            f"{path}, {key}: expected finite features, found {other} values that are NaN or "
            f"infinite{allowed}. If that is known and meant, `harness data prepare --repair` sets "
            "them to 0 and counts them."
        )
    if other:
        counts[f"{key}:nan-or-inf"] = counts.get(f"{key}:nan-or-inf", 0) + other
    return out


def one_hot_sets(sets: Sequence[Sequence[int]], labels: int) -> NDArray[np.uint8]:
    """Return label sets as uint8 [N, labels] in {0, 1}."""
    out = np.zeros((len(sets), labels), dtype=np.uint8)
    for row, chosen in enumerate(sets):
        out[row, list(chosen)] = 1
    return out
