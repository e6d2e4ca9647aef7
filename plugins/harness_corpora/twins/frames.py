"""Frames of a twin: an orthonormal basis of Walsh functions, and what is written into it.

All values are integers over powers of two that float64 holds
exactly in any order of summation, so that the bytes depend on no kernel, thread or instruction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness_corpora.twins.words import GRID, Stream, threshold

Floats = NDArray[np.float64]
GAINS = (1, 3, 4, 6, 8, 9, 11, 13, 16, 18, 21, 25, 30, 36, 47, 78)
"""|t(3)| at the 16 mid-quantiles, times 16."""
BROKEN = threshold(0.02)
"""Of a frame's reserved coordinate: how often it is -inf, as in the authors' audio."""


@dataclass(frozen=True)
class Basis:
    """R orthonormal rows in d coordinates.

    Attributes:
        signs: int8 [R, d] in {-1, 0, 1}: 0 outside of the Walsh block.
        root: the square root of the block's size; a row is ``signs / root``.
        reserved: the coordinate that no row touches; None: there is none.
    """

    signs: NDArray[np.int8]
    root: int
    reserved: int | None = None

    @property
    def rows(self) -> Floats:
        """Return the rows, float64 [R, d]."""
        return self.signs / float(self.root)


def make_basis(prefix: str, dim: int, rows: int, reserved: int | None = None) -> Basis:
    """Return distinct non-constant Walsh functions at random coordinates.

    Args:
        prefix: of the two streams ``rows`` and ``columns``.
        dim: d.
        rows: R, less than the block's size.
        reserved: a coordinate to leave out.
    """
    free = [i for i in range(dim) if i != reserved]
    size = 1
    while size * 4 <= len(free):
        size *= 4
    root = 1 << (size.bit_length() // 2)
    index = np.array([1 + i for i in Stream(f"{prefix}/rows").shuffle(size - 1, rows)])
    columns = Stream(f"{prefix}/columns").shuffle(len(free), size)
    place = np.array([free[i] for i in columns])
    crossed = index[:, None] & np.arange(size)
    ones = np.array([bin(i).count("1") for i in range(size)])[crossed]
    signs = np.zeros((rows, dim), dtype=np.int8)
    signs[:, place] = np.where(ones % 2, -1, 1)
    return Basis(signs, root, reserved)


@dataclass(frozen=True)
class Emission:
    """How one modality of a twin is written; amplitudes in 1/256.

    Attributes:
        basis: code axes first, then the speaker's, then the tail's.
        max_length: frames that are seen at most; the event lies among them.
        window: frames of the event.
        speaker: of the offset of a video, in 1/16.
        tail: of heavy-tailed noise in three axes, in 1/16.
        floor: of the noise in every coordinate, in 1/32.
        rank: axes of speaker and of tail each.
    """

    basis: Basis
    max_length: int
    window: int
    speaker: int
    tail: int
    floor: int
    rank: int = 3


@dataclass(frozen=True)
class Event:
    """Where the event of a sample stands: first frame, frames, and the gain of the tail."""

    start: int
    width: int
    gain: int


def draw_code(
    emission: Emission, stream: Stream, length: int, mean: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.bool_] | None, Event]:
    """Return the code of a sample, float64 [T, C] times 256, and its event.

    It is all that says something of the labels, and what `codes_of` returns of the frames.

    Args:
        emission: of the modality.
        stream: of the sample and modality.
        length: T.
        mean: int64 [C], what the event adds to the code, times 256.

    Returns:
        the code; bool [T], where the reserved coordinate is -inf, or None; the event.
    """
    seen = min(length, emission.max_length)
    width = min(emission.window, seen)
    start = stream.below(seen - width + 1)
    gain = GAINS[int(stream.words(1)[0]) >> 28]
    broken = None
    if emission.basis.reserved is not None:
        broken = stream.words(length) < np.uint64(BROKEN)
    code = stream.normals(length, len(mean)).astype(np.float64)
    code[start : start + width] += mean
    return code, broken, Event(start, width, gain)


def draw_frames(
    emission: Emission, stream: Stream, length: int, mean: NDArray[np.int64], offset: Floats
) -> tuple[NDArray[np.float32], Event]:
    """Return the frames of a sample, float32 [T, d], and its event.

    Args:
        emission: of the modality.
        stream: of the sample and modality.
        length: T.
        mean: int64 [C], what the event adds to the code, times 256.
        offset: [3], the speaker's normals, times 256.
    """
    basis, rank = emission.basis, emission.rank
    code, broken, event = draw_code(emission, stream, length, mean)
    tail = stream.normals(length, rank) * (emission.tail * event.gain / 256.0)
    floor = stream.normals(length, basis.signs.shape[1]) * (emission.floor / 32.0)
    speaker = np.broadcast_to(offset * (emission.speaker / 16.0), (length, rank))
    known = np.concatenate([code, speaker, tail], axis=1)
    rows = basis.rows
    frames = floor + (known - floor @ rows.T) @ rows
    if broken is not None and basis.reserved is not None:
        frames[:, basis.reserved] = np.where(broken, -np.inf, floor[:, basis.reserved])
    return (frames / GRID).astype(np.float32), event


def codes_of(frames: NDArray[np.float32], basis: Basis, axes: int) -> Floats:
    """Return the code that frames hold, float64 [T, axes], in units of 1.

    Args:
        frames: [T, d], as stored.
        basis: of the modality.
        axes: C.
    """
    finite = np.where(np.isfinite(frames), frames, 0.0).astype(np.float64)
    return finite @ basis.rows[:axes].T
