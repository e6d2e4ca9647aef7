"""Videos and label sets, drawn in integers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from harness_corpora.specs import MOSEI_LABELS
from harness_corpora.twins.dialogues import dialogues
from harness_corpora.twins.words import WHOLE, Stream, Words, choose

Integers = NDArray[np.int64]

# fmt: off
MOSEI_WEIGHTS = (
    667259103, 1439361493, 318701695, 209675179, 228458087, 149120697, 81059959, 16137084,
    45674749, 73017666, 90153156, 43956185, 10208936, 4938423, 14969083, 2208464, 53170848,
    55308557, 51657814, 16388607, 133494986, 42018420, 96346817, 9249099, 6144823, 4737012,
    24670998, 5800550, 10071474, 2349331, 30038645, 2137070, 22531480, 115529300, 10052599,
    15720561, 6422828, 9965170, 2128751, 1007327, 2647759, 10061374, 4881823, 5657807, 492728,
    566555, 674871, 236670, 10976949, 27141100, 9961915, 7512352, 22945500, 17167195, 15469230,
    3529863, 2177833, 3990678, 8167716, 4564678, 2971890, 1647824, 8279779, 1400181,
)
# fmt: on
"""p(y) of CMU-MOSEI times 2^32, of the set of number sum_k y_k 2^k.

The maximum-entropy distribution with the published marginals and the pairwise dependence estimated
from 1000 public segments, fitted once (`docs/twins.md`)."""
KEEP = (2233382994, 1889785610, 2104533975, 1975684956, 816043786, 1202590843)
"""How often a clip keeps each label of its video's prototype, times 2^32."""


@dataclass(frozen=True)
class Quantiles:
    """A distribution of integers by its quantiles.

    Attributes:
        per_mille: the quantiles' places, from 0 to 1000.
        values: the quantiles.
    """

    per_mille: tuple[int, ...]
    values: tuple[int, ...]

    def at(self, words: Words) -> Integers:
        """Return the value that each word [N] stands for, int64 [N]: rounded interpolation."""
        place = 1000 * words.astype(np.int64)
        ends = np.array(self.per_mille, dtype=np.int64) << 32
        values = np.array(self.values, dtype=np.int64)
        cell = np.searchsorted(ends, place, side="right") - 1
        low, width = ends[cell], ends[cell + 1] - ends[cell]
        step = values[cell + 1] - values[cell]
        return np.asarray(values[cell] + (step * (place - low) * 2 + width) // (2 * width))


DURATION = Quantiles(
    (0, 10, 50, 100, 250, 500, 750, 900, 950, 990, 1000),
    (500, 1700, 2360, 2900, 4330, 6400, 9380, 13440, 16600, 24370, 109400),
)
"""Milliseconds of a training clip."""
SEGMENTS = Quantiles(
    (0, 50, 100, 250, 500, 750, 900, 950, 990, 1000),
    (1, 1, 1, 3, 5, 10, 15, 20, 34, 98),
)
"""Clips of a video."""


def all_sets(labels: int) -> NDArray[np.uint8]:
    """Return every label set, uint8 [2**labels, labels]."""
    return ((np.arange(2**labels)[:, None] >> np.arange(labels)) & 1).astype(np.uint8)


@cache
def mosei_sets() -> tuple[NDArray[np.uint8], Integers]:
    """Return the 64 label sets, uint8 [64, 6], and their weights, int64 [64]."""
    return all_sets(len(MOSEI_LABELS)), np.array(MOSEI_WEIGHTS, dtype=np.int64)


@cache
def m3ed_sets() -> tuple[NDArray[np.uint8], Integers]:
    """Return the 84 label sets of the real dialogues, uint8 [84, 7], and their counts."""
    sets, counts = np.unique(dialogues().label_sets(), axis=0, return_counts=True)
    return sets, counts.astype(np.int64)


def videos(prefix: str, count: int) -> Integers:
    """Return the video of each clip, int64 [count], from 0 on; clips of a video are neighbours.

    Args:
        prefix: of the streams of the split.
        count: clips of the split; no video has more than a twentieth of them.
    """
    stream, sizes, full = Stream(f"{prefix}/videos"), [], 0
    while full < count:
        size = min(int(SEGMENTS.at(stream.words(1))[0]), max(1, count // 20))
        sizes.append(min(size, count - full))
        full += sizes[-1]
    return np.repeat(np.arange(len(sizes)), sizes)


def prototypes(prefix: str, video: Integers) -> Integers:
    """Return the number of each video's prototype set, int64 [G], by systematic sampling.

    Args:
        prefix: of the streams of the split.
        video: of each clip.
    """
    sizes, count = np.bincount(video).tolist(), len(video)
    stream = Stream(f"{prefix}/prototypes")
    order = stream.shuffle(len(sizes), len(sizes))
    shift = int(stream.words(1)[0])
    words = stream.words(len(sizes)).tolist()
    sums = np.cumsum(MOSEI_WEIGHTS)
    chosen = np.zeros(len(sizes), dtype=np.int64)
    before = 0
    for g in order:
        place = ((before << 32) + words[g] * sizes[g]) // count
        chosen[g] = choose((shift + place) % WHOLE, sums)
        before += sizes[g]
    return chosen


def clip_sets(prototype: Integers, words: Words) -> NDArray[np.uint8]:
    """Return the label sets of clips, uint8 [N, 6].

    A clip keeps label k of its prototype with probability ``KEEP[k]`` and draws the others from
    p(rest | kept), which leaves p(y) as it is.

    Args:
        prototype: number of each clip's prototype set, int64 [N].
        words: uint64 [N, 7]: one for each label, one for the choice.
    """
    sets, weights = mosei_sets()
    size = sets.shape[1]
    kept = words[:, :size] < np.array(KEEP, dtype=np.uint64)
    fits = (~kept[:, None, :] | (sets[None] == sets[prototype][:, None, :])).all(axis=2)
    sums = np.cumsum(fits * weights, axis=1).astype(np.uint64)
    # word * sum < 2^64; where the sum is 2^32 this is the word itself.
    target = words[:, size] * sums[:, -1] >> np.uint64(32)
    return np.asarray(sets[(sums <= target[:, None]).sum(axis=1)])
