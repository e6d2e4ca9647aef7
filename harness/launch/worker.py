"""The one way in which every launcher makes a run, on the machine where it happens."""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness import paths
from harness.boundary import debugging, explained, text_of
from harness.engine.request import RunRequest, silent
from harness.errors import HarnessError, RunFailedError, StorageError
from harness.launch.limits import OverLimitError, limited
from harness.plugins import Registry, load
from harness.records.leases import LeaseLostError, RunHeldError
from harness.records.record import COMPLETE, RunRecord
from harness.specs import Outcome, Task

# Errors of a file system that may pass: a server that restarts, a handle that went stale.
PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY)
OUT_OF_MEMORY = "OutOfMemoryError"
"""`Outcome.error` of a run that was out of an accelerator's memory."""
# How such an error says so: PyTorch's own, and those of the libraries below it.
_SHORT = (
    OUT_OF_MEMORY, "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)  # fmt: skip


def task_of(
    request: RunRequest,
    *,
    label: str = "",
    references: bool = False,
    announced: Sequence[int] | None = None,
    time_s: float | None = None,
    memory_mb: float | None = None,
) -> Task:
    """Return a request as a task of this home.

    Args:
        request: what to run; its ``notify`` is not part of a task.
        label: names the run in messages; empty: model, data set and seed.
        references: also make the reference rows of its data.
        announced: the seeds that are announced with it; None: its own.
        time_s: seconds that the run may take; None: no limit.
        memory_mb: main memory that it may take, in MB; None: no limit.
    """
    document = asdict(replace(request, notify=silent, isolated=True))
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
        announced,
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
            (record,) = execute(
                [request], loaded, references=task.references, announced=task.announced, wait=False
            )
    except HarnessError as error:
        if not error.records:
            raise
        # The run is there; a reference row beside it failed.
        what = f"ceiling of {error.records[0].dataset['name']}"
        return replace(_of_error(error), run=error.records[0].id, status="failed", what=what)
    return _of_record(record)


def _recorded(
    task: Task, say: Callable[[str], None], registry: Registry | None, reason: str
) -> Outcome:
    """Write the record of a run that ended without a result."""
    from harness.engine.execute import record_failure

    request = request_of(task, say)
    record = record_failure(request, registry or load(request.plugins), reason)
    if record.status == "ok":
        message = f"{reason}; the result that was there is as it was."
        return Outcome("failed", record.id, message=message, exit_code=RunFailedError.exit_code)
    return _of_record(record)


def _of_record(record: RunRecord) -> Outcome:
    memory = record.budget.get("peak_memory")
    if record.status == "ok":
        return Outcome("done", record.id, peak_memory=memory, message=state_of(record))
    reason = str((record.failure or {}).get("reason", "unknown"))
    short = any(sign in reason for sign in _SHORT)
    return Outcome(
        "retry" if short else "failed", record.id, 0.0, memory, reason, RunFailedError.exit_code,
        error=OUT_OF_MEMORY if short else "",
    )  # fmt: skip


def _of_error(error: Exception) -> Outcome:
    """Return the outcome of an error: what may pass is tried again, a held run come back to."""
    if isinstance(error, (RunHeldError, LeaseLostError)):
        return Outcome("held", error.run, message=str(error))
    cause = error.__cause__ if isinstance(error, StorageError) else error
    short = any(sign in f"{type(error).__name__}: {text_of(error)}" for sign in _SHORT)
    passing = short or (isinstance(cause, OSError) and cause.errno in PASSING)
    told = error if isinstance(error, HarnessError) else explained(error)
    return Outcome(
        "retry" if passing else "failed", message=str(told), exit_code=told.exit_code,
        error=OUT_OF_MEMORY if short else type(told).__name__,
    )  # fmt: skip


def state_of(record: RunRecord) -> str:
    """Return what a finished run scored, in a few words."""
    metric = record.protocols["selection_metric"]
    found = record.metrics[COMPLETE]
    tuned = metric == "micro_f1" and all(places.get("tuned") for places in found.values())
    at, words = ("tuned", "tuned ") if tuned else ("declared", "")
    shown = (f"{found[split][at][metric]:.4f} on {split}" for split in sorted(found))
    return f"{words}{metric} {', '.join(shown)}, in {record.timings['train_s'] or 0.0:.0f} s"
