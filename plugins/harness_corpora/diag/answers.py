"""What the observers decide on given samples: they are drawn again, found by their labels."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataFormatError
from harness_corpora.diag import draw, observers
from harness_corpora.specs.diagnostic import PREFIX
from harness_corpora.twins.words import GRID

SEEDS = 1000
_SAMPLE = re.compile(r"(\w+)\[(\d+)\]")
_FEW = 16


def answers(
    dataset: str, ids: Sequence[str], truth: NDArray[np.integer]
) -> dict[str, NDArray[np.bool_]]:
    """Return decisions bool [N, 6] of the exact posterior and of the observer without the skill.

    Args:
        dataset: ``diag-xor`` for instance.
        ids: N sample ids as the data set has them, ``test[3]``.
        truth: labels, [N, 6] in {0, 1}; they tell the seed that the data was drawn with.

    Raises:
        DataFormatError: no seed below `SEEDS` gives these samples.
    """
    recipe = dataset.partition("@")[0].removeprefix(PREFIX)
    places = _places(dataset, ids)
    seed = _seed(recipe, places, truth)
    drawn = [] if seed is None else [draw.draw_sample(recipe, seed, *place) for place in places]
    if not drawn or not np.array_equal(np.stack([one.labels for one in drawn]), truth > 0):
        raise DataFormatError(
            f"{dataset}: no seed below {SEEDS} gives these labels; the samples are of another "
            "version of the data set. Train the runs again."
        )
    code = np.stack([one.code for one in drawn]) / GRID
    present = np.stack([one.present for one in drawn])
    known, cut = observers.OBSERVERS[recipe], observers.THRESHOLDS[recipe]
    return {
        said: known[name](code, present) >= cut[name]
        for said, name in (("full", "full"), ("lacking", "without"))
    }


def _places(dataset: str, ids: Sequence[str]) -> list[tuple[str, int]]:
    found = [_SAMPLE.fullmatch(name) for name in ids]
    odd = next((name for name, match in zip(ids, found, strict=True) if match is None), None)
    if odd is not None:
        raise DataFormatError(f"{dataset} has no sample {odd!r}; its ids are like 'test[3]'.")
    return [(match[1], int(match[2])) for match in found if match is not None]


def _seed(recipe: str, places: Sequence[tuple[str, int]], truth: NDArray[np.integer]) -> int | None:
    """Return the seed by the labels of a few samples; None: there is none."""
    few = list(zip(places, truth > 0, strict=True))[:_FEW]
    for seed in range(SEEDS):
        if all(
            np.array_equal(draw.draw_sample(recipe, seed, *place).labels, labels)
            for place, labels in few
        ):
            return seed
    return None
