"""The exact posterior of a grid's target cell under the generating process of MEmoR's twin.

A clip has a mood, which changes every chance in it. Segments come in pairs (0, 1), (2, 3), ...: in
the first of a pair everybody's emotion comes from one common distribution; in the second it depends
on their own personality and their own emotion before, a listener's on the speaker's now besides.
Given the mood pairs are independent, and given the speaker's emotion the persons of a pair are: so
sums over (mood, before, speaker, own) are exact, and every cell of the grid counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataFormatError
from harness_corpora.twins.memor_design import Feelings

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """What is left of one grid. N persons, R segments, K emotions.

    ``log_p`` float64 [N, R, K]: log p(cell's features | emotion), 0 where nothing is left.
    ``speakers`` R indices of persons, -1 where none of the N speaks. ``characters`` N ids.
    ``target``: (person, segment), or None where the moment lies in no segment.
    """

    log_p: FloatArray
    speakers: Sequence[int]
    characters: Sequence[int]
    target: tuple[int, int] | None


@dataclass(frozen=True)
class _Pair:
    """A pair's sums for Q casts: ``total`` [Q], ``target`` [Q, K] (zeros if not asked here)."""

    total: FloatArray
    target: FloatArray


def posterior(
    moods: Sequence[Feelings], found: Evidence, *, characters_known: bool = True
) -> FloatArray:
    """Return p(the target's emotion | the grid), float64 [K].

    Args:
        moods: the process in clips of each mood.
        found: the grid. Who speaks where, and which cells there are, count as known.
        characters_known: false where personality is dropped: then the cast is summed over, all
            sets of N characters being alike; persons stand in ascending order of their ids.

    Raises:
        DataFormatError: the target cell is the first of a pair, where the twin asks nobody.
    """
    n, segments, _ = found.log_p.shape
    if found.target is not None and found.target[1] % 2 == 0 and found.target[1] + 1 < segments:
        raise DataFormatError("a target cell is the first of its pair: not this twin's.")
    if characters_known:
        casts = np.array([found.characters])
    else:
        casts = np.array(list(combinations(range(len(moods[0].prior)), n)))
    parts = [_in_mood(chances, found, casts) for chances in moods]
    weight = np.stack([w for w, _ in parts])
    weight = np.exp(weight - weight.max())
    result = np.einsum("gq,gqk->k", weight, np.stack([asked for _, asked in parts]))
    return np.asarray(result / result.sum())


def _in_mood(
    chances: Feelings, found: Evidence, casts: NDArray[np.int64]
) -> tuple[FloatArray, FloatArray]:
    """Return log p(mood, grid | cast) up to a constant, [Q], and p(emotion | both), [Q, K]."""
    segments = found.log_p.shape[1]
    # A factor common to all emotions of a cell changes nothing.
    likelihood = np.exp(found.log_p - found.log_p.max(axis=2, keepdims=True))
    weight = np.full(len(casts), np.log(chances.chance))
    # Where the target is in no segment: anyone of the grid, with no cell of their own.
    asked = chances.prior[casts].mean(axis=1)
    for first in range(0, segments, 2):
        pair = likelihood[:, first : first + 2]
        person = None
        if found.target is not None and first <= found.target[1] < first + 2:
            person = found.target[0]
        speaker = found.speakers[first + 1] if pair.shape[1] == 2 else -1
        sums = _pair(chances, pair, speaker, casts, person)
        weight += np.log(sums.total)
        if person is not None:
            asked = sums.target / sums.total[:, None]
    return weight, asked


def _pair(
    chances: Feelings,
    likelihood: FloatArray,
    speaker: int,
    casts: NDArray[np.int64],
    person: int | None,
) -> _Pair:
    """Return the sums over a pair of segments [N, 2, K] (or a lone first one [N, 1, K])."""
    n, length, k = likelihood.shape
    own: list[FloatArray] = []
    if length == 1:
        own = [np.tile(chances.first * likelihood[i, 0], (len(casts), 1)) for i in range(n)]
    else:
        used = np.unique(casts)
        place = np.zeros(len(chances.prior), dtype=np.int64)
        place[used] = np.arange(len(used))
        alone, moved = chances.alone()[used], chances.moved()[used]
        for i in range(n):
            first = chances.first * likelihood[i, 0]
            if speaker in (-1, i):
                joint = np.einsum("p,cpt->ct", first, alone) * likelihood[i, 1]
            else:
                joint = np.einsum("p,cpst->cst", first, moved) * likelihood[i, 1]
            own.append(joint[place[casts[:, i]]])
    if length == 1 or speaker < 0:
        sums = np.stack([o.sum(axis=1) for o in own], axis=1)
        total = sums.prod(axis=1)
        if person is None:
            return _Pair(total, np.zeros((len(casts), k)))
        return _Pair(total, own[person] * np.delete(sums, person, axis=1).prod(axis=1)[:, None])
    # Messages about the speaker's emotion, [Q, K] each.
    said = own[speaker]
    for i in range(n):
        if i not in (speaker, person):
            said = said * own[i].sum(axis=2)
    if person is None or person == speaker:
        return _Pair(said.sum(axis=1), said)
    target = np.einsum("qs,qst->qt", said, own[person])
    return _Pair(target.sum(axis=1), target)
