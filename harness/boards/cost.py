"""What the runs of boards cost to make: CPU time, and wall time where a record has no other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import PluginError
from harness.plugins import Registry
from harness.plugins.cards import read_content
from harness.records.record import RunRecord
from harness.specs import SEARCH

_HOUR = 3600


@dataclass(frozen=True)
class Cost:
    """Seconds of training: ``cpu`` of the runs that know theirs, ``wall`` of the others."""

    cpu: float = 0.0
    wall: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        """Return both together."""
        return Cost(self.cpu + other.cpu, self.wall + other.wall)

    @property
    def text(self) -> str:
        """Return ``1.2 h CPU``, ``0.5 h wall``, or both; empty: nothing is known."""
        parts = ((self.cpu, "CPU"), (self.wall, "wall"))
        return ", ".join(f"{_hours(seconds)} h {kind}" for seconds, kind in parts if seconds)


def cost_of(known: Iterable[Mapping[str, Any]]) -> Cost:
    """Return the cost of budgets: ``cpu_s`` and ``seconds`` of each, as far as they are known."""
    total = Cost()
    for budget in known:
        cpu = budget.get("cpu_s")
        total += Cost(cpu) if cpu is not None else Cost(0.0, float(budget.get("seconds") or 0.0))
    return total


def trials_of(records: Iterable[RunRecord]) -> dict[str, tuple[float, float]]:
    """Return by run what the trials of searches among records cost: CPU and wall seconds."""
    found = {r.id: cost_of([r.budget]) for r in records if r.role == "trial"}
    return {run: (cost.cpu, cost.wall) for run, cost in found.items()}


def searched(records: Iterable[RunRecord]) -> tuple[str, ...]:
    """Return the models among records whose settings a search chose."""
    return tuple(sorted({r.model["name"] for r in records if (r.budget.get("trials") or 0) > 1}))


def cost_of_searches(
    models: Iterable[str], trials: Mapping[str, Sequence[float]], registry: Registry | None
) -> Cost:
    """Return the cost of the searches behind models: of every trial once.

    Args:
        models: names; what their cards say of trials counts.
        trials: further ones by run, as `trials_of`.
        registry: says where the cards are; None: no card is read.
    """
    each = {run: Cost(*cost) for run, cost in trials.items()}
    for name in sorted(set(models)):
        entry = None if registry is None else registry.models.get(name)
        for trial in _trials(entry.spec.defaults) if entry is not None else ():
            each[str(trial.get("run"))] = cost_of([trial])
    return sum(each.values(), Cost())


def _trials(card: str) -> list[Mapping[str, Any]]:
    """Return the trials that a card tells of; of one that cannot be read none are known."""
    try:
        found = read_content(card).get(SEARCH) if card else None
    except PluginError:
        return []
    blocks = found.values() if isinstance(found, Mapping) else ()
    return [
        trial
        for block in blocks
        if isinstance(block, Mapping)
        for trial in block.get("trials") or ()
        if isinstance(trial, Mapping)
    ]


def _hours(seconds: float) -> str:
    hours = seconds / _HOUR
    return f"{hours:.1f}" if hours >= 1 else f"{hours:.2f}"
