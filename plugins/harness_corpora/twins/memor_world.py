"""What is drawn before any feature: clips, who speaks and is seen, emotions, annotations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness_corpora.memor.visual import FEW_FACES, FRAMES_PER_SECOND
from harness_corpora.twins.memor_design import CHARACTERS, GridDesign, Odds, odds, stream_name
from harness_corpora.twins.words import Integers, Stream, choose, threshold

PERSONS = (5, 40, 73, 90, 100)
"""Running percents of clips with 1 to 5 persons, after the speakers of MELD's dialogues."""
ONE_SEGMENT = threshold(0.03)
SEGMENTS = (5, 12)
# Segments whose speaker is in no grid; with unseen speakers about .15 are off screen.
OUTSIDER_SPEAKS = threshold(0.07)
SPEAKER_SEEN = threshold(0.91)
LISTENER_SEEN = threshold(0.65)
NO_AUDIO = threshold(0.05)
NO_FACES = threshold(0.03)
ONE_TOO_FEW = threshold(0.2)
EXTRA_PERSON = threshold(0.2)
FRAMES = (17, 20)
GAPS = (0, 4, -2)
GAP_WEIGHTS = (7, 9, 10)
"""Frames between segments, and their running weights."""
# A face is never in the frames that overlapping or adjoining segments share.
EDGE = 3
MOMENT_OUTSIDE = 0.01
"""A segment."""
MOMENT_ON_BORDER = threshold(0.03)
MOMENT_IN_OVERLAP = threshold(0.5)
NOT_THE_SPEAKER = threshold(0.1)
LISTENERS_TOO = threshold(0.85)
TWO_LISTENERS = threshold(0.15)
TEST = threshold(0.13)
ACROSS = threshold(0.38)
"""Share of the moments with several targets whose annotations are in both parts."""


@dataclass
class Clip:
    """One clip of R segments.

    ``begin``, ``end`` int64 [R] are frames; ``ori`` the numbers in the unfiltered segmentation;
    ``emotion`` int64 [8, R] is -1 where a character is not there, ``faces`` int64 [8, R] the number
    of their face crops, ``audio`` bool [R] whether the spoken segment has audio.
    """

    number: int
    name: str
    start: float
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    ori: list[int]
    cast: list[int]
    extra: int | None
    speakers: list[int]
    emotion: NDArray[np.int64]
    faces: NDArray[np.int64]
    audio: NDArray[np.bool_]

    def seconds(self, frame: float) -> float:
        """Return a frame's time on the clock of the segments; borders lie amid a frame."""
        return round(self.start + (frame + 0.5) / FRAMES_PER_SECOND, 6)


@dataclass(frozen=True)
class Note:
    """One annotation; ``emotion`` is the fine-grained class."""

    clip: str
    character: int
    moment: float
    emotion: int
    test: bool


@dataclass(frozen=True)
class World:
    """All clips and annotations of a twin."""

    clips: list[Clip] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def draw(design: GridDesign, seed: int, count: int) -> World:
    """Draw ``count`` clips and their annotations; a clip is a function of (version, seed, number).

    Args:
        design: the twin.
        seed: seed of the generator.
        count: number of clips.
    """
    moods = odds(design, seed)
    shares = np.cumsum([m.mood for m in moods])
    world = World()
    for number in range(count):
        words = Stream(stream_name(seed, "clip", number))
        mood = moods[_choice(words, shares)]
        clip = _clip(words, mood, number)
        world.clips.append(clip)
        world.notes.extend(_notes(words, mood, clip))
    return world


def _choice(words: Stream, sums: Sequence[int] | Integers) -> int:
    """Return a choice among weights with these running sums: one word."""
    return choose(int(words.words(1)[0]), sums)


def _below(words: Stream, limit: int, count: int) -> Integers:
    """Return integers in [0, limit), int64 [count]: one call."""
    return (words.words(count) * np.uint64(limit) >> np.uint64(32)).astype(np.int64)


def _shuffled(words: Stream, items: Sequence[int]) -> list[int]:
    """Return all items in random order: one call."""
    return [items[i] for i in words.shuffle(len(items), len(items))]


def _clip(words: Stream, mood: Odds, number: int) -> Clip:
    persons = 1 + _choice(words, PERSONS)
    segments = SEGMENTS[0] + words.below(SEGMENTS[1] - SEGMENTS[0] + 1)
    short = words.happens(ONE_SEGMENT)
    # The first clips have the rare forms, so that the smallest twin has them too.
    persons = 1 if number == 0 else persons
    segments = 1 if number == 1 or short else segments
    order = words.shuffle(CHARACTERS, CHARACTERS)
    cast, outside = sorted(order[:persons]), order[persons:]
    extra = outside.pop() if words.happens(EXTRA_PERSON) else None
    outsider = words.words(segments) < np.uint64(OUTSIDER_SPEAKS)
    speakers = [
        outside[words.below(len(outside))] if out else cast[words.below(persons)]
        for out in outsider
    ]
    begin, end = _frames(words, segments)
    known = cast if extra is None else [*cast, extra]
    clip = Clip(
        number=number,
        name=f"S{1 + number // 240:02d}E{1 + number // 10 % 24:02d}_{number % 10:03d}",
        start=(5_000_000 + words.below(1_195_000_001)) / 1e6,
        begin=begin,
        end=end,
        ori=np.cumsum(1 + _below(words, 2, segments)).tolist(),
        cast=_shuffled(words, cast),
        extra=extra,
        speakers=speakers,
        emotion=_emotions(words, mood, known, speakers),
        faces=np.zeros((CHARACTERS, segments), dtype=np.int64),
        audio=words.words(segments) >= np.uint64(NO_AUDIO),
    )
    hidden = words.happens(NO_FACES)
    if number == 2 or hidden:
        clip.faces[cast[0], 0] = 3 + words.below(FEW_FACES - 2)
        return clip
    for c in known:
        chance = np.where(np.array(speakers) == c, SPEAKER_SEEN, LISTENER_SEEN).astype(np.uint64)
        seen = words.words(segments) < chance
        enough = FEW_FACES + 1 + _below(words, 2, segments)
        # Unseen persons have no face, or one too few.
        too_few = FEW_FACES * (words.words(segments) < np.uint64(ONE_TOO_FEW))
        clip.faces[c] = np.where(seen, enough, too_few)
    return clip


