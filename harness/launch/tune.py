"""One search for every model: the same points, the same steps, chosen on validation.

Every trial trains half of its steps; the worse half of the trials stops there, the others go on
from the state they were left in. No trial opens the test split.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.config import TUNED, plugin_defaults, resolve_config
from harness.config.search import AXES, Space, read_space
from harness.engine.request import OPTIONS, RunRequest, silent
from harness.errors import ConfigError, RunFailedError, UsageError
from harness.launch.points import ROUND, SOBOL, propose, sobol
from harness.launch.search import Search, Trial, at_half, order
from harness.plugins import Registry, written
from harness.records.fingerprint import canonical_json
from harness.records.record import RunRecord
from harness.records.request import override_text
from harness.specs import DatasetSpec, Launcher, ModelSpec

POINTS = 8
SEARCHED_ON = {"sequence": "mosei-aligned-twin", "grid": "memor-primary-twin"}
"""Per layout the data that models made for it are searched on."""
_STEPS = "training.steps"


@dataclass(frozen=True)
class SearchRequest:
    """What a user asks of a search.

    Attributes:
        model: a model with a ``space``.
        dataset: None: that of the layout the model was made for (`SEARCHED_ON`).
        points: how many trials, the model's own starting values among them.
        seed: training seed of every trial.
        steps: optimiser steps of a trial; None: those of its preset ``tuned``.
        jobs: trials at a time, each in a process of its own; of use without a launcher.
        threads: CPU threads of a trial.
        device: as of `RunRequest`.
        keep_going: leave a failed trial out instead of ending the search.
        plugins: plugin files, handed on to worker processes.
        notify: called with what a user should know.
        sampler: what chooses the points, a key of `harness.launch.points.SAMPLERS`.
        launcher: where trials are made; None: in processes of this machine.
        log: trackers that each epoch of a trial is written to; None: those of ``HARNESS_LOG``.
    """

    model: str
    dataset: str | None = None
    points: int = POINTS
    seed: int = 0
    steps: int | None = None
    jobs: int = 1
    threads: int = 1
    device: str = "auto"
    keep_going: bool = False
    plugins: tuple[str, ...] = ()
    notify: Callable[[str], None] = silent
    sampler: str = SOBOL
    launcher: Launcher | None = None
    log: str | None = None


def tune(asked: SearchRequest, registry: Registry) -> Search:
    """Search for a model's learning rate, dropout and width.

    Trials that are there are found again, interrupted ones go on.

    Raises:
        UsageError: the model has no space, or cannot take the data.
        RunFailedError: a trial failed and ``keep_going`` is not set, or all of them did.
        HarnessError: wrong input, missing data, or a path that cannot be used.
    """
    from harness.engine.folds import refuse

    model = registry.model(asked.model)
    dataset = registry.dataset(asked.dataset or SEARCHED_ON[model.layouts[0]])
    refuse(dataset, "a search")
    space = space_of(model)
    requests, trials, failures = _halves(asked, registry, model, dataset, space)
    steps = _steps(requests[0], model, dataset)
    going_on = [t for t in trials.values() if t.stopped]
    if going_on:
        chosen = sorted(trials.values(), key=order(at_half), reverse=True)
        kept = {t.point for t in chosen[: math.ceil(len(chosen) / 2)]}
        rest = [r for r in requests if r.trial in kept and r.trial in {t.point for t in going_on}]
        more, further = _run(rest, asked, registry)
        trials, failures = trials | more, failures + further
        trials = {p: t for p, t in trials.items() if not t.stopped or p not in kept}
        _clear(trials.values())
    done = tuple(trials[point] for point in sorted(trials))
    if not any(not t.stopped for t in done):
        raise RunFailedError("\n  ".join(["no trial has a result:", *failures]))
    return Search(model, dataset, space, steps, asked.seed, done, tuple(failures), asked.sampler)


def _halves(
    asked: SearchRequest,
    registry: Registry,
    model: ModelSpec,
    dataset: DatasetSpec,
    space: Space,
) -> tuple[list[RunRequest], dict[int, Trial], list[str]]:
    """Make every trial up to its half; return the requests in full, the trials, the failures."""
    requests: list[RunRequest] = []
    trials: dict[int, Trial] = {}
    failures: list[str] = []
    points = np.empty((0, len(AXES)))
    # A sampler learns from the scores at the half, which all trials have.
    size = asked.points if asked.sampler == SOBOL else ROUND
    axes = [axis for axis in AXES if getattr(space, axis)]
    for first in range(0, asked.points, size):
        count = min(size, asked.points - first)
        tried = [
            (at, score)
            for number, trial in trials.items()
            if (at := points[number].tolist() if number else space.point(trial.values)) is not None
            and (score := at_half(trial)) is not None
        ]
        more = propose(asked.sampler, count, tried, axes, first=first)
        points = np.concatenate([points, more])
        requests = requests_of(asked, registry, model, dataset, space, points)
        steps = _steps(requests[0], model, dataset)
        if not first:
            asked.notify(
                f"{model.name} on {dataset.name}: "
                f"{len(requests) if size == asked.points else asked.points} trials"
                + (
                    f" of {steps} steps, the better half from step {steps // 2} on."
                    if steps
                    else "."
                )
            )
        until = max(1, steps // 2) if steps else None
        new = [replace(r, until=until) for r in requests if (r.trial or 0) >= first]
        made, failed = _run(new, asked, registry)
        trials, failures = trials | made, failures + failed
    return requests, trials, failures


def space_of(model: ModelSpec) -> Space:
    """Return the bounds of a model's search.

    Raises:
        UsageError: its card has none.
        ConfigError: they are not as documented.
    """
    space = read_space(plugin_defaults(model), written(model.defaults))
    if space is None:
        raise UsageError(
            f"model {model.name!r} has nothing to search: its file of defaults has no key 'space' "
            "(docs/tuning.md)."
        )
    return space


def requests_of(
    asked: SearchRequest,
    registry: Registry,
    model: ModelSpec,
    dataset: DatasetSpec,
    space: Space,
    points: NDArray[np.float64] | None = None,
) -> list[RunRequest]:
    """Return the trials of a search, each resolved configuration once, by point.

    Args:
        asked: the search.
        registry: the loaded plugins.
        model: its model.
        dataset: its data.
        space: its bounds.
        points: coordinates, float64 [trials, 3]; None: those of `sobol`.

    Raises:
        UsageError: the model cannot take the data.
        ConfigError: a value does not fit the model's configuration.
    """
    from harness.engine.plan import check_fit, check_split

    check_fit(model, dataset)
    fixed: dict[str, Any] = {}
    # The data of the search is a twin that no board has.
    if "twin_seed" in OPTIONS and dataset.source == "twin":
        fixed["twin_seed"] = 0
    found: dict[str, RunRequest] = {}
    points = sobol(asked.points) if points is None else points
    for number in range(len(points)):
        values = starting_values(model, dataset, space) if not number else None
        values = values or space.values(points[number].tolist())
        overrides = [override_text(key, value) for key, value in values.items()]
        if asked.steps is not None:
            overrides.append(override_text(_STEPS, asked.steps))
        request = RunRequest(
            model.name,
            dataset.name,
            asked.seed,
            split="valid",
            preset=TUNED,
            overrides=tuple(overrides),
            device=asked.device,
            threads=asked.threads,
            log=asked.log,
            trial=number,
            plugins=asked.plugins,
            bar=False,
            lines=True,
            notify=asked.notify,
            **fixed,
        )
        check_split(request, dataset)
        config = resolve_config(model, dataset, TUNED, None, overrides, searched=False)
        found.setdefault(canonical_json(str(config.as_dict())), request)
    return list(found.values())


def starting_values(model: ModelSpec, dataset: DatasetSpec, space: Space) -> dict[str, Any]:
    """Return what the preset ``tuned`` has before a search, by the keys of its space.

    Raises:
        ConfigError: the model has no such preset, or the space a key that its configuration lacks.
    """
    config = resolve_config(model, dataset, TUNED, searched=False).as_dict()
    found, card = {}, written(model.defaults)
    for key in space.keys:
        value: Any = config
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise ConfigError(f"{card}: space: the preset 'tuned' has no {key!r}.")
            value = value[part]
        found[key] = value
    return found


def _steps(request: RunRequest, model: ModelSpec, dataset: DatasetSpec) -> int:
    """Return the optimiser steps of a trial; 0: the model is fitted at once."""
    from harness.engine.checkpoint import model_class_of

    if not model_class_of(model).iterative:
        return 0
    config = resolve_config(model, dataset, TUNED, None, request.overrides, searched=False)
    if not config.training.steps:
        raise ConfigError(
            f"{written(model.defaults)}: the preset 'tuned' counts epochs; trials have equally "
            f"many optimiser steps: set {_STEPS} in it, or give --steps."
        )
    return config.training.steps


def _run(
    requests: Sequence[RunRequest], asked: SearchRequest, registry: Registry
) -> tuple[dict[int, Trial], list[str]]:
    """Make trials; return those with a result by point, and a line for each without one."""
    from harness.launch.grid import run_grid
    from harness.launch.launching import ATTEMPTS

    if not requests:
        return {}, []

    def label(request: RunRequest) -> str:
        return f"{request.model}, trial {request.trial}"

    done = run_grid(
        requests, registry, launcher=asked.launcher, jobs=asked.jobs, references=False,
        label=label, keep_going=asked.keep_going, attempts=ATTEMPTS,
    )  # fmt: skip
    if not asked.keep_going:
        done.check()
    errors = [f"{what}: {error}" for what, error in done.errors.items()]
    space = space_of(registry.model(asked.model))
    trials = {}
    for record in done.records:
        if record.status == "ok" and record.trial is not None:
            point = int(record.trial["point"])
            trials[point] = Trial(point, values_of(record, space), record)
    return trials, [*done.failures, *errors]


def values_of(record: RunRecord, space: Space) -> dict[str, Any]:
    """Return what a trial set of a space, by key."""
    return {key: record.request["overrides"][key] for key in space.keys}


def _clear(trials: Iterable[Trial]) -> None:
    """Remove the states of trials that were stopped: they will not go on."""
    from harness.engine.run import RESUME
    from harness.paths import storage_errors
    from harness.records.store import RunStore

    for trial in trials:
        folder = RunStore().folder(trial.record.id) / RESUME
        if trial.stopped and folder.exists():
            with storage_errors(folder):
                shutil.rmtree(folder)
