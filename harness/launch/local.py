"""Runs in processes of their own on this machine, the cores shared out among them.

Models of benchmark size gain little from a second thread, and two processes with two threads each
fight: so there are as many at a time as the cores can serve. Runs find each other's results through
the run store, whose locks make that safe. A process that ends without a result, however abruptly,
is a failed run with a record; its progress stays, so that the run may go on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Container, Generator, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import paths
from harness.boundary import debugging, explained
from harness.children import Ended, Method, Say, run_children
from harness.engine.request import RunRequest, silent
from harness.errors import HarnessError, RunFailedError, StorageError
from harness.plugins import Registry, load
from harness.records.record import RunRecord

# Records and the error beside them, as a child sends them: not every exception can be pickled.
_Result = tuple[list[dict[str, Any]], tuple[str, str, int] | None]


@dataclass(frozen=True)
class Outcome:
    """What became of some requests: their records, or the error that kept them from running.

    Attributes:
        first: position of the first in the list of requests.
        records: one a request.
        error: wrong input or a path that cannot be used; with records: a reference row beside them
            failed.
        ended: the process ended without a result, and what is in ``records`` is an earlier one.
    """

    first: int
    records: tuple[RunRecord, ...] = ()
    error: HarnessError | None = None
    ended: bool = False


def workers_for(jobs: int, asked: int, device: str, threads: int = 1) -> int:
    """Return how many runs to make at a time.

    Args:
        jobs: how many runs there are.
        asked: processes asked for; 0: one for each core on a CPU, one on a GPU.
        device: the device the runs are on, ``cpu`` or ``cuda``.
        threads: CPU threads of each run.
    """
    if asked == 0:
        asked = _allowed_cores() // threads if device == "cpu" else 1
    return max(1, min(asked, jobs))


def _allowed_cores() -> int:
    """Return the cores that this process may use, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Surroundings:
    """What a process that is not forked from this one has to be told."""

    environment: dict[str, str]
    folder: str
    home: Path
    data: Path

    @classmethod
    def here(cls) -> Surroundings:
        """Return those of this process."""
        return cls({**os.environ}, os.getcwd(), paths.home(), paths.data_root())  # noqa: PTH109

    def enter(self) -> None:
        """Make them those of this process."""
        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(self.folder)
        paths.set_roots(home=self.home, data=self.data)


@dataclass(frozen=True)
class _Run:
    """One run, as a child makes it.

    Attributes:
        request: what is asked.
        references: also make the reference rows.
        announced: the seeds that are announced with it; None: its own.
        registry: the loaded plugins, where the child is forked; None: it loads them.
        surroundings: None where the child is forked.
        failure: how an earlier child ended without a result: this one writes the record.
    """

    request: RunRequest
    references: bool
    announced: Sequence[int] | None = None
    registry: Registry | None = None
    surroundings: Surroundings | None = None
    failure: str = ""

    def __call__(self, say: Say) -> _Result:
        """Make the run; what plugins print goes to standard error."""
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            try:
                if self.surroundings is not None:
                    self.surroundings.enter()
                return [r.as_dict() for r in self._records(replace(self.request, notify=say))], None
            except HarnessError as error:
                failed = error
            # What is unknown ends this run with a sentence, and no other.
            except Exception as error:
                if debugging():
                    traceback.print_exception(error)
                failed = explained(error)
        records = [record.as_dict() for record in failed.records]
        return records, (type(failed).__name__, str(failed), failed.exit_code)

    def _records(self, request: RunRequest) -> Sequence[RunRecord]:
        from harness.engine.execute import execute, record_failure

        registry = self.registry or load(request.plugins)
        if self.failure:
            return [record_failure(request, registry, self.failure)]
        return execute([request], registry, references=self.references, announced=self.announced)


def run_in_workers(
    requests: Sequence[RunRequest],
    workers: int,
    references: Container[int],
    notify: Callable[[str], None],
    *,
    announced: Sequence[Sequence[int] | None] | None = None,
    registry: Registry | None = None,
    method: Method = "forkserver",
) -> Generator[Outcome, None, None]:
    """Make each run in a process of its own; yield as they end.

    Args:
        requests: what to run.
        workers: processes at a time.
        references: positions of the requests that also make the reference rows.
        notify: called with the runs' messages as they come.
        announced: per request the seeds that are announced with it; None: its own.
        registry: the loaded plugins, of use to forked children.
        method: how processes are started.

    Raises:
        KeyboardInterrupt: Ctrl-C, or the process was asked to end; the runs have been told and
            have ended. What was under way goes on from its last epoch next time.
    """
    forked = method == "fork"
    here = None if forked else Surroundings.here()
    works = [
        _Run(
            replace(request, bar=request.bar and workers == 1, notify=silent, isolated=True),
            number in references,
            None if announced is None else announced[number],
            registry if forked else None,
            here,
        )
        for number, request in enumerate(requests)
    ]
    with interrupted_by(signal.SIGINT, signal.SIGTERM):
        for ended in run_children(works, workers, notify, method):
            yield _outcome(ended, works[ended.place], notify, method)


def _outcome(ended: Ended, work: _Run, notify: Callable[[str], None], method: Method) -> Outcome:
    """Return what became of a run; one that ended without a result gets its record here."""
    reason = "" if ended.finished else ended.reason
    if reason:
        again = replace(work, failure=reason)
        (ended,) = (replace(e, place=ended.place) for e in run_children([again], 1, notify, method))
    if not ended.finished:
        return Outcome(ended.place, error=RunFailedError(f"{reason}; no record could be written."))
    documents, failure = ended.result
    records = tuple(RunRecord.from_dict(document) for document in documents)
    error = None if failure is None else _error(*failure)
    if reason and any(r.status == "ok" for r in records):
        error = RunFailedError(f"{reason}; the result that was there is as it was.")
        return Outcome(ended.place, records, error, ended=True)
    return Outcome(ended.place, records, error)


def _error(kind: str, message: str, exit_code: int) -> HarnessError:
    error: HarnessError = (
        StorageError(message) if kind == StorageError.__name__ else RunFailedError(message)
    )
    error.exit_code = exit_code
    return error


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
