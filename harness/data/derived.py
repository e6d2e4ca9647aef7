"""The readers of data sets that are made of others (`harness.specs.DerivedSpec`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.data.corpus import Corpus, SplitArrays
from harness.plugins import resolve
from harness.specs import DatasetSpec, DerivedSpec

TEST = "test"


class CrossCorpus(Corpus):
    """Training and validation of one data set, the test split of another; labels by their map.

    A sample that is in both is refused; groups of the one that the other has are a warning, as
    everywhere.
    """

    def __init__(self, spec: DatasetSpec) -> None:
        super().__init__(spec)
        assert isinstance(spec, DerivedSpec)
        self.derived = spec
        self.bases: list[Corpus] = [resolve(base.corpus)(base) for base in spec.bases]
        # Either reader that is raised raises it.
        self.reader_version = sum(b.reader_version for b in self.bases)  # type: ignore[misc]

    def paths(self, root: Path) -> list[Path]:
        """Return where the files of both lie."""
        return list(dict.fromkeys(p for base in self.bases for p in base.paths(root)))

    def missing(self, root: Path) -> list[Path]:
        """Return the files of either that are not there."""
        return list(dict.fromkeys(p for base in self.bases for p in base.missing(root)))

    def source_files(self, root: Path) -> list[Path]:
        """Return the files that both read."""
        return list(dict.fromkeys(p for base in self.bases for p in base.source_files(root)))

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield the splits of the one, then the test split of the other."""
        for number, base in enumerate(self.bases):
            for split in base.read(root, repair=repair):
                if isinstance(split, SplitArrays) and (split.name == TEST) == bool(number):
                    yield self._mapped(split, number)

    def _mapped(self, split: SplitArrays, number: int) -> SplitArrays:
        """Return a split with the labels that have a counterpart, and no further columns."""
        own = self.derived.bases[number]
        columns = [own.labels.index(name) for name in self.derived.base_labels[number]]
        party = self.spec.party_column
        extras: dict[str, Any] = {}
        if party:
            extras[party] = split.extras[own.party_column]
        return replace(split, labels=split.labels[:, columns], extras=extras)
