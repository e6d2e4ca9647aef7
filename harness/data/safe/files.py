"""An authors' file as a bounded stream of bytes, and what it is when it is not a pickle."""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.errors import DataFormatError, DataMissingError, HarnessError, UnsafePickleError
from harness.paths import storage_errors

ZIP_MAGIC = b"PK\x03\x04"
GIT_LFS = b"version https://git-lfs.github.com/"

# Whatever the interpreter or NumPy raises over a damaged file is one refusal.
BROKEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SystemError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


class ForbiddenNameError(Exception):
    """A pickle asks for a global that is not on the allow-list."""


class Bounded:
    """Bytes ``start`` to ``end`` of a file; a read beyond them fails before memory is taken."""

    def __init__(self, stream: IO[bytes], start: int, end: int) -> None:
        self._stream = stream
        self._left = end - start
        self.size = end - start
        stream.seek(start)

    @property
    def left(self) -> int:
        """Return the number of bytes not yet read."""
        return self._left

    def read(self, count: int = -1) -> bytes:
        """Return exactly ``count`` bytes (-1: the rest).

        Raises:
            EOFError: the file has fewer.
        """
        wanted = self._left if count < 0 else count
        if wanted > self._left:
            raise EOFError(f"{wanted} bytes are announced, {self._left} are left")
        found = self._stream.read(wanted)
        self._left -= len(found)
        if len(found) < wanted:
            raise EOFError("the file ends early")
        return found

    def readline(self) -> bytes:
        """Return the bytes up to and with the next line feed.

        Raises:
            EOFError: there is none.
        """
        found = self._stream.readline(self._left)
        self._left -= len(found)
        if not found.endswith(b"\n"):
            raise EOFError("a line has no end")
        return found

    def skip(self, count: int) -> int:
        """Pass over ``count`` bytes; return where in the file they begin.

        Raises:
            EOFError: the file has fewer.
        """
        if count > self._left:
            raise EOFError(f"{count} bytes are announced, {self._left} are left")
        start = self._stream.tell()
        self._stream.seek(count, 1)
        self._left -= count
        return start

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill a buffer; raises as `read`."""
        buffer[:] = self.read(len(buffer))
        return len(buffer)


@dataclass(frozen=True)
class SafeFile:
    """An open file and its size in bytes."""

    path: Path
    stream: IO[bytes]
    size: int
    is_zip: bool

    def part(self, start: int, size: int) -> Bounded:
        """Return ``size`` bytes from ``start`` as a stream.

        Raises:
            EOFError: the file is shorter.
        """
        if start < 0 or size < 0 or start + size > self.size:
            raise EOFError("a part of the file lies beyond its end")
        return Bounded(self.stream, start, start + size)

    def rest(self) -> Bounded:
        """Return the stream from the present position to the end."""
        return Bounded(self.stream, self.stream.tell(), self.size)


@contextmanager
def checked(path: Path, kind: str) -> Iterator[SafeFile]:
    """Open an authors' file; whatever goes wrong in the block is one refusal that names it.

    Args:
        path: the file.
        kind: what it is expected to be, ``pickle`` or ``torch file``.

    Raises:
        DataMissingError: the file is not there.
        UnsafePickleError: the block asked for a forbidden name.
        DataFormatError: the file is something else, or damaged.
    """
    with storage_errors(path):
        if not path.exists():
            raise DataMissingError(f"{path} is not there.")
        if not path.is_file():
            raise DataFormatError(f"{path} is not a file; expected a {kind}.")
        stream = path.open("rb")
    with stream:
        with storage_errors(path):
            size = path.stat().st_size
            head = stream.read(512)
            stream.seek(0)
        other = _other_kind(head)
        if other:
            raise DataFormatError(f"{path} is {other}, not a {kind}.")
        is_zip = head.startswith(ZIP_MAGIC)
        if is_zip and kind == "pickle" and not _is_torch_archive(stream):
            raise DataFormatError(f"{path} is a zip archive, not a pickle; unpack it first.")
        try:
            yield SafeFile(path, stream, size, is_zip)
        except HarnessError:
            raise
        except ForbiddenNameError as error:
            raise UnsafePickleError(
                f"{path} asks for {str(error)!r}, which a data file does not need; it was refused "
                "and nothing of it was executed. Get the file again from its authors."
            ) from error
        except BROKEN as error:
            raise _broken(path, kind, error) from error


def _other_kind(head: bytes) -> str:
    """Return what a file is by its first bytes where that is no pickle; else the empty string."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(GIT_LFS):
        return "a Git LFS pointer (run 'git lfs pull' where it was cloned, or download the file)"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page (the download needs a login or another link; get the file itself)"
    if head.startswith(b"\x1f\x8b"):
        return "a gzip archive (unpack it first)"
    if head.startswith((b"7z\xbc\xaf", b"Rar!")):
        return "an archive (unpack it first)"
    if head.startswith(b"\x89HDF"):
        return "an HDF5 file"
    if head.startswith(b"\x93NUMPY"):
        return "a NumPy .npy file"
    return ""


def _is_torch_archive(stream: IO[bytes]) -> bool:
    try:
        with zipfile.ZipFile(stream) as archive:
            found = any(name.endswith("data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        found = False
    stream.seek(0)
    return found


def _broken(path: Path, kind: str, error: BaseException) -> DataFormatError:
    reason = str(error).strip().split("\n")[0][:120] or type(error).__name__
    return DataFormatError(
        f"{path} cannot be read as a {kind}: it is truncated or damaged ({reason}). "
        "Copy or download it again."
    )
