"""MEmoR's files but the visual ones: annotations, clips, ids, traits, rows. Checked, plain values.

Layout and traps as in the authors' public code (repository sunlightsgy/MEmoR).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.values import fail, number, read_json, read_text, shown
from harness.errors import DataFormatError
from harness.paths import storage_errors
from harness_corpora.checks import child

CHARACTERS = ("sheldon", "leonard", "howard", "rajesh", "penny", "bernadette", "amy", "others")
# Clip names become file names.
_CLIP_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}")
_NAMED = "a clip name of at most 200 letters, digits, _ and -"
# Text of a JSON file that is held at a time while rows are read one by one.
_CHUNK = 1 << 20
_MOST_DIGITS = 16


@dataclass(frozen=True)
class Clip:
    """One clip: R segments in order, in seconds, and the characters in it.

    Numbers in ``speakers`` that are no character match nobody.
    """

    name: str
    start: float
    seg_start: tuple[float, ...]
    seg_end: tuple[float, ...]
    seg_ori_ind: tuple[int, ...]
    speakers: tuple[int, ...]
    on_character: tuple[int, ...]


@dataclass(frozen=True)
class Annotation:
    """One annotation; ``position`` is its place in the file and its id in the id files."""

    position: int
    clip: str
    character: int
    moment: float
    label: int

    @property
    def scene(self) -> tuple[str, float]:
        """Return the moment it is about: clip and second."""
        return self.clip, self.moment


def read_annotations(path: Path, kind: str, labels: tuple[str, ...]) -> list[Annotation]:
    """Return the annotations of one kind (``primary`` or ``fine_grained``), in file order.

    Args:
        path: anno.json.
        kind: ``primary`` or ``fine_grained``.
        labels: the emotions in the order of the data set's labels.

    Raises:
        DataFormatError: not as documented; names the position.
    """
    items = child(path, read_json(path), kind)
    if not isinstance(items, list):
        raise fail(path, kind, "a list", shown(items))
    found = []
    for position, item in enumerate(items):
        where = f"{kind}[{position}]"
        clip, emotion = child(path, item, "clip", where), child(path, item, "emotion", where)
        where = f"{where} (clip {str(clip)[:40]!r})"
        if not isinstance(clip, str) or not _CLIP_NAME.fullmatch(clip):
            raise fail(path, where, _NAMED, repr(clip)[:40])
        if emotion not in labels:
            raise fail(path, f"{where}/emotion", f"one of {', '.join(labels)}", repr(emotion))
        character = child(path, item, "character", where)
        if not _is_character(character):
            raise fail(path, f"{where}/character", "0..7", repr(character))
        moment = _number(path, child(path, item, "moment", where), f"{where}/moment")
        found.append(Annotation(position, clip, character, moment, labels.index(emotion)))
    return found


def read_clips(path: Path) -> dict[str, Clip]:
    """Return the clips of data.json by name; further fields are ignored.

    Raises:
        DataFormatError: not as documented; names the clip.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise fail(path, "top level", "an object", shown(value))
    return {name: _clip(path, name, record) for name, record in value.items()}


def _clip(path: Path, name: str, record: Any) -> Clip:
    if not _CLIP_NAME.fullmatch(name):
        raise fail(path, repr(name)[:40], _NAMED, "another")

    def numbers(key: str) -> list[Any]:
        value = child(path, record, key, name)
        if not isinstance(value, list):
            raise fail(path, f"{name}/{key}", "a list", shown(value))
        return value

    def integers(key: str) -> tuple[int, ...]:
        for value in numbers(key):
            if not isinstance(value, int) or isinstance(value, bool):
                raise fail(path, f"{name}/{key}", "integers", repr(value))
        return tuple(numbers(key))

    def floats(key: str) -> tuple[float, ...]:
        return tuple(_number(path, v, f"{name}/{key}") for v in numbers(key))

    clip = Clip(
        name,
        _number(path, child(path, record, "start", name), f"{name}/start"),
        floats("seg_start"),
        floats("seg_end"),
        integers("seg_ori_ind"),
        integers("speakers"),
        integers("on_character"),
    )
    lengths = {len(clip.seg_start), len(clip.seg_end), len(clip.seg_ori_ind), len(clip.speakers)}
    if len(lengths) != 1 or lengths == {0}:
        raise fail(
            path,
            name,
            "seg_start, seg_end, seg_ori_ind and speakers of one length, at least 1",
            str(sorted(lengths)),
        )
    if not all(_is_character(c) for c in clip.on_character):
        raise fail(path, f"{name}/on_character", "characters 0..7", str(clip.on_character))
    return clip


