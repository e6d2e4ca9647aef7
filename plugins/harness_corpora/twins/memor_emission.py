"""From emotions to features of MEmoR's sizes, and back to the likelihood of a cell's features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness_corpora.twins.memor_design import (
    ALIKE,
    GROUP_OF,
    PRIMARY_OF,
    SIDE_OF,
    GridDesign,
    GridStream,
)

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class GridBasis:
    """Mutually orthonormal rows, orthogonal to the constant vector.

    ``code`` float32 [11, d] (5 groups, 4 contrasts, mild form, speaking), ``person`` [rank, d].
    """

    code: NDArray[np.float32]
    person: NDArray[np.float32]


def basis(design: GridDesign, stream: GridStream, seed: int) -> GridBasis:
    """Return the fixed embedding of a stream, a function of (twin version, seed).

    Args:
        design: the twin.
        stream: one of its modalities.
        seed: seed of the generator.
    """
    size = 2 * len(ALIKE) + 3
    rng = design.rng(seed, "basis", stream.name)
    rows = rng.standard_normal((size + design.rank, stream.dim))
    q = np.linalg.qr(np.vstack([np.ones((1, stream.dim)), rows]).T)[0].T[1:].astype(np.float32)
    return GridBasis(q[:size], q[size:])


def means(stream: GridStream) -> FloatArray:
    """Return the mean code of every fine-grained emotion, float64 [14, 10].

    The axis of the group, ``contrast`` with the side in the pair, ``mild`` with the sign of the
    form.
    """
    kinds = np.arange(len(PRIMARY_OF))
    group, side = GROUP_OF[PRIMARY_OF], SIDE_OF[PRIMARY_OF]
    pairs = len(ALIKE)
    found = np.zeros((len(kinds), 2 * pairs + 2))
    found[kinds, group] = np.asarray(stream.amplitude)[PRIMARY_OF]
    paired = group > 0
    found[kinds[paired], pairs + group[paired]] = stream.contrast * side[paired]
    found[:, -1] = np.where(kinds < len(stream.amplitude), -stream.mild, stream.mild)
    return found


def rows(
    design: GridDesign,
    stream: GridStream,
    base: GridBasis,
    emotion: NDArray[np.int64],
    speaks: NDArray[np.bool_],
    offset: NDArray[np.float32],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Draw the features of K cells, float32 [K, d].

    Args:
        design: the twin.
        stream: the modality.
        base: its embedding.
        emotion: fine-grained class of each cell, int64 [K].
        speaks: bool [K], whether it is the speaker's.
        offset: the person's constant offset in this clip, standard normal float32 [K, rank].
        rng: source of randomness.
    """
    code = rng.standard_normal((len(emotion), len(base.code)), dtype=np.float32)
    code[:, :-1] += means(stream).astype(np.float32)[emotion]
    code[:, -1] += np.where(speaks, stream.mark, -stream.mark)
    known = np.hstack([code, np.float32(design.offset) * offset])
    span = np.vstack([base.code, base.person])
    noise = rng.standard_normal((len(emotion), stream.dim), dtype=np.float32)
    noise *= np.float32(stream.floor)
    # One product writes the coordinates and removes the floor's part in their span.
    found: NDArray[np.float32] = noise + (known - noise @ span.T) @ span
    return found * np.float32(stream.gain)


def log_likelihood(
    stream: GridStream, base: GridBasis, features: NDArray[np.float32]
) -> FloatArray:
    """Return log p(features | emotion) up to a constant, float64 [K, 14].

    The complement of the code carries no information, nor does the axis of speaking, since the
    speaker counts as known.

    Args:
        stream: a modality of the twin.
        base: its embedding.
        features: those of `rows`, float32 [K, d].
    """
    embedding = base.code[:-1].T.astype(np.float64) / stream.gain
    code = features.astype(np.float64) @ embedding
    mean = means(stream)
    found: FloatArray = code @ mean.T - 0.5 * (mean**2).sum(axis=1)
    return found
