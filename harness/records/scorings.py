"""How many settings of a model had been scored on the test split of the same data before a run."""

from __future__ import annotations

import json
from dataclasses import replace

from harness.records.record import REFERENCES, RunRecord
from harness.records.store import RunStore

SPLIT = "test"


def identity(record: RunRecord, *, ablations: bool = True) -> str:
    """Return what makes runs of different seeds one row: all that was asked except the seed.

    Never the code: rows join whatever version of it they were made by. ``ablations=False``: what
    a full model and its ablations have in common.
    """
    name = record.model["name"]
    if record.role in REFERENCES:
        return json.dumps([record.role, name])
    config = dict(record.config)
    if not ablations:
        config["model"] = {k: v for k, v in config["model"].items() if k != "ablate"}
    parts = [record.role, name, config, record.precision, sorted(record.dataset["modalities"])]
    return json.dumps([*parts, record.compat], sort_keys=True)


def tested(record: RunRecord) -> bool:
    """Return whether a finished run was scored on the test split."""
    return record.status == "ok" and any(SPLIT in splits for splits in record.metrics.values())


def counted(runs: RunStore, record: RunRecord) -> RunRecord:
    """Return a run with ``tested_before``: settings of its model, its own and trials left out.

    Args:
        runs: the runs beside it.
        record: a run of a model; others are returned as they are, and so are runs that were not
            scored on the test split.
    """
    if record.role != "model" or not tested(record):
        return record
    content, name = record.dataset["content_hash"], record.model["name"]
    settings = {
        _setting(other)
        for other in runs.of_model(name)
        if other.role == "model" and other.dataset["content_hash"] == content and tested(other)
    }
    return replace(record, tested_before=len(settings - {_setting(record)}))


def _setting(record: RunRecord) -> tuple[str, str]:
    return identity(record), str(record.dataset["mask"])
