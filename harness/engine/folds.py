"""Cross-validation by whole groups: a run a fold, and one record of all of them.

In the record of all folds every sample is scored once, by the run that did not learn of it. Scores
of a fold are moved so that the threshold tuned on that fold's validation split lies at 0.5, hence
all decisions are by the threshold 0.5 and figures follow from the stored scores as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.folds import check_count
from harness.data.locate import find_store
from harness.engine.evaluate import TEST, evaluate_parts
from harness.engine.request import RunRequest
from harness.errors import DataMissingError, UsageError
from harness.plugins import Registry
from harness.protocols.thresholds import apply
from harness.records.fingerprint import fingerprint, run_id
from harness.records.predictions import Predictions, predictions_file
from harness.records.provenance import now
from harness.records.record import RunRecord
from harness.records.request import command_of
from harness.records.store import PREDICTIONS, RunStore
from harness.specs import FOLDS, DatasetSpec, DerivedSpec

MIDDLE = 0.5
"""The threshold of all folds together, where the tuned threshold of each has been moved to."""
MANY = 10
"""Folds up to which nothing is said of their number."""
_SUMMED = ("steps", "seconds", "cpu_s")


def in_folds(spec: DatasetSpec) -> bool:
    """Return whether a data set is one in folds, all of them."""
    return isinstance(spec, DerivedSpec) and spec.protocol == FOLDS and not spec.fold


def expanded(requests: Sequence[RunRequest], registry: Registry) -> list[RunRequest]:
    """Return the requests, with one a fold in the place of each of a data set in folds.

    Raises:
        UsageError: there are fewer groups than folds.
        HarnessError: there is no such data set, or its data is not there.
    """
    counts: dict[str, int] = {}
    found: list[RunRequest] = []
    for request in requests:
        spec = registry.dataset(request.dataset)
        if not (isinstance(spec, DerivedSpec) and in_folds(spec)):
            found.append(request)
            continue
        if request.compat:
            raise UsageError("--folds: --compat reproduces figures of the authors' own split.")
        if spec.name not in counts:
            counts[spec.name] = _count(spec, request)
        numbers = range(1, counts[spec.name] + 1)
        found += [replace(request, dataset=f"{spec.name}.{n}") for n in numbers]
    return found


def refuse(spec: DatasetSpec, what: str) -> None:
    """Refuse a data set in folds where one store is needed.

    Raises:
        UsageError: says what it cannot be used for.
    """
    if in_folds(spec):
        raise UsageError(f"{spec.name}: {what} takes no data set in folds; name one: {spec.name}.1")


def _count(spec: DerivedSpec, request: RunRequest) -> int:
    """Return the number of folds, before any of them is prepared."""
    try:
        groups = _groups(spec.bases[0], request)
    except DataMissingError:
        if not spec.folds:
            raise
        return spec.folds  # a plan may be made where the data is not; its runs say what is missing
    check_count(groups, spec.folds)
    count = spec.folds or groups
    if count > MANY:
        request.notify(f"{spec.name}: {count} folds of {groups} groups, each prepared once.")
    return count


def _groups(base: DatasetSpec, request: RunRequest) -> int:
    store = find_store(base, real=True, announce=request.notify)
    return len({g for name in base.splits for g in store.split(name).groups})


def combine(names: Iterable[str], registry: Registry, runs: RunStore) -> list[RunRecord]:
    """Make the record of all folds of each model and seed whose folds are all there.

    One that is there and not older than a fold stays as it is.

    Args:
        names: data sets in folds; others are passed over.
        registry: the loaded plugins.
        runs: where the records and their predictions are, and where the new ones go.
    """
    specs = [s for s in map(registry.dataset, dict.fromkeys(names)) if isinstance(s, DerivedSpec)]
    wanted = {spec.whole_name for spec in specs if spec.protocol == FOLDS}
    if not wanted:
        return []
    groups: dict[str, dict[int, RunRecord]] = {}
    for record in runs.all():
        about = record.facts.get("fold")
        if about is not None and record.status == "ok" and record.dataset["base_name"] in wanted:
            groups.setdefault(about["of_all"], {})[about["number"]] = record
    found = []
    for folds in groups.values():
        lead = next(iter(folds.values()))
        if len(folds) == lead.facts["fold"]["of"]:
            found.append(_combined([folds[n] for n in sorted(folds)], registry, runs))
    return [record for record in found if record is not None]


def gathered(records: Sequence[RunRecord], runs: RunStore) -> list[RunRecord]:
    """Return records, with those of all folds in the place of their folds'.

    Folds that are not all there stand as they are.
    """
    if not any("fold" in r.facts for r in records):
        return [*records]
    by_fold = {run: r for r in runs.all() for run in r.facts.get("folds", ())}
    found = {r.id: r for r in (by_fold.get(record.id, record) for record in records)}
    return list(found.values())


def _combined(folds: list[RunRecord], registry: Registry, runs: RunStore) -> RunRecord | None:
    """Return the record of all folds; None: no test split was scored yet."""
    first = folds[0]
    spec = registry.dataset(first.dataset["name"])
    assert isinstance(spec, DerivedSpec)
    whole = spec.whole_name
    digest = fingerprint({"protocol": FOLDS, "folds": [r.fingerprint for r in folds]})
    run = run_id(first.model["name"], whole, first.seed, digest)
    known, parts = runs.find(run), _pooled(folds, runs)
    newest = max(r.created for r in folds)
    if not parts:
        return None
    same = known is not None and {*known.protocols["dropout"]} == {p.protocol for p in parts}
    if known is not None and same and known.created >= newest:
        return known
    labels, kind = spec.labels, spec.label_kind
    metrics, thresholds = evaluate_parts(parts, labels, kind, MIDDLE)
    content = fingerprint({"folds": [r.dataset["content_hash"] for r in folds]})
    samples = len(parts[0].ids)
    request = {**first.request, "dataset": whole}
    data = {"dataset": spec.bases[0].name, "content_hash": content}
    role = "trivial" if registry.model(first.model["name"]).role == "trivial" else "model"
    record = replace(
        first,
        id=run,
        fingerprint=digest,
        role=role,  # type: ignore[arg-type]
        dataset={
            **first.dataset, "name": whole, "base_name": whole, "content_hash": content,
            "splits": {TEST: samples},
        },
        config={**first.config, "threshold": MIDDLE},
        protocols={
            **first.protocols,
            "dropout": {p.protocol: {TEST: _dropout(folds, p.protocol)} for p in parts},
        },
        epochs=[],
        selection=None,
        threshold=thresholds,
        metrics=metrics,
        timings={
            "train_s": sum(r.timings["train_s"] for r in folds),
            "predict_s_per_sample": first.timings["predict_s_per_sample"],
            "epochs": sum(r.timings["epochs"] for r in folds),
        },
        budget={**first.budget, **{k: _sum(folds, k) for k in _SUMMED}},
        facts={"folds": [r.id for r in folds]},
        checks={"warnings": sorted({w for r in folds for w in r.checks.get("warnings", ())})},
        request=request,
        command=command_of(request),
        trained_on=data,
        tested_on=data,
        artefacts={},
        created=now(),
    )  # fmt: skip
    return runs.write(
        RunRecord.from_dict(record.as_dict()), {PREDICTIONS: predictions_file(parts, labels)}
    )


def _pooled(folds: Sequence[RunRecord], runs: RunStore) -> list[Predictions]:
    """Return for each dropout protocol the test scores of all folds as one part."""
    each = [
        {p.protocol: p for p in runs.parts(r) if p.split == TEST and not p.selected_for}
        for r in folds
    ]
    pooled = []
    for name in (name for name in each[0] if all(name in own for own in each)):
        own = [parts[name] for parts in each]
        scores = [
            moved(part.scores, _threshold(record)) for record, part in zip(folds, own, strict=True)
        ]
        pooled.append(
            Predictions(
                TEST,
                name,
                tuple(i for part in own for i in part.ids),
                tuple(g for part in own for g in part.groups),
                np.concatenate(scores),
                np.concatenate([part.truth for part in own]),
            )
        )
    return pooled


def _threshold(record: RunRecord) -> float | None:
    """Return the threshold that a fold is decided at; None: with one label a sample."""
    if record.dataset["label_kind"] == "singlelabel":
        return None
    known = record.threshold["tuned"]
    return float(record.threshold["declared"] if known is None else known)


def moved(scores: NDArray[np.float32], threshold: float | None) -> NDArray[np.float32]:
    """Return scores, float32 [N, L], moved so that their threshold is `MIDDLE`; their order stays.

    Args:
        scores: float32 [N, L] in [0, 1].
        threshold: a score is positive strictly above it; None: scores are left as they are.
    """
    if threshold is None:
        return scores
    above = apply(scores, threshold).astype(np.bool_)
    wide = scores.astype(np.float64)
    low = MIDDLE * wide / threshold if threshold > 0 else np.full_like(wide, MIDDLE)
    high = MIDDLE + (1 - MIDDLE) * (wide - threshold) / max(1 - threshold, np.finfo(float).tiny)
    least = np.nextafter(np.float32(MIDDLE), np.float32(1))
    high = np.clip(high, least, 1)
    return np.where(above, high, np.minimum(low, MIDDLE)).astype(np.float32)


def _dropout(folds: Sequence[RunRecord], protocol: str) -> dict[str, Any]:
    """Return how a dropout protocol turned out over all folds."""
    each: list[Mapping[str, Any]] = [r.protocols["dropout"][protocol][TEST] for r in folds]
    sizes = [r.dataset["splits"][TEST] for r in folds]
    known = [
        (e["eta_hat"], n) for e, n in zip(each, sizes, strict=True) if e["eta_hat"] is not None
    ]
    eta = sum(e * n for e, n in known) / sum(n for _, n in known) if known else None
    digest = fingerprint({"folds": [e["digest"] for e in each]})
    return {"eta_hat": eta, "digest": digest, "seed": each[0]["seed"]}


def _sum(folds: Sequence[RunRecord], key: str) -> Any:
    values = [r.budget.get(key) for r in folds]
    return None if None in values else sum(values)
