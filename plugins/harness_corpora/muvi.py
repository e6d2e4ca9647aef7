"""MuVi: 81 music videos heard, seen muted, or both; what each rater felt.

The audio is missing, by design, where the video was seen muted. Files are not shipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from harness_corpora.specs.music import MUVI_COMPONENTS, MUVI_FACTORS, MUVI_GENRES, MUVI_LANGUAGES

CONDITIONS = ("music", "muted_video", "video")
VIDEOS = 81
SPLIT = "muvi@1/8"
"""Salt of the split by video (`harness.data.partition`)."""
WIDTH = 988
# Features are kept on this grid, far coarser than what linear algebra libraries differ by.
GRID = 1024.0


class Muvi(Corpus):
    """A sample is one rating: what a person felt at a video under one condition."""

    published_counts: ClassVar[Mapping[str, int]] = MappingProxyType(
        {"train": 922, "valid": 290, "test": 282}
    )

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield train, valid and test; whole videos each, components fitted on train's videos."""
        ratings, people, archive = self.paths(root)
        persons = read_people(people)
        rows = list(read_ratings(ratings, persons))
        cleaned: dict[str, int] = {}
        names, values = read_audio(archive, cleaned, repair)
        row_of = {name: i for i, name in enumerate(names)}
        for line, row in rows:
            if row["video"] not in row_of:
                raise fail(ratings, f"line {line}, video", "a video of the archive", row["video"])
        components: NDArray[np.float32] | None = None
        scale: Standardiser | None = None
        for part, chosen in rows_of_parts(SPLIT, [row["video"] for _, row in rows]):
            own = [rows[i][1] for i in chosen]
            videos = np.array([row_of[row["video"]] for row in own])
            if components is None:
                components = principal_components(values, np.unique(videos), MUVI_COMPONENTS)
            traits = np.stack(
                [np.append(persons[row["person"]], float(row["known"])) for row in own]
            )
            scale = scale or Standardiser.of(traits)
            none = np.zeros((0, MUVI_COMPONENTS), dtype=np.float32)
            heard = [row["condition"] != "muted_video" for row in own]
            yield SplitArrays(
                part,
                [
                    f"{rows[i][0]:04d}/{row['video']}/{row['condition']}"
                    for i, row in zip(chosen, own, strict=True)
                ],
                [row["video"] for row in own],
                np.stack([factors(row) for row in own]),
                {
                    "audio": [
                        components[v][None] if h else none
                        for v, h in zip(videos, heard, strict=True)
                    ],
                    "condition": [
                        np.array([[row["condition"] == c for c in CONDITIONS]], dtype=np.float32)
                        for row in own
                    ],
                },
                cleaned=cleaned if part == "train" else {},
                extras={"person": [row["person"] for row in own]},
                personality=scale(traits),
                facts={"muted": len(own) - sum(heard)},
            )


def factors(row: Mapping[str, str]) -> NDArray[np.uint8]:
    """Return which factors a rating holds, uint8 [9]: any of a factor's three terms."""
    return np.array(
        [any(row[term] == "1" for term in terms) for terms in MUVI_FACTORS.values()],
        dtype=np.uint8,
    )


def read_ratings(
    path: Path, persons: Mapping[str, NDArray[np.float64]]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and cells of each rating.

    Args:
        path: the table.
        persons: the people who may rate.

    Raises:
        DataFormatError: an unknown person or condition, a term that is not 0 or 1.
    """
    terms = [term for three in MUVI_FACTORS.values() for term in three]
    for line, row in read_table(path, ("person", "video", "condition", "known", *terms)):
        if row["person"] not in persons:
            raise fail(path, f"line {line}, person", "a person of the people", row["person"])
        if row["condition"] not in CONDITIONS:
            raise fail(path, f"line {line}, condition", ", ".join(CONDITIONS), row["condition"])
        for name in ("known", *terms):
            if row[name] not in ("0", "1"):
                raise fail(path, f"line {line}, {name}", "0 or 1", shown(row[name]))
        yield line, row


def read_people(path: Path) -> dict[str, NDArray[np.float64]]:
    """Return per person the traits, float64: age, gender, years of training, language, genre.

    Raises:
        DataFormatError: a person twice, a value that is none of a trait.
    """
    columns = (
        *("person", "age", "gender", "lyric_language", "favorite_genre"),
        "years_formal_training",
    )
    found: dict[str, NDArray[np.float64]] = {}
    for line, row in read_table(path, columns):
        if row["person"] in found:
            raise fail(path, f"line {line}, person", "each person once", row["person"])
        if row["gender"] not in ("Female", "Male"):
            raise fail(path, f"line {line}, gender", "Female or Male", shown(row["gender"]))
        numbers = [
            float(whole_text(path, f"line {line}, {name}", row[name]))
            for name in ("age", "years_formal_training")
        ]
        language = [float(row["lyric_language"] == name) for name in MUVI_LANGUAGES]
        genre = [float(row["favorite_genre"] == name) for name in MUVI_GENRES]
        female = float(row["gender"] == "Female")
        found[row["person"]] = np.array([*numbers, female, *language, *genre])
    return found


def read_audio(
    path: Path, cleaned: dict[str, int], repair: bool
) -> tuple[list[str], NDArray[np.float32]]:
    """Return the videos' names and their features, float32 [81, 1976]: means, then deviations.

    Args:
        path: the archive.
        cleaned: repaired values by kind, added to.
        repair: set NaN and infinities to 0.

    Raises:
        DataFormatError: the archive is not as documented.
    """
    parts = ("emobase_mean", "emobase_std")
    wanted: dict[str, Any] = {name: ("f", (VIDEOS, WIDTH)) for name in parts}
    arrays = read_archive(path, {"video": ("U", (VIDEOS,)), **wanted})
    values = [
        clean(path, arrays[name].astype(np.float32), name, cleaned, repair=repair) for name in parts
    ]
    return arrays["video"].tolist(), np.concatenate(values, axis=1)


def principal_components(
    values: NDArray[np.float32], train: NDArray[np.int64], count: int
) -> NDArray[np.float32]:
    """Return the rows on the first principal components, float32 [N, count], unit variance.

    Mean, scale and components are those of the training rows. A component's largest loading is
    positive, and values lie on a grid of 1/1024, so that they are the same for every linear
    algebra library.

    Args:
        values: [N, d].
        train: rows that are fitted on.
        count: components, fewer than the training rows.
    """
    scaled = Standardiser.of(values[train])(values).astype(np.float64)
    _, _, axes = np.linalg.svd(scaled[train], full_matrices=False)
    axes = axes[:count]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    projected = scaled @ (axes * np.sign(largest)).T
    projected /= projected[train].std(axis=0)
    return (np.round(projected * GRID) / GRID).astype(np.float32)
