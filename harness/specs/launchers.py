"""What a backend of ``harness grid`` is given, what it reports, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

Status = Literal["done", "failed", "retry", "held"]


@dataclass(frozen=True)
class Task:
    """One run as JSON data, for any machine that shares the home.

    Attributes:
        request: fields of `harness.engine.request.RunRequest` by name.
        label: names the run in messages.
        home: HARNESS_HOME.
        data: HARNESS_DATA.
        references: also make the reference rows of its data.
        announced: the seeds that are announced with the run; empty: none; None: its own.
        time_s: seconds after which the run is stopped and has failed; None: no limit.
        memory_mb: main memory of its process in MB (1e6 bytes), likewise; None: no limit.
        attempt: 1, and one more each time that it is tried again.
        failure: how its last process ended without a result: the record of that is written, and
            nothing is run; empty: the run is made.
    """

    request: Mapping[str, Any]
    label: str
    home: str
    data: str
    references: bool = False
    announced: Sequence[int] | None = None
    time_s: float | None = None
    memory_mb: float | None = None
    attempt: int = 1
    failure: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the task as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Task:
        """Return the task of `as_dict`."""
        return cls(**document)


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes:
        status: ``done``; ``failed``, for good; ``retry``, for a reason that may pass; ``held``,
            another process has the run.
        run: id of the run; empty where it is not known.
        seconds: wall time of this attempt.
        peak_memory: bytes of the accelerator's memory, as the record has it; None: not measured.
        message: how the run ended, or why it failed.
        exit_code: of the error, as the command line has it.
        log: file with what the process wrote; empty: none of its own.
        error: the kind of error that ended it, where that matters to the others:
            ``OutOfMemoryError`` of an accelerator, ``StorageError``, or the name of another error
            by which the run could not be made; empty: none, or the record has it.
        what: what failed, where it is not the run itself; empty: the run.
    """

    status: Status
    run: str = ""
    seconds: float = 0.0
    peak_memory: float | None = None
    message: str = ""
    exit_code: int = 0
    log: str = ""
    error: str = ""
    what: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Outcome:
        """Return the outcome of `as_dict`."""
        return cls(**document)


@dataclass(frozen=True)
class Event:
    """What a launcher reports while tasks are under way.

    Attributes:
        place: position of the task in the sequence.
        kind: ``started``; ``line``, a message of the run; ``ended``.
        message: the line.
        outcome: with ``ended``.
    """

    place: int
    kind: Literal["started", "line", "ended"]
    message: str = ""
    outcome: Outcome | None = None


Report = Callable[[Event], bool]


class Launcher(Protocol):
    """A place where runs happen.

    Each task is given to `harness.launch.worker.perform` where it runs. A task whose process ends
    without an answer has the outcome ``retry``; trying again is the caller's.
    """

    def run(self, tasks: Sequence[Task], report: Report) -> list[Outcome | None]:
        """Return the outcome of every task, in order; None: it was not begun.

        Args:
            tasks: what to run.
            report: called in the caller's thread as tasks start, speak and end. Where it answers
                False no further task may begin; those under way go on to their end. What it raises
                ends them.

        Raises:
            KeyboardInterrupt: the caller was interrupted; tasks under way have been told to end.
        """

    def script(self, tasks: Sequence[Task]) -> str | None:
        """Return what would be submitted for ``--dry-run``; None: there is no script."""


@dataclass(frozen=True)
class LauncherSpec:
    """A launcher by name.

    Attributes:
        name: of ``harness grid --launcher NAME``.
        summary: one line.
        make: ``"module:function"``, called with the options, returns a `Launcher`; imported on
            use. It raises `harness.UsageError` for a value that does not fit.
        options: per key of ``--launcher-option KEY=VALUE`` its help.
        extra: the extra of the harness that it needs; None: none.
        needs: the module that the extra installs, where that is not the extra's name.
    """

    name: str
    summary: str
    make: str
    options: Mapping[str, str] = field(default_factory=dict)
    extra: str | None = None
    needs: str = ""
