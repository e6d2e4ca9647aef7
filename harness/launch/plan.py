"""A grid of runs as a YAML file: lists multiply, doubles fall together, a shard is a part of it.

models: [ramer, carat]
datasets: [mosi, emotify]
seeds: [0, 1, 2]
presets: [paper]             # default: the data set's
train_dropout: [full@1, train-mix@1]
twin_seed: 0                 # default: 1 + the training seed
split: valid                 # default: test, with validation beside it
dropout: [core@1]            # every run is scored under all of them
diagnose: true               # also measure what mechanisms do, where a model offers it
set: [[], [training.lr=1e-3, training.epochs=5]]   # an entry is one configuration
limits: {jobs: 2, threads: 1, hours: 8, time_s: 3600, memory_mb: 8000}   # the last two: of a run
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config import default_preset, resolve_config
from harness.documents import fail, read_yaml, shown
from harness.engine.request import SPLITS, RunRequest, silent
from harness.errors import DataFormatError, UnknownNameError, UsageError
from harness.plugins import Registry
from harness.records.fingerprint import canonical_json
from harness.records.record import RunRecord
from harness.specs import TrainingConfig

MULTIPLIED = ("models", "datasets", "seeds", "presets", "train_dropout", "set")
LIMITS = ("jobs", "threads", "hours", "time_s", "memory_mb")
KEYS = (*MULTIPLIED, "dropout", "twin_seed", "split", "diagnose", "limits")


@dataclass(frozen=True)
class GridPlan:
    """The content of a plan file.

    Attributes:
        models: names.
        datasets: names.
        seeds: numbers.
        presets: names; None: the data set's default.
        train_dropout: protocols; None: as configured.
        dropout: protocols and suites that every run is scored under.
        overrides: configurations, each a tuple of ``key=value``.
        twin_seed: twin that every run takes where data is generated; None: 1 + its seed.
        split: split that every run is scored on.
        jobs: runs at a time.
        threads: CPU threads of a run.
        hours: after which no further run begins; None: no limit.
        diagnose: whether mechanisms are measured too.
        time_s: seconds that a run may take; None: no limit.
        memory_mb: main memory of a run in MB (1e6 bytes); None: no limit.
    """

    models: tuple[str, ...]
    datasets: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    presets: tuple[str | None, ...] = (None,)
    train_dropout: tuple[str | None, ...] = (None,)
    dropout: tuple[str, ...] = ()
    overrides: tuple[tuple[str, ...], ...] = ((),)
    twin_seed: int | None = None
    split: str = SPLITS[0]
    jobs: int = 1
    threads: int = 1
    hours: float | None = None
    diagnose: bool = False
    time_s: float | None = None
    memory_mb: float | None = None


@dataclass(frozen=True)
class Estimate:
    """What a run may take, by earlier runs of its model, data set and preset; None: not known.

    Attributes:
        seconds: of training.
        peak_memory: in bytes.
    """

    seconds: float | None
    peak_memory: float | None


def read_plan(path: Path) -> GridPlan:
    """Return the plan in a YAML file.

    Raises:
        StorageError: the file cannot be read.
        UsageError: it is no YAML, a key is unknown, missing or of another kind; names it.
    """
    try:
        return _plan(path, read_yaml(path))
    except DataFormatError as error:
        raise UsageError(str(error)) from error


def _plan(path: Path, found: Any) -> GridPlan:
    if not isinstance(found, Mapping):
        raise fail(path, "top level", f"the keys {', '.join(KEYS)}", shown(found))
    for key in found:
        if key not in KEYS:
            raise UnknownNameError(f"key in {path}", str(key), KEYS)
    for key in ("models", "datasets"):
        if not found.get(key):
            raise fail(path, key, "at least one name", "none")
    limits = found.get("limits") or {}
    if not isinstance(limits, Mapping):
        raise fail(path, "limits", f"the keys {', '.join(LIMITS)}", shown(limits))
    for key in limits:
        if key not in LIMITS:
            raise UnknownNameError(f"key in {path}, limits", str(key), LIMITS)
    overrides = found.get("set") or [[]]
    if not isinstance(overrides, list):
        raise fail(path, "set", "a list of configurations, each a list of key=value", "no list")
    seeds = _list(path, found, "seeds", (0,))
    if any(isinstance(s, bool) or not isinstance(s, int) or s < 0 for s in seeds):
        raise fail(path, "seeds", "whole numbers from 0", shown(seeds))
    diagnose = found.get("diagnose", False)
    if not isinstance(diagnose, bool):
        raise fail(path, "diagnose", "true or false", shown(diagnose))
    split = found.get("split", SPLITS[0])
    if split not in SPLITS:
        raise fail(path, "split", f"one of {', '.join(SPLITS)}", shown(split))
    twin = None if found.get("twin_seed") is None else _least(path, found, "twin_seed", 0, 0)
    return GridPlan(
        _names(path, found, "models"),
        _names(path, found, "datasets"),
        seeds,
        _names(path, found, "presets") or (None,),
        _names(path, found, "train_dropout") or (None,),
        _names(path, found, "dropout"),
        tuple(_settings(path, entry) for entry in overrides),
        twin,
        split,
        _least(path, limits, "limits/jobs", 0, 1),
        _least(path, limits, "limits/threads", 1, 1),
        _above(path, limits, "hours"),
        diagnose,
        _above(path, limits, "time_s"),
        _above(path, limits, "memory_mb"),
    )


def _list(path: Path, found: Mapping[str, Any], key: str, default: tuple[Any, ...]) -> Any:
    value = found.get(key)
    if value is None:
        return default
    if not isinstance(value, list):
        value = [value]
    if any(isinstance(entry, list | Mapping) for entry in value):
        raise fail(path, key, "a plain list", shown(value))
    return tuple(dict.fromkeys(value))


def _names(path: Path, found: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names: tuple[str, ...] = _list(path, found, key, ())
    if any(not isinstance(name, str) or not name.strip() for name in names):
        raise fail(path, key, "names", shown(names))
    return names


def _settings(path: Path, entry: Any) -> tuple[str, ...]:
    texts = entry if isinstance(entry, list) else [entry]
    if any(not isinstance(text, str) or "=" not in text for text in texts):
        raise fail(path, "set", "lists of key=value", shown(entry))
    return tuple(texts)


def _least(path: Path, found: Mapping[str, Any], key: str, least: int, default: int) -> int:
    value = found.get(key.rpartition("/")[2], default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise fail(path, key, f"a whole number from {least}", shown(value))
    return value


def _above(path: Path, limits: Mapping[str, Any], key: str) -> float | None:
    value = limits.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise fail(path, f"limits/{key}", "a number above 0", shown(value))
    return float(value)


def shard_of(text: str) -> tuple[int, int]:
    """Return part and parts of ``2/8``.

    Raises:
        UsageError: not two whole numbers, or the part is not one of the parts.
    """
    part, _, parts = text.partition("/")
    if part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts):
        return int(part), int(parts)
    raise UsageError(f"--shard {text!r}: give a part of parts, for example 2/8.")


def requests_of(
    plan: GridPlan,
    registry: Registry,
    *,
    plugins: Sequence[str] = (),
    shard: tuple[int, int] = (1, 1),
    log: str | None = None,
    notify: Callable[[str], None] = silent,
) -> list[RunRequest]:
    """Return the runs of a plan: seeds innermost, each resolved configuration once.

    Args:
        plan: what to run.
        registry: the loaded plugins.
        plugins: plugin files, handed on to worker processes.
        shard: part and parts; the runs are dealt out in turn.
        log: trackers, given to every request.
        notify: likewise.

    Raises:
        UsageError: a name does not exist, or a model cannot take a data set.
        ConfigError: an override does not fit.
    """
    from harness.engine.folds import expanded
    from harness.engine.plan import check_fit, check_split

    found: dict[str, RunRequest] = {}
    shapes = itertools.product(
        plan.datasets, plan.models, plan.presets, plan.train_dropout, plan.overrides, plan.seeds
    )
    for dataset, model, preset, trained, overrides, seed in shapes:
        spec, about = registry.model(model), registry.dataset(dataset)
        check_fit(spec, about)
        request = RunRequest(
            model,
            about.name,
            seed,
            dropout=plan.dropout,
            train_dropout=trained,
            preset=preset,
            overrides=overrides,
            diagnose=plan.diagnose,
            split=plan.split,
            twin_seed=plan.twin_seed,
            threads=plan.threads,
            log=log,
            plugins=tuple(plugins),
            bar=False,
            lines=True,
            notify=notify,
        )
        check_split(request, about)
        chosen = preset or default_preset(spec, about)
        settings = list(overrides)
        if trained is not None:
            settings.append(f"training.train_dropout={trained}")
        config = resolve_config(spec, about, chosen, None, settings).as_dict()
        config.pop("preset", None)
        found.setdefault(canonical_json([model, about.name, seed, str(config)]), request)
    part, parts = shard
    return expanded(list(found.values()), registry)[part - 1 :: parts]


def estimates(
    requests: Sequence[RunRequest], records: Iterable[RunRecord], registry: Registry
) -> list[Estimate]:
    """Return what each run may take, by the mean of earlier finished runs like it.

    Like it are runs of the same model, data set and preset. Their time is scaled to the optimiser
    steps that are asked for, so that it is a bound where training may stop early.

    Args:
        requests: of `requests_of`.
        records: of earlier runs.
        registry: the loaded plugins; the data sets say what preset is the default.
    """
    known: dict[tuple[str, str, str | None], list[RunRecord]] = {}
    for record in records:
        if record.status == "ok" and record.role != "trial":
            preset = record.request.get("preset") if record.request else None
            key = (record.model["name"], record.dataset["name"].removesuffix("-twin"), preset)
            known.setdefault(key, []).append(record)
    trainings: dict[tuple[object, ...], TrainingConfig] = {}
    found = []
    for request in requests:
        model, dataset = registry.model(request.model), registry.dataset(request.dataset)
        preset = request.preset or default_preset(model, dataset)
        key = (request.model, request.dataset.removesuffix("-twin"), preset)
        alike = known.get(key, [])
        setting = (*key, request.overrides)
        if alike and setting not in trainings:
            config = resolve_config(model, dataset, preset, request.config, request.overrides)
            trainings[setting] = config.training
        found.append(
            Estimate(
                _mean(_seconds(record, trainings[setting]) for record in alike),
                _mean(record.budget.get("peak_memory") for record in alike),
            )
        )
    return found


def _seconds(record: RunRecord, training: TrainingConfig) -> float | None:
    """Return how long a run like an earlier one trains, seconds."""
    seconds, steps = record.timings.get("train_s"), record.budget.get("steps")
    epochs = record.timings.get("epochs")
    if seconds is None or not steps or not epochs:  # a model that is fitted at once
        return seconds
    asked = training.steps or training.epochs * steps / epochs
    return float(seconds * asked / steps)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known else None
