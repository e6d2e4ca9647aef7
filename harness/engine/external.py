"""Predictions of other code, scored by the same rules into a record with the role ``external``."""

from __future__ import annotations

import hashlib
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

import harness
from harness.data import values as reading
from harness.data.locate import twin_seed_for
from harness.data.store import Store
from harness.engine.device import instruction_set
from harness.engine.evaluate import FULL, TEST, VALID, evaluate_parts
from harness.engine.plan import dataset_facts
from harness.engine.splits import views_of
from harness.errors import DataFormatError, UsageError
from harness.paths import storage_errors
from harness.protocols.dropout import DropoutProtocol
from harness.records.fingerprint import fingerprint, run_id
from harness.records.predictions import Predictions, predictions_file
from harness.records.provenance import collect, now
from harness.records.record import RunRecord
from harness.records.request import blank_request
from harness.records.store import PREDICTIONS, RunStore
from harness.specs import DatasetSpec

EXTERNAL: Final = "external"
_SHOWN = 3


@dataclass(frozen=True)
class Submission:
    """A file's rows: ``rows[protocol, split][line] = (id, values)``; ``decided``: 0/1 answers."""

    name: str
    sha256: str
    decided: bool
    rows: dict[tuple[str, str], list[tuple[str, list[float]]]]


def read_submission(path: Path, spec: DatasetSpec, protocols: Sequence[str]) -> Submission:
    """Return the rows of a CSV file with ``id`` and a column a label.

    The columns of labels are ``score:<label>`` (in [0, 1]) or ``predicted:<label>`` (0 or 1).
    ``split`` (default ``test``) and ``protocol`` (default: the only one of ``protocols``) are
    optional; ``group`` and ``truth:<label>``, which `harness predict` writes, are not read.

    Raises:
        DataFormatError: a column or a value is not as described.
        UsageError: several protocols and no column that tells them apart.
    """
    text = reading.read_text(path)
    columns = reading.read_header(path, text)
    kind = _kind(path.name, columns, spec)
    if "protocol" not in columns and len(protocols) > 1:
        raise UsageError(
            f"{path.name} has no column 'protocol', and {len(protocols)} protocols are asked for."
        )
    rows: dict[tuple[str, str], list[tuple[str, list[float]]]] = {}
    for number, line in reading.read_table(path, ("id",), text):
        values = [_value(path, number, f"{kind}:{label}", line, kind) for label in spec.labels]
        if kind == "predicted" and spec.label_kind == "singlelabel" and sum(values) != 1:
            raise DataFormatError(
                f"{path.name}, line {number}: {spec.name} has one label a sample, this row "
                f"{int(sum(values))}."
            )
        place = (line.get("protocol") or protocols[0], line.get("split") or TEST)
        rows.setdefault(place, []).append(
            (reading.name(path, f"line {number}, id", line["id"]), values)
        )
    with storage_errors(path):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Submission(path.name, digest, kind == "predicted", rows)


