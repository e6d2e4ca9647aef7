"""What the launchers of clusters share: reading their options, following tasks to their ends."""

from __future__ import annotations

from collections.abc import Callable

from harness.errors import UsageError
from harness.specs import Event, Outcome


class Follower:
    """Reports each start and each end once, and keeps the outcomes by place.

    Args:
        total: how many tasks there are.
        report: as of `harness.specs.Launcher`.
    """

    def __init__(self, total: int, report: Callable[[Event], None]) -> None:
        self.total = total
        self.report = report
        self._started: set[int] = set()
        self._ended: dict[int, Outcome] = {}

    def started(self, place: int) -> None:
        """Report that a task is under way."""
        if place not in self._started:
            self._started.add(place)
            self.report(Event(place, "started"))

    def ended(self, place: int, outcome: Outcome) -> None:
        """Report how a task ended."""
        if place not in self._ended:
            self._ended[place] = outcome
            self.report(Event(place, "ended", outcome=outcome))

    def has(self, place: int) -> bool:
        """Return whether a task has ended."""
        return place in self._ended

    def outcomes(self) -> list[Outcome]:
        """Return the outcome of every task, in order."""
        return [self._ended[place] for place in range(self.total)]


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
