"""Reading the authors' files in a process of its own, within limits.

A file that is damaged or was made to harm can end a process (a crash of a C library), take its
memory or never let it finish. Here it ends a child, and the caller says which file it was.
"""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness import errors
from harness.boundary import debugging, explained, out_of_memory
from harness.children import run_children
from harness.data.safe import needs_torch
from harness.errors import DataFormatError, HarnessError
from harness.paths import storage_errors

Result = TypeVar("Result")

GIGABYTE = 2**30
# Memory beyond what the process has at its start, and processor time, by the size of the files.
MEMORY_FACTOR, SECONDS, BYTES_PER_SECOND = 4, 10, 10_000_000
_TORCH = (".pt", ".pth", ".bin", ".ckpt")
_SHOWN = 3
_INTERRUPTED = 130


@dataclass(frozen=True)
class Limits:
    """What reading may take: bytes beyond the process's own at its start, processor seconds."""

    memory: int
    seconds: int

    @classmethod
    def of(cls, files: Sequence[Path]) -> Limits:
        """Return the limits for reading these files."""
        sizes = []
        for file in files:
            with storage_errors(file):
                sizes.append(file.stat().st_size)
        seconds = sum(SECONDS + size / BYTES_PER_SECOND for size in sizes)
        return cls(GIGABYTE + MEMORY_FACTOR * sum(sizes), int(seconds) + 1)

    def impose(self) -> int:
        """Limit this process; what is allowed already is never raised.

        Returns:
            The limit of memory before.
        """
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        wanted = {
            resource.RLIMIT_AS: pages * os.sysconf("SC_PAGE_SIZE") + self.memory,
            resource.RLIMIT_CPU: self.seconds,
            resource.RLIMIT_CORE: 0,
        }
        before = resource.getrlimit(resource.RLIMIT_AS)[0]
        for what, limit in wanted.items():
            soft, hard = resource.getrlimit(what)
            lowest = min(n for n in (limit, soft, hard) if n != resource.RLIM_INFINITY)
            resource.setrlimit(what, (lowest, hard))
        return before

    def lift(self, before: int) -> None:
        """Allow the memory again that was allowed before `impose`, which returned it."""
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (before, resource.getrlimit(resource.RLIMIT_AS)[1]))


def unlimited() -> str:
    """Return why reading has no limits here, as a clause; empty: it has."""
    if sys.platform != "linux":
        return f"there are none on {sys.platform}"
    if importlib.util.find_spec("resource") is None:
        return "this Python has no module 'resource'"
    if not Path("/proc/self/statm").is_file():
        return "/proc is not there"
    return ""


def in_child(name: str, files: Sequence[Path], work: Callable[[], Result], *, limited: bool) -> Any:
    """Return what ``work`` returns, done in a forked child.

    Where processes cannot be forked, or a daemon may start none, it is done in this process.

    Args:
        name: the data set, for messages.
        files: the files that are read.
        work: what to do; its result must be picklable.
        limited: impose the `Limits` of the files.

    Raises:
        HarnessError: as ``work`` raises it.
        DataFormatError: the child ended without a result; names the files.
        KeyboardInterrupt: the child or the caller was interrupted.
    """
    if sys.platform != "linux" or multiprocessing.current_process().daemon:
        return work()
    limits = Limits.of(files) if limited and files and not unlimited() else None
    (ended,) = run_children([lambda _: _answer(work, files, limits)], 1, _ignore)
    if ended.finished:
        kind, value = ended.result
        if kind == "done":
            return value
        if kind == "error":
            raise _rebuilt(*value)
    if ended.exit_code == _INTERRUPTED:
        raise KeyboardInterrupt
    shown = ", ".join(str(f) for f in files[:_SHOWN]) + (", ..." if len(files) > _SHOWN else "")
    reason = ended.reason
    if ended.finished:
        reason = "there was not enough memory"
        if limits is not None:
            reason = f"more than {limits.memory / GIGABYTE:.1f} GB of memory was asked for"
    elif limits is not None and ended.exit_code == -signal.SIGXCPU:
        reason = f"it took more than {limits.seconds} s"
    elif ended.exit_code == -signal.SIGKILL:
        reason = "its process was killed (for lack of memory?)"
    raise DataFormatError(
        f"{shown or name}: preparing {name} failed, {reason}. The "
        f"{'file' if len(files) == 1 else 'files'} may be damaged; get "
        f"{'it' if len(files) == 1 else 'them'} again from the authors."
    )


def _answer(work: Callable[[], Any], files: Sequence[Path], limits: Limits | None) -> Any:
    """Do the work in the child; return ``(kind, value)``, which the caller can read safely."""
    try:
        given = None if limits is None else limits.impose()
        with _one_thread(files, limits, given):
            return "done", work()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if debugging():
            traceback.print_exc()
        if out_of_memory(error):
            return "memory", None
        if isinstance(error, Exception):
            return "error", _plain(explained(error))
        raise


@contextlib.contextmanager
def _one_thread(files: Sequence[Path], limits: Limits | None, given: int | None) -> Any:
    """Keep thread pools of the forked process out of use: their threads are not there.

    Args:
        files: the files that are read; tensors in them need torch, which is imported.
        limits: those that are in force.
        given: the limit of memory before them.
    """
    from threadpoolctl import threadpool_limits

    if "torch" not in sys.modules and any(_holds_tensors(file) for file in files):
        # Its libraries are no part of the data.
        if limits is not None and given is not None:
            limits.lift(given)
        import torch as torch

        if limits is not None:
            limits.impose()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    with threadpool_limits(limits=1):
        yield


def _holds_tensors(file: Path) -> bool:
    if file.suffix not in _TORCH:
        return False
    try:
        return needs_torch(file)
    except HarnessError:
        return False  # whoever reads it will say so


def _plain(error: HarnessError) -> tuple[str, str, int]:
    known = next(c.__name__ for c in type(error).__mro__ if vars(errors).get(c.__name__) is c)
    return known, str(error), error.exit_code


def _rebuilt(kind: str, text: str, exit_code: int) -> HarnessError:
    found: type[HarnessError] = getattr(errors, kind)
    error = found.__new__(found)
    Exception.__init__(error, text)
    error.exit_code = exit_code
    return error


def _ignore(_: str) -> None:
    """Take no notice of what the child says: it says nothing."""
