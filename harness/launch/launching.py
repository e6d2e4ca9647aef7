"""Tasks through a launcher: its options, attempts with back-off, progress, what failed and why."""

from __future__ import annotations

import importlib.util
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.errors import HarnessError, RunFailedError, UnknownNameError, UsageError
from harness.plugins import Registry
from harness.plugins.references import resolve
from harness.specs import Event, Launcher, LauncherSpec, Outcome, Task

ATTEMPTS = 3
# Seconds before the second attempt; twice as many before each further one.
PAUSE = 2.0


def launcher_of(name: str, given: Sequence[str], registry: Registry, jobs: int = 1) -> Launcher:
    """Return a launcher by name.

    Args:
        name: of ``--launcher``.
        given: ``KEY=VALUE`` of ``--launcher-option``.
        registry: the loaded plugins.
        jobs: the plan's runs at a time, for a launcher with an option ``jobs`` that is not given.

    Raises:
        UnknownNameError: there is no such launcher.
        UsageError: an option is unknown or does not fit, or the extra is not installed.
    """
    if name not in registry.launchers:
        raise UnknownNameError("launcher", name, registry.launchers)
    spec = registry.launchers[name].spec
    options = {}
    for text in given:
        key, sign, value = text.partition("=")
        if not sign or key not in spec.options:
            known = ", ".join(spec.options) or "none"
            raise UsageError(
                f"--launcher-option {text!r}: give KEY=VALUE. Keys of launcher {name!r}: {known}."
            )
        options[key] = value
    _check_installed(spec)
    if "jobs" in spec.options:
        options.setdefault("jobs", str(jobs))
    launcher: Launcher = resolve(spec.make)(options)
    return launcher


def _check_installed(spec: LauncherSpec) -> None:
    needed = spec.needs or spec.extra
    if spec.extra and needed and importlib.util.find_spec(needed) is None:
        raise UsageError(
            f"launcher {spec.name!r} needs {needed}, which is not installed: "
            f"pip install 'emotion-harness[{spec.extra}]'."
        )


@dataclass
class Progress:
    """How far tasks are: done, running, failed, left, and the time that is left.

    Args:
        total: how many tasks there are.
        clock: seconds, of any beginning.
    """

    total: int
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.states: dict[int, str] = {}
        self.began = self.clock()

    def see(self, place: int, state: str) -> None:
        """Note that a task is ``running``, ``done``, ``failed`` or ``waiting`` to be retried."""
        self.states[place] = state

    def line(self) -> str:
        """Return ``3 of 8 done, 2 running, 1 failed, 2 left, about 4 min to go``."""
        from harness.engine.progress import duration

        count = Counter(self.states.values())
        ended = count["done"] + count["failed"]
        left = self.total - ended - count["running"]
        text = (
            f"{count['done']} of {self.total} runs done, {count['running']} running, "
            f"{count['failed']} failed, {left} left"
        )
        if ended and ended < self.total:
            each = (self.clock() - self.began) / ended
            text += f", about {duration(each * (self.total - ended))} to go"
        return text


def launch(
    launcher: Launcher,
    tasks: Sequence[Task],
    tell: Callable[[str], None],
    *,
    keep_going: bool = True,
    attempts: int = ATTEMPTS,
    pause: float = PAUSE,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Outcome | None]:
    """Return the outcome of every task; None: it was not begun, for an earlier one failed.

    What may pass (a process killed from outside, memory of an accelerator, an error of the file
    system) is tried again after the others have ended, from the newest resume state. What then
    still has no result gets a failed record.

    Args:
        launcher: where the tasks are performed.
        tasks: what to run.
        tell: called with a line for the user.
        keep_going: go on after a run that failed.
        attempts: of a task, the first included.
        pause: seconds before the second attempt; doubled before each further one.
        sleep: waits so many seconds.

    Raises:
        KeyboardInterrupt: the launcher was interrupted; everything can go on later.
    """
    progress = Progress(len(tasks))
    found: list[Outcome | None] = [None] * len(tasks)
    places, attempt = list(range(len(tasks))), 1
    while places:
        part = [replace(tasks[place], attempt=attempt) for place in places]
        _one_pass(launcher, part, places, found, progress, tell, keep_going)
        places = [p for p in places if _waits(found[p])]
        if not places or (not keep_going and failures(tasks, found)):
            break
        if attempt >= attempts:
            last = [replace(tasks[p], failure=_message(found[p])) for p in places]
            _one_pass(launcher, last, places, found, progress, tell, True)
            break
        seconds = pause * 2 ** (attempt - 1)
        attempt += 1
        for place in places:
            why = _message(found[place])
            tell(f"{tasks[place].label}: {why}; attempt {attempt} of {attempts} in {seconds:g} s.")
        sleep(seconds)
    return [_settled(outcome) for outcome in found]


class _StoppedError(Exception):
    """A run failed, and none is to follow."""


def _one_pass(
    launcher: Launcher,
    tasks: Sequence[Task],
    places: Sequence[int],
    found: list[Outcome | None],
    progress: Progress,
    tell: Callable[[str], None],
    keep_going: bool,
) -> None:
    """Run tasks once, note outcomes as they come; ``places`` are theirs in the whole."""

    def report(event: Event) -> None:
        place, label = places[event.place], tasks[event.place].label
        if event.kind == "line":
            tell(event.message)
        elif event.kind == "started":
            progress.see(place, "running")
        elif event.outcome is not None:
            found[place] = outcome = event.outcome
            waits = _waits(outcome)
            progress.see(place, "waiting" if waits else outcome.status)
            if not waits:
                tell(f"{label}: {_message(outcome)}")
                tell(progress.line())
            if outcome.status == "failed" and not keep_going:
                raise _StoppedError

    try:
        outcomes = launcher.run(tasks, report)
    except _StoppedError:
        return
    for place, outcome in zip(places, outcomes, strict=True):
        found[place] = outcome


def _waits(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.status in ("retry", "held")


def _settled(outcome: Outcome | None) -> Outcome | None:
    """Return an outcome that says done or failed: what still waits has failed."""
    return replace(outcome, status="failed") if outcome and _waits(outcome) else outcome


def _message(outcome: Outcome | None) -> str:
    return "not begun" if outcome is None else outcome.message or outcome.status


def failures(tasks: Sequence[Task], outcomes: Sequence[Outcome | None]) -> list[str]:
    """Return a line for each run that failed: which, why, and where its output is."""
    lines = []
    for task, outcome in zip(tasks, outcomes, strict=True):
        if outcome is not None and outcome.status == "failed":
            log = f" (log: {outcome.log})" if outcome.log else ""
            lines.append(f"{task.label}: {outcome.message}{log}")
    return lines


def failed_error(
    lines: Sequence[str], failed: int, total: int, outcomes: Sequence[Outcome | None]
) -> HarnessError:
    """Return the error of a grid in which runs failed; with one code where none succeeded.

    Args:
        lines: what failed and why.
        failed: how many runs that are.
        total: how many runs there were.
        outcomes: of all runs; None: not begun.
    """
    error = RunFailedError("\n  ".join([f"{failed} of {total} runs failed:", *lines]))
    codes = {o.exit_code for o in outcomes if o is not None}
    if len(codes) == 1 and codes != {0}:
        error.exit_code = codes.pop()
    return error
