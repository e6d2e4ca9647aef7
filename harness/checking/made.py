"""Small made data sets that models are checked on: every layout and kind of labels, learnable.

Labels follow from a mean shift of every modality, so that a model that reads any of them learns
something in a few steps. Lengths differ, and every sixth sample lacks a modality.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.corpus import Corpus, GridArrays, SplitArrays
from harness.specs import DatasetSpec, LabelKind, Layout, MaskOption, ModalitySpec, ModelSpec

SIZES = {"train": 48, "valid": 24, "test": 24}
LABELS = ("joy", "anger", "fear", "calm")
NAMES = ("text", "visual", "audio")
LENGTH, TRAITS, PEOPLE, SHIFT = 6, 4, 6, 1.5


@dataclass(frozen=True)
class _Layout:
    corpus: str
    mask: MaskOption
    group_key: str
    aligned: bool
    personality_dim: int


MADE: dict[Layout, _Layout] = {
    "sequence": _Layout("MadeSequences", "length", "sample", aligned=False, personality_dim=0),
    "grid": _Layout("MadeGrids", "nonzero", "clip", aligned=True, personality_dim=TRAITS),
}


def made_specs(model: ModelSpec) -> list[DatasetSpec]:
    """Return the made data sets of the layouts and kinds of labels that a model's card claims."""
    return [
        _spec(model, layout, kind) for layout in model.layouts for kind in model.label_kinds
    ]  # fmt: skip


def _spec(model: ModelSpec, layout: Layout, kind: LabelKind) -> DatasetSpec:
    names = list(dict.fromkeys((*model.modalities, *NAMES)))
    names = names[: max(len(model.modalities), min(len(NAMES), model.max_modalities or 99))]
    while len(names) < model.min_modalities:
        names.append(f"other{len(names)}")
    keys, made = _keys(names), MADE[layout]
    return DatasetSpec(
        name=f"made-{layout}-{kind}",
        corpus=f"{__name__}:{made.corpus}",
        modalities=tuple(
            ModalitySpec(name, key, 5 + k, LENGTH)
            for k, (name, key) in enumerate(zip(names, keys, strict=True))
        ),
        labels=LABELS,
        label_kind=kind,
        layout=layout,
        aligned=made.aligned,
        personality_dim=made.personality_dim,
        group_key=made.group_key,
        mask_options=(made.mask,),
        default_mask=made.mask,
        preset="tuned",
        summary="made data of a check",
    )


def _keys(names: Sequence[str]) -> list[str]:
    return [n[0] if [m[0] for m in names].count(n[0]) == 1 and n[0] != "p" else n for n in names]


def _labels(rng: np.random.Generator, n: int, kind: LabelKind) -> NDArray[np.uint8]:
    if kind == "singlelabel":
        return np.eye(len(LABELS), dtype=np.uint8)[np.arange(n) % len(LABELS)]
    labels = rng.integers(0, 2, (n, len(LABELS))).astype(np.uint8)
    labels[:, -1] &= labels[:, 0]  # labels that depend on each other
    return labels


def _codes(rng: np.random.Generator, spec: DatasetSpec) -> dict[str, NDArray[np.float64]]:
    return {m.name: SHIFT * rng.normal(size=(len(LABELS), m.dim)) for m in spec.modalities}


class _Made(Corpus):
    def source_files(self, root: Path) -> list[Path]:
        """Return this module, which all of it follows from."""
        return [Path(__file__)]


class MadeSequences(_Made):
    """One sequence a modality."""

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield the splits."""
        rng = np.random.default_rng(0)
        codes = _codes(rng, self.spec)
        for split, n in SIZES.items():
            labels = _labels(rng, n, self.spec.label_kind)
            features: dict[str, list[NDArray[np.float32]]] = {}
            for k, (m, code) in enumerate(codes.items()):
                lengths = rng.integers(1, LENGTH + 1, n)
                lengths[0] = LENGTH
                if len(codes) > 1:
                    lengths[np.arange(n) % 6 == k + 1] = 0
                features[m] = [
                    (row @ code + rng.normal(size=(t, code.shape[1]))).astype(np.float32)
                    for row, t in zip(labels, lengths, strict=True)
                ]
            known = {m: np.array([len(x) for x in rows]) for m, rows in features.items()}
            ids = [f"{split}{i}" for i in range(n)]
            groups = [f"{split}{i // 2}" for i in range(n)]
            yield SplitArrays(split, ids, groups, labels, features, known)


class MadeGrids(_Made):
    """Persons x segments with a target cell; rows of the target person carry the labels."""

    def read(self, root: Path, *, repair: bool = False) -> Iterator[GridArrays]:
        """Yield the splits."""
        rng = np.random.default_rng(0)
        codes = _codes(rng, self.spec)
        labels = {split: _labels(rng, n, self.spec.label_kind) for split, n in SIZES.items()}
        shapes = {s: rng.integers(1, (4, LENGTH), (n, 2)) for s, n in SIZES.items()}
        traits = rng.normal(size=(PEOPLE, TRAITS)).astype(np.float32)
        rows: dict[str, list[NDArray[np.float64]]] = {m: [] for m in codes}
        index: dict[str, dict[str, list[NDArray[np.int64]]]] = {s: {} for s in SIZES}
        for split in SIZES:
            for k, (m, code) in enumerate(codes.items()):
                found = []
                for i, (row, shape) in enumerate(zip(labels[split], shapes[split], strict=True)):
                    there = rng.random(shape) < 0.8
                    there[0, 0] = i % 6 != k + 1
                    cells = np.full(shape, -1, dtype=np.int64)
                    start = len(rows[m])
                    cells[there] = np.arange(start, start + there.sum())
                    rows[m] += list(row @ code + rng.normal(size=(int(there.sum()), len(code[0]))))
                    found.append(cells)
                index[split][m] = found
        tables = {m: np.stack(x).astype(np.float32) for m, x in rows.items()}
        for split, n in SIZES.items():
            people = [np.sort(rng.choice(PEOPLE, p, replace=False)) for p, _ in shapes[split]]
            zero = np.zeros(n, dtype=np.int64)
            yield GridArrays(
                split,
                [f"{split}{i}" for i in range(n)],
                [f"{split}{i // 2}" for i in range(n)],
                labels[split],
                tables,
                index[split],
                people,
                traits,
                zero,
                zero,
                np.ones(n, dtype=bool),
            )
