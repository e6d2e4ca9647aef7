"""Aggregates of one seed's scores under the members of a suite, each a formula in one place.

A score is any metric under one dropout protocol. Aggregates are taken of each seed first; mean and
deviation are over seeds. Names of protocols are without version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.protocols.dropout import parse
from harness.protocols.metrics import nauilc

CORE = "core@1"
MISSING = "missing@1"
FULL = "full"
CONTROL = "mcar"
BLOCKS: Mapping[str, tuple[str, ...]] = {
    "fixed": ("only", "drop"),
    "rates": ("random",),
    "some": ("exclusive", "patterns"),
    "mnar": ("mnar",),
    "inside": ("frames", "burst"),
}
"""Kinds of missingness by their families of protocols; each counts alike in ``missing_mean``."""


@dataclass(frozen=True)
class Scores:
    """One seed's scores, and the realised missing rates of its masks, by protocol.

    ``rates`` has complete data and the protocols of ``random`` at least.
    """

    scores: Mapping[str, float]
    rates: Mapping[str, float]

    @property
    def full(self) -> float:
        """Return the score on complete data."""
        return self.scores[FULL]

    def of(self, block: str) -> list[float]:
        """Return the scores of a block of `BLOCKS`."""
        return [self.scores[name] for name in members_of(self.scores, block)]

    def mean(self, block: str) -> float | None:
        """Return the mean score of a block; None: it has no members."""
        return _mean(self.of(block))

    def area(self) -> float | None:
        """Return nAUILC over complete data and the members of ``random``; None: there are none."""
        names = members_of(self.scores, "rates")
        if not names:
            return None
        on = [FULL, *names]
        return nauilc([self.rates[n] for n in on], [self.scores[n] for n in on])

    def blocks(self) -> list[float | None]:
        """Return F, W, X, N and T of ``missing_mean``, in this order."""
        return [
            self.mean("fixed"), self.area(), self.mean("some"), self.mean("mnar"),
            self.mean("inside"),
        ]  # fmt: skip

    def missing_mean(self) -> float | None:
        """Return (F + W + X + N + T) / 5; None: a block has no members."""
        found = [value for value in self.blocks() if value is not None]
        return sum(found) / len(found) if len(found) == len(BLOCKS) else None

    def dependence(self) -> float | None:
        """Return N - S(mcar): what it costs that missingness follows the features, alone."""
        mnar = self.mean("mnar")
        control = [s for n, s in self.scores.items() if parse(n).family == CONTROL]
        return None if mnar is None or not control else mnar - control[0]


@dataclass(frozen=True)
class Aggregate:
    """A number that sums up one seed's scores.

    ``heading`` may hold ``{fixed}`` and ``{all}``, the numbers of fixed patterns without and with
    complete data. ``linear``: it is a weighted sum of the scores, so that it is resampled and
    tested like a metric (`weights_of`). ``value`` gives None where it is undefined.
    """

    name: str
    heading: str
    formula: str
    value: Callable[[Scores], float | None]
    linear: bool = False


def members_of(names: Mapping[str, float] | Sequence[str], block: str) -> list[str]:
    """Return the protocols of a block of `BLOCKS`, in the order given."""
    return [name for name in names if parse(name).family in BLOCKS[block]]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _least(values: Sequence[float]) -> float | None:
    return min(values, default=None)


def _over(value: float | None, full: float) -> float | None:
    return None if value is None or full <= 0 else value / full


def _below(value: float | None, full: float) -> float | None:
    return None if value is None else full - value


_FIXED = Aggregate(
    "avg_incomplete", "avg{fixed}", "mean over the fixed patterns",
    lambda s: s.mean("fixed"), linear=True,
)  # fmt: skip
_AREA = Aggregate(
    "nauilc", "nAUILC", "area over the realised missing rates divided by their range",
    lambda s: s.area(), linear=True,
)  # fmt: skip
_WORST_FORMULA = "least score over the members"
AGGREGATES: Mapping[str, tuple[Aggregate, ...]] = {
    CORE: (
        _FIXED,
        Aggregate(
            "avg_patterns", "avg{all}", "the same with complete data",
            lambda s: _mean([*s.of("fixed"), s.full]), linear=True,
        ),
        Aggregate("worst", "worst", "the worst pattern", lambda s: _least(s.of("fixed"))),
        Aggregate(
            "avg_rand", "avg-rand", "mean over the nominal rates 0.1 to 0.7",
            lambda s: s.mean("rates"), linear=True,
        ),
        Aggregate(
            "avg_rand0", "avg-rand0", "with 0", lambda s: _mean([*s.of("rates"), s.full]),
            linear=True,
        ),
        _AREA,
        Aggregate(
            "retention", "retention", "avg{fixed} over `full`",
            lambda s: _over(s.mean("fixed"), s.full),
        ),
        Aggregate(
            "drop", "drop", "`full` less avg{fixed}", lambda s: _below(s.mean("fixed"), s.full),
            linear=True,
        ),
        Aggregate(
            "retention_worst", "retention worst", "worst over `full`",
            lambda s: _over(_least(s.of("fixed")), s.full),
        ),
    ),
    MISSING: (
        Aggregate(
            "missing_mean", "missing-mean", "mean of the five blocks that follow",
            Scores.missing_mean, linear=True,
        ),
        _FIXED,
        _AREA,
        Aggregate(
            "avg_some", "some", "mean of `exclusive` and `patterns`", lambda s: s.mean("some"),
            linear=True,
        ),
        Aggregate(
            "avg_mnar", "mnar", "mean over `mnar`", lambda s: s.mean("mnar"), linear=True,
        ),
        Aggregate(
            "avg_inside", "inside", "mean over `frames` and `burst`", lambda s: s.mean("inside"),
            linear=True,
        ),
        Aggregate(
            "delta_mnar", "Δ mnar", "mnar less `mcar` at the same rate and draws",
            Scores.dependence, linear=True,
        ),
        Aggregate(
            "worst", "worst", _WORST_FORMULA, lambda s: _least(list(s.scores.values())),
        ),
        Aggregate(
            "retention", "retention", "missing-mean over `full`",
            lambda s: _over(s.missing_mean(), s.full),
        ),
    ),
}  # fmt: skip
"""The aggregates of a suite, in the order of their columns."""
RANKED = ("missing_mean", "avg_incomplete")
"""Rows are ordered and ranked by the first of these that is defined."""
POOLED = "pooled"
"""Micro-F1 of all decisions under the fixed patterns together: counts add up, scores do not."""


def aggregates_of(
    suite: str,
    scores: Mapping[str, float],
    rates: Mapping[str, float],
    lacking: Sequence[str] = (),
) -> dict[str, float]:
    """Return one seed's aggregates of a suite, without those that are undefined.

    A weak model has a high retention for free: read it beside the score on complete data.

    Args:
        suite: id of the suite; one without aggregates has none.
        scores: score by protocol: full and every member of the suite, but those ``lacking``.
        rates: realised missing rate of full and of every member of ``random``.
        lacking: protocols that were not scored: an aggregate in which they have a part is
            undefined.
    """
    one = Scores(scores, rates)
    found = {
        a.name: _without(a, scores, rates, lacking) if lacking else a.value(one)
        for a in AGGREGATES.get(suite, ())
    }
    return {name: value for name, value in found.items() if value is not None}


def _without(
    aggregate: Aggregate,
    scores: Mapping[str, float],
    rates: Mapping[str, float],
    lacking: Sequence[str],
) -> float | None:
    """Return a linear aggregate if its weights are zero where no score is; else None."""
    if not aggregate.linear:
        return None
    weights = weights_of(aggregate, [*scores, *lacking], rates)
    if weights is None or any(weights[len(scores) :]):
        return None
    return sum(w * s for w, s in zip(weights, scores.values(), strict=False))


def weights_of(
    aggregate: Aggregate, names: Sequence[str], rates: Mapping[str, float]
) -> list[float] | None:
    """Return the weight of each protocol's score in a linear aggregate; None: it is undefined.

    Args:
        aggregate: a linear one.
        names: protocols, with complete data among them.
        rates: as of `aggregates_of`.
    """
    found = []
    for chosen in names:
        value = aggregate.value(Scores({n: float(n == chosen) for n in names}, rates))
        if value is None:
            return None
        found.append(value)
    return found
