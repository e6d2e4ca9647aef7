"""What a plugin's code raises during a run, as one sentence for its record."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from harness.engine.plan import RunPlan
from harness.errors import HarnessError, PluginError, RunFailedError
from harness.paths import storage_errors
from harness.plugins.hooks import describe_error

DEBUG = "HARNESS_DEBUG"


@contextmanager
def plugin_faults(plan: RunPlan, folder: Path) -> Iterator[None]:
    """Turn whatever a model's code raises into a `RunFailedError` that names its plugin.

    Wrong input (a `HarnessError` of ours, or of the plugin's) and Ctrl-C pass as they are; a disk
    that cannot be written is a `StorageError`. ``HARNESS_DEBUG=1`` shows the traceback.
    """
    named = f"plugin {plan.entry.plugin!r}, model {plan.entry.spec.name!r}"
    with _faults(named, plan.model_class.__module__, folder, plan.request.notify):
        try:
            yield
        except torch.OutOfMemoryError as error:
            size = plan.config.training.batch_size
            advice = f"out of memory with --set training.batch_size={size}; try a smaller one."
            raise RunFailedError(f"{advice} ({describe_error(error)})") from error


@contextmanager
def corpus_faults(plan: RunPlan, folder: Path) -> Iterator[None]:
    """Turn whatever the code of a plan's data set raises into a `RunFailedError`, likewise."""
    spec = plan.spec
    known = plan.registry.datasets
    entry = known[spec.name if spec.name in known else spec.base_name]
    named = f"plugin {entry.plugin!r}, data set {spec.name!r}"
    with _faults(named, spec.corpus.partition(":")[0], folder, plan.request.notify):
        yield


@contextmanager
def _faults(named: str, module: str, folder: Path, tell: Callable[[str], None]) -> Iterator[None]:
    with storage_errors(folder):
        try:
            yield
        except PluginError as error:
            raise RunFailedError(f"{named}: {error}") from error
        except HarnessError:
            raise
        # A stranger's code may raise anything; the run is then a row that says why, not a hole.
        except Exception as error:
            place = place_of(error, module)
            if isinstance(error, OSError) and not place:
                raise
            show_traceback(tell)
            raise RunFailedError(
                f"{named}: {describe_error(error)}{place and f' ({place})'}. "
                f"{DEBUG}=1 shows the traceback."
            ) from error


def place_of(error: BaseException, module: str) -> str:
    """Return the innermost place in the plugin's package, ``file, line N``; empty: none."""
    package = module.partition(".")[0]
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] == package:
            place = f"{Path(frame.f_code.co_filename).name}, line {line}"
    return place


def show_traceback(tell: Callable[[str], None]) -> None:
    """Tell the traceback of the error being handled, where the user asked for it."""
    if os.environ.get(DEBUG) == "1":
        tell(traceback.format_exc())
