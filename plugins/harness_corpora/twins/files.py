"""Writing the twins' files: under a temporary name first, arrays of any size."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.errors import StorageError


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a temporary sibling of ``path``, renamed on success and removed on failure.

    Raises:
        StorageError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path}: the twin cannot be written ({error.strerror or error}); "
            "free space or choose another data root."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


class Scratch:
    """Zero-filled arrays kept on disk while a file is put together, so that ``full`` fits."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def zeros(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return a float32 array backed by a file of its own."""
        self._count += 1
        path = self._folder / f"{self._count}.bin"
        mapped = np.memmap(path, dtype=np.float32, mode="w+", shape=shape)
        return np.asarray(mapped).view(np.ndarray)


@contextmanager
def scratch(beside: Path) -> Iterator[Scratch]:
    """Give a `Scratch` in a temporary folder next to the file to be written."""
    try:
        beside.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=beside.parent, prefix=".twin-") as folder:
            yield Scratch(Path(folder))
    except OSError as error:
        raise StorageError(
            f"{beside.parent}: the twin cannot be written ({error.strerror or error}); "
            "free space or choose another data root."
        ) from error


def write_pickle(path: Path, content: Any, protocol: int = 4) -> None:
    """Write a plain pickle."""
    with writing(path) as temporary, temporary.open("wb") as file:
        pickle.dump(content, file, protocol=protocol)


def write_torch(path: Path, content: Any, *, legacy: bool = False) -> None:
    """Write with ``torch.save``: zip container, or the stream of torch < 1.6."""
    with writing(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file, _use_new_zipfile_serialization=not legacy)
