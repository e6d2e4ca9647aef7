"""The readers of data sets that are made of others (`harness.specs.DerivedSpec`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.corpus import Corpus, SplitArrays
from harness.data.folds import folds_of
from harness.data.locate import corpus_of
from harness.errors import UsageError
from harness.specs import DatasetSpec, DerivedSpec

TEST = "test"


class DerivedCorpus(Corpus):
    """What readers of derived data have in common: the files of the data sets they are made of."""

    def __init__(self, spec: DatasetSpec) -> None:
        super().__init__(spec)
        assert isinstance(spec, DerivedSpec)
        self.derived = spec
        self.bases: list[Corpus] = [corpus_of(base) for base in spec.bases]
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


class CrossCorpus(DerivedCorpus):
    """Training and validation of one data set, the test split of another; labels by their map.

    A sample that is in both is refused; groups of the one that the other has are a warning, as
    everywhere.
    """

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


class FoldCorpus(DerivedCorpus):
    """All samples of a data set, divided into training, validation and test by whole groups."""

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield the splits of one fold; memory holds the data set.

        Raises:
            UsageError: no fold is named, there is no such fold, or there are too few groups.
        """
        spec, (base,) = self.derived, self.bases
        parts = [s for s in base.read(root, repair=repair) if isinstance(s, SplitArrays)]
        folds = folds_of(spec.id, (g for part in parts for g in part.groups), spec.folds)
        if not 1 <= spec.fold <= len(folds):
            raise UsageError(
                f"{spec.whole_name} has the folds 1 to {len(folds)}: name one, as in "
                f"{spec.whole_name}.1."
            )
        side = {g: folds[spec.fold - 1].split_of(g) for part in parts for g in part.groups}
        for name in spec.splits:
            rows = [[i for i, g in enumerate(p.groups) if side[g] == name] for p in parts]
            yield _together(name, parts, rows)


def _together(name: str, parts: list[SplitArrays], rows: list[list[int]]) -> SplitArrays:
    """Return the samples of some rows of several splits as one split.

    What only some of the splits have (recorded lengths, further columns) is left out.
    """
    pairs = list(zip(parts, rows, strict=True))
    first = parts[0]
    recorded = [m for m in first.lengths if all(m in p.lengths for p in parts)]
    further = [x for x in first.extras if all(x in p.extras for p in parts)]
    traits = [p.personality[own] for p, own in pairs if p.personality is not None]
    known = [
        np.ones(len(own), dtype=np.bool_)
        if p.personality_known is None
        else p.personality_known[own]
        for p, own in pairs
    ]
    return SplitArrays(
        name,
        [p.ids[i] for p, own in pairs for i in own],
        [p.groups[i] for p, own in pairs for i in own],
        np.concatenate([p.labels[own] for p, own in pairs]),
        {m: [p.features[m][i] for p, own in pairs for i in own] for m in first.features},
        {m: np.concatenate([p.lengths[m][own] for p, own in pairs]) for m in recorded},
        extras={x: [p.extras[x][i] for p, own in pairs for i in own] for x in further},
        personality=np.concatenate(traits) if traits else None,
        personality_known=np.concatenate(known) if traits else None,
    )
