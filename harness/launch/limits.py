"""Limits of a run's time and memory, kept by its own process, so on any machine alike."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

MEGA = 1e6
# Seconds between two looks at the clock and at the memory.
EVERY = 0.2


class OverLimitError(KeyboardInterrupt):
    """A run took more than it may: an interrupt, so that it ends as after Ctrl-C, resumable."""


@contextmanager
def limited(time_s: float | None, memory_mb: float | None) -> Iterator[None]:
    """End the block when it takes more than it may.

    Args:
        time_s: seconds of wall time; None: no limit.
        memory_mb: resident memory of this process in MB (1e6 bytes); None: no limit.

    Raises:
        OverLimitError: a limit is exceeded; says which.
        RuntimeError: there are limits, and this is not the process's main thread.
    """
    if time_s is None and memory_mb is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("limits of a run are kept in a process's main thread only")
    over: list[str] = []
    done = threading.Event()

    def raised(number: int, frame: FrameType | None) -> None:
        if over and not done.is_set():
            raise OverLimitError(over[0])

    def watch() -> None:
        began = time.monotonic()
        while not done.wait(EVERY):
            if time_s is not None and time.monotonic() - began > time_s:
                over.append(f"it took longer than its limit of {time_s:g} s")
            elif memory_mb is not None and (used := resident()) > memory_mb * MEGA:
                over.append(
                    f"it took {used / MEGA:.0f} MB, more than its limit of {memory_mb:g} MB"
                )
            if over:
                os.kill(os.getpid(), signal.SIGALRM)
                return

    before = signal.signal(signal.SIGALRM, raised)
    watcher = threading.Thread(target=watch, name="limits", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        signal.signal(signal.SIGALRM, before)


def resident() -> float:
    """Return this process's resident memory in bytes; its peak where the system has no /proc."""
    table = Path("/proc/self/statm")
    if table.exists():
        return float(table.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
