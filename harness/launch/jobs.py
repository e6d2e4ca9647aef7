"""What launchers share: reading options, signals, following tasks to their ends."""

from __future__ import annotations

import signal
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.errors import UsageError
from harness.paths import storage_errors
from harness.specs import Event, Outcome, Report, Task

_STARTED = "started-{}"
_STOP = "stop"


class Follower:
    """Reports each start and each end once, and keeps the outcomes by place.

    Args:
        total: how many tasks there are.
        report: as of `harness.specs.Launcher`.
    """

    def __init__(self, total: int, report: Report) -> None:
        self.total = total
        self.report = report
        self.stopped = False
        """Whether no further task may begin."""
        self._started: set[int] = set()
        self._ended: dict[int, Outcome | None] = {}

    def started(self, place: int) -> None:
        """Report that a task is under way."""
        if place not in self._started:
            self._started.add(place)
            self._tell(Event(place, "started"))

    def ended(self, place: int, outcome: Outcome) -> None:
        """Report how a task ended."""
        if place not in self._ended:
            self._ended[place] = outcome
            self._tell(Event(place, "ended", outcome=outcome))

    def left_out(self, place: int) -> None:
        """Note that a task will not begin."""
        self._ended.setdefault(place, None)

    def has(self, place: int) -> bool:
        """Return whether a task has ended, or will not begin."""
        return place in self._ended

    def begun(self, place: int) -> bool:
        """Return whether a task was reported to be under way."""
        return place in self._started

    def outcomes(self) -> list[Outcome | None]:
        """Return the outcome of every task, in order."""
        return [self._ended[place] for place in range(self.total)]

    def _tell(self, event: Event) -> None:
        if not self.report(event):
            self.stopped = True


class JobFolder:
    """A folder below the home by which a launcher and tasks on other machines know of each other.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, tasks: Sequence[Task]) -> JobFolder:
        """Return a new one below the home of tasks; it is not made yet."""
        home = Path(tasks[0].home) if tasks else Path()
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        return cls(home / "grids" / "jobs" / f"{stamp}-{uuid.uuid4().hex[:6]}")

    def make(self) -> None:
        """Make the folder.

        Raises:
            StorageError: it cannot be made.
        """
        with storage_errors(self.path):
            self.path.mkdir(parents=True)

    def begin(self, place: int) -> bool:
        """Note that a task begins here; False: it may not, for the grid was stopped.

        Raises:
            StorageError: the folder is gone or cannot be written.
        """
        if (self.path / _STOP).exists():
            return False
        with storage_errors(self.path):
            (self.path / _STARTED.format(place)).touch()
        return True

    def began(self, place: int) -> bool:
        """Return whether a task has begun."""
        return (self.path / _STARTED.format(place)).exists()

    def stop(self) -> None:
        """Have no further task begin.

        Raises:
            StorageError: the folder is gone or cannot be written.
        """
        with storage_errors(self.path):
            (self.path / _STOP).touch()


@contextmanager
def interrupted_by(*signals: signal.Signals) -> Iterator[None]:
    """Have signals raise KeyboardInterrupt, also where the shell had them ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.default_int_handler) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def whole_number(key: str, text: str, least: int = 0) -> int:
    """Return the number of a ``--launcher-option``.

    Raises:
        UsageError: it is no whole number, or below ``least``.
    """
    if not text.isdecimal() or int(text) < least:
        raise UsageError(f"--launcher-option {key}={text}: give a whole number from {least}.")
    return int(text)


def told(message: str, most: int = 500) -> str:
    """Return a scheduler's message in one line."""
    line = " ".join(message.split())
    return line if len(line) <= most else f"{line[:most]}…"
