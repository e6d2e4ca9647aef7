"""A plugin file: data sets whose test samples have the golden ids and ranks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.corpus import Corpus, SplitArrays
from harness.hookspecs import hookimpl
from harness.specs import DatasetSpec, ModalitySpec

GOLDEN = Path(os.environ["GOLDEN_MASKS"])
KEYS = ("v", "a", "t")
LABELS = ("happy", "sad")


def groups() -> dict[str, dict[str, dict[str, int]]]:
    """Return, by counts of training samples such as ``40-31-37``, id -> modality -> rank."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for case in json.loads(GOLDEN.read_text(encoding="utf-8"))["mnar"]:
        if case["direction"] == "high" and case["split"] == "test":
            ranks: dict[str, Any] = case["ranks"]
            name = "-".join(str(ranks[k][1]) for k in KEYS)
            found.setdefault(name, {})[case["sample_id"]] = {k: ranks[k][0] for k in KEYS}
    return found


def rows(rank: int) -> np.ndarray:
    """Return one position whose energy has a rank: even ones lie between two training samples."""
    return np.array([[(20000 + 250 * rank) / 1024]], dtype=np.float32)


class GoldenCorpus(Corpus):
    """Training sample number j of a modality has rank 2 j + 1; no files are needed."""

    reader_version = 1

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        name = self.spec.name.removeprefix("golden-")
        counts, wanted = [int(n) for n in name.split("-")], groups()[name]
        train = max(counts)
        none = np.zeros((0, 1), dtype=np.float32)
        yield self._split(
            "train",
            [f"train{i}" for i in range(train)],
            [[rows(2 * i + 1) if i < n else none for i in range(train)] for n in counts],
        )
        middle = [[rows(n)] * 4 for n in counts]
        yield self._split("valid", [f"valid{i}" for i in range(4)], middle)
        own = [[rows(ranks[k]) for ranks in wanted.values()] for k in KEYS]
        yield self._split("test", list(wanted), own)

    def _split(self, name: str, ids: list[str], columns: list[list[np.ndarray]]) -> SplitArrays:
        labels = np.array([[i % 2, i % 3 == 0] for i in range(len(ids))], dtype=np.uint8)
        pairs = zip(self.spec.modality_names, columns, strict=True)
        return SplitArrays(
            name=name, ids=ids, groups=list(ids), labels=labels, features=dict(pairs)
        )


@hookimpl
def harness_datasets() -> list[DatasetSpec]:
    modalities = tuple(
        ModalitySpec(n, k, 1, 1) for n, k in zip(("visual", "audio", "text"), KEYS, strict=True)
    )
    return [
        DatasetSpec(f"golden-{name}", "golden_corpus:GoldenCorpus", modalities, LABELS)
        for name in groups()
    ]
