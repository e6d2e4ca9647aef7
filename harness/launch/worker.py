"""The one way in which every launcher makes a run, on the machine where it happens."""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness import paths
from harness.boundary import debugging, explained
from harness.engine.request import RunRequest, silent
from harness.errors import HarnessError, StorageError
from harness.launch.limits import OverLimitError, limited
from harness.plugins import Registry, load
from harness.records.leases import LeaseLostError, RunHeldError
from harness.records.record import RunRecord
from harness.specs import Outcome, Task

# Errors of a file system that may pass: a server that restarts, a handle that went stale.
PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY)


def task_of(
    request: RunRequest,
    *,
    label: str = "",
    references: bool = False,
    time_s: float | None = None,
    memory_mb: float | None = None,
) -> Task:
    """Return a request as a task of this home.

    Args:
        request: what to run; its ``notify`` is not part of a task.
        label: names the run in messages; empty: model, data set and seed.
        references: also make the reference rows of its data.
        time_s: seconds that the run may take; None: no limit.
        memory_mb: main memory that it may take, in MB; None: no limit.
    """
    document = asdict(replace(request, notify=silent, isolated=True, bar=False))
    del document["notify"]
    if isinstance(request.config, Path):
        document["config"] = str(request.config.absolute())
    document["plugins"] = [str(Path(p).expanduser().absolute()) for p in request.plugins]
    document["dropout"], document["overrides"] = list(request.dropout), list(request.overrides)
    return Task(
        document,
        label or f"{request.model} on {request.dataset}, seed {request.seed}",
        str(paths.home().absolute()),
        str(paths.data_root().absolute()),
        references,
        time_s,
        memory_mb,
    )


def request_of(task: Task, notify: Callable[[str], None] = silent) -> RunRequest:
    """Return the request of a task."""
    fields = dict(task.request)
    if isinstance(fields.get("config"), str):
        fields["config"] = Path(fields["config"])
    for key in ("dropout", "overrides", "plugins"):
        fields[key] = tuple(fields[key])
    return RunRequest(**fields, notify=notify)


def perform(
    task: Mapping[str, Any],
    say: Callable[[str], None] = silent,
    registry: Registry | None = None,
) -> dict[str, Any]:
    """Make a run: take its lease, go on from its newest resume state, write its record.

    The lease is given back however the run ends. Where another process makes the same run, or has
    taken it over meanwhile, the outcome is ``held``, and the caller comes back to it. Only
    KeyboardInterrupt and SystemExit leave this function.

    Args:
        task: `Task.as_dict`.
        say: called with the run's messages.
        registry: the loaded plugins; None: they are loaded.

    Returns:
        `Outcome.as_dict`. A failed attempt is ``retry`` if its reason may pass.
    """
    given, began = Task.from_dict(task), time.monotonic()
    with paths.using_roots(Path(given.home), Path(given.data)):
        try:
            outcome = _performed(given, say, registry)
        except OverLimitError as error:
            outcome = _recorded(given, say, registry, str(error))
        except Exception as error:
            if debugging() and not isinstance(error, HarnessError):
                traceback.print_exception(error)
            outcome = _of_error(error)
    return replace(outcome, seconds=time.monotonic() - began).as_dict()


def _performed(task: Task, say: Callable[[str], None], registry: Registry | None) -> Outcome:
    from harness.engine.execute import execute

    if task.failure:
        return _recorded(task, say, registry, task.failure)
    request = request_of(task, say)
    loaded = registry or load(request.plugins)
    try:
        with limited(task.time_s, task.memory_mb):
            (record,) = execute([request], loaded, references=task.references, wait=False)
    except HarnessError as error:
        if not error.records:
            raise
        # The run is there; a reference row beside it failed.
        return replace(_of_error(error), run=error.records[0].id, status="failed")
    return _of_record(record)


def _recorded(
    task: Task, say: Callable[[str], None], registry: Registry | None, reason: str
) -> Outcome:
    """Write the record of a run that ended without a result."""
    from harness.engine.execute import record_failure

    request = request_of(task, say)
    record = record_failure(request, registry or load(request.plugins), reason)
    if record.status == "ok":
        return Outcome("failed", record.id, message=f"{reason}; an earlier result stays.")
    return _of_record(record)


def _of_record(record: RunRecord) -> Outcome:
    from harness.launch.grid import state_of

    memory = record.budget.get("peak_memory")
    if record.status == "ok":
        return Outcome("done", record.id, peak_memory=memory, message=state_of(record))
    reason = str((record.failure or {}).get("reason", "unknown"))
    passing = "OutOfMemoryError" in reason
    return Outcome("retry" if passing else "failed", record.id, 0.0, memory, reason, 1)


def _of_error(error: Exception) -> Outcome:
    """Return the outcome of an error: what may pass is tried again, a held run come back to."""
    if isinstance(error, (RunHeldError, LeaseLostError)):
        return Outcome("held", error.run, message=str(error))
    cause = error.__cause__ if isinstance(error, StorageError) else error
    passing = isinstance(cause, OSError) and cause.errno in PASSING
    told = error if isinstance(error, HarnessError) else explained(error)
    return Outcome("retry" if passing else "failed", message=str(told), exit_code=told.exit_code)
