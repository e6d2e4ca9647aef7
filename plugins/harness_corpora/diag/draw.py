"""How a sample of each diagnostic data set is drawn (`docs/diag.md`).

Three modalities of T frames; a frame is a code on 15 axes, written into the 15 non-constant Walsh
functions of 16 coordinates. Label k shows on axis k. All numbers are integers in 1/256, drawn from
one stream a sample (`harness_corpora.twins.words`), so that the bytes are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from harness_corpora.twins.frames import make_basis
from harness_corpora.twins.words import GRID, Integers, Stream, Words, threshold

LABELS, AXES, WIDTH = 6, 15, 16
KEYS = ("t", "v", "a")
PRIOR, HALF = threshold(0.3), 1 << 31
PAIRS = ((0, 1), (0, 1), (0, 2), (0, 2), (1, 2), (1, 2))
"""Per label the two modalities whose product, or whose order in time, tells it."""


@dataclass(frozen=True)
class Drawn:
    """A sample: labels bool [6], code int64 [3, T, 15] times 256, present bool [3]."""

    labels: NDArray[np.bool_]
    code: Integers
    present: NDArray[np.bool_]


@dataclass(frozen=True)
class Recipe:
    """A diagnostic data set.

    Attributes:
        frames: T.
        draw: from a sample's stream.
    """

    frames: int
    draw: Callable[[Stream, int], Drawn]


def _labels(stream: Stream) -> NDArray[np.bool_]:
    return np.asarray(stream.words(LABELS) < np.uint64(PRIOR))


def _signs(labels: NDArray[np.bool_]) -> Integers:
    return np.where(labels, 1, -1).astype(np.int64)


def _below(words: Words, limit: int) -> Integers:
    return (words * np.uint64(limit) >> np.uint64(32)).astype(np.int64)


def _whole(labels: NDArray[np.bool_], code: Integers) -> Drawn:
    return Drawn(labels, code, np.ones(len(KEYS), dtype=np.bool_))


BETA = 208


def _xor(stream: Stream, frames: int) -> Drawn:
    labels = _labels(stream)
    first = np.where(stream.words(LABELS) < np.uint64(HALF), 1, -1)
    code = stream.normals(len(KEYS), frames, AXES)
    for k, (one, other) in enumerate(PAIRS):
        code[one, :, k] += BETA * first[k]
        code[other, :, k] += BETA * first[k] * _signs(labels)[k]
    return _whole(labels, code)


ALPHA, SEGMENT = 768, 4


def _align(stream: Stream, frames: int) -> Drawn:
    labels = _labels(stream)
    at = _below(stream.words(LABELS), SEGMENT)
    off = _below(stream.words(LABELS), SEGMENT - 1)
    elsewhere = np.where(labels, at, (at + 1 + off) % SEGMENT)
    code = stream.normals(len(KEYS), frames, AXES)
    for k, (one, other) in enumerate(PAIRS):
        code[one, SEGMENT * k + at[k], k] += ALPHA
        code[other, SEGMENT * k + elsewhere[k], k] += ALPHA
    return _whole(labels, code)


EVIDENCE = 640
SHOWS, CONFOUNDS = (2, 1, 1), (3, 2, 2)


def _recon(stream: Stream, frames: int) -> Drawn:
    labels = _labels(stream)
    shown = EVIDENCE * _signs(labels) + stream.normals(LABELS)
    confounder = stream.normals(LABELS)
    code = stream.normals(len(KEYS), frames, AXES)
    for m in range(len(KEYS)):
        code[m, :, :LABELS] += SHOWS[m] * shown + CONFOUNDS[m] * confounder
    return _whole(labels, code)


EMOTIVE, SPEAKER, ROLE, SHOWN = 6, 2, 512, 128


def _speaker(stream: Stream, frames: int) -> Drawn:
    labels = _labels(stream)
    offset = SPEAKER * stream.normals(len(KEYS), LABELS)
    chosen = [stream.shuffle(frames, EMOTIVE) for _ in KEYS]
    code = stream.normals(len(KEYS), frames, AXES)
    for m, places in enumerate(chosen):
        code[m, :, :LABELS] += offset[m]
        code[m, places, :LABELS] += SHOWN * _signs(labels)
        code[m, :, LABELS] = -ROLE
        code[m, places, LABELS] = ROLE
    return _whole(labels, code)


PRESENT_SHOWN = 64
ABSENT = (threshold(0.05), threshold(0.85))
"""A modality is absent with the first probability where its label is 0, else with the second."""


def _missing(stream: Stream, frames: int) -> Drawn:
    labels = _labels(stream)
    limits = np.array([ABSENT[int(y)] for y in labels[: len(KEYS)]], dtype=np.uint64)
    while (absent := stream.words(len(KEYS)) < limits).all():
        pass
    code = stream.normals(len(KEYS), frames, AXES)
    code[:, :, :LABELS] += PRESENT_SHOWN * _signs(labels)
    code[absent] = 0
    return Drawn(labels, code, ~absent)


NOISY_SHOWN, SPREAD = 112, 6


def _noise(stream: Stream, frames: int) -> Drawn:
    labels = _labels(stream)
    loud = stream.words(len(KEYS)) < np.uint64(HALF)
    wide = stream.normals(len(KEYS), frames, AXES)
    code = stream.normals(len(KEYS), frames, AXES)
    code += np.where(loud[:, None, None], SPREAD * wide, 0)
    code[:, :, :LABELS] += NOISY_SHOWN * _signs(labels)
    return _whole(labels, code)


FREE, OWN, COPIED, CROSSED = 3, threshold(0.4), threshold(0.9), threshold(0.95)


def _colabel(stream: Stream, frames: int) -> Drawn:
    words = stream.words(LABELS)
    y = words[:FREE] < np.uint64(OWN)
    kept = words[FREE:] < np.array([COPIED, CROSSED, CROSSED], dtype=np.uint64)
    follow = np.array([y[0], y[1] ^ y[2], y[0] ^ y[2]])
    labels = np.concatenate([y, np.where(kept, follow, ~follow)])
    code = stream.normals(len(KEYS), frames, AXES)
    code[:, :, :FREE] += NOISY_SHOWN * _signs(y)
    return _whole(labels, code)


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "xor": Recipe(4, _xor),
        "align": Recipe(24, _align),
        "recon": Recipe(4, _recon),
        "speaker": Recipe(16, _speaker),
        "noise": Recipe(8, _noise),
        "missing": Recipe(4, _missing),
        "colabel": Recipe(4, _colabel),
    }
)


def draw_sample(name: str, seed: int, split: str, index: int) -> Drawn:
    """Return sample ``index`` of a split.

    Args:
        name: a key of `RECIPES`.
        seed: of the data set.
        split: its name is part of the stream's.
        index: from 0.
    """
    recipe = RECIPES[name]
    return recipe.draw(Stream(f"diag-v1/{name}/{seed}/{split}/{index}"), recipe.frames)


def bases(name: str, seed: int) -> dict[str, NDArray[np.int8]]:
    """Return the signs of each modality's 15 rows, int8 [15, 16]; a row is signs / 4."""
    return {
        key: make_basis(f"diag-v1/{name}/{seed}/basis/{key}", WIDTH, AXES).signs for key in KEYS
    }


def frames_of(code: Integers, signs: NDArray[np.int8]) -> NDArray[np.float32]:
    """Return the frames of a code int64 [T, 15], float32 [T, 16]; exact in any order of sums."""
    root = 4.0
    # Adding 0.0 turns the -0.0 of a zero row into 0.0.
    return ((code.astype(np.float64) @ (signs / root)) / GRID + 0.0).astype(np.float32)
