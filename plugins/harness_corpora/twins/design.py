"""The calibrated design of each twin: amplitudes, windows, nuisance and sizes as data.

The figures behind the calibration are in docs/twins.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness_corpora.twins import TWIN_VERSION, labels


@dataclass(frozen=True)
class Stream:
    """One modality of a twin.

    ``amplitude`` [L] is the planted dependence a_m; ``irony`` the amplitude on the axis of s (0:
    s is invisible here), ``mark`` that on the axis that only says "the event is here". An event
    has ``window`` frames (all of a shorter sequence). ``flips``: evidence changes sign under irony.
    ``rate`` is frames per second of speech (0: one frame per unit of the sequence itself).
    ``reserved`` is a coordinate outside code and nuisance that holds -inf in some frames.
    """

    name: str
    key: str
    dim: int
    max_length: int
    amplitude: tuple[float, ...]
    irony: float
    mark: float
    window: int
    flips: bool = False
    rate: float = 0.0
    reserved: int | None = None


@dataclass(frozen=True)
class Nuisance:
    """Label-independent disturbance in the complement of the code space, in units of code noise.

    ``speaker``: standard deviation of a speaker's constant offset, in ``rank`` directions;
    ``tail``: the same for frame noise with a sample-wise heavy-tailed (t, 3 degrees) gain, in
    ``rank`` other directions; ``floor``: isotropic noise in all of the complement.
    """

    speaker: float
    tail: float
    floor: float
    rank: int = 3


@dataclass(frozen=True)
class Design:
    """Everything that determines a twin besides the seed; ``sizes`` are train, valid, test."""

    name: str
    streams: tuple[Stream, ...]
    nuisance: Nuisance
    irony_rate: float
    sizes: tuple[int, int, int]
    full: tuple[int, int, int]
    aligned: bool

    @cached_property
    def labels(self) -> labels.LabelModel:
        """Return p(y)."""
        return labels.m3ed() if self.name == "m3ed" else labels.mosei()

    def counts(self, size: str) -> tuple[int, int, int]:
        """Return the samples per split of ``default`` or ``full``.

        Raises:
            UsageError: another size.
        """
        if size not in ("default", "full"):
            raise UsageError(f"unknown twin size {size!r}; use 'default' or 'full'.")
        return self.sizes if size == "default" else self.full

    def rng(self, seed: int, *purpose: object) -> np.random.Generator:
        """Return the generator for one purpose, a function of (twin version, name, seed)."""
        text = "/".join(map(str, ("twin", TWIN_VERSION, self.name, seed, *purpose)))
        digest = hashlib.sha256(text.encode()).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


# The planted dependence before scaling: rows text, visual, audio; columns in label order
# (MOSEI: happy, sad, anger, surprise, disgust, fear; M3ED: happy, neutral, sad, disgust, anger,
# fear, surprise). Surprise is mostly acoustic, anger mostly visual.
_MOSEI = (
    (1.0, 0.9, 0.6, 0.6, 1.0, 0.7),
    (0.9, 0.6, 1.2, 0.6, 0.7, 0.5),
    (0.6, 0.9, 0.6, 1.3, 0.5, 1.0),
)
_M3ED = (
    (1.0, 0.8, 0.9, 1.0, 0.7, 0.7, 0.6),
    (1.0, 0.9, 0.7, 0.8, 1.2, 0.6, 0.7),
    (0.6, 0.7, 0.9, 0.6, 0.7, 1.0, 1.3),
)


def _scaled(scale: float, row: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(scale * a, 4) for a in row)


MOSEI_ALIGNED = Design(
    name="mosei-aligned",
    streams=(
        Stream("text", "t", 300, 60, _scaled(0.38, _MOSEI[0]), 0.0, 3.0, 6, flips=True),
        Stream("visual", "v", 35, 60, _scaled(0.38, _MOSEI[1]), 0.5, 3.0, 6),
        Stream("audio", "a", 74, 60, _scaled(0.38, _MOSEI[2]), 0.5, 3.0, 6, reserved=0),
    ),
    nuisance=Nuisance(speaker=0.5, tail=0.4, floor=0.1),
    irony_rate=0.3,
    sizes=(1800, 200, 500),
    full=(16326, 1871, 4659),
    aligned=True,
)

MOSEI_UNALIGNED = Design(
    name="mosei-unaligned",
    streams=(
        Stream("text", "t", 300, 50, _scaled(0.43, _MOSEI[0]), 0.0, 3.0, 6, True, rate=2.6),
        Stream("visual", "v", 35, 500, _scaled(0.2, _MOSEI[1]), 0.3, 3.0, 32, rate=15.0),
        Stream("audio", "a", 74, 500, _scaled(0.18, _MOSEI[2]), 0.27, 3.0, 40, False, 20.0, 0),
    ),
    nuisance=Nuisance(speaker=0.3, tail=0.2, floor=0.05),
    irony_rate=0.1,
    sizes=(1400, 200, 400),
    full=(16326, 1871, 4659),
    aligned=False,
)

M3ED = Design(
    name="m3ed",
    streams=(
        Stream("text", "t", 768, 60, _scaled(0.42, _M3ED[0]), 0.0, 3.0, 8, flips=True),
        Stream("visual", "v", 342, 60, _scaled(0.42, _M3ED[1]), 0.45, 3.0, 8),
        Stream("audio", "a", 1024, 60, _scaled(0.42, _M3ED[2]), 0.45, 3.0, 8),
    ),
    nuisance=Nuisance(speaker=0.3, tail=0.3, floor=0.05),
    irony_rate=0.3,
    sizes=(600, 90, 200),
    full=(685, 126, 179),
    aligned=True,
)

DESIGNS = {d.name: d for d in (MOSEI_ALIGNED, MOSEI_UNALIGNED, M3ED)}


def design(dataset: str) -> Design:
    """Return the design behind a data set (``-twin`` may be appended).

    Raises:
        UsageError: the data set has no twin.
    """
    name = dataset.removesuffix("-twin")
    if name not in DESIGNS:
        known = ", ".join(sorted(DESIGNS))
        raise UsageError(f"{dataset!r} has no twin; twins exist of {known}.")
    return DESIGNS[name]


def planted_dependence(dataset: str) -> NDArray[np.float64]:
    """Return the planted dependence a_m of each label on each modality, float64 [M, L].

    Rows in the order of ``design(dataset).streams``. Raises UsageError for an unknown name.
    """
    return np.array([s.amplitude for s in design(dataset).streams], dtype=np.float64)
