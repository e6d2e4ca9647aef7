"""Arrays on disk: temporary files for what memory need not hold, and letting go of pages read."""

from __future__ import annotations

import contextlib
import mmap
import tempfile
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from harness.paths import storage_errors

# Arrays begin at multiples of it, so that every dtype is aligned.
_ALIGNED = 64
_scratch: ContextVar[Path | None] = ContextVar("scratch_folder", default=None)


@contextlib.contextmanager
def scratch_in(folder: Path) -> Iterator[None]:
    """Make the temporary files of the block in ``folder`` instead of the system's folder."""
    token = _scratch.set(folder)
    try:
        yield
    finally:
        _scratch.reset(token)


class Scratch:
    """A temporary file without a name, from which arrays are mapped.

    It is gone with the last of its arrays, also after a kill.

    Args:
        most: the bytes it may hold; room is taken as it is written.

    Raises:
        StorageError: it cannot be made.
    """

    def __init__(self, most: int) -> None:
        folder = _scratch.get()
        self._where = folder or Path(tempfile.gettempdir())
        self._most = most + _ALIGNED
        self.end = 0
        with storage_errors(self._where):
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
            weakref.finalize(self, self._file.close)
            self._file.truncate(self._most)
            self._map = mmap.mmap(self._file.fileno(), self._most, access=mmap.ACCESS_READ)

    def align(self) -> int:
        """Return the place of the next array, to which what follows is appended."""
        self.end = -(-self.end // _ALIGNED) * _ALIGNED
        self._file.seek(self.end)
        return self.end

    def append(self, data: Any) -> None:
        """Write bytes, or a contiguous array, at the end.

        Raises:
            StorageError: the disk is full.
        """
        view = memoryview(data).cast("B")
        if self.end + len(view) > self._most:
            raise ValueError("more is written to a temporary file than was announced")
        self.end += len(view)
        with storage_errors(self._where):
            while view:
                view = view[self._file.write(view) :]

    def array(self, place: int, dtype: DTypeLike, count: int) -> NDArray[Any]:
        """Return ``count`` elements from ``place``, read-only, mapped."""
        return np.frombuffer(self._map, dtype=dtype, count=count, offset=place)


def release(*arrays: NDArray[Any]) -> None:
    """Take the pages of mapped, read-only arrays out of this process's memory.

    They stay in the page cache, and come back when they are next read. Other arrays are left alone.
    """
    for array in arrays:
        base: Any = array
        while isinstance(base, np.ndarray):
            base = base.base
        if isinstance(base, memoryview):
            base = base.obj
        if isinstance(base, mmap.mmap) and array.size and memoryview(base).readonly:
            begin = np.frombuffer(base, dtype=np.uint8).ctypes.data
            low, high = np.lib.array_utils.byte_bounds(array)
            release_part(base, low - begin, high - begin)


def release_part(mapped: mmap.mmap, start: int = 0, end: int | None = None) -> None:
    """Do as `release` with the bytes from ``start`` to ``end`` of a read-only mapping."""
    if not hasattr(mmap, "MADV_DONTNEED"):
        return
    start -= start % mmap.PAGESIZE
    end = len(mapped) if end is None else end
    mapped.madvise(mmap.MADV_DONTNEED, start, end - start)
