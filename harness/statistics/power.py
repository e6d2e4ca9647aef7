"""The smallest difference between two models that their tests would tell apart."""

from __future__ import annotations

import numpy as np

from harness.statistics.counts import Floats
from harness.statistics.seeds import SeedTest

POWER = 0.8


def detectable(
    test: SeedTest,
    resampled_gap: Floats,
    comparisons: int,
    alpha: float = 0.05,
    power: float = POWER,
) -> float:
    """Return the minimal detectable difference of two models' means over seeds.

    It is (t(1 - alpha / 2m) + t(power)) standard errors, for the first of m comparisons that Holm's
    procedure makes. A pair is told apart where the test over seeds and the one over samples both
    say so: the larger of the two differences counts.

    Args:
        test: over seeds, for its standard error and degrees of freedom.
        resampled_gap: difference of the two on B resamples of the test samples, float64 [B].
        comparisons: m.
        alpha: level of the family of comparisons.
        power: probability of telling such a difference apart.
    """
    from scipy.special import ndtri, stdtrit

    level = 1 - alpha / (2 * comparisons)
    over_samples = float((ndtri(level) + ndtri(power)) * np.std(resampled_gap, ddof=1))
    if not test.error:
        return over_samples
    factor = float(stdtrit(test.freedom, level) + stdtrit(test.freedom, power))
    return max(factor * test.error, over_samples)
