"""Agreement of a measured dependence of labels on modalities with a known one.

L labels, M modalities; p values by exchanging the rows of the known matrix.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
_EXACT = 5040
_DRAWS = 9999


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
