"""Tests of models against a reference (`compare`) and of all pairs of a table (`standings`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from harness.errors import UnknownNameError, UsageError
from harness.protocols.metrics import METRICS
from harness.statistics.bootstrap import (
    RESAMPLES,
    percentile_interval,
)
from harness.statistics.counts import Floats
from harness.statistics.entrants import AnyEntrant, refuse_misfits
from harness.statistics.intervals import Interval, over_seeds
from harness.statistics.measured import REAL, Measured, Unit, Weights, common_units, weights_of
from harness.statistics.multiplicity import holm
from harness.statistics.order import (
    FEWEST,
    TAU,
    almost_stochastic_order,
    probability_of_improvement,
)
from harness.statistics.permutation import PERMUTATIONS, Pair, Rows, all_pairs, every_pair
from harness.statistics.power import detectable
from harness.statistics.ranks import letters
from harness.statistics.seeds import SeedTest, differ_over_seeds


@dataclass(frozen=True)
class Options:
    """Numbers of resamples B and permutations R, the generator's seed, and the level alpha."""

    resamples: int = RESAMPLES
    permutations: int = PERMUTATIONS
    seed: int = 0
    alpha: float = 0.05


DEFAULTS = Options()
MOST_RANKED = 50
"""Of more models in a table only the best are tested pair by pair and have a rank."""
# Of more combinations of samples and seeds the rarest are not tested.
_KINDS = 100


