"""What is tested of a model: a metric's sums over groups, for each of its trainings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from harness.statistics.bootstrap import resample_weights, resampled
from harness.statistics.counts import Floats, GroupSums

FEWEST_SEEDS = 3
REAL = -1
"""In place of a twin's number: real data."""


class Unit(NamedTuple):
    """One training: on which twin (`REAL`: on none), and its seed."""

    twin: int
    seed: int


class Trained(Protocol):
    """Anything with trainings."""

    @property
    def units(self) -> tuple[Unit, ...]:
        """Return its trainings."""

    @property
    def deterministic(self) -> bool:
        """Return whether it has no random part."""


@dataclass(frozen=True)
class Part:
    """A metric's sums over the groups of one test set, S seeds.

    ``samples`` is `Entrant.samples`: entrants are tested on the same ones only.
    """

    twin: int
    seeds: tuple[int, ...]
    samples: str
    sums: GroupSums = field(repr=False)

    @property
    def num_groups(self) -> int:
        """Return G, the number of groups."""
        return int(self.sums.rows.shape[1])


Weights = Mapping[tuple[int, int], Floats]
"""Resamples of the groups of each twin, float64 [B, G], by its number and its number of groups."""


@dataclass(frozen=True)
class Measured:
    """What is tested of an entrant: a metric's sums over groups, a part a twin."""

    name: str
    parts: tuple[Part, ...]
    deterministic: bool = False

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """Return its trainings, part by part."""
        return tuple(Unit(part.twin, seed) for part in self.parts for seed in part.seeds)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return its training seeds, part by part."""
        return tuple(unit.seed for unit in self.units)

    @property
    def twins(self) -> tuple[int, ...]:
        """Return the numbers of its twins; empty: real data."""
        return tuple(part.twin for part in self.parts if part.twin != REAL)

    @cached_property
    def samples(self) -> Mapping[int, str]:
        """Return the digest of what was scored, by twin."""
        return {part.twin: part.samples for part in self.parts}

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Return twin and number of groups of each part."""
        return tuple((part.twin, part.num_groups) for part in self.parts)

    @property
    def num_groups(self) -> int:
        """Return the number of groups of all its parts."""
        return sum(part.num_groups for part in self.parts)

    @cached_property
    def scores(self) -> list[float]:
        """Return the metric of each training on the samples of its twin."""
        return [score for part in self.parts for score in part.sums.per_seed()]

    @cached_property
    def _places(self) -> dict[Unit, int]:
        return {unit: place for place, unit in enumerate(self.units)}

    @cached_property
    def _firsts(self) -> dict[int, int]:
        """Return where the first training on each twin stands."""
        return {unit.twin: place for place, unit in reversed(list(enumerate(self.units)))}

    def rows(self, units: Sequence[Unit]) -> list[int]:
        """Return where trainings stand among this entrant's."""
        if self.deterministic:
            return [self._firsts[unit.twin] for unit in units]
        return [self._places[unit] for unit in units]

    def at(self, units: Sequence[Unit]) -> list[float]:
        """Return the metric of these trainings."""
        return [self.scores[place] for place in self.rows(units)]

    def resampled(self, units: Sequence[Unit], weights: Weights) -> Floats:
        """Return the metric, averaged over trainings, of each resample: float64 [B].

        Groups are resampled inside each twin; twins and seeds are not resampled.
        """
        found, first = [], 0
        for part in self.parts:
            last = first + len(part.seeds)
            rows = [p - first for p in self.rows([u for u in units if u.twin == part.twin])]
            if rows:
                own = resampled(part.sums.at(rows), weights[part.twin, part.num_groups])
                found.append((len(rows), own))
            first = last
        if len(found) == 1:
            return found[0][1]
        counts = np.array([count for count, _ in found], dtype=np.float64)
        mean: Floats = counts @ np.stack([own for _, own in found]) / counts.sum()
        return mean

    def over(self, layout: Sequence[tuple[int, int]]) -> tuple[tuple[Unit, ...], GroupSums]:
        """Return its trainings on some twins, and their sums over the groups of all of these.

        Args:
            layout: numbers of the twins and of their groups; further parts are left out.
        """
        if len(layout) == 1 and tuple(layout) == self.sizes:
            return self.units, self.parts[0].sums
        by_twin, whole = {part.twin: part for part in self.parts}, sum(n for _, n in layout)
        units: list[Unit] = []
        rows, before = [], 0
        for twin, groups in layout:
            if twin in by_twin:
                units += [Unit(twin, seed) for seed in by_twin[twin].seeds]
                rows.append(by_twin[twin].sums.within(before, whole).rows)
            before += groups
        return tuple(units), replace(self.parts[0].sums, rows=np.concatenate(rows))

    def testable(self, other: Measured) -> bool:
        """Return whether the two may be tested against each other, as `misfit`."""
        both = self.samples.keys() & other.samples.keys()
        if not both or any(self.samples[twin] != other.samples[twin] for twin in both):
            return False
        if any(not e.deterministic and len(e.units) < FEWEST_SEEDS for e in (self, other)):
            return False
        alone = self.deterministic and other.deterministic
        return alone or len(common_units(self, other)) >= FEWEST_SEEDS


def weights_of(models: Iterable[Measured], resamples: int, seed: int) -> Weights:
    """Return the resamples of every test set: those of a twin do not depend on the others.

    Args:
        models: of the test sets.
        resamples: B, how often groups are drawn with replacement.
        seed: of the drawing.
    """
    return {
        (twin, groups): resample_weights(groups, resamples, seed if twin == REAL else (seed, twin))
        for twin, groups in {size for model in models for size in model.sizes}
    }


def common_units(a: Trained, b: Trained) -> tuple[Unit, ...]:
    """Return the trainings both have: those that a paired test exchanges.

    A training is known by twin and seed. A deterministic entrant has every seed on its twins.
    """
    if a.deterministic or b.deterministic:
        mine, other = (a, b) if b.deterministic else (b, a)
        known = {unit.twin for unit in other.units}
        return tuple(unit for unit in mine.units if unit.twin in known)
    theirs = frozenset(b.units)
    return tuple(unit for unit in a.units if unit in theirs)
