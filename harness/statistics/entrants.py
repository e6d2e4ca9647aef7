"""A model's decisions on test sets over its seeds, and which models may be compared.

Real data have one test set. A model that was trained on several twins was scored on the test set
of each of them: every seed has the samples and the truth of its own twin.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.statistics.counts import GroupSums, group_sums
from harness.statistics.measured import FEWEST_SEEDS, REAL, Measured, Part, Unit, common_units


@dataclass(frozen=True)
class Entrant:
    """Decisions int [S, N, L] of S seeds on N samples, sorted by id, with truth int [N, L].

    ``groups`` are the N names that a cluster bootstrap draws (video, dialogue, clip);
    ``cluster_key`` says what they are. ``mask_digest`` is the hash of the dropout masks. A
    ``deterministic`` entrant (a trivial predictor, the ceiling) has no random part: its one run
    stands for every seed, and its uncertainty is the samples' alone. ``twin`` is the number of the
    twin that the samples are of.
    """

    name: str
    seeds: tuple[int, ...]
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    labels: tuple[str, ...]
    mask_digest: str
    cluster_key: str
    truth: NDArray[np.integer] = field(repr=False)
    decided: NDArray[np.integer] = field(repr=False)
    deterministic: bool = False
    twin: int = REAL
    _sums: dict[str, GroupSums] = field(default_factory=dict, init=False, repr=False)

    @property
    def parts(self) -> tuple[Entrant, ...]:
        """Return itself, the only part, as of `TwinsEntrant`."""
        return (self,)

    @property
    def units(self) -> tuple[Unit, ...]:
        """Return its trainings."""
        return tuple(Unit(self.twin, seed) for seed in self.seeds)

    @property
    def num_groups(self) -> int:
        """Return G, the number of groups."""
        return len(set(self.groups))

    @property
    def num_samples(self) -> int:
        """Return N, the number of samples."""
        return len(self.ids)

    def sums(self, metric: str) -> GroupSums:
        """Return a metric's sums over groups; computed once."""
        if metric not in self._sums:
            self._sums[metric] = group_sums(metric, self.truth, self.decided, self.groups)
        return self._sums[metric]

    def measured(self, metric: str) -> Measured:
        """Return what is tested of this entrant by a metric."""
        part = Part(self.twin, self.seeds, self.samples, self.sums(metric))
        return Measured(self.name, (part,), self.deterministic)

    @property
    def samples(self) -> str:
        """Return a digest of what is scored: masks, labels, ids, groups and truth."""
        return samples_digest(self.labels, self.ids, self.groups, self.truth, self.mask_digest)


