"""MEmoR's visual rows: means of face, object and environment features over a segment's frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.safe import load_torch
from harness.data.values import fail, shown
from harness.errors import DataFormatError, DataMissingError
from harness.paths import storage_errors
from harness_corpora.memor.files import CHARACTERS, Clip, is_count

FRAMES_PER_SECOND = 23.976
# A clip and a person need MORE than this many faces.
FEW_FACES = 10
FOLDER = "features/visual_features"
KINDS = ("face", "object", "environment")
_EXTENSION = 4


@dataclass(frozen=True)
class Faces:
    """The face crops of a clip: frame and character (-1: nobody known) of each."""

    frames: NDArray[np.int64]
    characters: NDArray[np.int64]


def names_path(root: Path, clip: str) -> Path:
    """Return where a clip's face names are."""
    return root / FOLDER / "face_names" / f"{clip}.txt"


def features_path(root: Path, kind: str, clip: str) -> Path:
    """Return where a clip's features of one kind are.

    Args:
        root: folder of the authors' files.
        kind: ``face``, ``object`` or ``environment``.
        clip: clip name.
    """
    return root / FOLDER / f"{kind}_features" / f"{clip}.pt"


def read_faces(path: Path) -> Faces | None:
    """Return the faces named in the first line; None where there are 10 or fewer.

    Raises:
        DataMissingError: the file is not there.
        DataFormatError: a name that is not ``<frame>_<person>.<extension>``.
    """
    if not path.is_file():
        raise DataMissingError(f"{path} is not there (names of a clip's face crops).")
    with storage_errors(path):
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n", 1)
    names = lines[0].strip().split("\t")
    if len(names) <= FEW_FACES:
        return None
    known = {name: i for i, name in enumerate(CHARACTERS)}
    frames, characters = [], []
    for name in names:
        parts = name[:-_EXTENSION].split("_")
        if len(parts) != 2 or not is_count(parts[0]):
            raise fail(path, repr(name[:40]), "<frame>_<person>.<extension>", "another name")
        frames.append(int(parts[0]))
        characters.append(known.get(parts[1].lower(), -1))
    return Faces(np.array(frames), np.array(characters))


def visual_rows(
    root: Path, clip: Clip, persons: set[int], dims: tuple[int, int, int]
) -> dict[tuple[int, int], NDArray[np.float32]]:
    """Return the visual row of each (character, segment) that has one, float32 [sum of dims].

    A row is [mean of the person's faces in frames b..e; mean of object rows b:e; mean of
    environment rows b:e] with b, e = int(seconds since the clip's start * 23.976): faces include
    frame e, the two slices exclude it. It exists for more than 10 such faces.

    Args:
        root: folder of the authors' files.
        clip: the clip.
        persons: character ids that need rows.
        dims: widths of face, object and environment features.

    Raises:
        DataMissingError, DataFormatError: a file is not there or not as documented, or a mean is
            over no stored frame.
    """
    faces = read_faces(names_path(root, clip.name))
    if faces is None:
        return {}
    begin = np.array([int((s - clip.start) * FRAMES_PER_SECOND) for s in clip.seg_start])
    end = np.array([int((s - clip.start) * FRAMES_PER_SECOND) for s in clip.seg_end])
    inside = (faces.frames >= begin[:, None]) & (faces.frames <= end[:, None])
    chosen = [
        (person, s, inside[s] & (faces.characters == person))
        for person in sorted(persons)
        for s in range(len(begin))
    ]
    chosen = [c for c in chosen if int(c[2].sum()) > FEW_FACES]
    if not chosen:
        return {}
    crops = _load(features_path(root, "face", clip.name), dims[0], len(faces.frames))
    scene = [
        _load(features_path(root, kind, clip.name), dim)
        for kind, dim in zip(KINDS[1:], dims[1:], strict=True)
    ]
    marks = np.stack([mark for *_, mark in chosen]).astype(np.float64)
    own = (marks @ crops[: marks.shape[1]]) / marks.sum(axis=1, keepdims=True)
    parts = [own]
    segments = np.array([s for _, s, _ in chosen])
    for kind, frames in zip(KINDS[1:], scene, strict=True):
        first, last = begin[segments], np.minimum(end[segments], len(frames))
        if (first < 0).any() or (last <= first).any():
            raise DataFormatError(
                f"{features_path(root, kind, clip.name)}: {len(frames)} frames do not reach the "
                f"segments of {clip.name}; a mean over no frame is not a number."
            )
        total = np.concatenate([np.zeros((1, frames.shape[1])), frames.cumsum(axis=0)])
        parts.append((total[last] - total[first]) / (last - first)[:, None])
    rows = np.concatenate(parts, axis=1).astype(np.float32)
    return {(person, s): row for (person, s, _), row in zip(chosen, rows, strict=True)}


def _load(path: Path, dim: int, at_least: int = 0) -> NDArray[np.float64]:
    """Return a stored float tensor [n, dim] (or a list of n rows) in float64.

    Raises:
        DataFormatError: another type or shape, NaN, an infinity, or fewer rows than expected.
    """
    import torch

    value = load_torch(path)
    if isinstance(value, list | tuple) and value:
        rows = [v for v in value if isinstance(v, torch.Tensor) and v.shape == (dim,)]
        value = torch.stack(rows) if len(rows) == len(value) else value
    shape = f"a float tensor [n, {dim}]"
    if not isinstance(value, torch.Tensor):
        raise fail(path, "content", shape, shown(value))
    if not value.is_floating_point() or value.ndim != 2 or value.shape[1] != dim:
        raise fail(path, "content", shape, f"{value.dtype} {tuple(value.shape)}")
    if len(value) < at_least:
        raise fail(path, "content", f"a row for each of {at_least} names", str(len(value)))
    array = value.to(torch.float64).numpy()
    if not np.isfinite(array).all():
        raise fail(path, "content", "finite features", "NaN or infinities")
    return array
