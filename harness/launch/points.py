"""The points of a search in the unit cube: a fixed sequence, or samplers of Optuna."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.config.search import AXES
from harness.errors import require

SOBOL = "sobol"
ROUND = 4
"""Trials that a sampler of Optuna proposes before it is told of their scores."""
_BITS = 30
_BELOW_ONE = float(np.nextafter(1.0, 0.0))


def sobol(count: int) -> NDArray[np.float64]:
    """Return the first points of the sequence that every search takes, float64 [count, 3].

    SciPy's Sobol numbers, scrambled by one fixed digital shift: neither depends on the version of
    SciPy or NumPy.
    """
    from scipy.stats import qmc

    engine = qmc.Sobol(len(AXES), scramble=False, bits=_BITS)
    whole = engine.random_base2(max(0, math.ceil(math.log2(count))))[:count]
    numbers = (whole * 2**_BITS).astype(np.int64)
    digest = hashlib.sha256(b"harness tune").digest()
    shift = np.array([int.from_bytes(digest[4 * i : 4 * i + 4], "big") for i in range(len(AXES))])
    shifted: NDArray[np.float64] = ((numbers ^ (shift >> (32 - _BITS))) + 0.5) / 2**_BITS
    return shifted


def propose(
    sampler: str,
    count: int,
    tried: Sequence[tuple[Sequence[float], float]],
    axes: Sequence[str] = AXES,
    *,
    first: int = 0,
) -> NDArray[np.float64]:
    """Return the next points of a search, float64 [count, 3].

    They depend on nothing but the arguments (and, but for ``sobol``, on the version of Optuna): a
    study is built anew from what was tried, so that trials' records are all that a search keeps.

    Args:
        sampler: a key of `SAMPLERS`.
        count: how many points.
        tried: coordinates and validation score of earlier trials.
        axes: those that the space uses; the others are at 0.5.
        first: number of the first point.

    Raises:
        UsageError: Optuna is needed and not installed.
    """
    if sampler == SOBOL:
        return sobol(first + count)[first:]
    optuna = require("optuna", "tune")
    used = [axis for axis in AXES if axis in axes]
    unit = {axis: optuna.distributions.FloatDistribution(0.0, 1.0) for axis in used}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(
            direction="maximize", sampler=SAMPLERS[sampler](optuna.samplers, first)
        )
        for point, score in tried:
            at = {axis: point[AXES.index(axis)] for axis in used}
            study.add_trial(optuna.trial.create_trial(params=at, distributions=unit, value=score))
        found = [study.ask(unit).params for _ in range(count)]
    finally:
        optuna.logging.set_verbosity(verbosity)
    points = [[float(one.get(axis, 0.5)) for axis in AXES] for one in found]
    return np.minimum(np.array(points, dtype=np.float64), _BELOW_ONE)


SAMPLERS: dict[str, Callable[[Any, int], Any]] = {
    SOBOL: lambda samplers, seed: None,
    "random": lambda samplers, seed: samplers.RandomSampler(seed=seed),
    "tpe": lambda samplers, seed: samplers.TPESampler(seed=seed, n_startup_trials=ROUND),
    "gp": lambda samplers, seed: samplers.GPSampler(seed=seed, n_startup_trials=ROUND),
}
"""Per name the sampler of Optuna, made of ``optuna.samplers`` and a seed; ``sobol`` is our own."""
