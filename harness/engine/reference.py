"""Rows that say what a score is worth: trivial predictors, and the best on generated data.

The best is the exact posterior, the *ceiling*; beside it stand *observers* that lack one thing.
Where masks follow features, the *leak floor* sees which modalities are there and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

import harness
from harness.data.corpus import Answers, Corpus
from harness.data.locate import FIRST_TWIN, corpus_of, twin_seed_for
from harness.engine import leak
from harness.engine.bounds import bound_metrics
from harness.engine.checkpoint import model_class_of
from harness.engine.device import choose, instruction_set
from harness.engine.evaluate import FULL, TEST, VALID
from harness.engine.evaluation import merged_splits, part_of
from harness.engine.faults import corpus_faults
from harness.engine.plan import RunPlan, dataset_facts, make_plan, misfit
from harness.engine.request import silent
from harness.engine.run import run_one
from harness.engine.splits import SplitView, views_of
from harness.errors import DataFormatError, DataMissingError
from harness.protocols.dropout import DropoutProtocol, SplitMasks
from harness.records.fingerprint import fingerprint, run_id
from harness.records.predictions import Predictions, predictions_file, replaced
from harness.records.provenance import collect, now
from harness.records.record import RecordRole, RunRecord
from harness.records.request import command_of
from harness.records.store import PREDICTIONS, RunStore
from harness.records.sums import BOUNDS, threshold_key

CEILING: Final = "ceiling"
OBSERVER: Final = "observer"
LEAK_FLOOR: Final = "leak-floor"
_VERSION = "2"


def reference_rows(plan: RunPlan, runs: RunStore) -> list[RunRecord]:
    """Return the reference rows beside a plan, under its protocols: found again or made.

    Trivial models are ordinary runs with their own defaults, on the CPU. The seed of all is the
    one whose twin the plan's data is; 0 on real data.

    Raises:
        RunFailedError: the code of the data set that computes ceiling or observers failed.
    """
    registry, store = plan.registry, plan.store
    twin = int(store.card["twin"]["seed"]) if store.is_twin else None
    seed = 0 if twin is None else max(0, twin - FIRST_TWIN)
    fixed = twin if twin is not None and twin_seed_for(seed) != twin else None
    plan = replace(plan, request=replace(plan.request, seed=seed, twin_seed=fixed))
    records = []
    for name, entry in registry.models.items():
        if entry.spec.role != "trivial" or misfit(entry.spec, plan.spec):
            continue
        request = replace(
            plan.request,
            model=name,
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
        trivial = make_plan(request, registry, model_class_of(entry.spec), store, choose("cpu"))
        records.append(run_one(trivial, runs))
    return [*records, *oracles(plan, runs), *_leak_floor(plan, runs)]


def _leak_floor(plan: RunPlan, runs: RunStore) -> list[RunRecord]:
    """Return the floor under protocols whose masks follow features; none: there is no such one."""
    asked = any(protocol.family == leak.FAMILY for protocol in plan.dropout)
    if not asked or VALID not in plan.spec.splits or plan.request.split == VALID:
        return []
    found = _found_or_made(_LeakFloor(plan, None, LEAK_FLOOR), runs)
    return [] if found is None else [found]


@dataclass(frozen=True)
class _Oracle:
    """A row to be made: the ceiling, or an observer of its corpus."""

    plan: RunPlan
    corpus: Corpus | None
    observer: str | None = None

    @property
    def role(self) -> RecordRole:
        """Return the role of its record."""
        return CEILING if self.observer is None else OBSERVER

    @property
    def name(self) -> str:
        """Return what stands in the place of a model's name."""
        return self.observer or CEILING

    @property
    def digest(self) -> str:
        """Return the fingerprint of its record."""
        spec = self.plan.spec
        return fingerprint(
            {
                "role": self.role,
                "name": self.name,
                "version": [harness.__version__, _VERSION],
                "dataset": [spec.name, spec.version, self.plan.store.content_hash],
                "mask": self.plan.mask,
            }
        )

    def knows(self, protocol: DropoutProtocol, masks: SplitMasks) -> bool:
        """Return whether it has an answer under a dropout protocol; observers see all there is."""
        if self.observer is not None:
            return protocol.id == FULL
        assert self.corpus is not None
        return self.corpus.has_ceiling(masks)

    def answers(self, view: SplitView, protocol: DropoutProtocol, masks: SplitMasks) -> Answers:
        """Return what it says of a split under the masks of a protocol."""
        assert self.corpus is not None
        seed = int(self.plan.store.card["twin"]["seed"])
        return self.corpus.answers(view.split, masks, seed, self.observer)


class _LeakFloor(_Oracle):
    """The best constant label set of each pattern of missing modalities, fitted on validation."""

    def knows(self, protocol: DropoutProtocol, masks: SplitMasks) -> bool:
        """Return whether masks follow features, so that they may say something of labels."""
        return protocol.family == leak.FAMILY

    def answers(self, view: SplitView, protocol: DropoutProtocol, masks: SplitMasks) -> Answers:
        """Return the decisions of a split as its scores."""
        single = self.plan.spec.label_kind == "singlelabel"
        fitting = views_of(self.plan.store, self.plan.mask, splits=(VALID,))[VALID]
        kept = fitting.masks(protocol).keep
        found = leak.fitted(kept, np.asarray(fitting.split.labels), single)
        return Answers(leak.decided(found, masks.keep), None if single else 0.5)


