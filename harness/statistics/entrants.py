"""A model's decisions on a test set over its seeds, and which models may be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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
        if self.deterministic:
            return [0 for _ in seeds]
        return [self.seeds.index(seed) for seed in seeds]


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


def common_seeds(a: Entrant, b: Entrant) -> tuple[int, ...]:
    """Return the seeds both have: those that a paired test exchanges."""
    if a.deterministic or b.deterministic:
        return a.seeds if b.deterministic else b.seeds
    return tuple(s for s in a.seeds if s in b.seeds)


def _seeds(seeds: Sequence[int]) -> str:
    word = "seed" if len(seeds) == 1 else "seeds"
    return f"{len(seeds)} {word} ({', '.join(map(str, seeds))})"
