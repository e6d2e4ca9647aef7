"""The constants of each twin as data; amplitudes in 1/256."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from harness.data.partition import PARTS
from harness.errors import UsageError
from harness_corpora.twins.frames import Emission, make_basis
from harness_corpora.twins.labels import m3ed_sets, mosei_sets
from harness_corpora.twins.words import threshold

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Modality:
    """One modality of a twin.

    Attributes:
        name: of the modality in the data set's spec.
        key: its letter in names of streams and protocols.
        dim: features of a frame.
        max_length: frames that a reader keeps.
        window: frames of the event; all of a shorter sequence.
        amplitude: [L], what the event shows of each label.
        irony: amplitude on the axis of s; 0: s is invisible here.
        mark: amplitude on the axis that says "here is the event".
        swaps: under irony each label shows on its partner's axis.
        rate10: 10 times the frames per second of speech; 0: one frame per utterance.
        reserved: coordinate outside the code that is -inf in some frames.
    """

    name: str
    key: str
    dim: int
    max_length: int
    window: int
    amplitude: tuple[int, ...]
    irony: int
    mark: int
    swaps: bool = False
    rate10: int = 0
    reserved: int | None = None

    def lengths(self, amount: Integers) -> Integers:
        """Return the stored frames of samples of this many milliseconds or utterances, int64 [N].

        A dialogue is stored whole, also where readers keep ``max_length`` of it.
        """
        if not self.rate10:
            return amount
        frames = (amount * self.rate10 + 5000) // 10000
        return np.clip(frames, 1, self.max_length)


@dataclass(frozen=True)
class Plan:
    """Everything that determines a twin besides the seed.

    Attributes:
        name: of the data set, without ``-twin``.
        modalities: text, visual, audio.
        swap: partner of each label.
        irony: P(s = 1) times 2^32.
        sets: returns the label sets, uint8 [K, L], and their integer weights, int64 [K].
        sizes: samples of train, valid, test.
        full: the same, as many as the real data has.
        dialogues: samples are dialogues of M3ED, else clips of MOSEI.
        speaker: of the offset of a video, in 1/16.
        tail: of the heavy-tailed noise, in 1/16.
        floor: of the noise in every coordinate, in 1/32.
        rank: axes of speaker and of tail each.
    """

    name: str
    modalities: tuple[Modality, ...]
    swap: tuple[int, ...]
    irony: int
    sets: Callable[[], tuple[NDArray[np.uint8], Integers]]
    sizes: tuple[int, int, int]
    full: tuple[int, int, int]
    dialogues: bool = False
    speaker: int = 4
    tail: int = 2
    floor: int = 1
    rank: int = 3

    def counts(self, size: str) -> dict[str, int]:
        """Return the samples of each split of ``default`` or ``full``.

        Raises:
            UsageError: another size.
        """
        if size not in ("default", "full"):
            raise UsageError(f"unknown twin size {size!r}; use 'default' or 'full'.")
        return dict(zip(PARTS, self.sizes if size == "default" else self.full, strict=True))

    def prefix(self, seed: int, *parts: object) -> str:
        """Return the beginning of the names of this twin's streams.

        Args:
            seed: of the twin.
            *parts: what follows it in the name.
        """
        return "/".join(map(str, ("twins-v2", self.name, seed, *parts)))

    def emission(self, modality: Modality, seed: int) -> Emission:
        """Return how a modality is written: its basis and amplitudes.

        Args:
            modality: of this plan.
            seed: of the twin.
        """
        rows = len(self.swap) + 2 + 2 * self.rank
        name = self.prefix(seed, "basis", modality.key)
        basis = make_basis(name, modality.dim, rows, modality.reserved)
        return Emission(
            basis,
            modality.max_length,
            modality.window,
            self.speaker,
            self.tail,
            self.floor,
            self.rank,
        )

    def means(
        self, modality: Modality, labels: NDArray[np.uint8], irony: NDArray[np.bool_]
    ) -> Integers:
        """Return what an event adds to the code, int64 [N, L + 2], times 256.

        Args:
            modality: of this plan.
            labels: uint8 [N, L].
            irony: s, bool [N].
        """
        signs = 2 * labels.astype(np.int64) - 1
        if modality.swaps:
            signs = np.where(irony[:, None], signs[:, list(self.swap)], signs)
        seen = np.where(irony, modality.irony, -modality.irony)
        mark = np.full(len(labels), modality.mark, dtype=np.int64)
        return np.column_stack([signs * np.array(modality.amplitude), seen, mark])


_PAIRS = (1, 0, 3, 2, 5, 4)
_MOSEI_FULL = (16326, 1871, 4659)

MOSEI_ALIGNED = Plan(
    name="mosei-aligned",
    modalities=(
        Modality(
            "text", "t", 300, 60, 6, (115, 115, 115, 102, 102, 115), 0, 768, swaps=True, rate10=26
        ),
        Modality("visual", "v", 35, 60, 6, (31, 26, 51, 20, 26, 26), 205, 768, rate10=26),
        Modality("audio", "a", 74, 60, 6, (26, 31, 20, 51, 26, 36), 205, 768, False, 26, 0),
    ),
    swap=_PAIRS,
    irony=threshold(0.4),
    sets=mosei_sets,
    sizes=(2000, 300, 600),
    full=_MOSEI_FULL,
)

MOSEI_UNALIGNED = Plan(
    name="mosei-unaligned",
    modalities=(
        Modality(
            "text", "t", 300, 50, 6, (113, 113, 113, 100, 100, 113), 0, 768, swaps=True, rate10=26
        ),
        Modality("visual", "v", 35, 500, 32, (12, 10, 20, 8, 10, 10), 90, 512, rate10=150),
        Modality("audio", "a", 74, 500, 40, (9, 11, 7, 18, 9, 13), 80, 512, False, 200, 0),
    ),
    swap=_PAIRS,
    irony=threshold(0.4),
    sets=mosei_sets,
    sizes=(1600, 250, 450),
    full=_MOSEI_FULL,
)

M3ED = Plan(
    name="m3ed",
    modalities=(
        Modality("text", "t", 768, 60, 6, (112, 96, 112, 112, 112, 104, 104), 0, 768, swaps=True),
        Modality("visual", "v", 342, 60, 6, (18, 16, 14, 16, 26, 14, 14), 256, 768),
        Modality("audio", "a", 1024, 60, 6, (14, 14, 18, 12, 14, 20, 26), 256, 768),
    ),
    swap=(2, 1, 0, 5, 6, 3, 4),
    irony=threshold(0.5),
    sets=m3ed_sets,
    sizes=(1200, 150, 300),
    full=(685, 126, 179),
    dialogues=True,
)

PLANS: Mapping[str, Plan] = MappingProxyType(
    {plan.name: plan for plan in (MOSEI_ALIGNED, MOSEI_UNALIGNED, M3ED)}
)


def plan_of(dataset: str) -> Plan:
    """Return the plan behind a data set (``-twin`` may be appended).

    Raises:
        UsageError: the data set has no twin.
    """
    name = dataset.removesuffix("-twin")
    if name not in PLANS:
        raise UsageError(f"{dataset!r} has no twin; twins exist of {', '.join(sorted(PLANS))}.")
    return PLANS[name]
