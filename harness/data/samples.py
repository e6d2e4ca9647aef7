"""`Samples`: what the files of a folder of arrays hold, before splits are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.partition import PARTS
from harness.data.values import fail, name
from harness.specs import LabelKind, ModalitySpec

EXTRA = "extra:"
"""What the names of further columns begin with, in archives and in tables."""


@dataclass(frozen=True)
class Samples:
    """N samples of a folder, in the order of its files.

    Attributes:
        ids: N names. groups: N names.
        splits: the split of each sample; None: none is given.
        labels: uint8 [N, L]. label_names: L names; none where no labels are needed or given.
        features: per modality, N arrays [T_i, d]; no row: it is missing.
        lengths: int64 [N], how many rows are real, of the modalities where that is recorded.
        extras: further columns, N values each.
        personality: float32 [N, d_p], or None. personality_known: bool [N], or None.
    """

    ids: list[str]
    groups: list[str]
    splits: list[str] | None
    labels: NDArray[np.uint8]
    label_names: tuple[str, ...]
    features: Mapping[str, Sequence[NDArray[Any]]]
    lengths: Mapping[str, NDArray[np.int64]]
    extras: Mapping[str, list[Any]] = field(default_factory=dict)
    personality: NDArray[np.float32] | None = None
    personality_known: NDArray[np.bool_] | None = None

    @property
    def label_kind(self) -> LabelKind:
        """Return ``singlelabel`` where every sample has exactly one label."""
        return "singlelabel" if (self.labels.sum(axis=1) == 1).all() else "multilabel"

    @property
    def split_names(self) -> tuple[str, ...]:
        """Return the names of the splits, in order."""
        return tuple(p for p in PARTS if self.splits is None or p in self.splits)

    def modalities(self) -> tuple[ModalitySpec, ...]:
        """Return what the arrays say of the modalities; keys are the shortest that differ."""
        found: list[ModalitySpec] = []
        for m, rows in self.features.items():
            keys = {other.key for other in found} | {"p"}
            key = next(
                k for k in (*(m[:n] for n in range(1, len(m) + 1)), f"{m}-") if k not in keys
            )
            longest = max(len(x) for x in rows)
            found.append(ModalitySpec(m, key, int(rows[0].shape[1]), max(longest, 1)))
        return tuple(found)


def names_of(file: Path, key: str, values: NDArray[Any]) -> list[str]:
    """Return the names that an array or a column holds, text or whole numbers."""
    if values.ndim != 1:
        raise fail(file, key, "one name a sample", f"shape {list(values.shape)}")
    return [name(file, f"{key}[{i}]", value) for i, value in enumerate(values.tolist())]


def labels_of(
    file: Path, values: NDArray[Any], given: NDArray[Any] | None
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Return labels uint8 [N, L] and their names, of 0/1 columns or of names of classes."""
    if values.ndim == 1:
        classes = names_of(file, "labels", values)
        known = names_of(file, "label_names", given) if given is not None else sorted(set(classes))
        stray = sorted(set(classes) - set(known))
        if stray:
            row = classes.index(stray[0])
            raise fail(file, f"labels[{row}]", f"one of {', '.join(known)}", ", ".join(stray))
        columns = np.array([known.index(c) for c in classes])
        return np.eye(len(known), dtype=np.uint8)[columns], tuple(known)
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise fail(file, "labels", "0 and 1, [N, L]", f"{values.dtype}, {list(values.shape)}")
    odd = np.argwhere(~np.isin(values, (0, 1)))
    if len(odd):
        row, column = odd[0].tolist()
        raise fail(file, f"labels[{row}, {column}]", "0 or 1", f"{values[row, column]}")
    if given is None:
        raise fail(file, "label_names", f"{values.shape[1]} names", "no such array")
    known = names_of(file, "label_names", given)
    if len(known) != values.shape[1] or len(set(known)) != len(known):
        raise fail(file, "label_names", f"{values.shape[1]} different names", ", ".join(known))
    return values.astype(np.uint8), tuple(known)
