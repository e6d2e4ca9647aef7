"""Large data of a pickle that is left on disk until an array is made of it, and then as well."""

from __future__ import annotations

import codecs
import mmap
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.mapped import Scratch
from harness.data.safe.files import SafeFile

# Data of more bytes than this is held on disk.
LARGE_DATA = 2**20
# Text is decoded in blocks of this size: they fit into a processor's cache.
_BLOCK = 2**20


class HeldError(Exception):
    """Large data is used as something else than the content of an array."""


class Held:
    """Bytes of the file that are the content of an array, or will be.

    Attributes:
        start: where they are in the file.
        size: their number there.
        text: whether they are the UTF-8 form of Latin-1 text, which is how protocols before 3
            write bytes.
    """

    __slots__ = ("_disk", "_place", "size", "start", "text")

    def __init__(self, disk: OnDisk, start: int, size: int, *, text: bool) -> None:
        self._disk, self.start, self.size, self.text = disk, start, size, text
        self._place: tuple[int, int] | None = None

    def __len__(self) -> int:
        return self._decoded()[1] if self.text else self.size

    def array(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return all of it as a flat array, read-only, mapped."""
        if self.text:
            place, size = self._decoded()
            return self._disk.scratch.array(place, dtype, size // dtype.itemsize)
        count = self.size // dtype.itemsize
        return np.frombuffer(self._disk.source, dtype=dtype, count=count, offset=self.start)

    def _decoded(self) -> tuple[int, int]:
        """Return place and size of the decoded text; decoded once, however often it is used."""
        if self._place is None:
            self._place = self._disk.decode(self.start, self.size)
        return self._place


class OnDisk:
    """The file of a pickle and the temporary one for its decoded text, both mapped on use."""

    def __init__(self, file: SafeFile) -> None:
        self._file = file.stream.fileno()
        self._size = file.size
        self._source: mmap.mmap | None = None
        self._scratch: Scratch | None = None

    def held(self, start: int, size: int, text: bool) -> Held:
        """Return a part of the file as `Held`."""
        return Held(self, start, size, text=text)

    @property
    def source(self) -> mmap.mmap:
        """Return the mapped file."""
        if self._source is None:
            self._source = mmap.mmap(self._file, self._size, access=mmap.ACCESS_READ)
        return self._source

    @property
    def scratch(self) -> Scratch:
        """Return the temporary file: each part is decoded once, so it is no larger than the file.

        Raises:
            StorageError: it cannot be made.
        """
        if self._scratch is None:
            # Each array is aligned, and none is smaller than LARGE_DATA / 2.
            self._scratch = Scratch(self._size + self._size // 1024)
        return self._scratch

    def decode(self, start: int, size: int) -> tuple[int, int]:
        """Write a part's decoded text to the temporary file; return place and size there.

        Raises:
            UnicodeError: it is no UTF-8, or holds more than Latin-1.
            StorageError: the disk is full.
        """
        scratch = self.scratch
        place, end, rest = scratch.align(), start + size, b""
        while start < end:
            block = os.pread(self._file, min(_BLOCK, end - start), start)
            if not block:
                raise EOFError("the file ends early")
            start += len(block)
            block = rest + block
            # Half a character waits for its other half.
            text, used = codecs.utf_8_decode(block, "strict", start == end)
            rest = block[used:]
            scratch.append(text.encode("latin-1"))
        return place, scratch.end - place
