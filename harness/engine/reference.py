"""Rows that say what a score is worth: trivial predictors, and on a twin the best there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import harness
from harness.data.corpus import Corpus
from harness.data.store import Store
from harness.engine.checkpoint import model_class_of
from harness.engine.device import choose
from harness.engine.evaluate import TEST, metrics_of
from harness.engine.evaluation import merged_splits, part_of
from harness.engine.faults import corpus_faults
from harness.engine.plan import RunPlan, dataset_facts, make_plan, misfit
from harness.engine.request import silent
from harness.engine.run import run_one
from harness.engine.splits import SplitView, views_of
from harness.errors import DataFormatError, DataMissingError
from harness.plugins import resolve
from harness.protocols.dropout import DropoutProtocol, SplitMasks
from harness.protocols.thresholds import best_on_grid
from harness.records.fingerprint import fingerprint, run_id
from harness.records.predictions import Predictions, predictions_file, replaced
from harness.records.provenance import collect, now
from harness.records.record import RunRecord
from harness.records.request import command_of
from harness.records.store import PREDICTIONS, RunStore
from harness.records.sums import threshold_key

CEILING = "ceiling"
_VERSION = "1"


def reference_rows(plan: RunPlan, runs: RunStore) -> list[RunRecord]:
    """Return the reference rows beside a plan, under its protocols: found again or made.

    Trivial models are ordinary runs with seed 0, their own defaults, on the CPU.

    Raises:
        RunFailedError: the data set's code that computes the ceiling failed.
    """
    registry = plan.registry
    records = []
    for name, entry in registry.models.items():
        if entry.spec.role != "trivial" or misfit(entry.spec, plan.spec):
            continue
        request = replace(
            plan.request,
            model=name,
            seed=0,
            preset=None,
            config=None,
            train_dropout=None,
            overrides=(),
            precision="fp32",
            compile=False,
            rerun=False,
            bar=False,
            notify=silent,
        )
        trivial = make_plan(
            request, registry, model_class_of(entry.spec), plan.store, choose("cpu")
        )
        records.append(run_one(trivial, runs))
    if plan.spec.source == "twin":
        bound = ceiling(plan, runs)
        records += [] if bound is None else [bound]
    return records


def ceiling(plan: RunPlan, runs: RunStore) -> RunRecord | None:
    """Return the record of the best any model could do on a twin, under the plan's protocols.

    The scores are the exact posterior; the threshold is the best on the evaluated split itself,
    per protocol, because the row is a bound and not a competitor. Protocols whose posterior has
    no closed form (noise, units) are left out; None: there is no other.
    """
    store, spec, split = plan.store, plan.spec, plan.request.split
    digest = fingerprint(
        {
            "role": CEILING,
            "version": [harness.__version__, _VERSION],
            "dataset": [spec.name, spec.version, store.content_hash],
            "mask": plan.mask,
        }
    )
    run = run_id(CEILING, spec.name, 0, digest)
    with runs.lock(run):
        found, parts = _ceiling_before(plan, runs, run)
        known = {} if found is None else found.protocols["dropout"]
        wanted = [p for p in plan.dropout if split not in known.get(p.id, {})]
        if found is not None and not wanted:
            return found
        view = views_of(store, plan.mask, splits=(split,))[split]
        with corpus_faults(plan, runs.folder(run)):
            new, dropout = _ceiling_parts(store, view, wanted)
        if found is not None and not new:
            return found
        parts = replaced(parts, new)
        if not parts:
            return None
        record = _ceiling_record(plan, run, digest, parts, merged_splits(known, dropout))
        return runs.write(record, {PREDICTIONS: predictions_file(parts, spec.labels)})


def _ceiling_before(
    plan: RunPlan, runs: RunStore, run: str
) -> tuple[RunRecord | None, list[Predictions]]:
    """Return the ceiling that is there and its predictions; what is broken is made again."""
    try:
        found = runs.find(run)
        return found, [] if found is None else runs.parts(found)
    except (DataFormatError, DataMissingError) as error:
        plan.request.notify(f"{error} It is made again.")
        return None, []


def _ceiling_parts(
    store: Store, view: SplitView, protocols: Sequence[DropoutProtocol]
) -> tuple[list[Predictions], dict[str, Any]]:
    corpus = resolve(store.spec.corpus)(store.spec)
    seed = int(store.card["twin"]["seed"])
    parts, dropout = [], {}
    for protocol in protocols:
        masks = view.masks(protocol)
        if not corpus.has_ceiling(masks):
            continue
        parts.append(part_of(view, protocol.id, _posterior(corpus, view, masks, seed)))
        about = {"eta_hat": masks.eta_hat, "digest": masks.digest, "seed": 0}
        dropout[protocol.id] = {view.split.name: about}
    return parts, dropout


def _posterior(
    corpus: Corpus, view: SplitView, masks: SplitMasks, seed: int
) -> np.ndarray[Any, Any]:
    return np.clip(corpus.ceiling_scores(view.split, masks, seed), 0.0, 1.0).astype(np.float32)


def _ceiling_record(
    plan: RunPlan, run: str, digest: str, parts: Sequence[Predictions], dropout: dict[str, Any]
) -> RunRecord:
    metrics, facts = ceiling_metrics(parts, plan.spec.labels, plan.spec.label_kind)
    request = plan.recorded(dropout)
    record = RunRecord(
        id=run,
        fingerprint=digest,
        status="ok",
        role="ceiling",
        model={
            "name": CEILING,
            "version": _VERSION,
            "variant": "",
            "reported_as": None,
            "plugin": "harness",
            "distribution": None,
            "distribution_version": None,
        },
        dataset=dataset_facts(plan.store, plan.mask),
        config={"preset": None, "threshold": None, "model": {}, "training": {}},
        seed=0,
        device="cpu",
        precision="fp32",
        protocols={
            "dataset": plan.spec.id,
            "train_dropout": "full@1",
            "selection_metric": plan.spec.selection_metric,
            "dropout": dropout,
        },
        parameters=0,
        epochs=[],
        selection=None,
        threshold={"declared": None, "tuned": None},
        metrics=metrics,
        timings={"train_s": 0.0, "predict_s_per_sample": None, "epochs": 0},
        provenance=collect(),
        facts=facts,
        command=command_of(request),
        request=request,
        tested_on={"dataset": plan.spec.name, "content_hash": plan.store.content_hash}
        if any(TEST in splits for splits in dropout.values())
        else None,
        created=now(),
    )
    return RunRecord.from_dict(record.as_dict())


def ceiling_metrics(
    parts: Sequence[Predictions], labels: Sequence[str], kind: Any
) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """Return the ceiling's metrics, ``declared`` and ``tuned`` alike, and its record's facts.

    The facts are ``threshold_on_<split>``: per protocol the best threshold on the split itself.
    """
    metrics: dict[str, Any] = {}
    facts: dict[str, dict[str, float]] = {}
    for part in parts:
        best = best_on_grid(part.scores, part.truth)[0]
        (found,) = metrics_of(part, labels, kind, [best])
        metrics.setdefault(part.protocol, {})[part.split] = {"declared": found, "tuned": found}
        facts.setdefault(threshold_key(part.split), {})[part.protocol] = best
    return metrics, facts
