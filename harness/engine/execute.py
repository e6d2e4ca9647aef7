"""Requests to records: everything is checked, then run one after the other in this process."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from harness.conformance import Surroundings
from harness.data.locate import SIZES, find_store, twin_seed_for
from harness.data.store import Store
from harness.engine.checkpoint import model_class_of
from harness.engine.device import choose
from harness.engine.folds import combine, expanded
from harness.engine.plan import RunPlan, make_plan
from harness.engine.reference import reference_rows
from harness.engine.request import RunRequest
from harness.engine.run import fail_one, run_one
from harness.errors import HarnessError, UsageError
from harness.plugins import Registry
from harness.records.record import RunRecord
from harness.records.store import RunStore
from harness.specs import DatasetSpec

PAUSE_S = 10.0
"""Seconds between two messages of how far something is."""
T = TypeVar("T")


def execute(
    requests: Sequence[RunRequest],
    registry: Registry,
    *,
    references: bool = True,
    reference_registry: Registry | None = None,
    announced: Sequence[int] | None = None,
    wait: bool = True,
) -> list[RunRecord]:
    """Run requests in order; return a record each.

    All models, data sets and configurations are checked before the first run starts.

    Args:
        requests: what to run; those that differ only in the seed are announced together.
        registry: the loaded plugins.
        references: also make the trivial rows of each data set, and on a twin the ceiling: of
            each twin that was trained on.
        announced: the seeds that are announced, empty: none; None: those of the requests.
        reference_registry: the plugins whose hooks are called for reference runs; None:
            ``registry``.
        wait: wait for another process that makes one of the runs, and find its result.

    Raises:
        RunHeldError: another process makes a run, and is not waited for.
        RunFailedError: the ceiling of a twin could not be computed; its ``records`` are the runs.
        HarnessError: wrong input, missing data, or a path that cannot be used.
    """
    if not requests:
        raise UsageError("nothing to run: give a model, a data set and a seed.")
    requests = expanded(requests, registry)
    first, plans = requests[0], plans_of(requests, registry)
    runs, records, told = RunStore(), list[RunRecord](), once(first.notify)
    for _, group_of in itertools.groupby(plans, lambda plan: replace(plan.request, seed=0)):
        group = list(group_of)
        lead = group[0]
        seeds = [p.request.seed for p in group] if announced is None else announced
        preset = f"preset {lead.config.preset!r}, " if lead.config.preset else ""
        if seeds:
            lead.request.notify(
                f"{lead.request.model} on {lead.spec.name}, {preset}{_numbered('seed', seeds)}."
            )
        for plan in group:
            told(_data_line(plan.store))
            records.append(run_one(plan, runs, wait=wait))
    if references and not first.compat:
        for plan in {(p.spec.name, p.store.content_hash): p for p in reversed(plans)}.values():
            try:
                reference_rows(replace(plan, registry=reference_registry or registry), runs)
            except HarnessError as error:
                error.records = records
                raise
    combine([plan.spec.name for plan in plans], registry, runs)
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
    stores = _stores_of(requests, specs)
    return [
        make_plan(r, registry, classes[r.model], store, compute)
        for r, store, compute in zip(requests, stores, computes, strict=True)
    ]


def _stores_of(requests: Sequence[RunRequest], specs: Mapping[str, DatasetSpec]) -> list[Store]:
    """Return the store of each request, each opened once: a data set's, or a twin seed's."""
    tell, found = once(requests[0].notify), dict[tuple[str, int | None], Store]()
    stores = []
    for request in counted(requests, requests[0].notify, "runs have their data"):
        own = twin_seed_for(request.seed, request.twin_seed)
        store = found.get((request.dataset, None)) or found.get((request.dataset, own))
        if store is None:
            store = find_store(
                specs[request.dataset], real=request.real, seed=request.seed,
                twin_seed=request.twin_seed, announce=tell,
            )  # fmt: skip
            found[request.dataset, own if store.is_twin else None] = store
        stores.append(store)
    return stores


def counted(items: Sequence[T], notify: Callable[[str], None], what: str) -> Iterator[T]:
    """Yield items; where that takes long, say from time to time how many are done.

    Args:
        items: what takes time.
        notify: takes the message.
        what: of it, after its number: ``"runs are planned"``.
    """
    last = time.monotonic()
    for number, item in enumerate(items):
        if time.monotonic() - last >= PAUSE_S:
            notify(f"{number} of {len(items)} {what}.")
            last = time.monotonic()
        yield item


def once(notify: Callable[[str], None]) -> Callable[[str], None]:
    """Return what hands a message on the first time it is told."""
    said: set[str] = set()

    def tell(message: str) -> None:
        if message not in said:
            said.add(message)
            notify(message)

    return tell


def _numbered(what: str, numbers: Sequence[int]) -> str:
    return f"{what}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _data_line(store: Store) -> str:
    """Return the line that says which data a run is on."""
    twin = store.card["twin"] if store.is_twin else None
    size = f", size {twin['size']}" if twin and twin["size"] != SIZES[0] else ""
    of = f", twin seed {twin['seed']}{size}" if twin else ""
    return f"{store.spec.name}{of}: data {store.content_hash[:12]}."


def record_failure(request: RunRequest, registry: Registry, reason: str) -> RunRecord:
    """Return the record of a run whose process ended without a result, and write it.

    Args:
        request: what was asked of it.
        registry: the loaded plugins.
        reason: how it ended.
    """
    (plan,) = plans_of([request], registry)
    return fail_one(plan, RunStore(), reason)