@dataclass(frozen=True)
class Block:
    """Statistics of one model; the fields below ``reference`` are None for the reference.

    ``t_ci`` is over training seeds (where each is on a twin of its own, over data and training),
    ``sample_ci`` the cluster bootstrap of the seed-averaged metric, inside each twin: two sources
    of variance, two intervals. ``delta`` is model minus reference over the ``shared_seeds``, on the
    ``shared_twins`` (real data: none). ``p_perm`` is the paired permutation test over groups,
    ``p_holm`` adjusted for ``holm_m`` models; ``p_seeds`` is the test over seeds
    (`harness.statistics.seeds`). ``told_apart`` asks for both: the larger of the two p, adjusted by
    Holm, is below alpha. So neither other seeds of the same code nor another test set of the same
    kind makes equal models differ more often than alpha. ``detectable`` is the difference that both
    would tell apart with a probability of 80 % (`harness.statistics.power`). ``aso_eps_min`` is
    None below `harness.statistics.order.FEWEST` seeds.
    """

    name: str
    metric: str
    n_seeds: int
    seeds: tuple[int, ...]
    ddof: int
    mean: float
    std: float | None
    t_ci: Interval | None
    sample_ci: Interval
    B: int
    cluster_key: str
    n_clusters: int
    n_samples: int
    rng: str
    reference: str
    shared_seeds: tuple[int, ...] | None = None
    delta: float | None = None
    delta_ci: Interval | None = None
    p_perm: float | None = None
    R: int | None = None
    holm_m: int | None = None
    p_holm: float | None = None
    p_seeds: float | None = None
    told_apart: bool | None = None
    detectable: float | None = None
    p_improve: float | None = None
    aso_eps_min: float | None = None
    tau: float | None = None
    twins: tuple[int, ...] = ()
    shared_twins: tuple[int, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the block as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> Block:
        """Return a block from `as_dict`, or from JSON of it."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in known.items()
        }
        return cls(**values)


def compare(
    entrants: Sequence[AnyEntrant], reference: str, metric: str, options: Options = DEFAULTS
) -> list[Block]:
    """Return a block per model, in the order given, each against the reference.

    Args:
        entrants: two models or more.
        reference: the name of one of them.
        metric: a metric of decisions (`harness.protocols.metrics.summed`).
        options: numbers of draws, seed, level.

    Raises:
        UnknownNameError: the reference is not among them.
        UsageError: fewer than two models, two of one name, an unknown metric, or a comparison that
            is refused (`harness.statistics.entrants.misfit`).
    """
    by_name = {e.name: e for e in entrants}
    if len(entrants) < 2 or len(by_name) < len(entrants):
        raise UsageError("a comparison needs two models or more, each of its own name.")
    if reference not in by_name:
        raise UnknownNameError("reference", reference, by_name)
    refuse_misfits(entrants, by_name[reference])
    measured = {e.name: e.measured(metric) for e in entrants}
    base = measured[reference]
    pairs = [(m, base) for m in measured.values() if m is not base]
    weights = _weights(measured.values(), options)
    p_perm, over = _tested(pairs, options), _over_seeds(pairs)
    p_holm, p_seeds = holm(p_perm), [test.p for test in over]
    p_both = holm([max(p) for p in zip(p_perm, p_seeds, strict=True)])
    better_up = _better_up(metric)
    against: dict[str, dict[str, Any]] = {}
    for n, (model, _) in enumerate(pairs):
        units = common_units(model, base)
        a, b = model.at(units), base.at(units)
        drawn = model.resampled(units, weights) - base.resampled(units, weights)
        against[model.name] = {
            "shared_seeds": tuple(unit.seed for unit in units),
            "shared_twins": _twins(units),
            "delta": over_seeds(a).mean - over_seeds(b).mean,
            "delta_ci": percentile_interval(drawn),
            "p_perm": p_perm[n],
            "R": options.permutations,
            "holm_m": len(pairs),
            "p_holm": p_holm[n],
            "p_seeds": p_seeds[n],
            "told_apart": p_both[n] < options.alpha,
            "detectable": detectable(over[n], drawn, len(pairs), options.alpha),
            "p_improve": probability_of_improvement(*map(better_up, (a, b))),
            "aso_eps_min": None
            if len(units) < FEWEST
            else almost_stochastic_order(*map(better_up, (a, b)), seed=options.seed),
            "tau": TAU,
        }
    return [
        _block(e, measured[e.name], reference, metric, weights, options, against.get(e.name, {}))
        for e in entrants
    ]


@dataclass(frozen=True)
class PairTest:
    """One pair of a table: ``delta`` is first minus second over the seeds both have.

    ``p_holm`` is the larger of ``p_perm`` and ``p_seeds``, adjusted for all pairs of the table.
    """

    delta: float
    delta_ci: Interval
    p_perm: float
    p_seeds: float
    p_holm: float
    told_apart: bool


@dataclass(frozen=True)
class Standing:
    """A row's interval over test samples and its letters (empty: it could not be tested).

    ``against`` holds the tests of this row against later ones, by their place in the table.
    """

    sample_ci: Interval
    n_clusters: int
    rank: tuple[str, ...]
    against: Mapping[int, PairTest]


def standings(
    entrants: Sequence[AnyEntrant | Measured],
    metric: str,
    options: Options = DEFAULTS,
    unranked: Collection[int] = (),
) -> list[Standing]:
    """Return intervals and rank letters of the models of one table.

    Every pair is tested as in `Block.told_apart`, Holm over all pairs. A model that must not be
    tested against the first testable one (seeds, ids, masks) has an interval and no rank. Of more
    than `MOST_RANKED` models that can be tested only the best are: pairs would otherwise grow with
    the square of their number, and Holm's adjustment with them.

    Args:
        entrants: models; where they are `Measured`, by ``metric``.
        metric: a metric of decisions.
        options: numbers of draws, seed, level.
        unranked: places of models that have an interval alone.
    """
    models = [e if isinstance(e, Measured) else e.measured(metric) for e in entrants]
    weights = _weights(models, options)
    known: dict[tuple[int, tuple[Unit, ...]], Floats] = {}

    def drawn(model: Measured, units: tuple[Unit, ...]) -> Floats:
        """Draw once for all the pairs a model is in."""
        if (id(model), units) not in known:
            known[id(model), units] = model.resampled(units, weights)
        return known[id(model), units]

    better_up = _better_up(metric)
    open_ = [model for number, model in enumerate(models) if number not in unranked]
    ranked = _best(_comparable(open_), better_up)
    ranks: dict[int, tuple[str, ...]] = {}
    tests: dict[int, dict[int, PairTest]] = {}
    if len(ranked) > 1:
        pairs = [(ranked[i], ranked[j]) for i, j in every_pair(len(ranked))]
        p_perm = _tested(pairs, options)
        p_seeds = [test.p for test in _over_seeds(pairs)]
        adjusted = holm([max(p) for p in zip(p_perm, p_seeds, strict=True)])
        apart = np.zeros((len(ranked), len(ranked)), dtype=bool)
        place = {id(m): number for number, m in enumerate(models)}
        for n, ((i, j), p) in enumerate(zip(every_pair(len(ranked)), adjusted, strict=True)):
            apart[i, j] = apart[j, i] = p < options.alpha
            a, b = ranked[i], ranked[j]
            shared = common_units(a, b)
            gap = over_seeds(a.at(shared)).mean - over_seeds(b.at(shared)).mean
            interval = percentile_interval(drawn(a, shared) - drawn(b, shared))
            tests.setdefault(place[id(a)], {})[place[id(b)]] = PairTest(
                gap, interval, p_perm[n], p_seeds[n], p, p < options.alpha
            )
        means = better_up([over_seeds(m.scores).mean for m in ranked])
        ranks = dict(zip(map(id, ranked), letters(means, apart), strict=True))
    return [
        Standing(
            percentile_interval(drawn(model, model.units)),
            model.num_groups,
            ranks.get(id(model), ()),
            tests.get(number, {}),
        )
        for number, model in enumerate(models)
    ]


def _comparable(models: Sequence[Measured]) -> list[Measured]:
    """Return the first model that can be tested against any other, and all it can be with.

    Models of the same samples and seeds are one kind: kinds are few where models are many.
    """
    kinds: dict[tuple[tuple[str, ...], tuple[Unit, ...], bool], list[int]] = {}
    for number, model in enumerate(models):
        kind = (tuple(model.samples.values()), model.units, model.deterministic)
        kinds.setdefault(kind, []).append(number)
    members = sorted(kinds.values(), key=lambda numbers: (-len(numbers), numbers[0]))[:_KINDS]
    members.sort(key=lambda numbers: numbers[0])
    shown = [models[numbers[0]] for numbers in members]
    fits = [[a.testable(b) for b in shown] for a in shown]

    best: list[int] = []
    for first in range(len(shown)):
        fitting = [k for k in range(len(shown)) if fits[k][first]]
        clique = [k for k in fitting if all(fits[k][other] for other in fitting)]
        found = [number for k in clique for number in members[k]]
        if len(found) > max(len(best), 1):
            best = found
    return [models[number] for number in sorted(best)]


def _best(
    models: list[Measured], better_up: Callable[[Sequence[float]], list[float]]
) -> list[Measured]:
    """Return the `MOST_RANKED` best models, in the order given."""
    if len(models) <= MOST_RANKED:
        return models
    means = better_up([over_seeds(m.scores).mean for m in models])
    kept = sorted(sorted(range(len(models)), key=lambda i: -means[i])[:MOST_RANKED])
    return [models[i] for i in kept]


def _weights(models: Iterable[Measured], options: Options) -> Weights:
    return weights_of(models, options.resamples, options.seed)


def _tested(pairs: Sequence[tuple[Measured, Measured]], options: Options) -> list[float]:
    """Return the p of the permutation test of each pair, inside the twins that both have."""
    models = list({id(e): e for pair in pairs for e in pair}.values())
    layout = sorted({size for a, b in pairs for size in set(a.sizes) & set(b.sizes)})
    place = {id(e): i for i, e in enumerate(models)}
    found = [model.over(layout) for model in models]
    asked: list[Pair] = []
    for a, b in pairs:
        shared = common_units(a, b)
        rows = [_rows(e, found[place[id(e)]][0], shared) for e in (a, b)]
        asked.append(((place[id(a)], place[id(b)]), (rows[0], rows[1])))
    return all_pairs([sums for _, sums in found], asked, options.permutations, options.seed)


def _rows(model: Measured, units: Sequence[Unit], shared: Sequence[Unit]) -> Rows:
    """Return where trainings stand among units; all of them as a slice, which copies nothing."""
    if tuple(shared) == tuple(units):
        return slice(None)
    if model.deterministic:
        twins = [unit.twin for unit in units]
        return [twins.index(unit.twin) for unit in shared]
    places = {unit: place for place, unit in enumerate(units)}
    return [places[unit] for unit in shared]


def _over_seeds(pairs: Sequence[tuple[Measured, Measured]]) -> list[SeedTest]:
    models = list({id(e): e for pair in pairs for e in pair}.values())
    place = {id(e): i for i, e in enumerate(models)}
    asked = []
    for a, b in pairs:
        shared = common_units(a, b)
        asked.append(((place[id(a)], place[id(b)]), (a.rows(shared), b.rows(shared))))
    return differ_over_seeds(
        [m.scores for m in models],
        [[unit.twin for unit in m.units] if m.twins else [] for m in models],
        [m.deterministic for m in models],
        asked,
    )


def _twins(units: Iterable[Unit]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(unit.twin for unit in units if unit.twin != REAL))


def _better_up(metric: str) -> Callable[[Sequence[float]], list[float]]:
    """Return what makes the better of two values of a metric the higher one."""
    sign = -1.0 if METRICS[metric].lower_is_better else 1.0
    return lambda values: [sign * v for v in values]


def _block(
    entrant: AnyEntrant,
    measured: Measured,
    reference: str,
    metric: str,
    weights: Weights,
    options: Options,
    against: dict[str, Any],
) -> Block:
    found = over_seeds(measured.scores)
    return Block(
        name=entrant.name,
        metric=metric,
        n_seeds=found.n,
        seeds=entrant.seeds,
        ddof=found.ddof,
        mean=found.mean,
        std=found.std,
        t_ci=found.t_interval,
        sample_ci=percentile_interval(measured.resampled(measured.units, weights)),
        B=options.resamples,
        cluster_key=entrant.cluster_key,
        n_clusters=entrant.num_groups,
        n_samples=entrant.num_samples,
        rng=f"PCG64({options.seed})",
        reference=reference,
        twins=measured.twins,
        **against,
    )
