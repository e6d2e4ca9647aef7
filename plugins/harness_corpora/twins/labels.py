"""Label-set models of the twins: a table p(y) and exact ways to draw from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness_corpora.specs import M3ED_LABELS, MOSEI_LABELS

# Shares of the 22 856 clips with each emotion: Ju et al., ACM MM 2020, table 1 (surprise and fear
# as their code has them, which the printed table exchanges).
MOSEI_MARGINALS = (0.536, 0.259, 0.216, 0.100, 0.161, 0.083)

# P(i and j) estimated from 1000 public segments re-weighted to the training split; the diagonal is
# P(i). Only the dependence (phi) is taken from it, the levels from MOSEI_MARGINALS.
MOSEI_JOINT = (
    (0.556, 0.080, 0.072, 0.041, 0.052, 0.075),
    (0.080, 0.247, 0.067, 0.056, 0.067, 0.031),
    (0.072, 0.067, 0.229, 0.023, 0.097, 0.032),
    (0.041, 0.056, 0.023, 0.100, 0.028, 0.018),
    (0.052, 0.067, 0.097, 0.028, 0.163, 0.044),
    (0.075, 0.031, 0.032, 0.018, 0.044, 0.118),
)

# Intra-video correlation of presence in the same 1000 segments, and the keep probabilities of
# `draw` that reproduce it (found by simulation).
MOSEI_GROUP_CORRELATION = (0.31, 0.23, 0.27, 0.23, 0.12, 0.10)
MOSEI_GROUP_KEEP = (0.52, 0.44, 0.49, 0.46, 0.19, 0.28)


@dataclass(frozen=True)
class LabelModel:
    """The distribution of label sets: ``states`` uint8 [K, L], ``prob`` float64 [K] (sums to 1)."""

    names: tuple[str, ...]
    states: NDArray[np.uint8]
    prob: NDArray[np.float64]

    @property
    def marginals(self) -> NDArray[np.float64]:
        """Return P(label present), float64 [L]."""
        return self.prob @ self.states

    @property
    def joint(self) -> NDArray[np.float64]:
        """Return P(i and j), float64 [L, L]; the diagonal holds the marginals."""
        s = self.states.astype(np.float64)
        return (s * self.prob[:, None]).T @ s

    def phi(self) -> NDArray[np.float64]:
        """Return the correlation of label presences, float64 [L, L]."""
        return phi_of(self.joint)


def phi_of(joint: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the phi coefficients of P(i and j) [L, L]; 0 where a label is constant."""
    p = np.diag(joint)
    sd = np.sqrt(p * (1 - p))
    scale = np.outer(sd, sd)
    covariance = joint - np.outer(p, p)
    return np.where(scale > 0, covariance / np.where(scale > 0, scale, 1.0), 0.0)


def all_sets(labels: int) -> NDArray[np.uint8]:
    """Return every label set, uint8 [2**labels, labels]."""
    return ((np.arange(2**labels)[:, None] >> np.arange(labels)) & 1).astype(np.uint8)


def maximum_entropy(
    joint: NDArray[np.float64], *, sweeps: int = 2000, tolerance: float = 1e-10
) -> NDArray[np.float64]:
    """Fit the maximum-entropy p(y), log p = h.y + y'Jy + const, by iterative scaling.

    Args:
        joint: target P(i and j) [L, L] with the marginals on the diagonal.
        sweeps: passes over the L(L+1)/2 features at most.
        tolerance: largest deviation of a feature's expectation at which to stop.

    Returns:
        float64 [2**L], in the order of `all_sets`.

    Raises:
        ValueError: no distribution was reached that has these expectations.
    """
    size = len(joint)
    states = all_sets(size).astype(bool)
    pairs = [(i, j) for i in range(size) for j in range(i, size)]
    prob = np.full(len(states), 1.0 / len(states))
    for _ in range(sweeps):
        worst = 0.0
        for i, j in pairs:
            on = states[:, i] & states[:, j]
            now, goal = float(prob[on].sum()), float(joint[i, j])
            worst = max(worst, abs(now - goal))
            prob = prob * np.where(on, goal / now, (1 - goal) / (1 - now))
        if worst < tolerance:
            return np.asarray(prob / prob.sum())
    raise ValueError(f"iterative scaling did not converge (largest deviation {worst:.2g})")


