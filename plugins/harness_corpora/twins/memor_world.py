"""What is drawn before any feature: clips, who speaks and is seen, emotions, annotations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness_corpora.memor.visual import FEW_FACES, FRAMES_PER_SECOND
from harness_corpora.twins.memor_design import CHARACTERS, Feelings, GridDesign, feelings

# Shares of clips with 1 to 5 persons, after the speaking persons of MELD's dialogues.
PERSONS = (0.05, 0.35, 0.33, 0.17, 0.10)
ONE_SEGMENT = 0.03
SEGMENTS = (5, 12)
# Segments whose speaker is in no grid; with unseen speakers about .15 are off screen.
OUTSIDER_SPEAKS = 0.07
SPEAKER_SEEN = 0.91
LISTENER_SEEN = 0.65
NO_AUDIO = 0.05
NO_FACES = 0.03
EXTRA_PERSON = 0.2
FRAMES = (17, 21)
# A face is never in the frames that overlapping or adjoining segments share.
EDGE = 3
MOMENT_OUTSIDE = 0.02
MOMENT_ON_BORDER = 0.03
TEST = 0.13
ACROSS = 0.38
"""Share of the moments with several targets whose annotations are in both parts."""


@dataclass
class Clip:
    """One clip of R segments.

    ``begin``, ``end`` int64 [R] are frames; ``ori`` the numbers in the unfiltered segmentation;
    ``emotion`` int64 [8, R] is -1 where a character is not there, ``faces`` int64 [8, R] the number
    of their face crops, ``audio`` bool [R] whether the spoken segment has audio.
    """

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
    """Draw ``count`` clips and their annotations, a function of (twin version, seed, count).

    Args:
        design: the twin.
        seed: seed of the generator.
        count: number of clips.
    """
    rng = design.rng(seed, "world")
    moods = feelings(design, seed)
    share = [m.chance for m in moods]
    world = World()
    for number in range(count):
        chances = moods[int(rng.choice(len(moods), p=share))]
        clip = _clip(rng, chances, number)
        world.clips.append(clip)
        world.notes.extend(_notes(rng, chances, clip))
    return world


def _clip(rng: np.random.Generator, chances: Feelings, number: int) -> Clip:
    # The first clips have the rare forms, so that the smallest twin has them too.
    persons = 1 if number == 0 else 1 + int(rng.choice(len(PERSONS), p=PERSONS))
    segments = int(rng.integers(SEGMENTS[0], SEGMENTS[1] + 1))
    if number == 1 or rng.random() < ONE_SEGMENT:
        segments = 1
    order = rng.permutation(CHARACTERS).tolist()
    cast, outside = sorted(order[:persons]), order[persons:]
    extra = outside.pop() if rng.random() < EXTRA_PERSON else None
    outsider = rng.random(segments) < OUTSIDER_SPEAKS
    speakers = [
        outside[int(rng.integers(len(outside)))] if out else cast[int(rng.integers(persons))]
        for out in outsider
    ]
    begin, end = _frames(rng, segments)
    known = cast if extra is None else [*cast, extra]
    clip = Clip(
        name=f"S{1 + number // 240:02d}E{1 + number // 10 % 24:02d}_{number % 10:03d}",
        start=round(float(rng.uniform(5, 1200)), 6),
        begin=begin,
        end=end,
        ori=np.cumsum(rng.integers(1, 3, segments)).tolist(),
        cast=[int(c) for c in rng.permutation(cast)],
        extra=extra,
        speakers=speakers,
        emotion=_emotions(rng, chances, known, speakers),
        faces=np.zeros((CHARACTERS, segments), dtype=np.int64),
        audio=rng.random(segments) >= NO_AUDIO,
    )
    if number == 2 or rng.random() < NO_FACES:
        clip.faces[cast[0], 0] = int(rng.integers(3, FEW_FACES + 1))
        return clip
    for c in known:
        speaks = np.array(speakers) == c
        seen = rng.random(segments) < np.where(speaks, SPEAKER_SEEN, LISTENER_SEEN)
        enough = rng.integers(FEW_FACES + 1, FEW_FACES + 3, segments)
        # Unseen persons have no face, or one too few.
        too_few = FEW_FACES * (rng.random(segments) < 0.2)
        clip.faces[c] = np.where(seen, enough, too_few)
    return clip


def _frames(rng: np.random.Generator, segments: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first and last frames: adjoining segments, gaps and overlaps of two frames."""
    lengths = rng.integers(FRAMES[0], FRAMES[1], segments)
    steps = rng.choice([0, 4, -2], size=segments, p=[0.7, 0.2, 0.1])
    steps[0] = int(rng.integers(0, 3))
    end = np.cumsum(lengths + steps)
    return end - lengths, end


