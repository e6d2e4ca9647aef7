"""What checks of a plugin found: outcomes, a report of them as text and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from harness.conformance import CheckFailedError

Status = Literal["passed", "failed", "skipped", "expected", "unexpected"]

_MEANING = {
    "expected": "failed, as the card says it would",
    "unexpected": "passed, although the card expects it to fail",
}


class SkippedError(Exception):
    """A check that says nothing about this model or machine; the message says why."""


def broken(check: str, message: str) -> CheckFailedError:
    """Return the error of a check that failed."""
    return CheckFailedError(check, message)


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check.

    Attributes:
        check: its name.
        status: ``passed``, ``failed`` or ``skipped``; ``expected`` where the card announces the
            failure (``expected_failed_checks``), ``unexpected`` where it announces one and the
            check passed.
        message: of a failure, what the contract says, what was seen and how to mend it; else why.
        seconds: how long it took.
    """

    check: str
    status: Status
    message: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """The outcomes of the checks of one model."""

    model: str
    outcomes: Sequence[Outcome]

    @property
    def ok(self) -> bool:
        """Return whether no check failed that was not expected to."""
        return not self.failed

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Return the outcomes of the checks that failed and were not expected to."""
        return tuple(o for o in self.outcomes if o.status == "failed")

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {"model": self.model, "ok": self.ok, "checks": [asdict(o) for o in self.outcomes]}

    def __str__(self) -> str:
        """Return a line a check, and a last one that counts."""
        lines = []
        for o in self.outcomes:
            word = _MEANING.get(o.status, o.status)
            lines.append(f"{o.check:<22} {word}{': ' if o.message else ''}{o.message}")
        counts = Counter(o.status for o in self.outcomes)
        found = ", ".join(f"{n} {status}" for status, n in counts.items())
        return "\n".join([*lines, f"{self.model}: {len(self.outcomes)} checks, {found}"])
