"""A plugin file: two made data sets whose labels have other names for the same, and odd ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from harness.data.corpus import Corpus, SplitArrays
from harness.hookspecs import hookimpl
from harness.specs import DatasetSpec, LabelMap, ModalitySpec

MODALITIES = (ModalitySpec("text", "t", 3, 4), ModalitySpec("audio", "a", 2, 4))
LONGER = (ModalitySpec("audio", "a", 2, 7), ModalitySpec("text", "t", 3, 2))
SIZES = {"train": 40, "valid": 20, "test": 30}


class Made(Corpus):
    """Each label is the sign of one feature; ids begin with the name of the data set."""

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        longest = {m.name: m.max_length for m in self.spec.modalities}
        for number, name in enumerate(self.spec.splits):
            rng, n = np.random.default_rng([len(self.spec.name), number]), SIZES[name]
            features = {
                m: rng.standard_normal((n, longest[m], d)).astype(np.float32)
                for m, d in (("text", 3), ("audio", 2))
            }
            signs = features["text"].mean(axis=1) > 0
            labels = signs if self.spec.name == "here" else signs[:, [1, 0, 2]]
            known = self.spec.name
            if known == "again":  # its training split is what is tested on elsewhere
                known, number = "here", 2 - number
            yield SplitArrays(
                name,
                [f"{known}-{number}-{i}" for i in range(n)],
                [f"{known}-{number}-p{i // 3}" for i in range(n)],
                labels.astype(np.uint8),
                {m: list(x) for m, x in features.items()},
            )


def spec(name: str, labels: tuple[str, ...], **options: object) -> DatasetSpec:
    given = {"modalities": MODALITIES, **options}
    return DatasetSpec(name, "cross_plugin:Made", labels=labels, **given)  # type: ignore[arg-type]


@hookimpl
def harness_datasets() -> list[DatasetSpec]:
    ours = ("joy", "sad", "fear")
    wide = (ModalitySpec("text", "t", 9, 4), ModalitySpec("audio", "a", 2, 4))
    return [
        spec("here", ours, licence="open", group_key="speaker"),
        spec(
            "there", ("sadness", "happiness", "other"), modalities=LONGER, redistribute=False,
            group_key="video", version=3,
        ),
        spec("again", ours),
        spec("wide", ours, modalities=wide),
        spec("strange", ("x", "y", "z")),
        spec("grids", ours, layout="grid"),
        spec("open-end", ours, splits=("train",)),
        spec("single", ("joy", "sad", "awe"), label_kind="singlelabel"),
        spec("other-single", ours, label_kind="singlelabel"),
    ]  # fmt: skip


@hookimpl
def harness_label_maps() -> list[LabelMap]:
    return [
        LabelMap("here", "there", {"joy": "happiness", "sad": "sadness"}, "two names of one word"),
        LabelMap("here", "again", {"joy": "awe"}, "a mistake"),
    ]