def _emotions(
    rng: np.random.Generator, chances: Feelings, persons: Sequence[int], speakers: Sequence[int]
) -> NDArray[np.int64]:
    """Draw everybody's emotions, pair by pair of segments (see `memor_posterior`)."""
    kinds = chances.prior.shape[1]
    alone, moved = chances.alone(), chances.moved()
    found = np.full((len(chances.prior), len(speakers)), -1)
    for s, speaker in enumerate(speakers):
        if s % 2 == 0:
            for c in persons:
                found[c, s] = rng.choice(kinds, p=chances.first)
        else:
            for c in sorted(persons, key=lambda c: c != speaker):
                before = found[c, s - 1]
                heard = found[speaker, s]
                p = alone[c, before] if c == speaker or heard < 0 else moved[c, before, heard]
                found[c, s] = rng.choice(kinds, p=p)
        if speaker not in persons:
            # Someone whom no grid shows still has a voice, and moves nobody.
            found[speaker, s] = rng.choice(kinds, p=chances.first)
    return found


def _notes(rng: np.random.Generator, chances: Feelings, clip: Clip) -> Iterator[Note]:
    """Draw the annotations of a clip: the second segment of each pair, or its only segment."""
    segments = len(clip.speakers)
    free = None if clip.extra is None else int(rng.integers(segments // 2 + 1)) * 2 + 1
    for s in range(1, segments, 2) if segments > 1 else [0]:
        moment = _moment(rng, clip, s)
        listeners = [int(c) for c in rng.permutation(clip.cast) if c != clip.speakers[s]]
        targets = [clip.speakers[s]] if clip.speakers[s] in clip.cast else []
        chance = rng.random()
        if targets and chance < 0.1 and listeners:
            targets = []
        if not targets or chance < 0.85:
            targets += listeners[: 1 + int(rng.random() < 0.15)]
        if clip.extra is not None and free == s:
            targets.append(clip.extra)
        across = len(targets) > 1 and rng.random() < ACROSS
        test = np.full(len(targets), rng.random() < TEST)
        if across:
            test[0] = not test[0]
            rng.shuffle(test)
        for c, part in zip(targets, test.tolist(), strict=True):
            yield Note(clip.name, c, moment, int(clip.emotion[c, s]), part)
    if rng.random() < MOMENT_OUTSIDE * segments / 2:
        c = int(rng.choice(clip.cast))
        emotion = int(rng.choice(chances.prior.shape[1], p=chances.prior[c]))
        yield Note(clip.name, c, _outside(clip), emotion, bool(rng.random() < TEST))


def _moment(rng: np.random.Generator, clip: Clip, s: int) -> float:
    """Return a moment whose first segment is s: within it, on its border, or in an overlap."""
    chance = rng.random()
    adjoins = s == 0 or clip.end[s - 1] <= clip.begin[s]
    if adjoins and chance < MOMENT_ON_BORDER:
        return clip.seconds(float(clip.begin[s]))
    overlaps = s + 1 < len(clip.speakers) and clip.begin[s + 1] < clip.end[s]
    if overlaps and chance > 0.5:
        return clip.seconds(float(clip.begin[s + 1]) + 1.0)
    return clip.seconds(float(rng.uniform(clip.begin[s] + EDGE, clip.end[s] - EDGE)))


def _outside(clip: Clip) -> float:
    """Return a moment in the first gap between segments, or after the last one."""
    gaps = np.flatnonzero(clip.begin[1:] > clip.end[:-1])
    frame = float(clip.end[gaps[0]] + 2 if len(gaps) else clip.end[-1] + 3)
    return clip.seconds(frame)
