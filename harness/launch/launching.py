"""Tasks through a launcher: its options, attempts with back-off, progress, what failed and why."""

from __future__ import annotations

import importlib.util
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness import paths
from harness.errors import StorageError, UnknownNameError, UsageError
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
    launcher: Launcher = resolve(spec.make, f"launcher {name!r}")(options)
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

    @property
    def ended(self) -> int:
        """Return how many are done or failed."""
        return sum(state in ("done", "failed") for state in self.states.values())

    def line(self) -> str:
        """Return ``3 of 8 done, 2 running, 1 failed, 2 left, about 4 min to go``."""
        from harness.engine.progress import duration

        count, ended = Counter(self.states.values()), self.ended
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
    until: float | None = None,
    attempts: int = ATTEMPTS,
    pause: float = PAUSE,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Outcome | None]:
    """Return the outcome of every task; None: it was not begun.

    What may pass (a process killed from outside, memory of an accelerator, an error of the file
    system) is tried again after the others have ended, from the newest resume state. A run that
    another process holds is come back to when that one has ended: its result is found, or made if
    it has none. That is no attempt. A run whose process ended without a word gets a failed record.
    When no further run is to begin, those under way go on to their end: after a failure without
    ``keep_going``, after a path that cannot be written, and when the time is over.

    Args:
        launcher: where the tasks are performed.
        tasks: what to run.
        tell: called with a line for the user.
        keep_going: go on after a run that failed.
        until: time of `time.monotonic` after which no run begins; None: no limit.
        attempts: of a task, the first included.
        pause: seconds before the second attempt; doubled before each further one.
        sleep: waits so many seconds.

    Raises:
        KeyboardInterrupt: the launcher was interrupted; everything can go on later.
    """
    state, held = _State(tasks, tell, keep_going, until, attempts), _Held(tasks, tell, sleep)
    places = list(range(len(tasks)))
    while places:
        state.run(launcher, places)
        if state.stopped:
            break
        places = [place for place in places if state.again(place)]
        for place in places:
            why, spent = _message(state.found[place]), state.spent[place]
            tell(
                f"{tasks[place].label}: {why}; attempt {spent + 1} of {attempts} in "
                f"{pause * 2 ** (spent - 1):g} s."
            )
        if places:
            sleep(max(pause * 2 ** (state.spent[place] - 1) for place in places))
        waiting = [p for p in range(len(tasks)) if _status(state.found[p]) == "held"]
        places += held.free(waiting, state.found, wait=not places)
    state.record(launcher)
    return [_settled(outcome) for outcome in state.found]


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


class _State:
    """What has become of tasks so far; arguments as of `launch`."""

    def __init__(
        self,
        tasks: Sequence[Task],
        tell: Callable[[str], None],
        keep_going: bool,
        until: float | None,
        attempts: int,
    ) -> None:
        self.tasks, self.tell = tasks, tell
        self.found: list[Outcome | None] = [None] * len(tasks)
        self.progress = Progress(len(tasks))
        self.spent = [0] * len(tasks)
        """Attempts of each task that ended for a reason that may pass."""
        self._keep_going, self._until, self._attempts = keep_going, until, attempts
        self._failed, self._told = False, set[str]()

    @property
    def stopped(self) -> bool:
        """Whether no further task is to begin."""
        return self._failed or (self._until is not None and time.monotonic() >= self._until)

    def again(self, place: int) -> bool:
        """Return whether a task has a further attempt."""
        return _status(self.found[place]) == "retry" and self.spent[place] < self._attempts

    def run(self, launcher: Launcher, places: Sequence[int]) -> None:
        """Run tasks once; ``places`` are theirs in the whole."""

        def report(event: Event) -> bool:
            place = places[event.place]
            if event.kind == "line":
                self.tell(event.message)
            elif event.kind == "started":
                self.progress.see(place, "running")
            elif event.outcome is not None:
                self._ended(place, event.outcome)
            return not self.stopped

        part = [replace(self.tasks[place], attempt=self.spent[place] + 1) for place in places]
        for place, outcome in zip(places, launcher.run(part, report), strict=True):
            # A task that did not get its next attempt is left as it was.
            self.found[place] = outcome or self.found[place]
            self.spent[place] += _status(outcome) == "retry"

    def _ended(self, place: int, outcome: Outcome) -> None:
        self.found[place] = outcome
        more = self.spent[place] + 1 < self._attempts
        if outcome.status == "held" or (outcome.status == "retry" and more):
            self.progress.see(place, "waiting")
            return
        status = "done" if outcome.status == "done" else "failed"
        self.progress.see(place, status)
        why = f"{'failed: ' if status == 'failed' else ''}{_message(outcome)}"
        if outcome.error and why in self._told:  # a wrong option is that of every run
            why = "failed, as above"
        self._told.add(why)
        count = f"[{self.progress.ended}/{len(self.tasks)}]"
        # The error of a task that is alone and left no run is what the caller raises.
        if not (len(self.tasks) == 1 and outcome.error and not outcome.run):
            self.tell(f"{count} {self.tasks[place].label}: {why}")
        if self.progress.ended < len(self.tasks):
            self.tell(self.progress.line())
        if status == "failed":
            self._failed |= not self._keep_going or outcome.error == StorageError.__name__

    def record(self, launcher: Launcher) -> None:
        """Have the record written of each run whose process ended without a result."""
        places = [
            place
            for place, outcome in enumerate(self.found)
            if outcome is not None
            and _status(outcome) in ("failed", "retry")
            and not (outcome.run or outcome.error)
        ]
        if not places:
            return
        last = [replace(self.tasks[p], failure=_message(self.found[p])) for p in places]
        written = launcher.run(last, lambda event: True)
        for place, task, outcome in zip(places, last, written, strict=True):
            if outcome is not None and outcome.run:
                log = outcome.log or _log(self.found[place])
                self.found[place] = replace(outcome, log=log)
            else:
                message = f"{task.failure}; no record could be written ({_message(outcome)})."
                self.found[place] = Outcome("failed", message=message, exit_code=1)


def _status(outcome: Outcome | None) -> str:
    return "" if outcome is None else outcome.status


def _settled(outcome: Outcome | None) -> Outcome | None:
    """Return how a task ended for good: without a further attempt it has failed.

    One that another process holds was not begun: a grid that was stopped does not wait for it.
    """
    if outcome is None or outcome.status == "held":
        return None
    return replace(outcome, status="failed") if outcome.status == "retry" else outcome


def _message(outcome: Outcome | None) -> str:
    return "not begun" if outcome is None else outcome.message or outcome.status


def _log(outcome: Outcome | None) -> str:
    return "" if outcome is None else outcome.log