def oracles(plan: RunPlan, runs: RunStore) -> list[RunRecord]:
    """Return the ceiling of generated data under the plan's protocols, and its observers.

    The ceiling's scores are the exact posterior, the best that any model could give; every figure
    is by the decisions that are best for it, from thresholds that are known beforehand
    (`harness.data.corpus.Corpus.answers`). Protocols whose posterior has no closed form (noise,
    units) are left out. Observers are of complete data.
    """
    if plan.spec.source != "twin":
        return []
    corpus = corpus_of(plan.spec)
    names: tuple[str, ...] = ()
    with corpus_faults(plan, runs.root):
        names = corpus.observers()
    found = [_found_or_made(_Oracle(plan, corpus, name), runs) for name in (None, *names)]
    return [record for record in found if record is not None]


def _found_or_made(row: _Oracle, runs: RunStore) -> RunRecord | None:
    """Return the record of a row with the plan's protocols; None: it has an answer to none."""
    plan, split = row.plan, row.plan.request.split
    run = run_id(row.name, plan.spec.name, plan.request.seed, row.digest)
    with runs.lock(run):
        found, parts = _before(plan, runs, run)
        known = {} if found is None else found.protocols["dropout"]
        wanted = [p for p in plan.dropout if split not in known.get(p.id, {})]
        if found is not None and not wanted:
            return found
        view = views_of(plan.store, plan.mask, splits=(split,))[split]
        facts = {} if found is None else found.facts
        with corpus_faults(plan, runs.folder(run)):
            new, dropout, facts = _answered(row, view, wanted, facts)
        if found is not None and not new:
            return found
        parts = replaced(parts, new)
        if not parts:
            return None
        record = _record(row, run, parts, merged_splits(known, dropout), facts)
        return runs.write(record, {PREDICTIONS: predictions_file(parts, plan.spec.labels)})


def _before(plan: RunPlan, runs: RunStore, run: str) -> tuple[RunRecord | None, list[Predictions]]:
    """Return the record that is there and its predictions; what is broken is made again."""
    try:
        found = runs.find(run)
        return found, [] if found is None else runs.parts(found)
    except (DataFormatError, DataMissingError) as error:
        plan.request.notify(f"{error} It is made again.")
        return None, []


def _answered(
    row: _Oracle, view: SplitView, wanted: Sequence[DropoutProtocol], facts: Mapping[str, Any]
) -> tuple[list[Predictions], dict[str, Any], dict[str, Any]]:
    """Return the answers under protocols, how these turned out, and the facts of the record."""
    split = view.split.name
    bounds = set(facts.get(BOUNDS, ()))
    thresholds = dict(facts.get(threshold_key(split), {}))
    parts, dropout = list[Predictions](), dict[str, Any]()
    for protocol in wanted:
        masks = view.masks(protocol)
        if not row.knows(protocol, masks):
            continue
        answers = row.answers(view, protocol, masks)
        parts += _parts(view, protocol.id, answers)
        bounds |= answers.decided.keys()
        if answers.threshold is not None:
            thresholds[protocol.id] = answers.threshold
        dropout[protocol.id] = {split: masks.facts}
    return parts, dropout, {**facts, BOUNDS: sorted(bounds), threshold_key(split): thresholds}


def _parts(view: SplitView, protocol: str, answers: Answers) -> list[Predictions]:
    """Return what is stored of an observer's answers: its scores, then decisions by metric.

    Args:
        view: the split, N samples.
        protocol: id of the dropout protocol.
        answers: of its samples.
    """
    whole = part_of(view, protocol, np.clip(answers.scores, 0.0, 1.0))
    return [
        whole,
        *(
            replace(whole, scores=decided.astype(np.float32), selected_for=metric)
            for metric, decided in sorted(answers.decided.items())
        ),
    ]


def _record(
    row: _Oracle,
    run: str,
    parts: Sequence[Predictions],
    dropout: dict[str, Any],
    facts: dict[str, Any],
) -> RunRecord:
    plan, spec = row.plan, row.plan.spec
    request = plan.recorded(dropout)
    record = RunRecord(
        id=run,
        fingerprint=row.digest,
        status="ok",
        role=row.role,
        model={
            "name": row.name,
            "version": _VERSION,
            "variant": "",
            "reported_as": None,
            "plugin": "harness",
            "distribution": None,
            "distribution_version": None,
        },
        dataset=dataset_facts(plan.store, plan.mask),
        config={"preset": None, "threshold": None, "model": {}, "training": {}},
        seed=plan.request.seed,
        device="cpu",
        precision="fp32",
        protocols={
            "dataset": spec.id,
            "train_dropout": FULL,
            "selection_metric": spec.selection_metric,
            "dropout": dropout,
        },
        parameters=0,
        epochs=[],
        selection=None,
        threshold={"declared": None, "tuned": None},
        metrics=bound_metrics(parts, spec.labels, spec.label_kind, facts),
        timings={"train_s": 0.0, "predict_s_per_sample": None, "epochs": 0},
        provenance=collect(cpu_capability=instruction_set()),
        facts=facts,
        command=command_of(request),
        request=request,
        tested_on=plan.tested_on if any(TEST in splits for splits in dropout.values()) else None,
        created=now(),
    )
    return RunRecord.from_dict(record.as_dict())
