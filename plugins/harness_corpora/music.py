"""Mulan's `emotions`: 593 songs, three views of one audio signal, six emotions; ARFF files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.data.corpus import Corpus, SplitArrays
from harness.data.partition import partition
from harness.data.values import fail, number, shown
from harness.paths import storage_errors
from harness_corpora.checks import clean
from harness_corpora.scaling import Standardiser
from harness_corpora.specs import MUSIC_LABELS

_ATTRIBUTE = re.compile(r"""(?P<name>'[^']+'|"[^"]+"|[^\s'"]\S*)\s+(?P<type>\S.*)""")
_NOT_FINITE = ("nan", "inf", "-inf", "+inf")


class MusicEmotions(Corpus):
    """The published split: 391 songs to train on, 202 to test on, none for validation."""

    published_counts: ClassVar[Mapping[str, int]] = MappingProxyType({"train": 391, "test": 202})

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield train and test."""
        scales: dict[str, Standardiser] = {}
        for split, path in zip(("train", "test"), self.paths(root), strict=True):
            names, values = read_arff(path)
            if names[-len(MUSIC_LABELS) :] != list(MUSIC_LABELS):
                found = ", ".join(names[-len(MUSIC_LABELS) :])
                raise fail(path, "last attributes", ", ".join(MUSIC_LABELS), found)
            labels = values[:, -len(MUSIC_LABELS) :]
            if not np.isin(labels, (0.0, 1.0)).all():
                raise fail(path, "labels", "0 or 1", str(np.unique(labels)[:5].tolist()))
            counts: dict[str, int] = {}
            features: dict[str, list[NDArray[np.float32]]] = {}
            for m in self.spec.modalities:
                columns = [i for i, name in enumerate(names) if view_of(name) == m.name]
                if len(columns) != m.dim:
                    raise fail(path, m.name, f"{m.dim} attributes", str(len(columns)))
                raw = values[:, columns].astype(np.float32)
                kept = clean(path, raw, f"{split} {m.name}", counts, repair=repair)
                scale = scales.setdefault(m.name, Standardiser.of(kept))
                features[m.name] = list(scale(kept)[:, None, :])
            ids = [f"{split}[{i}]" for i in range(len(values))]
            yield SplitArrays(split, ids, ids, labels.astype(np.uint8), features, cleaned=counts)


class MusicEmotionsValidated(MusicEmotions):
    """The published split with a fifth of its training songs held out for validation."""

    published_counts: ClassVar[Mapping[str, int]] = MappingProxyType(
        {"train": 313, "valid": 78, "test": 202}
    )

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield train, valid and test, standardised on what is left of train."""
        train, test = super().read(root, repair=repair)
        part = partition(self.spec.id, list(train.ids), (0.2, 0.8))
        held = np.array([part[name] == 0 for name in train.ids])
        scales = {
            m: Standardiser.of(np.concatenate(rows)[~held]) for m, rows in train.features.items()
        }
        named = (("train", train, ~held), ("valid", train, held), ("test", test, None))
        for name, split, kept in named:
            every = np.arange(len(split.ids)) if kept is None else np.flatnonzero(kept)
            rows: list[int] = every.tolist()
            yield replace(
                split,
                name=name,
                ids=[split.ids[i] for i in rows],
                groups=[split.groups[i] for i in rows],
                labels=split.labels[rows],
                features={m: [scales[m](x[i]) for i in rows] for m, x in split.features.items()},
                cleaned=split.cleaned if name != "valid" else {},
            )


def view_of(attribute: str) -> str | None:
    """Return the view an attribute belongs to, by its name; None: a label."""
    if attribute.startswith("BH"):
        return "rhythm"
    if "_Mean_Mem40" in attribute:
        return "mean-timbre"
    return "std-timbre" if "_Std_Mem40" in attribute else None


def read_arff(path: Path) -> tuple[list[str], NDArray[np.float64]]:
    """Return attribute names and values [N, columns] of a dense, numeric ARFF file.

    Raises:
        DataFormatError: a header without data, a row of another length, a value that is no number.
    """
    names: list[str] = []
    rows: list[Sequence[float]] = []
    in_data = False
    with storage_errors(path):
        text = path.read_text(encoding="utf-8", errors="replace")
    for place, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if not line or line.startswith("%"):
            continue
        if in_data:
            rows.append(_row(path, place, line, len(names)))
        elif line.lower().startswith("@attribute"):
            names.append(_attribute(path, place, line))
        elif line.lower().startswith("@data"):
            in_data = True
    if not rows:
        raise fail(path, "@data", "at least one row", "none")
    return names, np.array(rows, dtype=np.float64)


def _attribute(path: Path, place: int, line: str) -> str:
    match = _ATTRIBUTE.fullmatch(line[len("@attribute") :].strip())
    if match is None:
        raise fail(path, f"line {place}", "a name and a type", shown(line))
    return str(match["name"].strip("'\""))


def _row(path: Path, place: int, line: str, columns: int) -> list[float]:
    fields = line.split(",")
    if len(fields) != columns:
        raise fail(path, f"line {place}", f"{columns} values", str(len(fields)))
    return [_value(path, f"line {place}", field.strip()) for field in fields]


def _value(path: Path, where: str, field: str) -> float:
    # What is not finite is a matter of cleaning, as in the other corpora.
    return float(field) if field.lower() in _NOT_FINITE else number(path, where, field)
