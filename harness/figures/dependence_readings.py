"""Which modality a label depends on, read off a trained model (figure 4 of Yang et al. 2025).

Winners: a model that pools over modalities by a maximum says, per sample and label, which modality
gave the score. Occlusion: what a label's scores lose when one modality is dropped; any model has
it. Twins have a planted dependence to compare with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.protocols.metrics import average_precision

Matrix = NDArray[np.float64]
CONTRAST, PRESENT, ALL = "contrast", "present", "all"
SAMPLES = (CONTRAST, PRESENT, ALL)


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
