"""MEmoR as data sets: the authors' split by id files, the clean split, and the clip diagnostic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.data.corpus import Corpus, GridArrays
from harness.errors import DataFormatError
from harness_corpora.memor.files import Annotation, Clip, read_annotations, read_clips, read_ids
from harness_corpora.memor.reader import Dims, Features, Sample, make_samples, read_features
from harness_corpora.memor.visual import FOLDER
from harness_corpora.specs import MEMOR_FINE_LABELS

ANNOTATIONS, CLIPS, TRAIN_IDS, TEST_IDS = "anno.json", "data.json", "train_id.txt", "test_id.txt"
VALIDATION_SHARE = 0.2
SPLIT_SEED = 2020


@dataclass(frozen=True)
class _Item:
    """One sample before its features: id, clip, labels and grid."""

    id: str
    sample: Sample
    labels: tuple[int, ...]
    moment: str


class Memor(Corpus):
    """The split of the id files; a fifth of the training samples is for validation.

    ``dims`` and ``folder`` (under the data root) are class attributes so that a test can read a
    tree of other sizes.
    """

    dims: ClassVar[Dims] = Dims()
    folder: ClassVar[str] = "memor"

    def source_files(self, root: Path) -> list[Path]:
        """Return the annotation and feature files, and every file of the visual features."""
        tree = root / self.folder / FOLDER
        return [*super().source_files(root), *sorted(p for p in tree.glob("*/*") if p.is_file())]

    def read(self, root: Path, *, repair: bool = False) -> Iterator[GridArrays]:
        """Yield train, valid and test; ``repair`` changes nothing, infinities are refused."""
        tree = root / self.folder
        fine = self.spec.labels == MEMOR_FINE_LABELS
        kind = "fine_grained" if fine else "primary"
        annotations = read_annotations(tree / ANNOTATIONS, kind, self.spec.labels)
        clips = read_clips(tree / CLIPS)
        for a in annotations:
            if a.clip not in clips:
                raise DataFormatError(
                    f"{tree / CLIPS}: has no clip {a.clip!r}, which {ANNOTATIONS} annotates "
                    f"({kind}[{a.position}])."
                )
        parts = self.parts(*read_parts(tree, annotations))
        items = {name: self.items(clips, part) for name, part in parts.items()}
        items["train"], items["valid"] = held_out(items["train"])
        everything = [i for name in self.spec.splits for i in items[name]]
        features = read_features(tree, [i.sample for i in everything], self.dims)
        shared = {a.scene for a in parts["train"]} & {a.scene for a in parts["test"]}
        for name in self.spec.splits:
            yield self._arrays(name, items[name], features, len(shared))

    def parts(self, train: list[Annotation], test: list[Annotation]) -> dict[str, list[Annotation]]:
        """Return the annotations for training (with validation) and for testing."""
        return {"train": train, "test": test}

    def items(self, clips: dict[str, Clip], annotations: Sequence[Annotation]) -> list[_Item]:
        """Return the samples of some annotations: one each."""
        samples = make_samples(clips, annotations)
        return [
            _Item(f"{a.clip}#{a.position}", s, (a.label,), f"{a.clip}@{a.moment!r}")
            for a, s in zip(annotations, samples, strict=True)
        ]

    def about_targets(self, items: Sequence[_Item]) -> dict[str, int]:
        """Return what `data stats` counts of moments and target cells."""
        return {
            "samples without a target cell": sum(not i.sample.target.any() for i in items),
            "distinct moments": len({i.moment for i in items}),
        }

    def write_twin(self, root: Path, seed: int, size: str) -> None:
        """Write the twin's tree in the authors' format."""
        from harness_corpora.twins.memor import write

        write(root, seed, size)

    def twin_version(self) -> int:
        """Return the generator's version."""
        from harness_corpora.twins import MEMOR_TWIN_VERSION

        return MEMOR_TWIN_VERSION

    def ceiling_scores(self, split: Any, keep: Any, seed: int) -> NDArray[np.float64]:
        """Return the exact posterior of the twin, float64 [N, L]."""
        from harness_corpora.twins.memor import scores

        return scores(self.spec.base_name, split, keep, seed)

    def planted_dependence(self) -> NDArray[np.float64] | None:
        """Return the twin's planted dependence, float64 [L, M]; None of real data."""
        from harness_corpora.twins.planted import dependence

        return dependence(self.spec)

    def _arrays(
        self, name: str, items: Sequence[_Item], features: Features, shared: int
    ) -> GridArrays:
        indices = [features.index(i.sample) for i in items]
        labels = np.zeros((len(items), len(self.spec.labels)), dtype=np.uint8)
        for row, item in enumerate(items):
            labels[row, list(item.labels)] = 1
        cells = np.array([i.sample.cell for i in items], dtype=np.int64).reshape(-1, 2)
        some = [bool(i.sample.target.any()) for i in items]
        sizes = {m.name: [x[m.name] for x in indices] for m in self.spec.modalities}
        facts = {
            **self.about_targets(items),
            "moments in both train and test": shared,
            "cells": sum(len(i.sample.target) for i in items),
            **{f"cells without {m}": sum(int((x < 0).sum()) for x in sizes[m]) for m in sizes},
            "spoken segments without audio (all splits)": features.silent,
        }
        return GridArrays(
            name,
            [i.id for i in items],
            [i.sample.clip.name for i in items],
            labels,
            {m.name: features.tables[m.name] for m in self.spec.modalities},
            sizes,
            [np.array(i.sample.persons, dtype=np.int64) for i in items],
            features.personality,
            cells[:, 0],
            cells[:, 1],
            np.array(some, dtype=np.bool_),
            extras={"moment": [i.moment for i in items]},
            facts=facts,
        )