@dataclass(frozen=True)
class TwinsEntrant:
    """A model on several twins: what it decided on each, in the order of the twins."""

    parts: tuple[Entrant, ...]

    @property
    def name(self) -> str:
        """Return its name."""
        return self.parts[0].name

    @property
    def units(self) -> tuple[Unit, ...]:
        """Return its trainings, twin by twin."""
        return tuple(unit for part in self.parts for unit in part.units)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return its training seeds, twin by twin."""
        return tuple(unit.seed for unit in self.units)

    @property
    def deterministic(self) -> bool:
        """Return whether it has no random part."""
        return self.parts[0].deterministic

    @property
    def cluster_key(self) -> str:
        """Return what its groups are."""
        return self.parts[0].cluster_key

    @property
    def num_groups(self) -> int:
        """Return the number of groups of all its twins."""
        return sum(part.num_groups for part in self.parts)

    @property
    def num_samples(self) -> int:
        """Return the number of samples of all its twins."""
        return sum(part.num_samples for part in self.parts)

    def measured(self, metric: str) -> Measured:
        """Return what is tested of this entrant by a metric."""
        each = (part.measured(metric).parts[0] for part in self.parts)
        return Measured(self.name, tuple(each), self.deterministic)


AnyEntrant = Entrant | TwinsEntrant


def samples_digest(
    labels: Sequence[str],
    ids: Sequence[str],
    groups: Sequence[str],
    truth: NDArray[np.integer],
    mask_digest: str,
) -> str:
    """Return a digest of scored samples in their order, 32 hexadecimal digits.

    Args:
        labels: L names.
        ids: N names.
        groups: N names.
        truth: [N, L] in {0, 1}.
        mask_digest: of the dropout masks.
    """
    state = hashlib.blake2b(digest_size=16)
    for names in ((mask_digest,), labels, ids, groups):
        state.update(json.dumps(list(names)).encode())
    state.update(np.ascontiguousarray(truth, dtype=np.int8).tobytes())
    return state.hexdigest()


@dataclass(frozen=True)
class SummedEntrant(Entrant):
    """An entrant whose samples are not at hand, only a metric's sums over clusters of them.

    ``ids`` are as many as there are samples and tell one set of samples from another; ``groups``
    number the clusters; ``truth`` and ``decided`` are empty.
    """

    known: dict[str, GroupSums] = field(default_factory=dict, repr=False)

    def sums(self, metric: str) -> GroupSums:
        """Return a metric's sums over clusters.

        Raises:
            UsageError: they were not exported.
        """
        if metric not in self.known:
            raise UsageError(
                f"{self.name}: {metric!r} does not follow from what was exported, sums alone: this "
                "is so under dropout, and where data may not be passed on. These do: "
                f"{', '.join(sorted(self.known))}."
            )
        return self.known[metric]

    @property
    def samples(self) -> str:
        """Return the digest of what was scored, as it was exported."""
        return self.ids[0].partition(":")[0]


def misfit(a: AnyEntrant, b: AnyEntrant) -> str:
    """Return why two entrants must not be tested against each other; empty: they may."""
    for one in (a, b):
        if not one.deterministic and len(one.seeds) < FEWEST_SEEDS:
            return (
                f"{one.name} has {_seeds(one.seeds)}; a test needs at least {FEWEST_SEEDS}. "
                f"Run it with --seeds 0,1,2 or more"
            )
    mine, theirs = ({part.twin: part for part in one.parts} for one in (a, b))
    both = [twin for twin in mine if twin in theirs]
    if not both:
        lists = " and ".join(", ".join(map(str, known)) for known in (mine, theirs))
        return f"{a.name} and {b.name} were trained on different twins ({lists})"
    for twin in both:
        if reason := _unlike(mine[twin], theirs[twin]):
            return reason
    shared = common_units(a, b)
    if len(shared) < FEWEST_SEEDS and not (a.deterministic and b.deterministic):
        return (
            f"{a.name} has {_trained(a)} and {b.name} {_trained(b)}; a paired test needs "
            f"{FEWEST_SEEDS} seeds that both have"
        )
    return ""


def _unlike(a: Entrant, b: Entrant) -> str:
    """Return in what the samples of two entrants differ; empty: in nothing."""
    pair = f"{a.name} and {b.name}" + ("" if a.twin == REAL else f", twin {a.twin},")
    if a.mask_digest != b.mask_digest:
        digests = f"{a.mask_digest[:12]} and {b.mask_digest[:12]}"
        return f"{pair} were scored under different dropout masks ({digests})"
    if a.labels != b.labels:
        lists = f"{', '.join(a.labels)} and {', '.join(b.labels)}"
        return f"{pair} have other labels, or the same in another order ({lists})"
    if a.ids != b.ids:
        unlike = sorted(set(a.ids) ^ set(b.ids))
        example = f"{len(unlike)} are not in both, for example {unlike[0]}"
        return f"{pair} were scored on different test samples ({example})"
    if a.groups != b.groups or not np.array_equal(a.truth, b.truth):
        return f"{pair} disagree on the groups or the truth of the test samples"
    return ""


def refuse_misfits(entrants: Sequence[AnyEntrant], reference: AnyEntrant) -> None:
    """Refuse what must not be tested.

    Raises:
        UsageError: other test ids, masks, label order, groups or truth, no twin that both have, or
            fewer than 3 seeds.
    """
    for entrant in entrants:
        if entrant is not reference and (reason := misfit(entrant, reference)):
            raise UsageError(f"not comparable: {reason}.")


def _trained(one: AnyEntrant) -> str:
    twins = sorted({part.twin for part in one.parts} - {REAL})
    return _seeds(one.seeds) + (f" on twins {', '.join(map(str, twins))}" if twins else "")


def _seeds(seeds: Sequence[int]) -> str:
    word = "seed" if len(seeds) == 1 else "seeds"
    return f"{len(seeds)} {word} ({', '.join(map(str, seeds))})"
