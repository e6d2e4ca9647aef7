"""A model's decisions on a test set over its seeds, and which models may be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.statistics.counts import GroupSums, group_sums

FEWEST_SEEDS = 3


@dataclass(frozen=True)
class Entrant:
    """Decisions int [S, N, L] of S seeds on N samples, sorted by id, with truth int [N, L].

    ``groups`` are the N names that a cluster bootstrap draws (video, dialogue, clip);
    ``cluster_key`` says what they are. ``mask_digest`` is the hash of the dropout masks. A
    ``deterministic`` entrant (a trivial predictor, the ceiling) has no random part: its one run
    stands for every seed, and its uncertainty is the samples' alone.
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
    _sums: dict[str, GroupSums] = field(default_factory=dict, init=False, repr=False)

    @property
    def num_groups(self) -> int:
        """Return G, the number of groups."""
        return len(set(self.groups))

    def sums(self, metric: str) -> GroupSums:
        """Return a metric's sums over groups; computed once."""
        if metric not in self._sums:
            self._sums[metric] = group_sums(metric, self.truth, self.decided, self.groups)
        return self._sums[metric]

    def scores(self, metric: str) -> list[float]:
        """Return a metric of each seed."""
        return self.sums(metric).per_seed()

    def rows(self, seeds: Sequence[int]) -> list[int]:
        """Return where seeds stand among this entrant's."""
        places = {seed: place for place, seed in enumerate(self.seeds)}
        return [0 if self.deterministic else places[seed] for seed in seeds]

    def measured(self, metric: str) -> Measured:
        """Return what is tested of this entrant by a metric."""
        return Measured(self.name, self.seeds, self.samples, self.sums(metric), self.deterministic)

    @property
    def samples(self) -> str:
        """Return a digest of what is scored: masks, labels, ids, groups and truth."""
        return samples_digest(self.labels, self.ids, self.groups, self.truth, self.mask_digest)


@dataclass(frozen=True)
class Measured:
    """What is tested of an entrant: a metric's sums over groups, S seeds.

    ``samples`` is `Entrant.samples`: entrants are tested on the same ones only.
    """

    name: str
    seeds: tuple[int, ...]
    samples: str
    sums: GroupSums = field(repr=False)
    deterministic: bool = False

    @property
    def num_groups(self) -> int:
        """Return G, the number of groups."""
        return int(self.sums.rows.shape[1])

    @cached_property
    def scores(self) -> list[float]:
        """Return the metric of each seed."""
        return self.sums.per_seed()

    @cached_property
    def _places(self) -> dict[int, int]:
        return {seed: place for place, seed in enumerate(self.seeds)}

    def rows(self, seeds: Sequence[int]) -> list[int]:
        """Return where seeds stand among this entrant's."""
        return [0 if self.deterministic else self._places[seed] for seed in seeds]

    def at(self, seeds: Sequence[int]) -> list[float]:
        """Return the metric of these seeds."""
        return [self.scores[place] for place in self.rows(seeds)]

    def testable(self, other: Measured) -> bool:
        """Return whether the two may be tested against each other, as `misfit`."""
        if self.samples != other.samples:
            return False
        if any(not e.deterministic and len(e.seeds) < FEWEST_SEEDS for e in (self, other)):
            return False
        alone = self.deterministic or other.deterministic
        return alone or len(common_seeds(self, other)) >= FEWEST_SEEDS


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
                f"{self.name}: {metric!r} does not follow from what was exported, for its data may "
                f"not be passed on; these do: {', '.join(sorted(self.known))}."
            )
        return self.known[metric]

    @property
    def samples(self) -> str:
        """Return the digest of what was scored, as it was exported."""
        return self.ids[0].partition(":")[0]


def misfit(a: Entrant, b: Entrant) -> str:
    """Return why two entrants must not be tested against each other; empty: they may."""
    for one in (a, b):
        if not one.deterministic and len(one.seeds) < FEWEST_SEEDS:
            return (
                f"{one.name} has {_seeds(one.seeds)}; a test needs at least {FEWEST_SEEDS}. "
                f"Run it with --seeds 0,1,2 or more"
            )
    pair = f"{a.name} and {b.name}"
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
    if not (a.deterministic or b.deterministic) and len(common_seeds(a, b)) < FEWEST_SEEDS:
        return (
            f"{a.name} has {_seeds(a.seeds)} and {b.name} {_seeds(b.seeds)}; a paired test needs "
            f"{FEWEST_SEEDS} seeds that both have"
        )
    return ""


def refuse_misfits(entrants: Sequence[Entrant], reference: Entrant) -> None:
    """Refuse what must not be tested.

    Raises:
        UsageError: other test ids, masks, label order, groups or truth, or fewer than 3 seeds.
    """
    for entrant in entrants:
        if entrant is not reference and (reason := misfit(entrant, reference)):
            raise UsageError(f"not comparable: {reason}.")


def common_seeds(a: Entrant | Measured, b: Entrant | Measured) -> tuple[int, ...]:
    """Return the seeds both have: those that a paired test exchanges."""
    if a.deterministic or b.deterministic:
        return a.seeds if b.deterministic else b.seeds
    theirs = frozenset(b.seeds)
    return tuple(s for s in a.seeds if s in theirs)


def _seeds(seeds: Sequence[int]) -> str:
    word = "seed" if len(seeds) == 1 else "seeds"
    return f"{len(seeds)} {word} ({', '.join(map(str, seeds))})"
