"""MEmoR's twin in the authors' tree: annotations, clips, id files, features of every modality."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness_corpora.memor.files import CHARACTERS
from harness_corpora.memor.visual import FEW_FACES
from harness_corpora.specs import MEMOR_FINE_LABELS, MEMOR_LABELS
from harness_corpora.twins import files
from harness_corpora.twins.memor_ceiling import scores
from harness_corpora.twins.memor_design import MEMOR, PRIMARY_OF, GridDesign, GridStream, traits
from harness_corpora.twins.memor_emission import basis, rows
from harness_corpora.twins.memor_world import EDGE, Clip, World, draw

__all__ = ["scores", "write"]

TRAITS = 118
SCENE_DIMS = {"object": 1230, "environment": 2048}
_UNKNOWN = "Waiter"
# Every so many clips have their faces as one tensor, the others as a list of rows: both are legal,
# and rows of a list that are the same are stored once.
_ONE_TENSOR = 8
_CHUNK = 256


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
    rng = design.rng(seed, "personality")
    own = traits(design, seed)
    embedding = np.linalg.qr(rng.standard_normal((TRAITS, own.shape[1])))[0].T
    lines = [",".join(f"{v:.6f}" for v in row) for row in 10.0 * own @ embedding]
    _write_text(features / "character_features.csv", "\n".join(lines) + "\n")
    text, visual, audio = design.streams
    _write_spoken(features / "text_features.json", design, text, seed, world, 3)
    _write_spoken(features / "audio_features.json", design, audio, seed, world, 2)
    _write_visual(features / "visual_features", design, visual, seed, world)


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


def _offsets(design: GridDesign, stream: GridStream, seed: int, world: World) -> Any:
    """Return the constant offset of each person in each clip, float32 [clips, 8, rank]."""
    shape = (len(world.clips), len(CHARACTERS), design.rank)
    return design.rng(seed, "person", stream.name).standard_normal(shape, dtype=np.float32)


def _cells(
    design: GridDesign,
    stream: GridStream,
    seed: int,
    world: World,
    cells: Sequence[tuple[int, int, int]],
) -> Iterable[NDArray[np.float32]]:
    """Yield the features of (clip, character, segment) cells, in pieces float32 [n, d]."""
    base, offset = basis(design, stream, seed), _offsets(design, stream, seed, world)
    rng = design.rng(seed, "cells", stream.name)
    for begin in range(0, len(cells), _CHUNK):
        part = cells[begin : begin + _CHUNK]
        emotion = np.array([world.clips[i].emotion[c, s] for i, c, s in part])
        speaks = np.array([world.clips[i].speakers[s] == c for i, c, s in part])
        own = np.stack([offset[i, c] for i, c, _ in part])
        yield rows(design, stream, base, emotion, speaks, own, rng)


def _write_spoken(
    path: Path, design: GridDesign, stream: GridStream, seed: int, world: World, digits: int
) -> None:
    """Write an object of rows: of all segments (text), or of those that have audio by ``ori``."""
    cells, keys = [], []
    for i, clip in enumerate(world.clips):
        for s, speaker in enumerate(clip.speakers):
            if stream.name == "text" or clip.audio[s]:
                cells.append((i, speaker, s))
                keys.append(f"{clip.name}+{s if stream.name == 'text' else clip.ori[s]}")
    numbers = _Decimals(digits)
    with files.writing(path) as temporary, temporary.open("w", encoding="ascii") as out:
        out.write("{")
        place = 0
        for block in _cells(design, stream, seed, world, cells):
            for row in block:
                out.write(f'{", " if place else ""}"{keys[place]}": [{numbers.join(row)}]')
                place += 1
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
    cells = [
        (i, int(c), int(s))
        for i, clip in enumerate(world.clips)
        for c, s in np.argwhere(clip.faces > 0)
    ]
    per_clip = np.bincount([i for i, *_ in cells], minlength=len(world.clips))
    pieces = list(_cells(design, stream, seed, world, cells))
    features = np.split(np.concatenate(pieces), np.cumsum(per_clip)[:-1])
    owners = np.split(np.array(cells), np.cumsum(per_clip)[:-1])
    rng = design.rng(seed, "faces")
    scenes = {k: _scenes(design, k, d, seed, world) for k, d in SCENE_DIMS.items()}
    for i, clip in enumerate(world.clips):
        names, order = _faces(rng, clip, owners[i][:, 1:])
        _write_text(folder / "face_names" / f"{clip.name}.txt", "\t".join(names) + "\n")
        nobody = rng.standard_normal((1, stream.dim), dtype=np.float32)
        table = torch.from_numpy(np.concatenate([features[i], nobody]))
        crops = table[order] if i % _ONE_TENSOR == 0 else [table[j] for j in order]
        files.write_torch(folder / "face_features" / f"{clip.name}.pt", crops)
        for kind, scene in scenes.items():
            frames = torch.from_numpy(scene[i].copy()).expand(int(clip.end[-1]) + 1, -1)
            files.write_torch(folder / f"{kind}_features" / f"{clip.name}.pt", frames)


def _faces(
    rng: np.random.Generator, clip: Clip, cells: NDArray[np.int64]
) -> tuple[list[str], list[int]]:
    """Return names of faces in order of frames, and the row of each; the last row is nobody's."""
    found: list[tuple[int, str, int]] = []
    for row, (c, s) in enumerate(cells.tolist()):
        frames = np.arange(clip.begin[s] + EDGE, clip.end[s] - EDGE + 1)
        chosen = rng.choice(frames, size=int(clip.faces[c, s]), replace=False)
        found += [(f, CHARACTERS[c].capitalize(), row) for f in chosen.tolist()]
    if len(found) > FEW_FACES and rng.random() < 0.2:
        strangers = rng.choice(int(clip.end[-1]), size=3, replace=False)
        found += [(f, _UNKNOWN, len(cells)) for f in strangers.tolist()]
    found.sort()
    return [f"{f}_{name}.jpg" for f, name, _ in found], [row for *_, row in found]


def _scenes(
    design: GridDesign, kind: str, dim: int, seed: int, world: World
) -> NDArray[np.float32]:
    """Return the scene features of each clip, float32 [clips, dim], which say nothing."""
    rng = design.rng(seed, "scene", kind)
    directions = np.linalg.qr(rng.standard_normal((dim, design.rank)))[0].T
    z = rng.standard_normal((len(world.clips), design.rank))
    size = design.scene * np.sqrt(dim / design.rank)
    return np.asarray(size * z @ directions, dtype=np.float32)


def _write_text(path: Path, content: str) -> None:
    with files.writing(path) as temporary:
        temporary.write_text(content, encoding="ascii")
