"""From MEmoR's files to grids: a sample per annotation, rows shared by a clip's samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.values import fail
from harness_corpora.memor.files import (
    CHARACTERS,
    Annotation,
    Clip,
    read_personality,
    read_rows,
)
from harness_corpora.memor.visual import visual_rows

TEXT_FILE = "features/text_features.json"
AUDIO_FILE = "features/audio_features.json"
PERSONALITY_FILE = "features/character_features.csv"


@dataclass(frozen=True)
class Dims:
    """Sizes of the features: the visual row is face, object, environment in that order."""

    face: int = 1024
    object: int = 1230
    environment: int = 2048
    audio: int = 6373
    text: int = 1024
    personality: int = 118


@dataclass(frozen=True)
class Sample:
    """One grid: its clip, its persons in order, the target cells (person-major, bool [P*R])."""

    clip: Clip
    persons: tuple[int, ...]
    target: NDArray[np.bool_]

    @property
    def cell(self) -> tuple[int, int]:
        """Return the target (person, segment): the first; without one the last of each."""
        place = int(self.target.argmax()) if self.target.any() else len(self.target) - 1
        return divmod(place, len(self.clip.seg_start))


@dataclass(frozen=True)
class Features:
    """Row tables, and the rows of each clip in them.

    Attributes:
        tables: per modality, float32 [K_m, d_m].
        spoken: per modality text and audio and per clip, int64 [R], row of the segment or -1.
        seen: per clip, int64 [8, R], visual row of a character in a segment or -1.
        personality: float32 [8, d_p].
        silent: number of spoken segments without audio.
    """

    tables: dict[str, NDArray[np.float32]]
    spoken: dict[str, dict[str, NDArray[np.int64]]]
    seen: dict[str, NDArray[np.int64]]
    personality: NDArray[np.float32]
    silent: int

    def index(self, sample: Sample) -> dict[str, NDArray[np.int64]]:
        """Return the row of every cell of a sample, int64 [P, R] per modality, -1 where missing."""
        clip, persons = sample.clip, np.array(sample.persons)
        speaks = np.array(clip.speakers) == persons[:, None]
        found = {
            m: np.where(speaks, rows[clip.name], np.int64(-1)) for m, rows in self.spoken.items()
        }
        return {**found, "visual": self.seen[clip.name][persons]}


def make_samples(
    clips: dict[str, Clip], annotations: Sequence[Annotation], *, legacy_accumulate: bool = False
) -> list[Sample]:
    """Return a sample per annotation.

    Args:
        clips: clips by name.
        annotations: A annotations, in file order.
        legacy_accumulate: a clip's persons also hold the targets of the annotations before this
            one, as in the reference loader, which adds targets to the parsed record and leaves them
            there.
    """
    added: dict[str, set[int]] = {}
    found = []
    for a in annotations:
        clip = clips[a.clip]
        before = added.setdefault(a.clip, set()) if legacy_accumulate else set()
        before.add(a.character)
        persons = tuple(sorted({*clip.on_character, *before}))
        inside = np.array(
            [s <= a.moment < e for s, e in zip(clip.seg_start, clip.seg_end, strict=True)]
        )
        target = (np.array(persons) == a.character)[:, None] & inside
        found.append(Sample(clip, persons, target.ravel()))
    return found


def read_features(root: Path, samples: Sequence[Sample], dims: Dims) -> Features:
    """Return the rows that the samples need, each read or computed once.

    Args:
        root: folder of the authors' files.
        samples: the samples of all splits.
        dims: widths of the features.

    Raises:
        DataFormatError: a file is not as documented, or a segment whose speaker is in a grid has
            no text.
    """
    persons: dict[str, set[int]] = {}
    clips: dict[str, Clip] = {}
    for sample in samples:
        clips[sample.clip.name] = sample.clip
        persons.setdefault(sample.clip.name, set()).update(sample.persons)
    keys: dict[str, list[tuple[str, int, str]]] = {"text": [], "audio": []}
    for name, clip in clips.items():
        for s, speaker in enumerate(clip.speakers):
            if speaker in persons[name]:
                keys["text"].append((name, s, f"{name}+{s}"))
                keys["audio"].append((name, s, f"{name}+{clip.seg_ori_ind[s]}"))
    tables: dict[str, NDArray[np.float32]] = {}
    spoken: dict[str, dict[str, NDArray[np.int64]]] = {}
    silent = 0
    for modality, file, dim in (("text", TEXT_FILE, dims.text), ("audio", AUDIO_FILE, dims.audio)):
        rows = read_rows(root / file, dim, {key for *_, key in keys[modality]})
        spoken[modality] = {n: np.full(len(c.speakers), -1) for n, c in clips.items()}
        place: dict[str, int] = {}
        for name, s, key in keys[modality]:
            if key in rows:
                spoken[modality][name][s] = place.setdefault(key, len(place))
            elif modality == "text":
                raise fail(root / file, repr(key), "text of a segment somebody speaks in", "none")
            else:
                silent += 1
        tables[modality] = _stack([rows[key] for key in place], dim)
    seen: dict[str, NDArray[np.int64]] = {}
    visual: list[NDArray[np.float32]] = []
    sizes = (dims.face, dims.object, dims.environment)
    for name, clip in clips.items():
        grid = np.full((len(CHARACTERS), len(clip.speakers)), -1)
        for cell, row in visual_rows(root, clip, persons[name], sizes).items():
            grid[cell] = len(visual)
            visual.append(row)
        seen[name] = grid
    tables["visual"] = _stack(visual, sum(sizes))
    personality = read_personality(root / PERSONALITY_FILE, dims.personality)
    return Features(tables, spoken, seen, personality, silent)


def _stack(rows: list[NDArray[np.float32]], dim: int) -> NDArray[np.float32]:
    return np.stack(rows) if rows else np.zeros((0, dim), dtype=np.float32)
