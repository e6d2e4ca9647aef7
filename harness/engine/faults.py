"""What a plugin's code raises during a run, as one sentence for its record."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.boundary import DEBUG, debugging, explained, out_of_memory, storage_error
from harness.engine.plan import RunPlan
from harness.errors import HarnessError, PluginError, RunFailedError
from harness.plugins.hooks import describe_error


def blamed(plan: RunPlan) -> str:
    """Return a plan's plugin and model as messages name them."""
    return f"plugin {plan.entry.plugin!r}, model {plan.entry.spec.name!r}"


@contextmanager
def plugin_faults(plan: RunPlan, folder: Path) -> Iterator[None]:
    """Turn any exception of a model's code into a `RunFailedError` that names its plugin.

    ``SystemExit`` and its kind included. Wrong input (a `HarnessError` of ours, or of the
    plugin's) and Ctrl-C pass as they are; what happened in the harness's own code is not blamed on
    the plugin. ``HARNESS_DEBUG=1`` shows the traceback.
    """
    named = blamed(plan)
    size = plan.config.training.batch_size
    with _faults(named, plan.model_class.__module__, folder, plan.request.notify, size):
        yield


@contextmanager
def corpus_faults(plan: RunPlan, folder: Path) -> Iterator[None]:
    """Turn any exception of the code of a plan's data set into a `RunFailedError`, likewise."""
    spec = plan.spec
    known = plan.registry.datasets
    names = (spec.name, spec.base_name, spec.recipe_name)
    entry = next(known[name] for name in names if name in known)
    named = f"plugin {entry.plugin!r}, data set {spec.name!r}"
    with _faults(named, spec.corpus.partition(":")[0], folder, plan.request.notify):
        yield


@contextmanager
def _faults(
    named: str, module: str, folder: Path, tell: Callable[[str], None], batch_size: int = 0
) -> Iterator[None]:
    try:
        yield
    except PluginError as error:
        raise RunFailedError(f"{named}: {error}") from error
    except (HarnessError, KeyboardInterrupt):
        raise
    # A stranger's code may raise anything; the run is then a row that says why, not a hole.
    except BaseException as error:
        if out_of_memory(error):
            advice = f"out of memory with --set training.batch_size={batch_size}; try a smaller one"
            raise RunFailedError(f"{named}: {advice}. ({describe_error(error)})") from error
        blame = blame_of(error, module)
        if blame is None:
            if isinstance(error, OSError):
                raise storage_error(error, folder) from error
            if isinstance(error, Exception):
                raise explained(error) from error
            raise
        show_traceback(tell)
        method, place = blame
        kind = type(error).__name__
        told = describe_error(error).removeprefix(kind)
        raise RunFailedError(
            f"{named}: {kind}{method and f' in {method}'}{told}{place and f' ({place})'}. "
            f"{DEBUG}=1 shows the traceback."
        ) from error


# Modules of ours that are the plugin's tools, or call it: what is raised there is raised for it.
_TOOLS = ("harness.nn", "harness.model", "harness.data.batch", "harness.data.grid")
_CALLERS = ("harness.engine.loop", "harness.engine.context", "harness.conformance")
# Likewise single functions.
_CALLS = {
    ("harness.engine.predict", "predict"),
    ("harness.engine.checkpoint", "snapshot"),
    ("harness.engine.run", "build_model"),
    ("harness.engine.run", "count_parameters"),
}


def blame_of(error: BaseException, module: str) -> tuple[str, str] | None:
    """Return the plugin's method that raised an error, and the place, ``tiny.py, line 30``.

    The innermost frame that is the plugin's or ours decides; frames of other packages, and of ours
    that a plugin uses as tools, are passed over. An empty place: it was raised for the plugin,
    outside of its own files. None: it is not the plugin's.

    Args:
        error: the error, with its traceback.
        module: the plugin's module; its whole package counts as the plugin.
    """
    package = module.partition(".")[0]
    method = stage = place = ""
    blamed: bool | None = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        name, function = str(frame.f_globals.get("__name__", "")), frame.f_code.co_name
        if name.partition(".")[0] == package != "harness":
            method = method or function
            place = f"{Path(frame.f_code.co_filename).name}, line {line}"
            blamed = True
        elif name.startswith(_TOOLS):
            stage = stage or function
        elif name.startswith(_CALLERS) or (name, function) in _CALLS:
            stage, place, method, blamed = _STAGES.get(function, stage), "", "", True
        elif name.partition(".")[0] == "harness" and name != __name__:
            blamed = False
    if not blamed:
        return None
    return method or stage, place


_STAGES = {
    "backward": "backward pass of training_step",
    "clip": "clipping of gradients",
    "step_optimizer": "step of the optimiser",
    "snapshot": "state_dict",
    "build_model": "__init__",
}


def show_traceback(tell: Callable[[str], None]) -> None:
    """Pass on the traceback of the error being handled, where the user asked for it."""
    if debugging():
        tell(traceback.format_exc())
