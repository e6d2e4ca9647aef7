"""Whether features belong to their labels: does another pairing of rows fit better than the stated?

A ridge regression from pooled features to labels is fitted under the stated pairing and under the
wrong ones that data sets were found to have: rows late or early by one to three, turned round, in
the order of a file listing (1, 10, 100, 2) or its inverse, each over the file and inside each value
of a column (a split, a group, a person), and in the order of its values. What counts is the fit on
rows of groups that were not fitted on.

Rows that were shuffled fit under no pairing. They are told from features that say nothing of the
labels by their groups: rows of one group, a recording say, are alike. NumPy only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FOLDS = 5
PENALTIES = (0.1, 1.0, 10.0)
SHIFTS = (-3, -2, -1, 1, 2, 3)
# A pairing is named that fits better than the stated one by so many deviations of random pairings,
# and that beats what random pairings reach by as many.
CLEAR = 5.0
RANDOM = 20
WIDEST = 256
# A column whose values have fewer rows than this on average is text, and no place for a mix-up.
LEAST_ROWS = 2

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Samples in the order of their file.

    Attributes:
        ids: N names.
        groups: N names of groups; none is fitted on and scored at once.
        labels: float64 [N, L].
        features: per modality float64 [N, d], NaN rows where it is missing.
        columns: further columns of N names each, in whose values rows may have been mixed up.
    """

    ids: Sequence[str]
    groups: Sequence[str]
    labels: NDArray[np.float64]
    features: Mapping[str, NDArray[np.float64]]
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Fit:
    """How well a modality fits the labels, and another pairing that fits better.

    Attributes:
        modality: whose features.
        pairing: what was tried, in words; empty: none fits clearly better than the stated one.
        found: mean correlation of predictions and labels under it.
        stated: the same under the stated pairing.
        deviation: of the same over random pairings.
        chance: mean of the same over random pairings.
    """

    modality: str
    pairing: str
    found: float
    stated: float
    deviation: float
    chance: float = 0.0

    @property
    def tells(self) -> bool:
        """Return whether the stated pairing fits clearly better than random ones."""
        return self.stated - self.chance >= CLEAR * self.deviation

    def __str__(self) -> str:
        return (
            f"{self.modality}: {self.pairing} fits the labels better than the stated pairing "
            f"(mean correlation {self.found:.2f} against {self.stated:.2f}, random pairings "
            f"deviate by {self.deviation:.3f})"
        )


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts numbers inside of text by their value."""
    parts = re.split(r"(\d+)", text)
    return tuple((1, int(p), "") if p.isdigit() else (0, 0, p) for p in parts if p)


def pairings(rows: Rows) -> Iterator[tuple[str, IntArray]]:
    """Yield what is tried: its name, and for each row of features the row whose labels it gets."""
    count = len(rows.ids)
    whole = np.zeros(count, dtype=np.int64)
    for by in SHIFTS:
        yield f"labels {_late(by)}", _shifted(whole, by)
    yield "the order turned round", _turned(whole)
    listing = sorted(range(count), key=lambda i: rows.ids[i])
    yield from _both("the order of a file listing (1, 10, 100, 2)", np.array(listing))
    for name, column in rows.columns.items():
        values = sorted(set(column))
        if not 1 < len(values) <= count / LEAST_ROWS:
            continue
        code = {value: i for i, value in enumerate(values)}
        inside = np.array([code[value] for value in column])
        for by in SHIFTS:
            yield f"labels {_late(by)} inside each {name}", _shifted(inside, by)
        yield f"the order turned round inside each {name}", _turned(inside)
        listing = sorted(range(count), key=lambda i: (inside[i], rows.ids[i]))
        yield from _both(f"the order of a file listing inside each {name}", np.array(listing))
        ordered = np.argsort(inside, kind="stable")
        yield from _both(f"the order of {name}", ordered)


def better_pairings(rows: Rows, seed: int = 0) -> list[Fit]:
    """Return the pairings that fit clearly better than the stated one, the best per modality.

    A modality that fits nothing, under no pairing, says nothing.

    Args:
        rows: the data.
        seed: of folds and random pairings.
    """
    return [fit for fit in fits(rows, seed) if fit.pairing]


def fits(rows: Rows, seed: int = 0) -> list[Fit]:
    """Return how each modality fits the labels, and the pairing that fits clearly better.

    Args:
        rows: the data.
        seed: of folds and random pairings.
    """
    identity = np.arange(len(rows.ids))
    orders, names = [identity], [""]
    rng = np.random.default_rng(seed)
    orders += [rng.permutation(len(rows.ids)) for _ in range(RANDOM)]
    known = {identity.tobytes()}
    for name, order in pairings(rows):
        if order.tobytes() not in known:
            known.add(order.tobytes())
            orders.append(order)
            names.append(name)
    found: list[Fit] = []
    for modality, x in rows.features.items():
        all_fits = held_out_fits(x, rows.labels, rows.groups, orders, rng)
        stated, random, others = all_fits[0], all_fits[1 : RANDOM + 1], all_fits[RANDOM + 1 :]
        deviation, chance = max(float(random.std(ddof=1)), 1e-6), float(random.mean())
        best = int(others.argmax()) if len(others) else -1
        reached = float(others[best]) if best >= 0 else float(stated)
        clear = min(reached - stated, reached - chance) >= CLEAR * deviation
        name = names[best + 1] if clear else ""
        found.append(Fit(modality, name, reached, float(stated), deviation, chance))
    return found


def alike(rows: Rows, seed: int = 0) -> dict[str, float]:
    """Return per modality how much alike rows of one group are, in deviations of random groups.

    What is measured is the mean over columns of the share of variance between groups; NaN where
    there is one group, a row a group, or a modality that never varies.

    Args:
        rows: the data.
        seed: of the random groups.
    """
    code = {group: i for i, group in enumerate(dict.fromkeys(rows.groups))}
    own = np.array([code[group] for group in rows.groups])
    rng = np.random.default_rng(seed)
    found = {}
    for modality, x in rows.features.items():
        there = np.isfinite(x).all(axis=1)
        group, y = own[there], x[there]
        y = y[:, y.std(axis=0) > 0] if len(y) else y
        if not y.size or len(np.unique(group)) in (1, len(group)):
            found[modality] = np.nan  # nothing to compare
            continue
        y = (y - y.mean(axis=0)) / y.std(axis=0)
        random = np.array([_between(y, rng.permutation(group)) for _ in range(RANDOM)])
        deviation = max(float(random.std(ddof=1)), 1e-9)
        found[modality] = float((_between(y, group) - random.mean()) / deviation)
    return found


def shuffled(rows: Rows, known: Sequence[Fit], seed: int = 0) -> list[str]:
    """Return the modalities whose rows seem to be in no order at all.

    Such a modality fits the labels under no pairing and its rows of one group are not alike, while
    both hold of another modality of the same data.

    Args:
        rows: the data.
        known: how each modality fits (`fits`).
        seed: of the random groups.
    """
    right = [fit.modality for fit in known if fit.tells]
    lost = [fit.modality for fit in known if not fit.tells and not fit.pairing]
    if not right or not lost:
        return []
    grouped = alike(rows, seed)
    if not any(grouped[m] >= CLEAR for m in right):
        return []
    return [m for m in lost if grouped[m] < CLEAR]


def held_out_fits(
    x: NDArray[np.float64],
    labels: NDArray[np.float64],
    groups: Sequence[str],
    orders: Sequence[IntArray],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return for each pairing the mean correlation of held-out predictions with labels, [C].

    The best of `PENALTIES` counts, for every pairing alike.

    Args:
        x: [N, d], NaN rows where missing: they take no part.
        labels: [N, L].
        groups: N names.
        orders: int64 [N] each; row i of x is paired with the labels of row ``order[i]``.
        rng: draws the folds.
    """
    there = np.asarray(np.isfinite(x).all(axis=1))
    x = x[there] - x[there].mean(axis=0)
    spread = x.std(axis=0)
    x = x[:, spread > 0] / spread[spread > 0]
    if not x.size:
        return np.zeros(len(orders))
    if x.shape[1] > WIDEST:
        x = x @ rng.standard_normal((x.shape[1], WIDEST)) / np.sqrt(x.shape[1])
    y = np.concatenate([labels[order[there]] for order in orders], axis=1)
    own = [groups[i] for i in np.flatnonzero(there).tolist()]
    names = sorted(set(own))
    fold_of = dict(zip(names, rng.permutation(len(names)) % FOLDS, strict=True))
    fold = np.array([fold_of[group] for group in own])
    best = np.full(len(orders), -np.inf)
    for penalty in PENALTIES:
        predicted = np.zeros_like(y)
        for held in range(FOLDS):
            inside, outside = fold != held, fold == held
            if not inside.any() or not outside.any():
                continue
            fitted = x[inside]
            square = fitted.T @ fitted + penalty * len(fitted) * np.eye(x.shape[1])
            centred = y[inside] - y[inside].mean(axis=0)
            weights = np.linalg.solve(square, fitted.T @ centred)
            predicted[outside] = x[outside] @ weights
        best = np.maximum(best, _correlations(predicted, y).reshape(len(orders), -1).mean(axis=1))
    return best


