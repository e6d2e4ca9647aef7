"""Emotify: 400 pieces of music, nine felt emotions; by piece, or by answer of a listener.

Built from the authors' answers and four views of the audio, which are not shipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.data.corpus import Corpus, SplitArrays
from harness.data.partition import rows_of_parts
from harness.data.values import fail, read_table, shown, whole_text
from harness_corpora.arrays import read_archive
from harness_corpora.checks import clean
from harness_corpora.scaling import Standardiser
from harness_corpora.specs.music import EMOTIFY_LABELS, LEAST_SHARE, TONGUES

SPLIT = "emotify@1/58"
"""Salt of the split by track (`harness.data.partition`), which both data sets share."""
PIECES = 400


@dataclass(frozen=True)
class Pieces:
    """The pieces: tracks, genres, labels uint8 [N, L], views float32 [N, d]."""

    tracks: list[str]
    genres: list[str]
    labels: NDArray[np.uint8]
    views: Mapping[str, NDArray[np.float32]]
    cleaned: Mapping[str, int]


class _Emotify(Corpus):
    def pieces(self, path: Path, repair: bool) -> Pieces:
        """Return the pieces; tracks are named by the file itself and not by the row's number."""
        count = len(EMOTIFY_LABELS)
        wanted: dict[str, tuple[str, tuple[int | None, ...]]] = {
            "track": ("iu", (PIECES,)),
            "genre": ("U", (PIECES,)),
            "labels": ("U", (count,)),
            "counts": ("iu", (PIECES, count)),
            "answers": ("iu", (PIECES,)),
            **{m.name: ("f", (PIECES, m.dim)) for m in self.spec.modalities},
        }
        arrays = read_archive(path, wanted)
        if arrays["labels"].tolist() != list(EMOTIFY_LABELS):
            raise fail(path, "labels", ", ".join(EMOTIFY_LABELS), shown(arrays["labels"].tolist()))
        answers, counts = arrays["answers"].astype(int), arrays["counts"].astype(int)
        if (answers < 1).any() or (counts < 0).any() or (counts > answers[:, None]).any():
            raise fail(path, "counts", "between 0 and the piece's answers", "others")
        tracks = arrays["track"].astype(int).tolist()
        if len(set(tracks)) != PIECES:
            raise fail(path, "track", f"{PIECES} different numbers", "repetitions")
        cleaned: dict[str, int] = {}
        views = {
            m.name: clean(path, arrays[m.name].astype(np.float32), m.name, cleaned, repair=repair)
            for m in self.spec.modalities
        }
        labels = (counts >= LEAST_SHARE * answers[:, None]).astype(np.uint8)
        genres = arrays["genre"].tolist()
        return Pieces([str(t) for t in tracks], genres, labels, views, cleaned)


class EmotifyPieces(_Emotify):
    """A sample is a piece; it has the emotions that a quarter of its listeners felt."""

    published_counts: ClassVar[Mapping[str, int]] = MappingProxyType(
        {"train": 240, "valid": 80, "test": 80}
    )

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield train, valid and test, standardised on train."""
        pieces = self.pieces(self.paths(root)[0], repair)
        scales: dict[str, Standardiser] = {}
        for part, rows in rows_of_parts(SPLIT, pieces.tracks):
            names = [f"track-{pieces.tracks[i]}" for i in rows]
            features = {}
            for view, values in pieces.views.items():
                scale = scales.setdefault(view, Standardiser.of(values[rows]))
                features[view] = list(scale(values[rows])[:, None, :])
            yield SplitArrays(
                part,
                names,
                names,
                pieces.labels[rows],
                features,
                cleaned=pieces.cleaned if part == "train" else {},
                extras={"genre": [pieces.genres[i] for i in rows]},
            )


class EmotifyListeners(_Emotify):
    """A sample is one listener's answer to a piece; the listener's traits are personality."""

    published_counts: ClassVar[Mapping[str, int]] = MappingProxyType(
        {"train": 5176, "valid": 1599, "test": 1632}
    )

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield train, valid and test, standardised on train; whole tracks each."""
        archive, table = self.paths(root)
        pieces = self.pieces(archive, repair)
        row_of = {track: i for i, track in enumerate(pieces.tracks)}
        answers = read_answers(table, row_of)
        scales: dict[str, Standardiser] = {}
        traits: Standardiser | None = None
        for part, rows in rows_of_parts(SPLIT, [pieces.tracks[i] for i in answers.piece]):
            piece = answers.piece[rows]
            features = {}
            for view, values in pieces.views.items():
                scale = scales.setdefault(view, Standardiser.of(values[np.unique(piece)]))
                features[view] = list(scale(values)[piece][:, None, :])
            traits = traits or Standardiser.of(answers.traits[rows])
            tracks = [f"track-{pieces.tracks[i]}" for i in piece]
            yield SplitArrays(
                part,
                [f"answer-{i}/{t}" for t, i in zip(tracks, rows, strict=True)],
                tracks,
                answers.labels[rows],
                features,
                cleaned=pieces.cleaned if part == "train" else {},
                personality=traits(answers.traits[rows]),
                facts={"profiles": len({answers.profile[i] for i in rows})},
            )


@dataclass(frozen=True)
class Answers:
    """Answers in the file's order.

    Attributes:
        piece: int64 [N], row of the piece that was heard.
        labels: uint8 [N, L].
        traits: float64 [N, d_p]: age, gender, mood before, mother tongue one of `TONGUES`.
        profile: N profiles (age, gender, tongue), the nearest thing to a listener's id.
    """

    piece: NDArray[np.int64]
    labels: NDArray[np.uint8]
    traits: NDArray[np.float64]
    profile: list[str]


def read_answers(path: Path, row_of: Mapping[str, int]) -> Answers:
    """Return the answers.

    Args:
        path: the table.
        row_of: row of each track.

    Raises:
        DataFormatError: a column is missing, a track is unknown, a value out of range.
    """
    columns = ("track", *EMOTIFY_LABELS, "mood", "age", "gender", "tongue", "profile")
    piece: list[int] = []
    labels: list[list[int]] = []
    traits: list[list[float]] = []
    profile: list[str] = []
    for line, row in read_table(path, columns):
        if row["track"] not in row_of:
            raise fail(path, f"line {line}, track", "a track of the archive", shown(row["track"]))
        piece.append(row_of[row["track"]])
        labels.append([_within(path, line, row, label, 0, 1) for label in EMOTIFY_LABELS])
        tongue = [float(row["tongue"] == t) for t in TONGUES]
        person = [
            _within(path, line, row, name, *limits)
            for name, limits in (("age", (0, 120)), ("gender", (0, 1)), ("mood", (1, 5)))
        ]
        traits.append([*map(float, person), *tongue])
        profile.append(row["profile"])
    if not piece:
        raise fail(path, "rows", "at least one answer", "none")
    return Answers(
        np.array(piece, dtype=np.int64),
        np.array(labels, dtype=np.uint8),
        np.array(traits, dtype=np.float64),
        profile,
    )


def _within(path: Path, line: int, row: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = whole_text(path, f"line {line}, {name}", row[name])
    if not low <= value <= high:
        raise fail(path, f"line {line}, {name}", f"{low} to {high}", str(value))
    return value
