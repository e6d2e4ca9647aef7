"""The generating process: from (y, s) to frames of the real feature size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness_corpora.twins.design import Design, Nuisance, Stream

INF_RATE = 0.02
"""Share of frames whose reserved coordinate is -inf (the real rate is not published)."""


@dataclass(frozen=True)
class Basis:
    """Mutually orthonormal rows: ``code`` float32 [L+2, d], ``speaker`` and ``tail`` [rank, d]."""

    code: NDArray[np.float32]
    speaker: NDArray[np.float32]
    tail: NDArray[np.float32]


def basis(design: Design, stream: Stream, seed: int) -> Basis:
    """Return the fixed embedding of a stream, a function of (twin version, name, seed).

    The rows avoid the reserved coordinate and the constant vector, so that neither the -inf
    entries nor a layer normalisation's centring touches the code.

    Args:
        design: the twin.
        stream: one of its modalities.
        seed: seed of the generator.
    """
    rank, size = design.nuisance.rank, len(stream.amplitude) + 2
    rows = design.rng(seed, "basis", stream.key).standard_normal((size + 2 * rank, stream.dim))
    fixed = np.ones((1, stream.dim))
    if stream.reserved is not None:
        rows[:, stream.reserved] = 0.0
        fixed[0, stream.reserved] = 0.0
    q = np.linalg.qr(np.vstack([fixed, rows]).T)[0].T[1:].astype(np.float32)
    if stream.reserved is not None:
        q[:, stream.reserved] = 0.0
    return Basis(q[:size], q[size : size + rank], q[size + rank :])


def means(
    stream: Stream, states: NDArray[np.uint8], ironic: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the mean of an event frame in code space.

    Args:
        stream: the modality.
        states: label sets, uint8 [K, L].
        ironic: s, bool [K].

    Returns:
        float64 [K, L+2]: a*(2y-1) (sign reversed under irony where the stream flips), the axis of
        s, the mark.
    """
    sign = np.where(ironic, -1.0, 1.0)[:, None]
    evidence = np.asarray(stream.amplitude) * (2.0 * states - 1.0)
    if stream.flips:
        evidence = evidence * sign
    mark = np.full((len(states), 1), stream.mark)
    return np.hstack([evidence, -stream.irony * sign, mark])


def frames(
    stream: Stream,
    base: Basis,
    nuisance: Nuisance,
    states: NDArray[np.uint8],
    ironic: NDArray[np.bool_],
    lengths: NDArray[np.int64],
    offsets: NDArray[np.float32],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Draw the frames of N samples, one after the other.

    Args:
        stream: the modality.
        base: its embedding.
        nuisance: amplitudes of the disturbance.
        states: label sets, uint8 [N, L].
        ironic: s, bool [N].
        lengths: int64 [N], frames per sample.
        offsets: the speaker's offset of every frame, float32 [sum of lengths, rank].
        rng: source of randomness.

    Returns:
        float32 [sum of lengths, d]; -inf in the reserved coordinate of some frames.
    """
    total, n = int(lengths.sum()), len(lengths)
    first = np.cumsum(lengths) - lengths
    # A sequence longer than what readers keep has its event inside the part they keep.
    seen = np.minimum(lengths, stream.max_length)
    window = np.minimum(stream.window, seen)
    start = np.minimum((rng.random(n) * (seen - window + 1)).astype(np.int64), seen - window)
    sample = np.repeat(np.arange(n), lengths)
    position = np.arange(total) - first[sample]
    inside = (position >= start[sample]) & (position < (start + window)[sample])
    code = rng.standard_normal((total, len(base.code)), dtype=np.float32)
    code[inside] += means(stream, states, ironic).astype(np.float32)[sample[inside]]

    gain = np.abs(rng.standard_t(3, n)).astype(np.float32)
    tail = rng.standard_normal((total, len(base.tail)), dtype=np.float32)
    tail *= (nuisance.tail * gain)[sample, None]
    noise = rng.standard_normal((total, stream.dim), dtype=np.float32)
    noise *= np.float32(nuisance.floor)
    basis_rows = np.vstack([base.code, base.speaker, base.tail])
    known = np.hstack([code, np.float32(nuisance.speaker) * offsets, tail])
    # One product writes the coordinates and removes the floor's part in their span.
    out: NDArray[np.float32] = noise + (known - noise @ basis_rows.T) @ basis_rows
    if stream.reserved is not None:
        out[:, stream.reserved] = noise[:, stream.reserved]
        out[rng.random(total) < INF_RATE, stream.reserved] = -np.inf
    return out