def _correlations(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation of each pair of columns, 0 where one is constant."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    size = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    products: NDArray[np.float64] = (a * b).sum(axis=0)
    return np.where(size > 1e-12, products / np.maximum(size, 1e-12), 0.0)


def _late(by: int) -> str:
    count = abs(by)
    return f"{count} row{'s' * (count > 1)} {'early' if by < 0 else 'late'}"


def _shifted(inside: IntArray, by: int) -> IntArray:
    """Return the pairing that undoes labels that stand ``by`` rows late inside each value."""
    order = np.empty(len(inside), dtype=np.int64)
    for own in _places(inside):
        order[own] = np.roll(own, -by)
    return order


def _turned(inside: IntArray) -> IntArray:
    """Return the pairing of the rows of each value in the opposite order."""
    order = np.empty(len(inside), dtype=np.int64)
    for own in _places(inside):
        order[own] = own[::-1]
    return order


def _places(inside: IntArray) -> list[IntArray]:
    """Return where each value stands, in order."""
    ordered = np.argsort(inside, kind="stable")
    return np.split(ordered, np.cumsum(np.unique(inside, return_counts=True)[1])[:-1])


def _between(y: NDArray[np.float64], group: IntArray) -> float:
    """Return the share of the variance of standardised columns [N, d] that lies between groups."""
    _, own, counts = np.unique(group, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), y.shape[1]))
    np.add.at(sums, own.ravel(), y)
    return float((sums**2 / counts[:, None]).sum() / y.size)


def _both(name: str, order: IntArray) -> Iterator[tuple[str, IntArray]]:
    """Yield labels in this order, and features in it."""
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    yield f"labels in {name}", order
    yield f"features in {name}", inverse
