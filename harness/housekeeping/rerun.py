"""Training a run again from its request, and saying what came of it.

Verdicts: ``identical``: every figure and every stored score is equal bit by bit. ``within
tolerance``: every figure of a whole split differs by at most the tolerance (`TOLERANCE` unless
given); figures of single labels and of slices, which rest on few samples, are not held to it.
``different``: anything else, or no result.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from harness import paths
from harness.engine.request import RunRequest, silent
from harness.errors import DataMissingError, UnknownNameError, UsageError
from harness.paths import storage_errors
from harness.plugins import Registry
from harness.plugins.needed import not_loaded
from harness.records.committed import CommittedRecords
from harness.records.record import RunRecord
from harness.records.request import override_text
from harness.records.store import RunStore

if TYPE_CHECKING:
    from harness.engine.plan import RunPlan
    from harness.records.predictions import Predictions

TOLERANCE = 0.01
"""Largest difference of a figure of a whole split, in the unit of the figure (F1: 0 to 1)."""

Verdict = Literal["identical", "within tolerance", "different"]
IDENTICAL: Final = "identical"
WITHIN: Final = "within tolerance"
DIFFERENT: Final = "different"
_PLACES = ("python", "platform", "processor", "blas", "cpu_capability", "hardware", "threads")


@dataclass(frozen=True)
class Repeated:
    """What became of a run that was trained again.

    Attributes:
        run: its id.
        verdict: ``identical``, ``within tolerance`` or ``different``.
        figures: how many figures were compared.
        largest: the largest difference of a figure of a whole split; None: none was compared.
        where: the figure that it is, as ``protocol/split/threshold/metric``.
        scores: the largest difference of a score; None: no predictions to compare with.
        causes: what differs between then and now (code, data, configuration, packages, ...),
            clauses; of an identical run too.
        reason: why there is no result; empty otherwise.
    """

    run: str
    verdict: Verdict
    figures: int = 0
    largest: float | None = None
    where: str = ""
    scores: float | None = None
    causes: tuple[str, ...] = ()
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def rerun(
    record: RunRecord,
    store: RunStore | CommittedRecords,
    registry: Registry,
    *,
    folder: Path | None = None,
    tolerance: float = TOLERANCE,
    device: str | None = None,
    notify: Callable[[str], None] = silent,
) -> Repeated:
    """Train a run again from its request and compare; the run itself stays as it is.

    The new run is made in a temporary folder under the home and removed.

    Args:
        record: the run.
        store: where its predictions are.
        registry: the loaded plugins, with the model's.
        folder: the run's files, where they are not in a folder of its id.
        tolerance: as of the module.
        device: where to train; None: where it was trained.
        notify: called with messages of the training.

    Raises:
        UsageError: it is no finished run of a model, or its device is not here.
        HarnessError: the model or the data set is not known, or the data is missing.
    """
    from harness.engine.execute import plans_of
    from harness.engine.run import run_one

    if "folds" in record.facts:
        folds = ", ".join(record.facts["folds"])
        raise UsageError(f"{record.id} is of all folds; each is trained again by its own: {folds}.")
    if record.status != "ok" or record.role not in ("model", "fold"):
        raise UsageError(
            f"{record.id} (status {record.status}, role {record.role}) is no finished run of a "
            "model; only those are trained again."
        )
    request = request_of(record, device=device, notify=notify)
    try:
        (plan,) = plans_of([request], registry)
    except UnknownNameError as error:
        about = record.model
        of_model = error.name == about["name"]
        raise not_loaded(
            error, record.request["plugins"], about["distribution"] if of_model else "",
            about["distribution_version"],
        ) from None  # fmt: skip
    with storage_errors(paths.home()):
        paths.home().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=paths.home(), prefix=".rerun.") as made:
        again = RunStore(Path(made))
        new = run_one(plan, again)
        causes = tuple(causes_of(record, new, plan))
        if new.status != "ok":
            reason = (new.failure or {}).get("reason", "unknown")
            return Repeated(record.id, DIFFERENT, causes=causes, reason=reason)
        before = _parts(record, store, folder)
        return compare(record, new, before, again.parts(new), causes, tolerance)


def request_of(
    record: RunRecord, *, device: str | None = None, notify: Callable[[str], None] = silent
) -> RunRequest:
    """Return the request of a record; plugins are those that are loaded."""
    asked = record.request
    file = asked["config_file"]
    if file is not None and file["values"] is None:
        raise UsageError(f"{record.id}: its record does not hold its configuration file.")
    return RunRequest(
        model=asked["model"],
        dataset=asked["dataset"],
        seed=asked["seed"],
        protocol=asked["protocol"],
        mask=asked["mask"],
        dropout=tuple(asked["dropout"]),
        split=asked.get("split") or "test",
        train_dropout=asked["train_dropout"],
        preset=asked["preset"],
        config=None if file is None else file["values"],
        overrides=tuple(override_text(k, v) for k, v in asked["overrides"].items()),
        device=device or record.device,
        precision=asked["precision"] or record.precision,
        compile=asked["compile"],
        threads=asked["threads"] or 1,
        twin_seed=asked.get("twin_seed"),
        compat=asked["compat"],
        bar=False,
        notify=notify,
    )


def compare(
    old: RunRecord,
    new: RunRecord,
    before: list[Predictions],
    after: list[Predictions],
    causes: tuple[str, ...] = (),
    tolerance: float = TOLERANCE,
) -> Repeated:
    """Return what two runs of one request have in common.

    Args:
        old: the run.
        new: the run that repeats it.
        before: its predictions, as far as they are there.
        after: predictions of the new run.
        causes: what differs between the two.
        tolerance: as of the module.
    """
    then, now = dict(_flat_paths(old.metrics)), dict(_flat_paths(new.metrics))
    shared = [path for path in then if path in now]
    lacking = len(shared) < len(then)
    equal = not lacking and all(then[path] == now[path] for path in shared)
    gaps = [
        (float("inf") if None in (then[p], now[p]) else abs(then[p] - now[p]), p)
        for p in shared
        if _whole(p) and then[p] != now[p]
    ]
    largest, where = max(gaps, default=(0.0, ()))
    scores = _score_gap(before, after)
    verdict: Verdict = DIFFERENT
    if equal and not scores:
        verdict = IDENTICAL
    elif not lacking and largest <= tolerance:
        verdict = WITHIN
    reason = (
        "" if not lacking else f"{len(then) - len(shared)} of {len(then)} figures are not there"
    )
    return Repeated(
        old.id, verdict, len(shared), largest if shared else None, "/".join(where), scores,
        causes, reason,
    )  # fmt: skip


def causes_of(old: RunRecord, new: RunRecord, plan: RunPlan) -> Iterator[str]:
    """Yield what two runs of one request differ in, beside their results, a clause each."""
    if old.model.get("code") != new.model.get("code"):
        known = "has changed" if old.model.get("code") else "then is not known"
        yield f"code: that of {plan.entry.spec.name} {known}"
    if old.result_version != new.result_version:
        yield f"result version: {old.result_version}, now {new.result_version}"
    if old.dataset["content_hash"] != new.dataset["content_hash"]:
        yield (
            f"data: content {old.dataset['content_hash'][:12]} of {old.dataset['id']}, now "
            f"{new.dataset['content_hash'][:12]} of {new.dataset['id']}"
        )
    then, now = dict(_flat(old.config)), dict(_flat(new.config))
    for key in sorted(then.keys() | now.keys()):
        if then.get(key) != now.get(key):
            yield f"configuration: {key} {then.get(key)!r}, now {now.get(key)!r}"
    packages = [r.provenance.get("packages") or {} for r in (old, new)]
    for name in sorted(packages[0].keys() | packages[1].keys()):
        versions = [p.get(name, "absent") for p in packages]
        if versions[0] != versions[1]:
            yield f"package: {name} {versions[0]}, now {versions[1]}"
    for what, a, b in [
        ("device", old.device, new.device),
        ("precision", old.precision, new.precision),
        *((n, old.provenance.get(n), new.provenance.get(n)) for n in _PLACES),
    ]:
        if a != b:
            yield f"{what}: {_text(a)}, now {_text(b)}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "not known" if value is None else str(value)


def _parts(
    record: RunRecord, store: RunStore | CommittedRecords, folder: Path | None
) -> list[Predictions]:
    """Return the stored predictions of a run; none where they are not there."""
    from harness.records.predictions import parse_predictions
    from harness.records.store import PREDICTIONS

    try:
        if folder is None or not isinstance(store, RunStore):
            return store.parts(record)
        content = store.read(record, PREDICTIONS, folder)
        return parse_predictions(content, f"{folder.name}/{PREDICTIONS}")[1]
    except DataMissingError:  # figures alone are compared, and `Repeated.scores` says so
        return []


def _score_gap(before: list[Predictions], after: list[Predictions]) -> float | None:
    import numpy as np

    found, largest = {part.key: part for part in after}, None
    for part in before:
        other = found.get(part.key)
        if other is None or list(other.ids) != list(part.ids):
            continue
        gap = float(np.abs(part.scores.astype(np.float64) - other.scores).max(initial=0.0))
        largest = gap if largest is None else max(largest, gap)
    return largest


def _whole(path: tuple[str, ...]) -> bool:
    """Return whether a figure is of a whole split: protocol, split, threshold, metric."""
    return len(path) == 4


def _flat_paths(
    values: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat_paths(value, (*path, str(key)))
        else:
            yield (*path, str(key)), value


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((".".join(path), value) for path, value in _flat_paths(values))
