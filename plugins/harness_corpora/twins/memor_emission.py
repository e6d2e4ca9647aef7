"""From emotions to features of MEmoR's sizes, and back to the likelihood of a cell's features."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness_corpora.twins.frames import Basis, codes_of, make_basis
from harness_corpora.twins.memor_design import (
    ALIKE,
    CHARACTERS,
    GROUP_OF,
    PRIMARY_OF,
    SIDE_OF,
    GridDesign,
    GridStream,
    stream_name,
)
from harness_corpora.twins.words import GRID, Integers, Stream

FloatArray = NDArray[np.float64]
AXES = 2 * len(ALIKE) + 3
"""Of the code: 5 groups, 4 contrasts, mild form, speaking."""


@lru_cache(maxsize=8)
def basis(design: GridDesign, stream: GridStream, seed: int) -> Basis:
    """Return the fixed embedding of a modality: rows of the code, then of a person's offset.

    Args:
        design: the twin.
        stream: one of its modalities.
        seed: seed of the generator.
    """
    name = stream_name(seed, "basis", stream.name)
    return make_basis(name, stream.dim, AXES + design.rank)


def means(stream: GridStream) -> Integers:
    """Return the mean code of every fine-grained emotion times 256, int64 [14, 10].

    The axis of the group, ``contrast`` with the side in the pair, ``mild`` with the sign of the
    form.
    """
    kinds = np.arange(len(PRIMARY_OF))
    group, side = GROUP_OF[PRIMARY_OF], SIDE_OF[PRIMARY_OF]
    pairs = len(ALIKE)
    found = np.zeros((len(kinds), AXES - 1), dtype=np.int64)
    found[kinds, group] = np.asarray(stream.amplitude)[PRIMARY_OF]
    paired = group > 0
    found[kinds[paired], pairs + group[paired]] = stream.contrast * side[paired]
    found[:, -1] = np.where(kinds < len(stream.amplitude), -stream.mild, stream.mild)
    return found


def rows(
    design: GridDesign,
    stream: GridStream,
    base: Basis,
    words: Stream,
    cells: NDArray[np.int64],
    emotion: NDArray[np.int64],
    speaks: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Draw the features of a clip's K cells, float32 [K, d].

    Calls: normals of the offsets [8, rank], of the codes [K, 11], of the floor [K, d]. All sums are
    exact in float64, as those of `frames.draw_frames` are; the cast rounds once.

    Args:
        design: the twin.
        stream: the modality.
        base: its embedding.
        words: stream of the clip and modality.
        cells: the characters of the cells, int64 [K].
        emotion: fine-grained class of each cell, int64 [K].
        speaks: bool [K], whether it is the speaker's.
    """
    offset = words.normals(CHARACTERS, design.rank)[cells] * (design.offset / 16.0)
    code = words.normals(len(cells), AXES)
    code[:, :-1] += means(stream)[emotion]
    code[:, -1] += np.where(speaks, stream.mark, -stream.mark)
    floor = words.normals(len(cells), stream.dim) * (stream.floor / 256.0)
    known, span = np.hstack([code, offset]), base.rows
    # One product writes the coordinates and removes the floor's part in their span.
    found = floor + (known - floor @ span.T) @ span
    return (found * stream.gain / GRID).astype(np.float32)


def log_likelihood(stream: GridStream, base: Basis, features: NDArray[np.float32]) -> FloatArray:
    """Return log p(features | emotion) up to a constant, float64 [K, 14].

    The complement of the code carries no information, nor does the axis of speaking, since the
    speaker counts as known.

    Args:
        stream: a modality of the twin.
        base: its embedding.
        features: those of `rows`, float32 [K, d].
    """
    code = codes_of(features, base, AXES - 1) / stream.gain
    mean = means(stream) / GRID
    found: FloatArray = code @ mean.T - 0.5 * (mean**2).sum(axis=1)
    return found
