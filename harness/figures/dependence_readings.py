"""Which modality a label depends on, read off a trained model (figure 4 of Yang et al. 2025).

Winners: a model that pools over modalities by a maximum says, per sample and label, which modality
gave the score. Occlusion: what a label's scores lose when one modality is dropped; any model has
it. Twins have a planted dependence to compare with.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.protocols.metrics import average_precision

Matrix = NDArray[np.float64]
CONTRAST, PRESENT, ALL = "contrast", "present", "all"
SAMPLES = (CONTRAST, PRESENT, ALL)
_EXACT = 5040
_DRAWS = 9999


@dataclass(frozen=True)
class Reading:
    """One way to read the dependence of L labels on M modalities off S trained runs.

    Attributes:
        source: where it comes from: a tensor of the model's analysis, or ``occlusion``.
        quantity: what a value is: ``contrast``, ``present``, ``all``, ``ap``, ``separation``.
        values: float64 [S, L, M], one matrix a seed; NaN where undefined.
    """

    source: str
    quantity: str
    values: NDArray[np.float64]

    @property
    def mean(self) -> Matrix:
        """Return the mean over seeds, float64 [L, M]; NaN where a seed has no value."""
        mean: Matrix = self.values.mean(axis=0)
        return mean

    @property
    def name(self) -> str:
        """Return the reading in a few words."""
        return f"{self.source} {self.quantity}"


@dataclass(frozen=True)
class Agreement:
    """How well a reading agrees with a known dependence.

    Attributes:
        rho: Spearman's rank correlation over all cells.
        rho_interaction: the same once each modality's and each label's mean is taken off both
            (`interaction`): which modality tells which label, beyond how much a modality is used
            altogether and how easy a label is.
        p, p_interaction: one-sided, by exchanging the labels of the known dependence.
        strongest: labels whose strongest modality is the known one (or one of several), out of
            ``labels``.
    """

    rho: float
    rho_interaction: float
    p: float
    p_interaction: float
    strongest: int
    labels: int


def winner_readings(
    winner: NDArray[np.integer], truth: NDArray[np.integer], modalities: int
) -> dict[str, Matrix]:
    """Return how often each modality wins a label, float64 [L, M] each.

    ``present`` and ``all`` are shares over the samples that have the label, and over all;
    ``contrast`` is the share where the label is present minus that where it is absent. Only the
    contrast is free of a modality that wins whatever the label: a maximum of scores without a bias
    has a winner also where nothing speaks for the label.

    Args:
        winner: [N, L], the winning modality of each sample and label.
        truth: 0/1 [N, L].
        modalities: M.
    """
    won = (np.asarray(winner)[:, :, None] == np.arange(modalities)).astype(np.float64)
    there = np.asarray(truth).astype(bool)
    present, absent = _mean_over(won, there), _mean_over(won, ~there)
    return {CONTRAST: present - absent, PRESENT: present, ALL: won.mean(axis=0)}


def occlusion_readings(
    full: NDArray[np.floating], dropped: Sequence[NDArray[np.floating]], truth: NDArray[np.integer]
) -> dict[str, Matrix]:
    """Return what labels lose when a modality is dropped, float64 [L, M] each.

    ``ap``: average precision on complete data minus that without the modality (NaN for a label
    without samples). ``separation``: the same of the mean score where the label is present minus
    that where it is absent.

    Args:
        full: scores [N, L] on complete data.
        dropped: M times scores [N, L] without the m-th modality.
        truth: 0/1 [N, L].
    """
    scored = [_precision(truth, full), *(_precision(truth, s) for s in dropped)]
    apart = [_separation(truth, full), *(_separation(truth, s) for s in dropped)]
    return {
        "ap": np.stack([scored[0] - x for x in scored[1:]], axis=1),
        "separation": np.stack([apart[0] - x for x in apart[1:]], axis=1),
    }


def readings_of(source: str, by_seed: Sequence[Mapping[str, Matrix]]) -> list[Reading]:
    """Return the readings of several seeds, seed by seed in the order given."""
    return [Reading(source, q, np.stack([one[q] for one in by_seed])) for q in by_seed[0]]


def agreement(measured: Matrix, known: Matrix) -> Agreement:
    """Return how well a reading [L, M] agrees with a known dependence [L, M].

    Labels with an undefined value are left out; with fewer than two labels or modalities left, or
    without any variance, a correlation is NaN.
    """
    whole = np.isfinite(measured).all(axis=1)
    x, y = measured[whole], known[whole]
    rho, p = _permuted(x, y)
    rho_inner, p_inner = _permuted(interaction(x), interaction(y))
    chosen = np.take_along_axis(y, x.argmax(axis=1)[:, None], axis=1)[:, 0] if len(x) else y[:, 0]
    hits = int((chosen >= y.max(axis=1, initial=-math.inf) - 1e-12).sum())
    return Agreement(rho, rho_inner, p, p_inner, hits, len(x))


def interaction(values: Matrix) -> Matrix:
    """Return a matrix without the means of its rows and columns (double centring)."""
    if not values.size:
        return values
    rows, columns = values.mean(axis=1, keepdims=True), values.mean(axis=0, keepdims=True)
    centred: Matrix = values - rows - columns + values.mean()
    return centred


def spearman(x: Matrix, y: Matrix) -> float:
    """Return Spearman's rank correlation over all cells; NaN where one side is constant."""
    return float(_correlate(_ranks(x).ravel()[None], _ranks(y).ravel())[0])


