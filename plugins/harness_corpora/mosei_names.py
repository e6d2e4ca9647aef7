"""Names and videos of MOSEI's clips, for the aligned file, which has none of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.safe import load_pickle
from harness.data.values import fail, name, shown
from harness_corpora.checks import child, section

# Clips whose words are compared, and the share of them that has to agree.
COMPARED, AGREE = 200, 0.95


def names_of(path: Path, names: Any, split: str, n: int) -> tuple[list[str], list[str]]:
    """Return sample ids ``video[k]`` (k counts within the video) and the videos.

    Without an ``id`` array a sample is named ``split[row]`` and is its own group.

    Args:
        path: the file, for messages.
        names: its rows of (video, start, end), or None.
        split: ``train``, ``valid`` or ``test``.
        n: samples of the split.

    Raises:
        DataFormatError: not n rows, or a row without a video.
    """
    if names is None:
        plain = [f"{split}[{i}]" for i in range(n)]
        return plain, plain
    if not isinstance(names, list | tuple | np.ndarray) or len(names) != n:
        raise fail(path, f"{split}/id", f"{n} rows", shown(names))
    videos = [_video(path, f"{split}/id[{i}]", row) for i, row in enumerate(names)]
    seen: dict[str, int] = {}
    ids = []
    for video in videos:
        ids.append(f"{video}[{seen.setdefault(video, 0)}]")
        seen[video] += 1
    return ids, videos


def _video(path: Path, where: str, row: Any) -> str:
    """Return the video of an id, which may be the first of several fields."""
    fields = row if isinstance(row, list | tuple) else np.asarray(row, dtype=object).ravel()
    return name(path, where, fields[0] if len(fields) else [], "a video name")


class Lender:
    """The unaligned file, where it lies beside the aligned one: it lends its ids by row.

    Args:
        path: where it would be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._data = load_pickle(path, mapped=True) if path.is_file() else None

    def names(self, split: str, text: NDArray[Any]) -> Any:
        """Return the ids of a split; None: no file, no ids, or they belong to other clips.

        Neither file has the other's labels, so that words are compared: the word vectors of evenly
        spaced clips have to be the same in both files, order and padding aside.

        Args:
            split: ``train``, ``valid`` or ``test``.
            text: word vectors of the aligned file, [N, T, 300].
        """
        if self._data is None:
            return None
        source = section(self.path, self._data, split)
        names, other = source.get("id"), child(self.path, source, "text", split)
        if names is None or not isinstance(other, np.ndarray) or len(other) != len(text):
            return None
        rows = np.unique(np.linspace(0, len(text) - 1, COMPARED).astype(int))
        alike = [_same_words(text[i], other[i]) for i in rows.tolist()]
        return names if np.mean(alike) >= AGREE else None


def _same_words(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Return whether two clips [T, d] share at least half of the shorter one's word vectors."""
    left, right = _words(a), _words(b)
    fewest = min(len(left), len(right))
    return len(left & right) * 2 >= fewest


def _words(clip: NDArray[Any]) -> set[Sequence[float]]:
    filled = np.asarray(clip, dtype=np.float32)
    filled = filled[filled.any(axis=1)]
    return {tuple(row) for row in np.round(filled, 3).tolist()}
