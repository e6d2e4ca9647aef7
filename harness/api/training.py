"""`harness.run` trains and scores, `harness.rescore` recomputes metrics from predictions."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api.collection import Runs
from harness.api.given import Files, Model, add_models, seeds_of, words
from harness.errors import HarnessError, UsageError
from harness.paths import using_home
from harness.plugins import GuardedHooks, Registry
from harness.records.record import COMPLETE, ORACLES, RunRecord
from harness.records.store import RunStore

if TYPE_CHECKING:
    from harness.engine.request import RunRequest

_logger = logging.getLogger("harness")

Overrides = Mapping[str, Any] | Iterable[str]
OnRunStart = Callable[[Mapping[str, Any]], None]
OnEpochEnd = Callable[[Mapping[str, Any], int, Mapping[str, float]], None]
OnRunEnd = Callable[[Mapping[str, Any], Mapping[str, Any]], None]


def run(
    model: Model | Sequence[Model],
    dataset: str | Sequence[str],
    seeds: int | str | Iterable[int] = 0,
    protocol: str | None = None,
    dropout: str | Iterable[str] = COMPLETE,
    preset: str | None = None,
    overrides: Overrides = (),
    device: str = "auto",
    *,
    test_on: str | None = None,
    folds: str | int | None = None,
    mask: str | None = None,
    split: str = "test",
    train_dropout: str | None = None,
    precision: str = "fp32",
    compile: bool = False,
    threads: int = 1,
    config: str | Path | Mapping[str, Any] | None = None,
    plugins: Files = (),
    twin_seed: int | None = None,
    real: bool = False,
    rerun: bool = False,
    diagnose: bool = False,
    compat: bool = False,
    log: str | None = None,
    references: bool = True,
    bar: bool = False,
    notify: Callable[[str], None] | None = None,
    on_run_start: OnRunStart | None = None,
    on_epoch_end: OnEpochEnd | None = None,
    on_run_end: OnRunEnd | None = None,
    isolate: bool = False,
    home: str | Path | None = None,
) -> Runs:
    """Train models on data sets and score them; one run a model, data set and seed, in this order.

    A finished run is found again. One that was interrupted goes on. A run without a result (NaN
    loss, an error in the model's code) gives a record with status ``failed``; the others are run
    all the same. Everything is checked before the first run starts.

    Args:
        model: a name, a plugin file (``"mean_pool.py"``), the `pathlib.Path` of one or of the
            folder of a plugin's project, a subclass of `harness.ModelPlugin`, a
            `harness.ModelSpec`, or several. A class is known to this call alone, by its name.
        dataset: a data set's name (``<name>-twin`` for its twin), or several.
        seeds: training seeds: 3 is the seed 3; ``"0,1,2"`` and ``[0, 1, 2]`` are three.
        protocol: data set protocol to hold to (``mosei-aligned@1``); None: the data set's.
        dropout: dropout protocols and suites to score under; ``full@1`` always is among them.
        preset: preset of the model; None: ``tuned`` on twins and small data, ``paper`` on others.
        overrides: configuration by key, ``{"training.lr": 1e-3, "model": {"width": 64}}``, or
            ``key=value`` texts as of ``--set``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        test_on: the data set whose test split is scored; training, selection and thresholds are of
            ``dataset`` alone. None: that of ``dataset``.
        folds: a number of folds of whole groups, or what a group is (``"speaker"``): a fold a
            group. Every sample is scored once, and the runs of a model and seed give one record.
        mask: mask option (``ones``, ``nonzero``, ``length``); None: the data set's default.
        split: ``test``, with validation beside it, or ``valid``: the test split is not opened,
            and scored from the checkpoint where the run is asked for again with ``test``.
        train_dropout: dropout protocol trained under; None: as configured (``full@1``).
        precision: ``fp32`` or ``bf16``.
        compile: compile the model's steps.
        threads: CPU threads of the run; results depend on them to the last bits.
        config: a YAML file with ``model``, ``training``, ``threshold``, or its content.
        plugins: plugin files, or folders of plugins' projects, to load as well.
        twin_seed: the twin that every run takes where data is generated; None: 1 + its seed.
        real: raise instead of taking a twin.
        rerun: repeat finished runs.
        log: trackers that each epoch is written to, under the home: ``csv``, ``tensorboard``, a
            comma list; None: those of ``HARNESS_LOG``.
        diagnose: also measure on validation what the models' mechanisms do, where they offer it
            (``facts["diagnostics"]`` of a record).
        compat: evaluate as the model's authors did (`harness.CompatSpec`); such a run stands on a
            board of its own, ``<data set>-compat``, without reference rows.
        references: also make the trivial rows, and on a twin the ceiling.
        bar: show a progress bar on stderr where it is a terminal.
        notify: called with what a user should know (a twin in use, the time a run will take);
            None: logged as information by the logger ``harness``.
        on_run_start: called with the request of a run as JSON when it starts.
        on_epoch_end: called with the request, the epoch from 0, and loss terms and validation
            metrics by name. An exception raised here ends `run` and is raised from it; the run
            goes on after its last whole epoch when it is asked for again.
        on_run_end: called with the request and the record as JSON. None of the three is called for
            a finished run that is found again.
        isolate: make each run in a process of its own, as the command line does, so that an abort
            or a kill by the kernel ends that run as failed, and not the caller. Models are then
            names or plugin files, and there are no callbacks.
        home: folder of prepared data and runs for this call; None: ``HARNESS_HOME``.

    Raises:
        RunFailedError: the ceiling of a twin could not be computed; its ``records`` are the runs.
        HarnessError: wrong input, missing data, or a path that cannot be used.

    Example:
        >>> runs = harness.run("ramer", "mosi", seeds=[0, 1, 2], dropout="core@1")
        >>> runs.table()[["model", "seed", "tuned_micro_f1"]]
    """
    from harness.engine.execute import execute
    from harness.engine.folds import gathered
    from harness.engine.request import RunRequest

    in_folds = None if folds is None else str(folds)
    given: list[Model] = list(model) if isinstance(model, list | tuple) else [model]  # type: ignore[list-item]
    registry, models, files = add_models(given, plugins)
    data = words(dataset)
    if not models or not data:
        raise UsageError("give at least one model and one data set.")
    asked = RunRequest(
        model=models[0],
        dataset=data[0],
        protocol=protocol,
        mask=mask,
        dropout=tuple(words(dropout)),
        split=split,
        train_dropout=train_dropout,
        preset=preset,
        config=config if config is None or isinstance(config, Mapping) else Path(config),
        overrides=tuple(_texts(overrides)),
        device=device,
        precision=precision,
        compile=compile,
        threads=threads,
        plugins=tuple(files),
        twin_seed=twin_seed,
        real=real,
        rerun=rerun,
        diagnose=diagnose,
        compat=compat,
        log=log,
        bar=bar,
        notify=notify or _logger.info,
    )
    calls = {
        "harness_run_start": on_run_start,
        "harness_epoch_end": on_epoch_end,
        "harness_run_end": on_run_end,
    }
    called = replace(registry, hook=_Callbacks(registry.hook, calls))
    with using_home(home):
        runs = RunStore()
        requests = [
            replace(asked, model=name, dataset=where, test_on=test_on, folds=in_folds, seed=seed)
            for where in data
            for name in models
            for seed in seeds_of(seeds)
        ]
        if isolate:
            if any(calls.values()) or not all(isinstance(m, str | Path) for m in given):
                raise UsageError(
                    "isolate=True takes names and plugin files, and no callbacks: another process "
                    "cannot be given classes and functions of this one."
                )
            return Runs(gathered(_isolated(requests, registry, references), runs), runs, files)
        try:
            records = execute(requests, called, references=references, reference_registry=registry)
        except _CallbackError as error:
            raise error.raised from None
    return Runs(gathered(records, runs), runs, files, [m for m in given if not isinstance(m, str)])


def _isolated(
    requests: Sequence[RunRequest], registry: Registry, references: bool
) -> list[RunRecord]:
    """Make runs in processes of their own; raise what kept one from running."""
    from harness.launch.grid import run_grid

    done = run_grid(requests, registry, jobs=1, references=references)
    for error in done.errors.values():
        error.records = done.records
        raise error
    return done.records


def rescore(
    records: Iterable[RunRecord], runs: RunStore | None = None, *, home: str | Path | None = None
) -> list[RunRecord]:
    """Recompute the metrics of finished runs from their predictions, and write the records.

    Failed runs are returned as they are.

    Args:
        records: the runs.
        runs: where they are; None: the runs under the home.
        home: folder of runs for this call; None: ``HARNESS_HOME``.

    Raises:
        DataMissingError: a run's predictions are not there.
        DataFormatError: they, or the record, are not what the run wrote.
    """
    from harness.engine.bounds import bound_metrics
    from harness.engine.compat import rules_of
    from harness.plugins import load

    load()  # metrics of installed plugins
    with using_home(home):
        runs = runs or RunStore()
    rescored = []
    for record in records:
        if record.status != "ok":
            rescored.append(record)
            continue
        with runs.lock(record.id):
            # As it stands now: another process may have added protocols since it was read.
            stored = runs.find(record.id)
            record = stored or record
            parts, labels = runs.parts(record), record.dataset["labels"]
            kind = record.dataset["label_kind"]
            if record.role in ORACLES:
                metrics = bound_metrics(parts, labels, kind, record.facts)
                again = replace(record, metrics=metrics)
            else:
                declared = record.threshold["declared"] or 0.0
                ranked = not record.facts.get("decisions", False)
                rules = rules_of(record.compat)
                metrics, threshold = rules.metrics(parts, labels, kind, declared, ranked=ranked)
                again = replace(record, metrics=metrics, threshold=threshold)
            again = RunRecord.from_dict(again.as_dict())
            if again != stored:
                again = runs.write(again)
        rescored.append(again)
    return rescored


class _CallbackError(HarnessError):
    """Carries an exception of a caller's callback through the guards around a model's code."""

    def __init__(self, raised: Exception) -> None:
        super().__init__(str(raised))
        self.raised = raised


class _Callbacks(GuardedHooks):
    """The hooks of plugins, and a caller's own, which are not guarded."""

    def __init__(
        self, hooks: GuardedHooks, calls: Mapping[str, Callable[..., None] | None]
    ) -> None:
        vars(self).update(vars(hooks))
        self._calls = calls

    def call(self, hook: str, **arguments: Any) -> list[tuple[str, Any]]:
        """Call the plugins' implementations of a hook, then the caller's."""
        found = super().call(hook, **arguments)
        own = self._calls.get(hook)
        if own is not None:
            try:
                own(*arguments.values())
            except Exception as error:  # whatever it is, it is the caller's and goes back to him
                raise _CallbackError(error) from error
        return found


def _texts(overrides: Overrides) -> list[str]:
    """Return overrides as ``key=value`` texts."""
    if isinstance(overrides, str):
        return [overrides]
    if not isinstance(overrides, Mapping):
        return list(overrides)
    found: list[str] = []
    for key, value in overrides.items():
        if isinstance(value, Mapping):
            found += [f"{key}.{text}" for text in _texts(value)]
        else:
            found.append(f"{key}={value if isinstance(value, str | Path) else _json(key, value)}")
    return found


def _json(key: str, value: Any) -> str:
    try:
        return json.dumps(list(value) if isinstance(value, tuple | set) else value)
    except TypeError as error:
        raise UsageError(
            f"overrides: {key!r} has a value of type {type(value).__name__}."
        ) from error
