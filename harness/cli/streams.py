"""Standard streams that are closed, full, or of another encoding."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import Any, TextIO

# Why a standard stream could not be written, by its descriptor; what follows is dropped.
_failures: dict[int, OSError] = {}


class _Output(io.FileIO):
    """A stream that goes on when nobody reads any more, or the disk behind it is full."""

    def write(self, content: Any) -> int:
        """Write; note a failure, and report success, for the process has more to do."""
        try:
            return super().write(content) or 0
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                _failures.setdefault(self.fileno(), error)
            return len(memoryview(content))


def prepare() -> None:
    """Make the standard streams of this process safe to write to.

    A closed descriptor becomes the null device, so that no file of ours is opened in its place.
    Characters that the encoding lacks are replaced. A reader that ends early, such as ``head``,
    ends neither the process nor a grid of runs.
    """
    _fill_descriptors()
    if sys.stdout is None:
        sys.stdout = _null()
    if sys.stderr is None:
        sys.stderr = _null()
    if sys.stdout is sys.__stdout__:
        sys.stdout = _tolerant(sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _tolerant(sys.stderr)


def finish() -> str:
    """Flush standard output; return why it could not be written, or the empty string."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    failure = _failures.get(1)
    if failure is None:
        return ""
    return f"the output cannot be written: {os.strerror(failure.errno or errno.EIO).lower()}."


def _tolerant(stream: TextIO | Any) -> TextIO:
    try:
        descriptor = stream.fileno()
        stream.flush()
    except (OSError, ValueError, AttributeError):
        return stream
    unbuffered = bool(getattr(stream, "write_through", False))
    raw = _Output(descriptor, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace" if stream is sys.__stderr__ else "replace",
        line_buffering=stream.isatty() or stream is sys.__stderr__,
        write_through=unbuffered,
    )


def _null() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123


def _fill_descriptors() -> None:
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
