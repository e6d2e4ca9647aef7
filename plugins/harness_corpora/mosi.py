"""CMU-MOSI: real tri-modal utterance vectors that ship with the package (see data/README.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from harness.data.corpus import Corpus, SplitArrays
from harness.data.partition import partition
from harness_corpora.scaling import Standardiser

DATA = Path(__file__).parent / "data" / "mosi_utterance.npz"
PASSAGE = 4
_ARRAYS = MappingProxyType({"text": "text", "visual": "video", "audio": "audio"})


@dataclass(frozen=True)
class Utterances:
    """Utterances of one split in video order: ids, videos, index in video, labels, features."""

    ids: list[str]
    videos: list[str]
    labels: NDArray[np.uint8]
    features: dict[str, NDArray[np.float32]]

    def take(self, rows: NDArray[np.int64]) -> Utterances:
        """Return the utterances at these rows."""
        return Utterances(
            [self.ids[i] for i in rows],
            [self.videos[i] for i in rows],
            self.labels[rows],
            {m: x[rows] for m, x in self.features.items()},
        )


def derived_labels(sentiment: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return pos, neg, strong, mild of sentiments in [-3, 3], uint8 [N, 4]."""
    size = np.abs(sentiment)
    return np.stack([sentiment > 0, sentiment < 0, size >= 2, size < 0.5], axis=1).astype(np.uint8)


def is_validation(video: str) -> bool:
    """Return whether version 1 holds a training video out for validation (about one in five)."""
    return hashlib.sha256(video.encode()).digest()[0] % 5 == 0


def load_splits(version: int) -> dict[str, Utterances]:
    """Return train, valid and test, standardised on train, videos together and in order.

    Validation is taken from training videos in version 1, from a third of the test videos since.
    """
    with np.load(DATA, allow_pickle=False) as archive:
        loaded = {part: _part(archive, part) for part in ("train", "test")}
    source = "train" if version == 1 else "test"
    whole = loaded[source]
    if version == 1:
        held = np.array([is_validation(video) for video in whole.videos])
    else:
        part = partition("mosi@2", whole.videos, (1 / 3, 2 / 3))
        held = np.array([part[video] == 0 for video in whole.videos])
    loaded[source] = whole.take(np.flatnonzero(~held))
    splits = {
        "train": loaded["train"],
        "valid": whole.take(np.flatnonzero(held)),
        "test": loaded["test"],
    }
    for name in _ARRAYS:
        scale = Standardiser.of(splits["train"].features[name])
        for split in splits.values():
            split.features[name] = scale(split.features[name])
    return splits


def _part(archive: Mapping[str, NDArray[np.generic]], part: str) -> Utterances:
    ids = [str(i) for i in archive[f"{part}_id"]]
    places = [i.rsplit("_", 1) for i in ids]
    order = sorted(range(len(ids)), key=lambda i: (places[i][0], int(places[i][1])))
    whole = Utterances(
        ids,
        [video for video, _ in places],
        derived_labels(np.asarray(archive[f"{part}_sentiment"], dtype=np.float32)),
        {m: np.asarray(archive[f"{part}_{a}"], dtype=np.float32) for m, a in _ARRAYS.items()},
    )
    return whole.take(np.array(order))


class _Mosi(Corpus):
    def source_files(self, root: Path) -> list[Path]:
        """Return the file inside the package; nothing under ``root`` is needed."""
        return [DATA]


class MosiUtterances(_Mosi):
    """One sample per utterance: one position per modality."""

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield train, valid and test."""
        for name, split in load_splits(self.spec.version).items():
            features = {m: list(x[:, None, :]) for m, x in split.features.items()}
            yield SplitArrays(name, split.ids, split.videos, split.labels, features)


class MosiVideo(_Mosi):
    """One sample per passage of four consecutive utterances; labels are their union."""

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield train, valid and test."""
        for name, split in load_splits(self.spec.version).items():
            videos = np.array(split.videos)
            spans: list[tuple[str, int, NDArray[np.int64]]] = []
            for video in sorted(set(split.videos)):
                rows = np.flatnonzero(videos == video)
                parts = [rows[i : i + PASSAGE] for i in range(0, len(rows), PASSAGE)]
                spans += [(video, i, part) for i, part in enumerate(parts)]
            lengths = np.array([len(rows) for *_, rows in spans], dtype=np.int64)
            yield SplitArrays(
                name,
                [f"{video}[{i}]" for video, i, _ in spans],
                [video for video, *_ in spans],
                np.stack([split.labels[rows].max(axis=0) for *_, rows in spans]),
                {m: [x[rows] for *_, rows in spans] for m, x in split.features.items()},
                lengths=dict.fromkeys(split.features, lengths),
            )
