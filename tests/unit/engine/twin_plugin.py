"""A plugin file with a data set that has a twin of a few samples, which its seed shows in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.corpus import Corpus, SplitArrays
from harness.hookspecs import hookimpl
from harness.specs import DatasetSpec, ModalitySpec, SourceFile

FILE = "seeded/seed.txt"
COUNT = 40


class Seeded(Corpus):
    """Labels are signs of the features, which are drawn from the number in the file."""

    def twin_version(self) -> int:
        return 3

    def write_twin(self, root: Path, seed: int, size: str) -> None:
        path = root / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(seed), "utf-8")

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        seed = int((root / FILE).read_text("utf-8"))
        for number, name in enumerate(self.spec.splits):
            drawn = np.random.default_rng([seed, number]).standard_normal((COUNT, 2, 3))
            yield SplitArrays(
                name, [f"{name}{i}" for i in range(COUNT)], [f"g{i // 4}" for i in range(COUNT)],
                (drawn.sum(1) > 0).astype(np.uint8),
                {"text": list(drawn[:, :1].astype(np.float32)),
                 "audio": list(drawn[:, 1:].astype(np.float32))},
            )  # fmt: skip

    def ceiling_scores(self, split: Any, keep: Any, seed: int) -> np.ndarray:
        return np.where(split.labels > 0, 1.0 - 0.01 * seed, 0.01 * seed)


@hookimpl
def harness_datasets() -> list[DatasetSpec]:
    modalities = (ModalitySpec("text", "t", 3, 1), ModalitySpec("audio", "a", 3, 1))
    files = (SourceFile(FILE, "the seed"),)
    labels = ("x", "y", "z")
    return [
        DatasetSpec("seeded", "twin_plugin:Seeded", modalities, labels, files=files, has_twin=True)
    ]
