"""What a search found: its trials, the best of them, and the entry in the model's card."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.config import plugin_defaults
from harness.config.search import Space
from harness.launch.points import SOBOL
from harness.plugins.cards import write_key
from harness.records.record import RunRecord
from harness.specs import SEARCH, DatasetSpec, ModelSpec


@dataclass(frozen=True)
class Trial:
    """A point of a search and its run.

    Attributes:
        point: its number; 0 has the values that the search starts from.
        values: what it sets, by key.
        record: its run, with role ``trial``.
    """

    point: int
    values: Mapping[str, Any]
    record: RunRecord

    @property
    def stopped(self) -> bool:
        """Return whether it ended at the half."""
        return bool(self.record.trial and self.record.trial["stopped"])

    @property
    def half(self) -> float | None:
        """Return the validation score at the half; None: it was trained in one go."""
        half = (self.record.trial or {}).get("half")
        return None if half is None else half["score"]

    @property
    def score(self) -> float | None:
        """Return the validation score of what was trained."""
        from harness.engine.trials import validation_score

        return validation_score(self.record)

    def as_dict(self) -> dict[str, Any]:
        """Return the trial as a card holds it."""
        return {
            "point": self.point,
            "run": self.record.id,
            "values": dict(self.values),
            "steps": self.record.budget["steps"],
            "half": _rounded(self.half),
            "score": _rounded(self.score),
            "stopped": self.stopped,
            "seconds": round(self.record.budget["seconds"] or 0.0, 1),
            "cpu_s": _rounded(self.record.budget.get("cpu_s"), 1),
        }


@dataclass(frozen=True)
class Search:
    """The result of a search.

    Attributes:
        model: the model's spec.
        dataset: the data it was searched on.
        space: the bounds.
        steps: optimiser steps of a trial that was not stopped; 0: the model has none.
        seed: training seed of the trials.
        trials: those with a result, by point.
        failures: a line for each trial without one.
        sampler: what chose the points.
    """

    model: ModelSpec
    dataset: DatasetSpec
    space: Space
    steps: int
    seed: int
    trials: tuple[Trial, ...]
    failures: tuple[str, ...] = ()
    sampler: str = SOBOL

    @property
    def best(self) -> Trial:
        """Return the trial with the best validation score of those trained to the end."""
        return max((t for t in self.trials if not t.stopped), key=order(lambda t: t.score))

    def as_dict(self) -> dict[str, Any]:
        """Return the result as a card holds it under ``search`` and the layout of the data."""
        best = self.best
        about = best.record.dataset
        data = {"name": about["name"], "content_hash": about["content_hash"]}
        if about.get("twin"):
            data["twin"] = about["twin"]
        found = {
            "values": dict(best.values),
            "point": best.point,
            "score": _rounded(best.score),
            "sampler": self.sampler,
            "metric": best.record.protocols["selection_metric"],
            "steps": self.steps,
            "seed": self.seed,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "data": data,
            "space": self.space.as_dict(),
            "trials": [t.as_dict() for t in self.trials],
        }
        return found

    def write(self) -> str:
        """Write the result into the model's card; return the card's reference.

        Raises:
            StorageError: the card cannot be written.
        """
        held = plugin_defaults(self.model).get(SEARCH) or {}
        write_key(
            self.model.defaults, SEARCH, {**held, self.dataset.layout: self.as_dict()},
            "Written by `harness tune --write`; see docs/tuning.md.",
        )  # fmt: skip
        return self.model.defaults


def at_half(trial: Trial) -> float | None:
    """Return a trial's score at the half; that of its end where it was trained in one go."""
    return trial.score if trial.half is None else trial.half


def order(score: Callable[[Trial], float | None]) -> Callable[[Trial], tuple[float, int]]:
    """Return the key by which trials are compared: the score, equal ones by the earlier point."""

    def key(trial: Trial) -> tuple[float, int]:
        found = score(trial)
        return (-math.inf if found is None else found, -trial.point)

    return key


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)