def read_ids(path: Path, count: int) -> set[int]:
    """Return the positions an id file lists.

    Raises:
        DataFormatError: a line that is no position of the annotations.
    """
    found = set()
    for place, line in enumerate(read_text(path).split("\n"), start=1):
        text = line.strip()
        if not text:
            continue
        if not is_count(text) or int(text) >= count:
            raise fail(path, f"line {place}", f"a position 0..{count - 1}", repr(text[:40]))
        found.add(int(text))
    return found


def read_personality(path: Path, dim: int) -> NDArray[np.float32]:
    """Return the normalised traits, float32 [8, dim].

    Each column is divided by max(its Euclidean norm over the 8 characters, 1e-12).

    Raises:
        DataFormatError: not 8 lines of ``dim`` finite numbers.
    """
    lines = read_text(path).split("\n")
    rows = [
        [number(path, f"line {place}", v) for v in line.split(",")]
        for place, line in enumerate(lines, start=1)
        if line.strip()
    ]
    sizes = {len(row) for row in rows}
    if len(rows) != len(CHARACTERS) or sizes != {dim}:
        found = f"{len(rows)} lines of {', '.join(map(str, sorted(sizes))) or 'no'} numbers"
        raise fail(path, "table", f"{len(CHARACTERS)}×{dim} numbers", found)
    with np.errstate(over="ignore"):
        traits = np.array(rows, dtype=np.float32).astype(np.float64)
    if not np.isfinite(traits).all():
        raise fail(path, "table", "finite numbers", "NaN or infinity")
    norm = np.maximum(np.sqrt((traits**2).sum(axis=0)), 1e-12)
    return (traits / norm).astype(np.float32)


def read_rows(path: Path, dim: int, wanted: set[str]) -> dict[str, NDArray[np.float32]]:
    """Return the wanted rows float32 [dim] of an object of lists of numbers, by key.

    The file is read piece by piece: the whole would take about 200 KB of memory per segment.

    Args:
        path: a JSON file.
        dim: d, the length of every row.
        wanted: keys to return.

    Raises:
        DataFormatError: not such an object, another length, NaN or an infinity.
    """
    found: dict[str, NDArray[np.float32]] = {}
    for key, values in _entries(path):
        if key not in wanted:
            continue
        if len(values) != dim or not all(type(v) in (int, float) for v in values):
            raise fail(path, repr(key), f"{dim} numbers", f"{len(values)} values")
        try:
            with np.errstate(over="ignore"):
                row = np.array(values, dtype=np.float64).astype(np.float32)
        except OverflowError:  # a whole number that no float holds
            row = np.array([np.inf], dtype=np.float32)
        if not np.isfinite(row).all():
            raise fail(path, repr(key), "finite numbers", "an infinity or one too large")
        found[key] = row
    return found


def _entries(path: Path) -> Iterator[tuple[str, list[Any]]]:
    """Yield the entries of a JSON object whose values are flat lists."""
    decoder = json.JSONDecoder(parse_constant=_refuse)
    # What is no UTF-8 becomes a character that no number has.
    with storage_errors(path), path.open(encoding="utf-8", errors="replace") as stream:
        text = stream.read(_CHUNK).lstrip()
        if not text.startswith("{"):
            raise fail(path, "top level", "an object", repr(text[:20]))
        text, first = text[1:], True
        while True:
            # An entry ends with the list's bracket; keys hold none.
            while "]" not in text and (more := stream.read(_CHUNK)):
                text += more
            text = text.lstrip()
            if text.startswith("}"):
                return
            try:
                if not first:
                    text = _after(text, ",")
                key, end = decoder.raw_decode(text)
                text = _after(text[end:].lstrip(), ":")
                value, end = decoder.raw_decode(text)
            except (ValueError, RecursionError) as error:
                raise DataFormatError(f"{path} cannot be read as JSON: {error}.") from error
            if not isinstance(key, str) or not isinstance(value, list):
                raise fail(path, repr(key), "a list", shown(value))
            text, first = text[end:], False
            yield key, value


def _after(text: str, mark: str) -> str:
    if not text.startswith(mark):
        raise ValueError(f"expected {mark!r}, found {text[:20]!r}")
    return text[1:].lstrip()


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


def is_count(text: str) -> bool:
    """Return whether a text is a whole number of decimal digits, of a size that can be meant."""
    return text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS


def _is_character(value: Any) -> bool:
    return type(value) is int and 0 <= value < len(CHARACTERS)


def _number(path: Path, value: Any, key: str) -> float:
    try:
        number = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise fail(path, key, "a finite number", repr(value)[:40])
    return number
