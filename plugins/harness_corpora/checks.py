"""Checks of nested values and arrays that the readers share, beyond `harness.data.values`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.mapped import release
from harness.data.rows import BLOCK_BYTES, FlatRows, RowGatherer, all_finite, filled
from harness.data.values import fail, shown
from harness.errors import DataFormatError


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


def floats(path: Path, value: Any, key: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Return a value that is an array of floats, as it is.

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
    found: NDArray[Any] = value
    return found


def float_array(
    path: Path, value: Any, key: str, shape: tuple[int | None, ...]
) -> NDArray[np.float32]:
    """Return an array of floats as float32; arguments and errors as of `floats`."""
    with np.errstate(over="ignore"):
        array: NDArray[np.float32] = np.asarray(floats(path, value, key, shape), dtype=np.float32)
    return array


class Cleaning:
    """Sets the values of one array that may be repaired to 0, block by block.

    Args:
        path: the file, for messages.
        key: the array's place in the file.
        zero_minus_inf: set -inf to 0, as the loaders of every published model do.
        repair: set NaN and +inf to 0 as well.
    """

    def __init__(
        self, path: Path, key: str, *, zero_minus_inf: bool = False, repair: bool = False
    ) -> None:
        self._path, self._key = path, key
        self._zero_minus_inf, self._repair = zero_minus_inf, repair
        self._minus = self._other = 0

    def block(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the values, or a copy with those that are not finite set to 0, and count them."""
        if all_finite(values):
            return values
        low = np.isneginf(values) if self._zero_minus_inf else np.zeros(values.shape, dtype=bool)
        bad = ~np.isfinite(values) & ~low
        self._minus, self._other = self._minus + int(low.sum()), self._other + int(bad.sum())
        return np.where(low | bad, np.float32(0), values)

    def finish(self, counts: dict[str, int]) -> None:
        """Add the repaired values by kind.

        Raises:
            DataFormatError: there were values that may not be repaired.
        """
        if self._minus:
            key = f"{self._key}:-inf"
            counts[key] = counts.get(key, 0) + self._minus
        if self._other and not self._repair:
            allowed = " (only -inf is repaired here)" if self._zero_minus_inf else ""
            raise DataFormatError(
                f"{self._path}, {self._key}: expected finite features, found {self._other} values "
                f"that are NaN or infinite{allowed}. If that is known and meant, `harness data "
                "prepare --repair` sets them to 0 and counts them."
            )
        if self._other:
            key = f"{self._key}:nan-or-inf"
            counts[key] = counts.get(key, 0) + self._other


def clean(
    path: Path, array: NDArray[np.float32], key: str, counts: dict[str, int], *, repair: bool
) -> NDArray[np.float32]:
    """Return a small array with the values that may be repaired set to 0.

    Args:
        path: the file, for messages.
        array: float32 [N, ...]; not written to.
        key: its place in the file.
        counts: repaired values by kind, added to.
        repair: as in `Cleaning`.

    Raises:
        DataFormatError: values that are not finite are left.
    """
    cleaning = Cleaning(path, key, repair=repair)
    out = cleaning.block(array)
    cleaning.finish(counts)
    return out


def trimmed(array: NDArray[Any], cleaning: Cleaning) -> FlatRows:
    """Return the samples of [N, T, d], cleaned, as float32 without the zero rows at their end.

    The loader pads to ``max_length`` again, so that a model sees what the file holds; zero rows at
    the start stay, they are where the frames stand. An all-zero sample keeps one row: the file has
    no notion of a missing modality, and none is made up here.

    Args:
        array: floats [N, T, d]; may lie on disk.
        cleaning: of this array; is to be finished.

    Raises:
        StorageError: the disk is full.
    """
    count, longest, dim = array.shape
    gathered = RowGatherer(count * longest, dim)
    step = max(1, BLOCK_BYTES // max(array[:1].nbytes, 1))
    for start in range(0, count, step):
        part = array[start : start + step]
        with np.errstate(over="ignore"):
            block = cleaning.block(part.astype(np.float32, copy=False))
        reversed_ = filled(block)[:, ::-1]
        ends = np.where(reversed_.any(axis=1), longest - reversed_.argmax(axis=1), 1)
        gathered.add(block[np.arange(longest) < ends[:, None]], ends)
        release(part)
    return gathered.finish()


def one_hot_sets(sets: Sequence[Sequence[int]], labels: int) -> NDArray[np.uint8]:
    """Return label sets as uint8 [N, labels] in {0, 1}."""
    out = np.zeros((len(sets), labels), dtype=np.uint8)
    for row, chosen in enumerate(sets):
        out[row, list(chosen)] = 1
    return out