class MemorClean(Memor):
    """The clean split: every sample of a moment that train and test share is in train."""

    def parts(self, train: list[Annotation], test: list[Annotation]) -> dict[str, list[Annotation]]:
        """Return the annotations with the shared moments' test samples moved to training."""
        seen = {a.scene for a in train}
        moved = [a for a in test if a.scene in seen]
        both = sorted([*train, *moved], key=lambda a: a.position)
        return {"train": both, "test": [a for a in test if a.scene not in seen]}


class MemorClips(Memor):
    """The diagnostic that merges a clip's annotations in one split: which emotions anybody shows.

    Who feels what is lost; a sample has no target (the target cell is the last one). A clip whose
    annotations are in several splits is a sample, with other labels, in each.
    """

    shared_ids: ClassVar[bool] = True

    def items(self, clips: dict[str, Clip], annotations: Sequence[Annotation]) -> list[_Item]:
        """Return one sample per clip, its persons those of all its annotations."""
        merged: dict[str, list[Annotation]] = {}
        for a in annotations:
            merged.setdefault(a.clip, []).append(a)
        found = []
        for name, own in merged.items():
            clip = clips[name]
            persons = tuple(sorted({*clip.on_character, *(a.character for a in own)}))
            nobody = np.zeros(len(persons) * len(clip.speakers), dtype=np.bool_)
            labels = tuple(sorted({a.label for a in own}))
            found.append(_Item(name, Sample(clip, persons, nobody), labels, name))
        return found

    def about_targets(self, items: Sequence[_Item]) -> dict[str, int]:
        """Return nothing: no moment is asked about."""
        return {}


def read_parts(
    tree: Path, annotations: Sequence[Annotation]
) -> tuple[list[Annotation], list[Annotation]]:
    """Return the annotations of the two id files, in file order (the released loader reads all).

    Raises:
        DataFormatError: a sample is in both, or one of the files selects nothing.
    """
    ids = [read_ids(tree / name, len(annotations)) for name in (TRAIN_IDS, TEST_IDS)]
    for name, own in zip((TRAIN_IDS, TEST_IDS), ids, strict=True):
        if not own:
            raise DataFormatError(f"{tree / name}: lists no sample; expected one id a line.")
    both = sorted(ids[0] & ids[1])
    if both:
        raise DataFormatError(
            f"{tree / TEST_IDS}: {len(both)} ids are in {TRAIN_IDS} as well (first {both[0]}); a "
            "sample must not be trained on and tested."
        )
    train, test = ([a for a in annotations if a.position in own] for own in ids)
    return train, test


def held_out(items: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Return training and validation samples: a fifth, drawn as the reference draws it."""
    order = np.arange(len(items))
    np.random.RandomState(SPLIT_SEED).shuffle(order)
    held = set(order[: int(VALIDATION_SHARE * len(items))].tolist())
    train = [item for i, item in enumerate(items) if i not in held]
    return train, [items[i] for i in sorted(held)]