def score(
    submission: Submission,
    store: Store,
    runs: RunStore,
    protocols: Sequence[DropoutProtocol],
    *,
    name: str,
    seed: int = 0,
    threshold: float = 0.5,
) -> RunRecord:
    """Score a submission and write its record, role ``external``.

    The test split is needed whole under every protocol; a whole validation split under ``full@1``
    gives a tuned threshold as well, one under another protocol the threshold matched to that. The
    dropout masks are the protocol's: whether the predictions
    were made under them cannot be seen from a file.

    Args:
        submission: the file's rows.
        store: the data set.
        runs: receives the record and the predictions.
        protocols: dropout protocols of the predictions.
        name: name on the board.
        seed: training seed of the predictions.
        threshold: declared threshold of multi-label scores.

    Raises:
        DataFormatError: ids that are missing, unknown or there twice.
    """
    spec = store.spec
    views = views_of(store, spec.default_mask)
    parts: list[Predictions] = []
    dropout: dict[str, Any] = {}
    known = {p.id for p in protocols}
    stray = sorted({f"{p} on {s}" for p, s in submission.rows if p not in known or s not in views})
    if stray:
        raise DataFormatError(
            f"{submission.name} has rows of {', '.join(stray[:_SHOWN])}, which is not asked for; "
            f"asked for: {', '.join(sorted(known))} on {' and '.join(views)}."
        )
    for protocol in protocols:
        for split, view in views.items():
            rows = submission.rows.get((protocol.id, split))
            if split == VALID and rows is None:
                continue
            ids = list(view.split.ids)
            where = f"{submission.name}, {protocol.id} on {split}"
            parts.append(
                Predictions(
                    split,
                    protocol.id,
                    tuple(ids),
                    tuple(view.split.groups),
                    _in_order(where, rows or [], ids),
                    np.asarray(view.split.labels).astype(np.int8),
                    view.split.slices,
                )
            )
            masks = view.masks(protocol)
            dropout.setdefault(protocol.id, {})[split] = masks.facts
    metrics, thresholds = evaluate_parts(
        parts, spec.labels, spec.label_kind, threshold, ranked=not submission.decided
    )
    digest = fingerprint(
        {
            "role": EXTERNAL,
            "harness": harness.__version__,
            "file": submission.sha256,
            "name": name,
            "dataset": [spec.name, spec.version, store.content_hash],
            "seed": seed,
            "threshold": threshold,
            "protocols": sorted(known),
        }
    )
    words = ["harness", "score", submission.name, "--dataset", spec.name, "--name", name]
    twin = int(store.card["twin"]["seed"]) if store.is_twin else None
    fixed = twin if twin is not None and twin != twin_seed_for(seed) else None
    words += ["--seed", str(seed), "--threshold", repr(threshold)]
    words += [] if fixed is None else ["--twin-seed", str(fixed)]
    words += [w for p in protocols for w in ("--dropout", p.id)]
    record = RunRecord(
        id=run_id(name, spec.name, seed, digest),
        fingerprint=digest,
        status="ok",
        role=EXTERNAL,
        model={"name": name, "version": "", "variant": "", "reported_as": None,
               "plugin": EXTERNAL, "distribution": None, "distribution_version": None},
        dataset=dataset_facts(store, spec.default_mask),
        config={"preset": None, "threshold": threshold, "model": {}, "training": {}},
        seed=seed,
        device="unknown",
        precision="fp32",
        protocols={"dataset": spec.id, "train_dropout": EXTERNAL,
                   "selection_metric": spec.selection_metric, "dropout": dropout},
        parameters=0,
        epochs=[],
        selection=None,
        threshold=thresholds,
        metrics=metrics,
        timings={"train_s": None, "predict_s_per_sample": None, "epochs": 0},
        provenance=collect(cpu_capability=instruction_set()),
        facts={"file": submission.name, "sha256": submission.sha256,
               "decisions": submission.decided},
        command=shlex.join(words),
        request=blank_request(
            model=name,
            dataset=spec.name,
            seed=seed,
            twin_seed=fixed,
            dropout=[p.id for p in protocols if p.id != FULL],
        ),
        tested_on={"dataset": spec.name, "content_hash": store.content_hash},
        created=now(),
    )  # fmt: skip
    record = RunRecord.from_dict(record.as_dict())
    with runs.lock(record.id):
        return runs.write(record, {PREDICTIONS: predictions_file(parts, spec.labels)})


def _kind(file: str, columns: Sequence[str], spec: DatasetSpec) -> str:
    kinds = [k for k in ("score", "predicted") if any(c.startswith(f"{k}:") for c in columns)]
    if len(kinds) != 1:
        raise DataFormatError(
            f"{file}: expected a column id and one of score:<label> or predicted:<label> a label; "
            f"found {', '.join(columns) or 'nothing'}."
        )
    wanted = {"id", *(f"{kinds[0]}:{label}" for label in spec.labels)}
    optional = {"split", "protocol", "group", *(f"truth:{label}" for label in spec.labels)}
    faults = [f"lacks {', '.join(sorted(wanted - set(columns)))}"] if wanted - set(columns) else []
    unknown = sorted(set(columns) - wanted - optional)
    named = ", ".join(c if c.strip() else "without a name" for c in unknown)
    faults += [f"has unknown columns {named}"] if unknown else []
    faults += ["names a column twice"] if len(set(columns)) < len(columns) else []
    if faults:
        raise DataFormatError(
            f"{file} {' and '.join(faults)}; the labels of {spec.name} are "
            f"{', '.join(spec.labels)}."
        )
    return kinds[0]


def _value(path: Path, number: int, column: str, line: dict[str, str], kind: str) -> float:
    wanted = "a number from 0 to 1" if kind == "score" else "0 or 1"
    where = f"line {number}, {column}"
    value = reading.number(path, where, line[column], wanted)
    if not (0.0 <= value <= 1.0 if kind == "score" else value in (0.0, 1.0)):
        raise reading.fail(path, where, wanted, reading.shown(line[column]))
    return value


def _in_order(
    where: str, rows: Sequence[tuple[str, list[float]]], ids: Sequence[str]
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the values in the split's order, float32 [N, L]."""
    counted = Counter(name for name, _ in rows)
    faults = {
        "missing": [name for name in ids if name not in counted],
        "unknown": sorted(counted.keys() - set(ids)),
        "there more than once": sorted(name for name, n in counted.items() if n > 1),
    }
    told = [
        f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
        for what, names in faults.items()
        if names
    ]
    if told:
        raise DataFormatError(
            f"{where}: of the ids {'; '.join(told)}. Each of the {len(ids)} ids of the split must "
            "be there once."
        )
    values = dict(rows)
    return np.asarray([values[name] for name in ids], dtype=np.float32)
