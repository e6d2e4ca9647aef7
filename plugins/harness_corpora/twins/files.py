"""Writing the twins' files: under a temporary name first, arrays of any size."""

from __future__ import annotations

import math
import os
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.errors import StorageError
from harness.paths import unhidden


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path``, renamed on success and removed on failure.

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
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


class Scratch:
    """Zero-filled arrays while a file is put together; large ones on disk (``full``)."""

    IN_MEMORY = 2**28
    """Bytes up to which an array is kept in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def zeros(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return a float32 array, backed by a file of its own if it is large."""
        size = 4 * math.prod(shape)
        if size <= self.IN_MEMORY:
            return np.zeros(shape, np.float32)
        self._count += 1
        path = self._folder / f"{self._count}.bin"
        with path.open("wb") as file:
            # Reserving first turns a full disk into an OSError here, not a bus error later.
            os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(path, dtype=np.float32, mode="r+", shape=shape).view(np.ndarray)


@contextmanager
def scratch(beside: Path) -> Iterator[Scratch]:
    """Yield a `Scratch` in a temporary folder next to the file to be written."""
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
    """Write a plain pickle.

    Args:
        path: file to write.
        content: a picklable value.
        protocol: pickle protocol.
    """
    with writing(path) as temporary, temporary.open("wb") as file:
        pickle.dump(content, file, protocol=protocol)


def write_torch(path: Path, content: Any, *, legacy: bool = False) -> None:
    """Write with ``torch.save``: zip container, or the stream of torch < 1.6.

    Args:
        path: file to write.
        content: a value of tensors and containers.
        legacy: write the stream of torch < 1.6, not the zip container.
    """
    with writing(path) as temporary, temporary.open("wb") as file, unhidden():
        torch.save(content, file, _use_new_zipfile_serialization=not legacy)
