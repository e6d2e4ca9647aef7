"""A grid of runs over worker processes of this machine, the cores shared out among them.

Models of benchmark size gain little from a second thread, and two processes with two threads each
fight: so there are as many workers as the cores can serve. Runs find each other's results through
the run store, whose locks make that safe; a worker that dies loses nothing but its epoch.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

from harness import paths
from harness.engine.request import RunRequest, silent
from harness.errors import HarnessError, RunFailedError, StorageError
from harness.plugins import load
from harness.records.record import RunRecord

# Set in a worker: where the messages of its runs go.
_said: SimpleQueue[str | None] | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of some requests: their records, or the error that kept them from running.

    Attributes:
        first: position of the first in the list of requests.
        records: one a request.
        error: wrong input or a path that cannot be used; with records: a reference row beside them
            failed.
    """

    first: int
    records: tuple[RunRecord, ...] = ()
    error: HarnessError | None = None


def workers_for(jobs: int, asked: int, device: str, threads: int = 1) -> int:
    """Return how many worker processes to use; 1 means: in this process.

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


def run_in_workers(
    requests: Sequence[RunRequest],
    workers: int,
    references: Container[int],
    notify: Callable[[str], None],
) -> Iterator[Outcome]:
    """Run each request in a worker process; yield as they end.

    Args:
        requests: what to run.
        workers: processes.
        references: positions of the requests that also make the reference rows.
        notify: called with the runs' messages as they come, from a thread of its own.

    Raises:
        KeyboardInterrupt: Ctrl-C; what is under way goes on from its last epoch next time.
    """
    context = multiprocessing.get_context("spawn")
    said: SimpleQueue[str | None] = context.SimpleQueue()
    executor = ProcessPoolExecutor(
        workers,
        mp_context=context,
        initializer=_start,
        initargs=(paths.home(), paths.data_root(), os.getpid(), said),
    )
    listener = threading.Thread(target=_listen, args=(said, notify), daemon=True)
    listener.start()
    try:
        futures = [
            executor.submit(
                _work, number, replace(request, bar=False, notify=silent), number in references
            )
            for number, request in enumerate(requests)
        ]
        for future in as_completed(futures):
            number, records, failure = future.result()
            yield Outcome(
                number,
                tuple(RunRecord.from_dict(record) for record in records),
                None if failure is None else _error(*failure),
            )
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        said.put(None)
        listener.join(timeout=5.0)


def _listen(said: SimpleQueue[str | None], notify: Callable[[str], None]) -> None:
    while (message := said.get()) is not None:
        notify(message)


def _start(home: Path, data: Path, parent: int, said: SimpleQueue[str | None]) -> None:
    global _said
    _said = said
    paths.set_roots(home=home, data=data)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this worker when the process that started it is gone, killed or not."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _work(
    number: int, request: RunRequest, references: bool
) -> tuple[int, list[dict[str, Any]], tuple[str, str, int] | None]:
    """Run one request; errors travel as text because not every exception survives pickling."""
    from harness.engine.execute import execute

    if _said is not None:
        request = replace(request, notify=_said.put)
    try:
        records = execute([request], load(request.plugins), references=references)
    except HarnessError as error:
        failure = (type(error).__name__, str(error), error.exit_code)
        return number, [record.as_dict() for record in error.records], failure
    return number, [record.as_dict() for record in records], None


def _error(kind: str, message: str, exit_code: int) -> HarnessError:
    error: HarnessError = (
        StorageError(message) if kind == StorageError.__name__ else RunFailedError(message)
    )
    error.exit_code = exit_code
    return error
