"""`SplitWriter`: checks the arrays a corpus hands over and writes them as splits of a store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import numpy as np

from harness.data.corpus import GridArrays, SplitArrays
from harness.errors import DataFormatError
from harness.specs import DatasetSpec

Read = TypeVar("Read", SplitArrays, GridArrays)


class SplitWriter(ABC, Generic[Read]):
    """Writes the splits of one data set, one ``<split>.arrow`` each.

    Args:
        folder: where to write.
        spec: the data set.
        source: names of the authors' files, which error messages begin with; may be empty.
    """

    arrays: ClassVar[type]

    def __init__(self, folder: Path, spec: DatasetSpec, source: str = "") -> None:
        self.folder, self.spec = folder, spec
        self._source = f"{source}: " if source else ""

    def write(self, split: Read) -> str:
        """Check and write a split; return its content hash.

        Raises:
            DataFormatError: it is not what `SplitArrays` or `GridArrays` describes.
        """
        where = f"{self._source}{self.spec.name}, split {split.name!r}"
        self._check(split, where)
        return self._write(split, where)

    def path(self, split: Read) -> Path:
        """Return the file of a split."""
        return self.folder / f"{split.name}.arrow"

    @abstractmethod
    def deviations(self, split: Read) -> dict[str, list[float]]:
        """Return the population deviation per feature over a split's valid positions."""

    @abstractmethod
    def _write(self, split: Read, where: str) -> str:
        """Check what is particular to the layout, write, and return the content hash."""

    def _check(self, split: Read, where: str) -> None:
        if not isinstance(split, self.arrays):
            raise DataFormatError(
                f"{where}: data of the layout {self.spec.layout!r} must be read as "
                f"{self.arrays.__name__}, not {type(split).__name__}."
            )
        n, labels = len(split.ids), len(self.spec.labels)
        if n == 0:
            raise DataFormatError(f"{where}: is empty; every split needs at least one sample.")
        if len(set(split.ids)) != n:
            raise DataFormatError(f"{where}: sample ids repeat; each must be unique.")
        if len(split.groups) != n or split.labels.shape != (n, labels):
            raise DataFormatError(
                f"{where}: {n} ids, {len(split.groups)} groups and labels of shape "
                f"{split.labels.shape}; expected {n} groups and labels ({n}, {labels})."
            )
        if not np.isin(split.labels, (0, 1)).all():
            raise DataFormatError(f"{where}: labels must be 0 or 1.")
        if self.spec.label_kind == "singlelabel":
            counts = split.labels.sum(axis=1)
            if (counts != 1).any():
                i = int(np.flatnonzero(counts != 1)[0])
                raise DataFormatError(
                    f"{where}, sample {split.ids[i]!r}: single-label data with {int(counts[i])} "
                    "labels; expected exactly one."
                )
