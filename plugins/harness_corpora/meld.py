"""MELD by (dialogue, speaker): words and timing only where the target speaks, traits of main roles.

Built from MELD's own csv files and FriendsPersona's scene ratings, which are not shipped.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.data.corpus import Corpus, SplitArrays
from harness.data.values import fail, name, read_table, shown, whole_text
from harness.errors import DataFormatError
from harness_corpora.checks import one_hot_sets
from harness_corpora.scaling import Standardiser
from harness_corpora.specs import MELD_LABELS

TRAITS = ("cAGR", "cCON", "cEXT", "cOPN", "cNEU")
MAIN = MappingProxyType(
    {
        "chandler": "bing",
        "joey": "tribbiani",
        "monica": "geller",
        "phoebe": "buffay",
        "rachel": "green",
        "ross": "geller",
    }
)
"""First and family names of the main characters."""
_TOKEN = re.compile(r"[a-z0-9]+(?:'[a-z]+)?|[!?]")
_CLOCK = re.compile(r"(\d{1,4}):(\d\d):(\d\d)[,.](\d{1,3})", re.ASCII)
_COLUMNS = (
    "Utterance",
    "Speaker",
    "Emotion",
    "Dialogue_ID",
    "Utterance_ID",
    "StartTime",
    "EndTime",
)


@dataclass(frozen=True)
class Utterance:
    """One line of a dialogue; times in seconds."""

    text: str
    speaker: str
    emotion: int
    number: int
    start: float
    end: float


class MeldParty(Corpus):
    """A sample is a speaker of a dialogue; its label the set of emotions he or she shows."""

    reader_version: ClassVar[int] = 2
    published_counts: ClassVar[Mapping[str, int]] = MappingProxyType(
        {"train": 2815, "valid": 343, "test": 746}
    )

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield train, valid and test; timing is standardised on train."""
        *files, traits_file = self.paths(root)
        traits = read_traits(traits_file)
        scale: Standardiser | None = None
        for split, path in zip(self.spec.splits, files, strict=True):
            dialogues = read_dialogues(path)
            samples = [
                (d, s, [i for i, u in enumerate(own) if u.speaker == s])
                for d, own in dialogues.items()
                for s in sorted({u.speaker for u in own})
            ]
            timing = {d: timings(own) for d, own in dialogues.items()}
            if scale is None:
                scale = Standardiser.of(np.concatenate([timing[d][rows] for d, _, rows in samples]))
            words, width = self.spec.modalities[0].dim, self.spec.modalities[0].max_length
            bags = {d: np.stack([bag(u.text, words) for u in own]) for d, own in dialogues.items()}
            features: dict[str, list[NDArray[np.float32]]] = {"text": [], "timing": []}
            for d, _, rows in samples:
                if len(bags[d]) > width:
                    raise fail(path, f"dialogue {d}", f"at most {width} utterances", "more")
                for m, whole in (("text", bags[d]), ("timing", scale(timing[d]))):
                    own = np.zeros_like(whole)
                    own[rows] = whole[rows]
                    features[m].append(own)
            first = [main_character(s) for _, s, _ in samples]
            known = np.array([f in traits for f in first])
            unknown = np.zeros(len(TRAITS), dtype=np.float32)
            sets = [sorted({dialogues[d][i].emotion for i in rows}) for d, _, rows in samples]
            yield SplitArrays(
                split,
                [f"{split}/{d}/{s}" for d, s, _ in samples],
                [f"{split}/{d}" for d, *_ in samples],
                one_hot_sets(sets, len(MELD_LABELS)),
                features,
                extras={"speaker": [s for _, s, _ in samples]},
                personality=np.stack([traits.get(f, unknown) for f in first]),
                personality_known=known,
                facts={
                    "dialogues": len(dialogues),
                    "samples of main characters": int(known.sum()),
                    "utterances": sum(len(own) for own in dialogues.values()),
                },
            )


def main_character(speaker: str) -> str:
    """Return the first name of a main character in lower case; empty: another speaker.

    "Phoebe Sr." is somebody else, and "Ross and Joey" are two.
    """
    first, *rest = speaker.lower().split() or [""]
    return first if first in MAIN and rest in ([], [MAIN[first]]) else ""


