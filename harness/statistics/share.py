"""The normalised share: how far a score gets from the best constant set to the best there is.

share = (F - F0) / (F1 - F0), where F1 is the metric of the exact posterior (the ceiling) and F0
that of the best constant set, all on the same samples. Below 0 a model is worse than a constant;
nothing is clipped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.statistics.bootstrap import RESAMPLES, percentile_interval
from harness.statistics.counts import Floats
from harness.statistics.intervals import Interval
from harness.statistics.measured import Measured, Unit, weights_of

LEAST_RANGE = 0.05
"""Where F1 - F0 is smaller, a share would say more of noise than of a model: there is none."""


@dataclass(frozen=True)
class Against:
    """A model against the best constant, with 95 % intervals of a paired cluster bootstrap.

    Attributes:
        share: the normalised share; None: there is no ceiling, or F1 - F0 is below `LEAST_RANGE`.
        interval: of the share.
        above: whether the interval of F - F0 lies above 0.
    """

    share: float | None
    interval: Interval | None
    above: bool


def share(value: float, constant: float, ceiling: float) -> float | None:
    """Return (F - F0) / (F1 - F0); None where F1 - F0 is below `LEAST_RANGE`.

    Args:
        value: F.
        constant: F0.
        ceiling: F1.
    """
    whole = ceiling - constant
    return None if whole < LEAST_RANGE else (value - constant) / whole


def share_interval(drawn: Floats, constant: Floats, ceiling: Floats) -> Interval:
    """Return the percentile interval of a share from resampled metrics, float64 [B] each.

    A resample of few samples may have no range: it has no share.
    """
    told = ceiling > constant
    return percentile_interval((drawn - constant)[told] / (ceiling - constant)[told])


def against(
    model: Measured,
    constant: Measured,
    ceiling: Measured | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Against | None:
    """Return a model against the constant and the ceiling, on the twins that all of them have.

    Args:
        model: of S trainings.
        constant: deterministic.
        ceiling: likewise; None: there is none.
        resamples: B, how often groups are drawn with replacement.
        seed: of the drawing; the same groups are drawn for all three.

    Returns:
        None where they were scored on the same samples nowhere.
    """
    others = [constant] if ceiling is None else [constant, ceiling]
    units = [unit for unit in model.units if _shared(unit, model, others)]
    if not units:
        return None
    weights = weights_of([model, *others], resamples, seed)
    mean = [float(np.mean(one.at(units))) for one in (model, *others)]
    drawn = [one.resampled(units, weights) for one in (model, *others)]
    above = percentile_interval(drawn[0] - drawn[1])[0] > 0
    value = None if ceiling is None else share(*mean)
    return Against(value, None if value is None else share_interval(*drawn), above)


def _shared(unit: Unit, model: Measured, others: list[Measured]) -> bool:
    mine = model.samples[unit.twin]
    return all(one.samples.get(unit.twin) == mine for one in others)
