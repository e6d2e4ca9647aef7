"""What reaches a user of an exception: one sentence, a remedy and an exit code.

Errors that are understood are raised as `HarnessError` where they are known. This is the last
handler, of the command line and the Python interface: whatever else arrives is explained here.
"""

from __future__ import annotations

import errno
import os
import traceback
from pathlib import Path

from harness.errors import HarnessError, RunFailedError, StorageError, UsageError

DEBUG = "HARNESS_DEBUG"

_ELSEWHERE = "set HARNESS_HOME to a folder elsewhere"
# Reason and remedy by the system's error number.
_STORAGE = {
    errno.ENOSPC: ("the disk is full", f"free some space or {_ELSEWHERE}"),
    errno.EDQUOT: ("the disk quota is used up", f"free some space or {_ELSEWHERE}"),
    errno.EFBIG: ("the file would be larger than is allowed", f"see ulimit -f, or {_ELSEWHERE}"),
    errno.EROFS: ("the file system is read-only", _ELSEWHERE),
    errno.EACCES: ("permission denied", f"check its owner or {_ELSEWHERE}"),
    errno.EPERM: ("permission denied", f"check its owner or {_ELSEWHERE}"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter name"),
    errno.ENOLCK: ("locks are not supported by this file system", _ELSEWHERE),
    errno.EOPNOTSUPP: ("this file system lacks an operation", _ELSEWHERE),
    errno.EIO: ("the device reports an error", f"check the disk or {_ELSEWHERE}"),
    errno.ESTALE: ("the network file system lost it", "try again, or mount it anew"),
    errno.EMFILE: ("too many files are open", "see ulimit -n"),
}


def storage_error(error: OSError, path: Path | None = None) -> StorageError:
    """Return the error that says which path cannot be used, why, and what to do.

    Args:
        error: the system's error.
        path: the path that was meant, where the error names none.
    """
    number = error.errno or 0
    if isinstance(error, PermissionError):
        number = errno.EACCES
    reason, remedy = _STORAGE.get(
        number, ((error.strerror or str(error) or "it failed").lower(), "check the path")
    )
    place = printable(str(error.filename or path or "a file"))
    return StorageError(f"cannot use {place}: {reason}; {remedy}.")


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that there was not enough memory."""
    text = text_of(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator" in text
        or "std::bad_alloc" in text
    )


def explained(error: BaseException) -> HarnessError:
    """Return an exception as an error with one sentence and an exit code."""
    if isinstance(error, HarnessError):
        return error
    if out_of_memory(error):
        return RunFailedError(
            "out of memory; try a smaller --set training.batch_size, fewer --jobs, or free some."
        )
    if isinstance(error, OSError):
        return storage_error(error)
    if isinstance(error, UnicodeError):
        return UsageError(f"a name or text is not UTF-8 ({printable(str(error))}); rename it.")
    if isinstance(error, RecursionError):
        return UsageError("something is nested too deeply.")
    where = ""
    frames = traceback.extract_tb(error.__traceback__)
    if frames:
        where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
    internal = HarnessError(
        f"internal error: {type(error).__name__}: {printable(str(error))}{where}. This is a fault "
        f"of the harness; please report it with the traceback that {DEBUG}=1 shows."
    )
    internal.exit_code = 1
    return internal


def text_of(error: BaseException) -> str:
    """Return an error's text; empty where its class cannot give it."""
    try:
        return str(error)
    except Exception:  # a stranger's __str__
        return ""


def printable(text: str) -> str:
    """Return text on one line that every stream can write: other characters as escapes."""
    one_line = " ".join(text.split())
    return one_line.encode("utf-8", "backslashreplace").decode("utf-8")


def debugging() -> bool:
    """Return whether the user asked for tracebacks."""
    return os.environ.get(DEBUG) == "1"