def _frames(words: Stream, segments: int) -> tuple[Integers, Integers]:
    """Return first and last frames: adjoining segments, gaps and overlaps of two frames."""
    lengths = FRAMES[0] + _below(words, FRAMES[1] - FRAMES[0] + 1, segments)
    steps = np.array([GAPS[choose(w, GAP_WEIGHTS)] for w in words.words(segments).tolist()])
    steps[0] = words.below(3)
    end = np.cumsum(lengths + steps)
    return end - lengths, end


def _emotions(
    words: Stream, mood: Odds, persons: Sequence[int], speakers: Sequence[int]
) -> Integers:
    """Draw everybody's emotions, pair by pair of segments (see `memor_posterior`)."""
    first, prior = np.cumsum(mood.first), np.cumsum(mood.prior, axis=1)
    found = np.full((CHARACTERS, len(speakers)), -1)
    for s, speaker in enumerate(speakers):
        if s % 2 == 0:
            for c in persons:
                found[c, s] = _choice(words, first)
        else:
            for c in sorted(persons, key=lambda c: c != speaker):
                heard = -1 if c == speaker else found[speaker, s]
                how, own = words.words(2).tolist()
                if how < mood.stay:
                    found[c, s] = found[c, s - 1]
                elif heard >= 0 and how < mood.stay + mood.contagion[c]:
                    found[c, s] = heard
                else:
                    found[c, s] = choose(own, prior[c])
        if speaker not in persons:
            # Someone whom no grid shows still has a voice, and moves nobody.
            found[speaker, s] = _choice(words, first)
    return found


def _notes(words: Stream, mood: Odds, clip: Clip) -> Iterator[Note]:
    """Draw the annotations of a clip: the second segment of each pair, or its only segment."""
    segments = len(clip.speakers)
    free = None if clip.extra is None else words.below(segments // 2 + 1) * 2 + 1
    for s in range(1, segments, 2) if segments > 1 else [0]:
        moment = _moment(words, clip, s)
        listeners = [c for c in _shuffled(words, clip.cast) if c != clip.speakers[s]]
        targets = [clip.speakers[s]] if clip.speakers[s] in clip.cast else []
        chance = int(words.words(1)[0])
        if targets and chance < NOT_THE_SPEAKER and listeners:
            targets = []
        if not targets or chance < LISTENERS_TOO:
            targets += listeners[: 1 + words.happens(TWO_LISTENERS)]
        if clip.extra is not None and free == s:
            targets.append(clip.extra)
        across = len(targets) > 1 and words.happens(ACROSS)
        test = [int(words.happens(TEST))] * len(targets)
        if across:
            test[0] = 1 - test[0]
            test = _shuffled(words, test)
        for c, part in zip(targets, test, strict=True):
            yield Note(clip.name, c, moment, int(clip.emotion[c, s]), bool(part))
    if words.happens(threshold(MOMENT_OUTSIDE * segments)):
        c = clip.cast[words.below(len(clip.cast))]
        emotion = _choice(words, np.cumsum(mood.prior[c]))
        yield Note(clip.name, c, _outside(clip), emotion, words.happens(TEST))


def _moment(words: Stream, clip: Clip, s: int) -> float:
    """Return a moment whose first segment is s: within it, on its border, or in an overlap."""
    chance = int(words.words(1)[0])
    first = int(clip.begin[s])
    adjoins = s == 0 or clip.end[s - 1] <= first
    if adjoins and chance < MOMENT_ON_BORDER:
        return clip.seconds(first)
    overlaps = s + 1 < len(clip.speakers) and clip.begin[s + 1] < clip.end[s]
    if overlaps and chance >= MOMENT_IN_OVERLAP:
        return clip.seconds(int(clip.begin[s + 1]) + 1)
    inner = int(clip.end[s]) - first - 2 * EDGE
    return clip.seconds(first + EDGE + words.below(1000 * inner + 1) / 1000)


def _outside(clip: Clip) -> float:
    """Return a moment in the first gap between segments, or after the last one."""
    gaps = np.flatnonzero(clip.begin[1:] > clip.end[:-1])
    return clip.seconds(int(clip.end[gaps[0]] + 2 if len(gaps) else clip.end[-1] + 3))
