"""Tasks through a launcher: its options, attempts with back-off, progress, what failed and why."""

from __future__ import annotations

import importlib.util
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness import paths
from harness.errors import HarnessError, RunFailedError, UnknownNameError, UsageError
from harness.plugins import Registry
from harness.plugins.references import resolve
from harness.records.claims import Holder
from harness.records.leases import LONGEST_POLL_S
from harness.records.store import RunStore
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
    still has no result gets a failed record. A run that another process holds is come back to when
    that one has ended: its result is found, or made if it has none. That is no attempt.

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
    places, held, spent = list(range(len(tasks))), _Held(tasks, tell, sleep), [0] * len(tasks)
    while places:
        part = [replace(tasks[place], attempt=spent[place] + 1) for place in places]
        _one_pass(launcher, part, places, found, progress, tell, keep_going)
        if not keep_going and failures(tasks, found):
            break
        again = [p for p in places if _status(found[p]) == "retry"]
        for place in again:
            spent[place] += 1
        last = [p for p in again if spent[p] >= attempts]
        if last:
            given = [replace(tasks[p], failure=_message(found[p])) for p in last]
            _one_pass(launcher, given, last, found, progress, tell, True)
        places = [p for p in again if p not in last]
        for place in places:
            tell(
                f"{tasks[place].label}: {_message(found[place])}; attempt {spent[place] + 1} of "
                f"{attempts} in {pause * 2 ** (spent[place] - 1):g} s."
            )
        if places:
            sleep(max(pause * 2 ** (spent[p] - 1) for p in places))
        waiting = [p for p in range(len(tasks)) if _status(found[p]) == "held"]
        places += held.free(waiting, found, wait=not places)
    return [_settled(outcome) for outcome in found]


class _Held:
    """Runs that other processes hold.

    Args:
        tasks: all tasks.
        tell: called with a line for the user.
        sleep: waits so many seconds.
    """

    def __init__(
        self, tasks: Sequence[Task], tell: Callable[[str], None], sleep: Callable[[float], None]
    ) -> None:
        self._tasks, self._tell, self._sleep = tasks, tell, sleep
        self._stores: dict[str, RunStore] = {}
        self._told: set[int] = set()

    def free(
        self, places: Sequence[int], found: Sequence[Outcome | None], *, wait: bool
    ) -> list[int]:
        """Return the places whose runs nobody holds any more; wait for one where asked for."""
        for place in places:
            if wait and place not in self._told:
                self._told.add(place)
                self._tell(f"{self._tasks[place].label}: {_message(found[place])} Waiting for it.")
        while True:
            if wait and places:
                self._sleep(LONGEST_POLL_S)
            free = [p for p in places if self._holder(p, found[p]) is None]
            if free or not wait or not places:
                return free

    def _holder(self, place: int, outcome: Outcome | None) -> Holder | None:
        if outcome is None or not outcome.run:  # the launcher does not say which run it is
            return None
        home = self._tasks[place].home
        if home not in self._stores:
            with paths.using_home(home or None):
                self._stores[home] = RunStore()
        return self._stores[home].leases.holder(outcome.run)


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


def _status(outcome: Outcome | None) -> str:
    return "" if outcome is None else outcome.status


def _waits(outcome: Outcome | None) -> bool:
    return _status(outcome) in ("retry", "held")


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
