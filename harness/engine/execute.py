"""Requests to records: everything is checked, then run one after the other in this process."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from harness.conformance import Surroundings
from harness.data.locate import find_store
from harness.engine.checkpoint import model_class_of
from harness.engine.device import choose
from harness.engine.plan import RunPlan, make_plan
from harness.engine.reference import reference_rows
from harness.engine.request import RunRequest
from harness.engine.run import fail_one, run_one
from harness.errors import HarnessError, UsageError
from harness.plugins import Registry
from harness.records.record import RunRecord
from harness.records.store import RunStore


def execute(
    requests: Sequence[RunRequest],
    registry: Registry,
    *,
    references: bool = True,
    reference_registry: Registry | None = None,
    announced: Sequence[int] | None = None,
) -> list[RunRecord]:
    """Run requests in order; return a record each.

    All models, data sets and configurations are checked before the first run starts.

    Args:
        requests: what to run; those that differ only in the seed are announced together.
        registry: the loaded plugins.
        references: also make the trivial rows of each data set, and on a twin the ceiling.
        announced: the seeds that are announced, empty: none; None: those of the requests.
        reference_registry: the plugins whose hooks are called for reference runs; None:
            ``registry``.

    Raises:
        RunFailedError: the ceiling of a twin could not be computed; its ``records`` are the runs.
        HarnessError: wrong input, missing data, or a path that cannot be used.
    """
    if not requests:
        raise UsageError("nothing to run: give a model, a data set and a seed.")
    first, plans = requests[0], plans_of(requests, registry)
    runs, records = RunStore(), list[RunRecord]()
    for _, group_of in itertools.groupby(plans, lambda plan: replace(plan.request, seed=0)):
        group = list(group_of)
        lead = group[0]
        seeds = [p.request.seed for p in group] if announced is None else announced
        preset = f"preset {lead.config.preset!r}, " if lead.config.preset else ""
        if seeds:
            lead.request.notify(
                f"{lead.request.model} on {lead.spec.name}, {preset}"
                f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}."
            )
        records += [run_one(plan, runs) for plan in group]
    if references and not first.compat:
        for plan in {p.spec.name: p for p in reversed(plans)}.values():
            try:
                reference_rows(replace(plan, registry=reference_registry or registry), runs)
            except HarnessError as error:
                error.records = records
                raise
    return records


def plans_of(requests: Sequence[RunRequest], registry: Registry) -> list[RunPlan]:
    """Return the plan of each request.

    Raises:
        HarnessError: wrong input, or missing data.
    """
    models = {r.model: registry.model(r.model) for r in requests}
    specs = {r.dataset: registry.dataset(r.dataset) for r in requests}
    before = Surroundings()
    classes = {name: model_class_of(spec) for name, spec in models.items()}
    for sentence in before.restore("a model's module"):
        requests[0].notify(sentence)
    computes = [choose(r.device, r.precision, r.threads) for r in requests]
    first = requests[0]
    stores = {
        name: find_store(spec, real=first.real, announce=first.notify)
        for name, spec in specs.items()
    }
    return [
        make_plan(r, registry, classes[r.model], stores[r.dataset], compute)
        for r, compute in zip(requests, computes, strict=True)
    ]


def record_failure(request: RunRequest, registry: Registry, reason: str) -> RunRecord:
    """Return the record of a run whose process ended without a result, and write it.

    Args:
        request: what was asked of it.
        registry: the loaded plugins.
        reason: how it ended.
    """
    (plan,) = plans_of([request], registry)
    return fail_one(plan, RunStore(), reason)
