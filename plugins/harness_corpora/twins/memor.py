"""MEmoR's twin in the authors' tree: annotations, clips, id files, features of every modality."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from harness_corpora.memor.files import CHARACTERS
from harness_corpora.memor.visual import FEW_FACES
from harness_corpora.specs import MEMOR_FINE_LABELS, MEMOR_LABELS
from harness_corpora.twins import files
from harness_corpora.twins.frames import make_basis
from harness_corpora.twins.memor_ceiling import scores
from harness_corpora.twins.memor_design import (
    MEMOR,
    PRIMARY_OF,
    GridDesign,
    GridStream,
    stream_name,
    traits,
)
from harness_corpora.twins.memor_emission import basis, rows
from harness_corpora.twins.memor_world import EDGE, Clip, World, draw
from harness_corpora.twins.words import GRID, Stream, threshold

__all__ = ["scores", "write"]

TRAITS = 118
SCENE_DIMS = {"object": 1230, "environment": 2048}
_UNKNOWN = "Waiter"
# Every so many clips have their faces as one tensor, the others as a list of rows: both are legal,
# and rows of a list that are the same are stored once.
_ONE_TENSOR = 8
_STRANGERS = threshold(0.2)


def write(root: Path, seed: int, size: str) -> None:
    """Write the twin's tree under ``root/memor``.

    Args:
        root: data root, made if it is not there.
        seed: a function of (twin version, seed, size) in every file.
        size: ``default`` or ``full`` (about as many moments as the real data).

    Raises:
        UsageError: unknown size. StorageError: a file cannot be written.
    """
    tree, design = root / "memor", MEMOR
    world = draw(design, seed, design.count(size))
    _write_annotations(tree, world)
    features = tree / "features"
    lines = [",".join(f"{v:.6f}" for v in row) for row in personality(seed)]
    _write_text(features / "character_features.csv", "\n".join(lines) + "\n")
    text, visual, audio = design.streams
    _write_spoken(features / "text_features.json", design, text, seed, world, 3)
    _write_spoken(features / "audio_features.json", design, audio, seed, world, 2)
    _write_visual(features / "visual_features", design, visual, seed, world)


def personality(seed: int) -> NDArray[np.float64]:
    """Return what stands in the file of personalities, float64 [8, 118]: ten times the traits."""
    basis = make_basis(stream_name(seed, "personality"), TRAITS, 6)
    # In integers: signs count 7, and the last trait is in 1/7 already.
    own = traits(seed) * np.array([7, 7, 7, 7, 7, 1])
    return np.asarray(10 * (own @ basis.signs.astype(np.int64)) / (7 * basis.root))


def _write_annotations(tree: Path, world: World) -> None:
    fine, primary = MEMOR_FINE_LABELS, MEMOR_LABELS
    names = {
        "primary": [primary[PRIMARY_OF[n.emotion]] for n in world.notes],
        "fine_grained": [fine[n.emotion] for n in world.notes],
    }
    annotations = {
        kind: [
            {"clip": n.clip, "character": n.character, "moment": n.moment, "emotion": e}
            for n, e in zip(world.notes, own, strict=True)
        ]
        for kind, own in names.items()
    }
    _write_text(tree / "anno.json", json.dumps(annotations))
    clips = {
        c.name: {
            "start": c.start,
            "seg_start": [c.seconds(f) for f in c.begin.tolist()],
            "seg_end": [c.seconds(f) for f in c.end.tolist()],
            "seg_ori_ind": c.ori,
            "speakers": c.speakers,
            "on_character": c.cast,
        }
        for c in world.clips
    }
    _write_text(tree / "data.json", json.dumps(clips))
    for name, part in (("train_id.txt", False), ("test_id.txt", True)):
        ids = [f"{i}\n" for i, n in enumerate(world.notes) if n.test == part]
        _write_text(tree / name, "".join(ids))


def cells_of(clip: Clip, stream: GridStream) -> list[tuple[int, int]]:
    """Return the (character, segment) pairs that a clip has features of: faces, or who speaks."""
    if stream.name == "visual":
        return [(int(c), int(s)) for c, s in np.argwhere(clip.faces > 0)]
    heard = np.ones_like(clip.audio) if stream.name == "text" else clip.audio
    return [(c, s) for s, c in enumerate(clip.speakers) if heard[s]]


def features_of(
    design: GridDesign, stream: GridStream, seed: int, clip: Clip
) -> NDArray[np.float32]:
    """Return the features of `cells_of` a clip, float32 [K, d].

    Args:
        design: the twin.
        stream: one of its modalities.
        seed: seed of the generator.
        clip: the clip.
    """
    cells = cells_of(clip, stream)
    words = Stream(stream_name(seed, "clip", clip.number, stream.name))
    people = np.array([c for c, _ in cells], dtype=np.int64)
    emotion = np.array([clip.emotion[c, s] for c, s in cells], dtype=np.int64)
    speaks = np.array([clip.speakers[s] == c for c, s in cells], dtype=np.bool_)
    return rows(design, stream, basis(design, stream, seed), words, people, emotion, speaks)


def _write_spoken(
    path: Path, design: GridDesign, stream: GridStream, seed: int, world: World, digits: int
) -> None:
    """Write an object of rows: of all segments (text), or of those that have audio by ``ori``."""
    numbers = _Decimals(digits)
    with files.writing(path) as temporary, temporary.open("w", encoding="ascii") as out:
        separator = "{"
        for clip in world.clips:
            found = features_of(design, stream, seed, clip)
            for (_, s), row in zip(cells_of(clip, stream), found, strict=True):
                place = s if stream.name == "text" else clip.ori[s]
                out.write(f'{separator}"{clip.name}+{place}": [{numbers.join(row)}]')
                separator = ", "
        out.write("}")


class _Decimals:
    """Rounded decimals by look-up: formatting millions of floats would take most of the time."""

    def __init__(self, digits: int, largest: float = 40.0) -> None:
        self._scale = 10**digits
        self._limit = round(largest * self._scale)
        values = range(-self._limit, self._limit + 1)
        self._text = np.array([f"{v / self._scale:g}" for v in values], dtype=object)

    def join(self, row: NDArray[np.float32]) -> str:
        """Return the numbers of a row, separated by commas."""
        places = np.rint(row * self._scale).astype(np.int64) + self._limit
        return ",".join(self._text[places])


def _write_visual(
    folder: Path, design: GridDesign, stream: GridStream, seed: int, world: World
) -> None:
    """Write names and features of faces, and those of scenes, which are the same in all frames."""
    for i, clip in enumerate(world.clips):
        words = Stream(stream_name(seed, "clip", clip.number, "faces"))
        names, order = _faces(words, clip, cells_of(clip, stream))
        _write_text(folder / "face_names" / f"{clip.name}.txt", "\t".join(names) + "\n")
        nobody = (words.normals(1, stream.dim) / GRID).astype(np.float32)
        table = torch.from_numpy(np.concatenate([features_of(design, stream, seed, clip), nobody]))
        crops = table[order] if i % _ONE_TENSOR == 0 else [table[j] for j in order]
        files.write_torch(folder / "face_features" / f"{clip.name}.pt", crops)
        for kind, size in design.scene:
            scene = torch.from_numpy(scene_of(design, kind, size, seed, clip))
            frames = scene.expand(int(clip.end[-1]) + 1, -1)
            files.write_torch(folder / f"{kind}_features" / f"{clip.name}.pt", frames)


def _faces(
    words: Stream, clip: Clip, cells: Sequence[tuple[int, int]]
) -> tuple[list[str], list[int]]:
    """Return names of faces in order of frames, and the row of each; the last row is nobody's."""
    found: list[tuple[int, str, int]] = []
    for row, (c, s) in enumerate(cells):
        first = int(clip.begin[s]) + EDGE
        chosen = words.shuffle(int(clip.end[s]) - EDGE + 1 - first, int(clip.faces[c, s]))
        found += [(first + f, CHARACTERS[c].capitalize(), row) for f in chosen]
    if len(found) > FEW_FACES and words.happens(_STRANGERS):
        found += [(f, _UNKNOWN, len(cells)) for f in words.shuffle(int(clip.end[-1]), 3)]
    found.sort()
    return [f"{f}_{name}.jpg" for f, name, _ in found], [row for *_, row in found]


@lru_cache(maxsize=8)
def _directions(name: str, dim: int, rank: int) -> NDArray[np.float64]:
    return make_basis(name, dim, rank).rows


def scene_of(
    design: GridDesign, kind: str, size: int, seed: int, clip: Clip
) -> NDArray[np.float32]:
    """Return the scene features of a clip, float32 [dim], which say nothing.

    Args:
        design: the twin.
        kind: ``object`` or ``environment``.
        size: of the features, in 1/2.
        seed: seed of the generator.
        clip: the clip.
    """
    directions = _directions(stream_name(seed, "scene", kind), SCENE_DIMS[kind], design.rank)
    z = Stream(stream_name(seed, "clip", clip.number, kind)).normals(design.rank)
    # Adding zero turns -0.0, which depends on the order of the sum, to 0.0.
    return ((size / 2 * z / GRID) @ directions + 0.0).astype(np.float32)


def _write_text(path: Path, content: str) -> None:
    with files.writing(path) as temporary:
        temporary.write_text(content, encoding="ascii")
