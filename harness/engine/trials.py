"""What a record says of the search that its run is part of, or that chose its settings."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from harness.config import QUICK, TUNED, searched_by
from harness.engine.evaluate import FULL, VALID
from harness.engine.plan import RunPlan
from harness.errors import DataFormatError
from harness.records.record import RunRecord
from harness.records.store import RunStore


def validation_score(record: RunRecord) -> float | None:
    """Return what trials are compared by: on validation, complete data, at the tuned threshold.

    The metric is the data set's selection metric; where no threshold is tuned, the declared one
    counts. None: the run has no result.
    """
    found = record.metrics.get(FULL, {}).get(VALID, {})
    figures = found.get("tuned") or found.get("declared") or {}
    score: float | None = figures.get(record.protocols["selection_metric"])
    return score


def trial_facts(plan: RunPlan, runs: RunStore, record: RunRecord, paused: bool) -> dict[str, Any]:
    """Return `RunRecord.trial`; the score at the half outlives going on.

    Args:
        plan: a trial.
        runs: where its record is.
        record: what it found.
        paused: whether it ended at the half.
    """
    half = None
    with suppress(DataFormatError):
        before = runs.find(plan.id)
        half = None if before is None or before.trial is None else before.trial["half"]
    steps = record.budget["steps"] or 0
    if paused and record.status == "ok":
        half = {"steps": steps, "score": validation_score(record)}
    planned = plan.config.training.steps or steps
    return {"point": plan.request.trial, "steps": planned, "half": half, "stopped": paused}


def settings_tried(plan: RunPlan) -> int:
    """Return how many settings were tried for the one that is run, as far as is known."""
    config = plan.config
    if config.preset not in (TUNED, QUICK) or config.overrides or config.file:
        return 1
    return max(1, searched_by(plan.entry.spec, plan.spec))
