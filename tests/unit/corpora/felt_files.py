"""Generated files in the formats of Emotify, MuVi and EmoPairCompete."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from harness_corpora.specs.body import EMOPAIR, EMOPAIR_LABELS
from harness_corpora.specs.music import EMOTIFY, EMOTIFY_LABELS, MUVI_FACTORS

VIDEOS, RATERS = 81, 12
CONDITIONS = ("music", "muted_video", "video")


def write_emotify(root: Path, order: np.ndarray | None = None, answers: int = 3) -> None:
    """Write emotify.npz and answers.csv.

    Args:
        root: data root.
        order: rows of the archive in another order; None: by track.
        answers: of each piece in the table.
    """
    rng = np.random.default_rng(0)
    asked = rng.integers(11, 30, size=400)
    arrays: dict[str, Any] = {
        "track": np.arange(1, 401),
        "genre": np.repeat(["classical", "rock", "electronic", "pop"], 100),
        "counts": rng.integers(0, asked[:, None] // 2 + 1, size=(400, len(EMOTIFY_LABELS))),
        "answers": asked,
        **{m.name: _normal(rng, 400, m.dim) for m in EMOTIFY.modalities},
    }
    if order is not None:
        arrays = {name: array[order] for name, array in arrays.items()}
    folder = root / "emotify"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "emotify.npz", labels=np.array(EMOTIFY_LABELS), **arrays)
    header = ["track", *EMOTIFY_LABELS, "mood", "liked", "disliked", "age", "gender", "tongue"]
    rows = []
    for track in range(1, 401):
        for _ in range(answers):
            felt = rng.integers(0, 2, size=len(EMOTIFY_LABELS)).tolist()
            person = [int(rng.integers(1, 6)), 1, 0, int(rng.integers(18, 60)), 1]
            rows.append([track, *felt, *person, rng.choice(["English", "Dutch", "Frisian"]), 7])
    _table(folder / "answers.csv", [*header, "profile"], rows)


def write_muvi(root: Path, change: Iterable[str] = ()) -> None:
    """Write ratings.csv, people.csv and audio.npz.

    Args:
        root: data root.
        change: videos whose audio is given other values.
    """
    rng = np.random.default_rng(1)
    folder = root / "muvi"
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"video-{i:02d}" for i in range(VIDEOS)]
    sound = {name: _normal(rng, VIDEOS, 988) for name in ("emobase_mean", "emobase_std")}
    for video in change:
        sound["emobase_mean"][names.index(video)] += 100.0
    np.savez(folder / "audio.npz", video=np.array(names), **sound)
    terms = [term for three in MUVI_FACTORS.values() for term in three]
    rows = [
        [p, names[v], CONDITIONS[(p + v) % 3], 0, 0, *rng.integers(0, 2, size=len(terms)).tolist()]
        for p in range(RATERS)
        for v in range(VIDEOS)
    ]
    header = ["person", "video", "condition", "last_of_person", "known", *terms]
    _table(folder / "ratings.csv", header, rows)
    people = [
        [p, 20 + p, "Female" if p % 2 else "Male", "SG", "SG", "EN", "Pop", p]
        for p in range(RATERS)
    ]
    where = ["country_live_longest", "country_musical_enculturation", "lyric_language"]
    columns = ["person", "age", "gender", *where, "favorite_genre", "years_formal_training"]
    _table(folder / "people.csv", columns, people)


def write_emopair(root: Path) -> None:
    """Write emopair.npz: row 5 without signals, row 6 with an open answer."""
    rng = np.random.default_rng(2)
    rows = np.arange(312)
    views = {m.name: _normal(rng, 312, m.dim) for m in EMOPAIR.modalities}
    truth = rng.integers(0, 2, size=(312, len(EMOPAIR_LABELS)))
    signals = np.ones(312, dtype=np.int8)
    signals[5], truth[6, 0] = 0, -1
    views["eda"][7, 3] = np.nan
    for view in views.values():
        view[5] = np.nan
    folder = root / "emopair-compete"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "emopair.npz",
        Y=truth.astype(np.int8),
        labels=np.array(EMOPAIR_LABELS),
        signals=signals,
        person=np.array([f"1-{i // 12}" for i in rows]),
        team=np.array([f"1-{i // 24}" for i in rows]),
        round=rows // 3 % 4 + 1,
        phase=rows % 3 + 1,
        **views,
    )


def _normal(rng: np.random.Generator, count: int, width: int) -> np.ndarray:
    return rng.standard_normal((count, width)).astype(np.float32)


def _table(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
