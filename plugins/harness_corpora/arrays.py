"""NumPy archives of the authors, read strictly: named arrays of known kind and size, no pickles."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.values import fail
from harness.errors import DataFormatError
from harness.paths import storage_errors

Shape = tuple[int | None, ...]
"""Sizes of an array; None: any."""


def read_archive(path: Path, arrays: Mapping[str, tuple[str, Shape]]) -> dict[str, NDArray[Any]]:
    """Return named arrays of an ``.npz`` file.

    Args:
        path: the file.
        arrays: per name the kinds of dtype it may have (``f``, ``iu``, ``U``) and its shape.

    Raises:
        DataFormatError: not an archive of arrays, an array is missing, of another kind or shape.
    """
    found: dict[str, NDArray[Any]] = {}
    with storage_errors(path):
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                for name, (kinds, shape) in arrays.items():
                    if name not in archive.files:
                        known = ", ".join(archive.files)
                        raise fail(path, name, "an array of this name", f"only {known}")
                    found[name] = _checked(path, name, archive[name], kinds, shape)
        except DataFormatError:
            raise
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError) as error:
            raise fail(path, "archive", "arrays saved by numpy.savez", str(error)) from error
    return found


def _checked(path: Path, name: str, array: NDArray[Any], kinds: str, shape: Shape) -> NDArray[Any]:
    fits = (
        array.dtype.kind in kinds
        and array.ndim == len(shape)
        and all(s is None or s == n for s, n in zip(shape, array.shape, strict=True))
    )
    if not fits:
        wanted = "x".join("N" if s is None else str(s) for s in shape)
        got = f"{array.dtype} {'x'.join(map(str, array.shape))}"
        raise fail(path, name, f"an array {wanted} of kind {'/'.join(kinds)}", got)
    return array