def _permuted(x: Matrix, y: Matrix) -> tuple[float, float]:
    """Return the rank correlation and its p under exchange of y's rows (all orders, or a draw)."""
    rho = spearman(x, y)
    if not math.isfinite(rho):
        return rho, math.nan
    mine, theirs = _ranks(x).ravel(), _ranks(y)
    orders = np.array(list(_orders(len(y))))
    found = _correlate(theirs[orders].reshape(len(orders), -1), mine)
    return rho, float((found >= rho - 1e-12).mean())


def _orders(count: int) -> Iterator[tuple[int, ...]]:
    if math.factorial(count) <= _EXACT:
        yield from itertools.permutations(range(count))
        return
    drawn = np.random.default_rng(0)
    yield tuple(range(count))
    for _ in range(_DRAWS):
        yield tuple(drawn.permutation(count).tolist())


def _ranks(values: Matrix) -> Matrix:
    from scipy.stats import rankdata

    # Centring leaves differences in the last bits, which must not break ties.
    ranks: Matrix = rankdata(np.round(values, 12).ravel()).reshape(values.shape)
    return ranks


def _correlate(rows: Matrix, other: Matrix) -> Matrix:
    """Return the correlation of each row [K, n] with another vector [n]; NaN for a constant."""
    if other.size < 2:
        return np.full(len(rows), math.nan)
    a = rows - rows.mean(axis=1, keepdims=True)
    b = other - other.mean()
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum())
    found: Matrix = np.full(len(rows), math.nan)
    np.divide(a @ b, size, out=found, where=size > 0)
    return found


def _mean_over(values: NDArray[np.float64], chosen: NDArray[np.bool_]) -> Matrix:
    """Return the mean of values [N, L, M] over the samples chosen per label [N, L]."""
    counts = chosen.sum(axis=0)[:, None].astype(np.float64)
    total = (values * chosen[:, :, None]).sum(axis=0)
    found: Matrix = np.full(total.shape, math.nan)
    np.divide(total, counts, out=found, where=counts > 0)
    return found


def _precision(truth: NDArray[np.integer], scores: NDArray[np.floating]) -> NDArray[np.float64]:
    found = average_precision(truth, scores)
    return np.array([math.nan if v is None else v for v in found], dtype=np.float64)


def _separation(truth: NDArray[np.integer], scores: NDArray[np.floating]) -> NDArray[np.float64]:
    there = np.asarray(truth).astype(bool)
    each = scores.astype(np.float64)[:, :, None]
    return (_mean_over(each, there) - _mean_over(each, ~there))[:, 0]
