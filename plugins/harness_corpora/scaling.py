"""Standardisation of features whose raw scales differ by orders of magnitude."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Standardiser:
    """x -> (x - mean) / deviation per feature; a constant feature becomes 0."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of(cls, train: NDArray[np.floating]) -> Standardiser:
        """Return the standardiser of training features [N, d] (population deviation)."""
        values = train.astype(np.float64)
        deviation = values.std(axis=0)
        return cls(values.mean(axis=0), np.where(deviation > 0, deviation, 1.0))

    def __call__(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return standardised features [N, d]."""
        scaled = (features.astype(np.float64) - self.mean) / self.deviation
        return scaled.astype(np.float32)