def read_dialogues(path: Path) -> dict[int, list[Utterance]]:
    """Return the dialogues of a MELD csv file, utterances in order.

    Raises:
        DataFormatError: a missing column, an unknown emotion, an utterance that is there twice, no
            speaker, or what is no number or time.
    """
    found: dict[int, list[Utterance]] = {}
    lines: dict[tuple[int, int], int] = {}
    for line, row in read_table(path, _COLUMNS):
        if row["Emotion"] not in MELD_LABELS:
            raise fail(path, f"line {line}, Emotion", ", ".join(MELD_LABELS), shown(row["Emotion"]))
        dialogue, number = (
            whole_text(path, f"line {line}, {key}", row[key])
            for key in ("Dialogue_ID", "Utterance_ID")
        )
        before = lines.setdefault((dialogue, number), line)
        if before != line:
            raise DataFormatError(
                f"{path}, line {line}: dialogue {dialogue}, utterance {number} is there already "
                f"(line {before})."
            )
        speaker = name(path, f"line {line}, Speaker", row["Speaker"]).strip()
        start, end = (_seconds(path, line, row[key]) for key in ("StartTime", "EndTime"))
        emotion = MELD_LABELS.index(row["Emotion"])
        spoken = Utterance(row["Utterance"], speaker, emotion, number, start, end)
        found.setdefault(dialogue, []).append(spoken)
    if not found:
        raise fail(path, "table", "at least one utterance", "none")
    return {d: sorted(own, key=lambda u: u.number) for d, own in found.items()}


def read_traits(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the main characters' mean ratings by first name, float32 [5].

    Raises:
        DataFormatError: a missing column, or a rating that is neither 0 nor 1.
    """
    rated: dict[str, list[list[float]]] = {name: [] for name in MAIN}
    for line, row in read_table(path, ("character", *TRAITS)):
        values = [row[t].strip() for t in TRAITS]
        if any(v not in ("0", "1", "0.0", "1.0") for v in values):
            raise fail(path, f"line {line}", "ratings 0 or 1", str(values))
        # A scene is known by its character's first word, as the file's authors key it.
        name = (row["character"].split() or [""])[0].lower()
        if name in rated:
            rated[name].append([float(v) for v in values])
    absent = [name for name, rows in rated.items() if not rows]
    if absent:
        raise fail(path, "character", f"scenes of {', '.join(MAIN)}", f"none of {absent[0]}")
    return {name: np.mean(rows, axis=0).astype(np.float32) for name, rows in rated.items()}


def bag(text: str, size: int) -> NDArray[np.float32]:
    """Return a hashed bag of words of unit length, float32 [size].

    A word falls into CRC-32 modulo ``size``, the same on every machine. An utterance without any
    word counts as one of its own, so that none looks missing.
    """
    plain = text.lower().replace("\u2019", "'").replace("\u0092", "'")
    out = np.zeros(size, dtype=np.float32)
    for token in _TOKEN.findall(plain) or ["<none>"]:
        out[zlib.crc32(token.encode()) % size] += 1.0
    return out / np.float32(np.linalg.norm(out))


def timings(dialogue: Sequence[Utterance]) -> NDArray[np.float32]:
    """Return duration, gap to the previous end (s), words per second, share of turns done [T, 4].

    Durations count as at least 0.1 s (one row of MELD ends before it starts), gaps are within
    10 s either way (times restart where a dialogue spans a cut).
    """
    rows = []
    for i, u in enumerate(dialogue):
        duration = max(u.end - u.start, 0.1)
        gap = np.clip(u.start - dialogue[i - 1].end, -10.0, 10.0) if i else 0.0
        rate = len(u.text.split()) / duration
        rows.append((duration, gap, rate, i / max(len(dialogue) - 1, 1)))
    return np.array(rows, dtype=np.float32)


def _seconds(path: Path, line: int, clock: str) -> float:
    match = _CLOCK.fullmatch(clock.strip())
    if match is None:
        raise fail(path, f"line {line}", "a time HH:MM:SS,mmm", shown(clock))
    hours, minutes, seconds, fraction = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")
