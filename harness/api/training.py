"""The Python interface: `run` trains and scores, `rescore` recomputes metrics from predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import HarnessError, UsageError
from harness.records.predictions import read_predictions
from harness.records.record import RunRecord
from harness.records.store import RunStore


def run(
    model: str,
    dataset: str,
    seeds: Sequence[int] = (0,),
    protocol: str | None = None,
    dropout: Sequence[str] = ("full@1",),
    preset: str | None = None,
    overrides: Sequence[str] = (),
    device: str = "auto",
    *,
    precision: str = "fp32",
    compile: bool = False,
    threads: int = 1,
    config: Path | None = None,
    plugins: Sequence[str] = (),
    real: bool = False,
    rerun: bool = False,
    compat: bool = False,
    references: bool = True,
    bar: bool = False,
    notify: Callable[[str], None] | None = None,
) -> list[RunRecord]:
    """Train a model on a data set and score it; one record a seed, in the order of ``seeds``.

    A finished run is found again. One that was interrupted goes on. A run without a result (NaN
    loss, an error in the model's code) gives a record with status ``failed``; the other seeds are
    run all the same.

    Args:
        model: a model's name.
        dataset: a data set's name; ``<name>-twin`` for its twin.
        seeds: training seeds.
        protocol: mask option (``ones``, ``nonzero``, ``length``) or data set protocol
            (``mosei-aligned@1``, ``mosei-aligned@1+length``); None: the data set's default.
        dropout: dropout protocols and suites to evaluate under; ``full@1`` always is among them.
        preset: preset of the model; None: ``quick`` on twins, ``paper`` on real data.
        overrides: ``section.key=value`` texts, as of ``--set``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``fp32`` or ``bf16``.
        compile: compile the model's steps.
        threads: CPU threads of the run; results depend on them to the last bits.
        config: a YAML file with ``model``, ``training``, ``threshold``.
        plugins: plugin files to load.
        real: do not fall back to a twin.
        rerun: repeat finished runs.
        compat: evaluate as the model's authors did (`harness.specs.CompatSpec`); such a run stands
            on a board of its own, ``<data set>-compat``, without reference rows.
        references: also make the trivial rows, and on a twin the ceiling.
        bar: show a progress bar on stderr where it is a terminal.
        notify: told what a user should know (a twin in use, the time a run will take).

    Raises:
        RunFailedError: the ceiling of a twin could not be computed; its ``records`` are the runs.
        HarnessError: wrong input, missing data, or a path that cannot be used.
    """
    from harness.data.locate import find_store
    from harness.engine.checkpoint import model_class_of
    from harness.engine.device import choose
    from harness.engine.plan import RunRequest, make_plan, silent
    from harness.engine.reference import reference_rows
    from harness.engine.run import run_one
    from harness.registry import load

    tell = notify or silent
    registry = load(tuple(plugins))
    spec, wanted = registry.model(model), registry.dataset(dataset)
    compute = choose(device, precision, threads)
    store = find_store(wanted, real=real, announce=tell)
    request = RunRequest(
        model=model,
        dataset=dataset,
        protocol=protocol,
        dropout=tuple(dropout),
        preset=preset,
        config_file=config,
        overrides=tuple(overrides),
        device=device,
        precision=precision,
        compile=compile,
        plugins=tuple(plugins),
        rerun=rerun,
        compat=compat,
        bar=bar,
        notify=tell,
    )
    wanted_seeds = list(dict.fromkeys(seeds))
    if not wanted_seeds:
        raise UsageError("no seed given; seeds=(0,) is one run.")
    plans = [
        make_plan(replace(request, seed=seed), registry, model_class_of(spec), store, compute)
        for seed in wanted_seeds
    ]
    runs = RunStore()
    numbers = ", ".join(map(str, wanted_seeds))
    tell(
        f"{model} on {store.spec.name}, preset {plans[0].config.preset!r}, "
        f"seed{'s' if len(wanted_seeds) > 1 else ''} {numbers}."
    )
    records = [run_one(plan, runs) for plan in plans]
    if references and not compat:
        try:
            reference_rows(plans[0], runs)
        except HarnessError as error:
            error.records = records
            raise
    return records


def rescore(records: Iterable[RunRecord], runs: RunStore | None = None) -> list[RunRecord]:
    """Recompute the metrics of finished runs from their predictions, and write the records.

    Failed runs are returned as they are.

    Raises:
        DataMissingError: a run's predictions are not there.
        DataFormatError: they are broken.
    """
    from harness.engine.evaluate import as_printed, evaluate_parts
    from harness.engine.reference import ceiling_metrics

    runs = runs or RunStore()
    rescored = []
    for record in records:
        if record.status != "ok":
            rescored.append(record)
            continue
        with runs.lock(record.id):
            labels, parts = read_predictions(runs.predictions(record.id))
            kind = record.dataset["label_kind"]
            if record.role == "ceiling":
                metrics, best = ceiling_metrics(parts, labels, kind)
                again = replace(record, metrics=metrics, facts={"threshold_on_test": best})
            else:
                declared = record.threshold["declared"] or 0.0
                ranked = not record.facts.get("decisions", False)
                metrics, tuned = evaluate_parts(parts, labels, kind, declared, ranked=ranked)
                threshold = {"declared": declared, "tuned": tuned}
                printed = as_printed(metrics, record.compat)
                again = replace(record, metrics=printed, threshold=threshold)
            runs.write(again)
        rescored.append(RunRecord.from_dict(again.as_dict()))
    return rescored