@lru_cache(maxsize=1)
def mosei() -> LabelModel:
    """Return CMU-MOSEI's label model: published marginals, measured dependence (phi)."""
    p = np.array(MOSEI_MARGINALS)
    sd = np.sqrt(p * (1 - p))
    joint = np.outer(p, p) + phi_of(np.array(MOSEI_JOINT)) * np.outer(sd, sd)
    joint[np.diag_indices(len(p))] = p
    return LabelModel(MOSEI_LABELS, all_sets(len(p)), maximum_entropy(joint))


@dataclass(frozen=True)
class Dialogues:
    """The 990 real M3ED dialogues, labels only.

    ``names`` str [990]; ``split`` uint8 [990] (0 train, 1 valid, 2 test); ``offsets`` int64 [991]
    into ``emotion`` uint8 [U] (index into M3ED_LABELS) and ``speaker`` uint8 [U] (0 'A', 1 'B').
    """

    names: NDArray[np.str_]
    split: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    emotion: NDArray[np.uint8]
    speaker: NDArray[np.uint8]

    def rows(self, index: int) -> slice:
        """Return the utterances of one dialogue."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return the number of utterances per dialogue, int64 [990]."""
        return np.diff(self.offsets)

    def label_sets(self) -> NDArray[np.uint8]:
        """Return the union of each dialogue's emotions, uint8 [990, 7]."""
        sets = np.zeros((len(self.names), len(M3ED_LABELS)), np.uint8)
        sets[np.repeat(np.arange(len(self.names)), self.lengths), self.emotion] = 1
        return sets


@lru_cache(maxsize=1)
def dialogues() -> Dialogues:
    """Return the label sequences that are shipped with the package (data/m3ed_labels.npz)."""
    path = Path(__file__).parents[1] / "data" / "m3ed_labels.npz"
    with np.load(path, allow_pickle=False) as file:
        offsets = np.concatenate([[0], np.cumsum(file["length"].astype(np.int64))])
        return Dialogues(file["dialogue"], file["split"], offsets, file["emotion"], file["speaker"])


@lru_cache(maxsize=1)
def m3ed() -> LabelModel:
    """Return M3ED's label model: the empirical distribution over its 990 dialogues."""
    states, counts = np.unique(dialogues().label_sets(), axis=0, return_counts=True)
    return LabelModel(M3ED_LABELS, states, counts / counts.sum())


def stretch(emotion: NDArray[np.uint8], length: int) -> NDArray[np.int64]:
    """Return ``length`` positions of a sequence, evenly spread, that show all of its labels.

    Args:
        emotion: uint8 [n], the sequence.
        length: at least the number of distinct labels.

    Returns:
        int64 [length], not decreasing.
    """
    index = (np.arange(length) * len(emotion)) // length
    for label in np.unique(emotion):
        if label in emotion[index]:
            continue
        first = int(np.flatnonzero(emotion == label)[0])
        shown = np.bincount(emotion[index], minlength=int(emotion.max()) + 1)
        spare = np.flatnonzero(shown[emotion[index]] > 1)
        index[spare[np.argmin(np.abs(index[spare] - first))]] = first
    return np.sort(index)


def draw(
    model: LabelModel,
    groups: NDArray[np.int64],
    keep: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Draw label sets that are alike within a group, each with exactly p(y) as its distribution.

    Every group has a prototype from p(y). A sample keeps label k of it with probability
    ``keep[k]`` and draws the labels it does not keep from p(rest | kept): a block Gibbs step,
    which leaves p(y) invariant.

    Args:
        model: the label model.
        groups: int64 [N], group index of each sample, 0 to G-1 without a gap.
        keep: float64 [L]; zeros give independent samples.
        rng: source of randomness.

    Returns:
        uint8 [N, L].
    """
    n, size = len(groups), len(model.names)
    order = rng.permutation(int(groups.max()) + 1)
    share = (np.bincount(groups) / n)[order]
    # Systematic sampling, weighted by size: each prototype is p(y)-distributed (the common shift
    # is uniform), and a split of few groups comes out near p(y) as a whole.
    place = np.cumsum(share) - share * rng.random(len(share)) + rng.random()
    cumulative = np.cumsum(model.prob)
    state = np.searchsorted(cumulative, place % 1.0, side="right")
    prototype = np.empty((len(order), size), np.uint8)
    prototype[order] = model.states[np.minimum(state, len(cumulative) - 1)]
    kept = rng.random((n, size)) < keep
    target = prototype[groups]
    fits = (~kept[:, None, :] | (model.states[None] == target[:, None, :])).all(axis=2)
    weight = np.cumsum(fits * model.prob, axis=1)
    pick = (rng.random(n)[:, None] * weight[:, -1:] >= weight).sum(axis=1)
    return np.asarray(model.states[pick])
