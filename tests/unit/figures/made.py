"""Made records whose figures are known, for the tests of every kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness import paths
from harness.records.predictions import Predictions, write_predictions
from harness.records.record import RunRecord
from harness.records.store import RunStore
from tests.unit.boards.made import record

TRUTH = np.array([[1, 0], [1, 1], [1, 1], [0, 0], [1, 0]], dtype=np.int8)


def run(
    model: str = "one", seed: int = 0, f1: float = 0.5, *, epochs: int = 3, **options: Any
) -> RunRecord:
    """Return a made run with epochs and per-label scores; label ``b`` has no precision.

    At the tuned threshold the F1 of a label is .05 higher.
    """
    made = record(model, seed, f1, **options)
    key = next(iter(made.metrics))
    scored = dict(made.metrics[key]["test"]["declared"])
    scored["per_label"] = {
        name: {"f1": f1 + shift, "precision": p, "recall": f1, "ap": f1, "support": n}
        for name, shift, p, n in (("a", 0.1, 0.7, 4), ("b", -0.1, None, 2))
    }
    labels = {n: own | {"f1": own["f1"] + 0.05} for n, own in scored["per_label"].items()}
    log = [
        {"epoch": e, "loss": 100.0 / (e + 1) + seed, "terms": {}, "seconds": 1.0,
         "valid": {"micro_f1": 0.1 * e + 0.01 * seed, "jaccard": 0.2}}
        for e in range(epochs)
    ]  # fmt: skip
    chosen = {"metric": "micro_f1", "epoch": epochs - 1 - seed % 2, "value": 0.5, "rule": "best"}
    return replace(
        made, epochs=log, selection=chosen if epochs else None,
        metrics={
            key: {"test": {"declared": scored, "tuned": {"micro_f1": 0.9, "per_label": labels}}}
        },
    )  # fmt: skip


def store(*records: RunRecord, scores: Any = None) -> RunStore:
    """Write runs with predictions under HOME/runs; ``scores`` [5, 2] are the same for all."""
    found = RunStore()
    said = np.asarray(TRUTH if scores is None else scores, dtype=np.float32)
    ids, groups = tuple("vwxyz"), tuple("ggghh")
    for one in records:
        found.write(one)
        for protocol in one.metrics:
            part = Predictions("test", protocol, ids, groups, said, TRUTH)
            write_predictions(found.predictions(one.id), [part], one.dataset["labels"])
    return found


def numbers(path: Path) -> list[dict[str, str]]:
    """Return the rows of a figure's CSV."""
    import csv

    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def figures_dir() -> Path:
    """Return a folder of the test's own."""
    return paths.home() / "figures"
