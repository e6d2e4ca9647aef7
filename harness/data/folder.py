"""Data sets that are a folder of arrays, without a reader: npz archives, CSV or Parquet tables.

Archives (``*.npz``): one a split, named as the split, or one for all. N samples:

- ``ids`` [N] and ``groups`` [N], text or whole numbers;
- ``labels`` [N, L] in {0, 1}, named by ``label_names`` [L]; or [N] names of classes;
- every other array of N rows is a modality, [N, T, d] or [N, d]. ``<modality>_lengths`` [N], or
  ``lengths`` [N] for all, says how many of T positions are there; 0: the modality is missing;
- ``splits`` [N], in an archive for all: the split of each sample.

Tables (``*.csv`` or ``*.parquet``): ``samples`` has the columns ``id``, ``group``, ``split`` where
splits are given, and a 0/1 column a label, or one column ``label`` with names of classes. Every
other table is a modality: a column ``id``, and a column a feature; the rows of a sample are its
positions, in the order of the file. A sample without rows lacks the modality.

Where no split is given, whole groups are drawn into train, valid and test (60, 20, 20 %), by a hash
of the group and of the data set's name and version: under another name they are drawn anew.

What ``harness data export`` writes has more, where the data has it:

- padding that belongs to the data: the array ``<modality>_rows`` [N] says how many positions are
  stored, ``<modality>_lengths`` how many of them are real (absent: nobody recorded it). A table
  stores what it holds; ``length:<modality>`` of ``samples`` says how many rows are real (empty
  throughout: nobody recorded it);
- further columns ``extra:<name>``; an archive says in ``extra:<name>:missing`` where one is empty;
- traits of persons: ``person:traits`` [N, d] and ``person:known`` [N], or ``person:0``, ... and
  ``person:known`` of ``samples``;
- ``card.yaml``, the fields of `DatasetSpec` that the arrays do not say, which ``harness new
  dataset --from`` takes over; ``prepared.json``, which ``harness data import`` checks.

Samples that are only to be scored need neither groups nor labels.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.archives import read_archives
from harness.data.corpus import Corpus, SplitArrays
from harness.data.partition import PARTS, rows_of_parts
from harness.data.samples import Samples
from harness.data.tables import SAMPLES, read_tables
from harness.data.validate import Validation
from harness.data.values import fail
from harness.errors import DuplicateIdError, NotFiniteError
from harness.specs import DatasetSpec

TABLES = (".csv", ".parquet")
SUFFIXES = (".npz", *TABLES)
CARD = "card.yaml"


def files_of(folder: Path) -> list[Path]:
    """Return the files of a folder that make a data set, all of one kind.

    Raises:
        DataFormatError: there are none, of several kinds, or tables without ``samples``.
    """
    found = {s: sorted(folder.glob(f"*{s}")) for s in SUFFIXES}
    kinds = [s for s, files in found.items() if files]
    if len(kinds) != 1:
        what = f"files of {' and '.join(kinds)}" if kinds else "none of them"
        raise fail(folder, "files", f"files of one kind: {', '.join(SUFFIXES)}", what)
    files = found[kinds[0]]
    if kinds[0] in TABLES and SAMPLES not in {f.stem for f in files}:
        names = ", ".join(f.name for f in files)
        raise fail(folder, "files", f"{SAMPLES}{kinds[0]} beside a table a modality", names)
    return files


def read_samples(files: Sequence[Path], labelled: bool = True) -> Samples:
    """Return the samples of the files of a folder.

    Args:
        files: of `files_of`.
        labelled: groups and labels are needed; else a sample without group is one of its own.

    Raises:
        DataFormatError: a file is not as this module's text says; names file and array or column.
    """
    read = read_tables if files[0].suffix in TABLES else read_archives
    samples = read(files, labelled)
    where = files[0].parent
    if not samples.ids:
        raise fail(where, "samples", "at least one", "none")
    if not samples.features:
        raise fail(where, "files", "at least one modality", "none")
    parts = samples.splits or [""] * len(samples.ids)
    (_, most), times = Counter(zip(parts, samples.ids, strict=True)).most_common(1)[0]
    if times > 1:
        raise DuplicateIdError(str(fail(where, "ids", "each id once", f"{most!r} {times} times")))
    if samples.splits is not None and labelled:
        given = {*samples.splits}
        if not {"train", "test"} <= given <= {*PARTS}:
            expected = f"{', '.join(PARTS)} (valid may be missing)"
            raise fail(where, "splits", expected, ", ".join(sorted(given)))
    return samples


class FolderCorpus(Corpus):
    """The reader of such a folder: `DatasetSpec.files` are its files."""

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield the splits, training first."""
        files = self.paths(root)
        yield from self.parted(read_samples(files), files[0].parent)

    def parted(self, samples: Samples, where: Path) -> Iterator[SplitArrays]:
        """Yield the splits of samples that were read from the folder ``where``."""
        spec = self.spec
        for what, expected, found in (
            ("labels", spec.labels, samples.label_names),
            ("modalities", sorted(spec.modality_names), sorted(samples.features)),
        ):
            if [*expected] != [*found]:
                raise fail(where, what, ", ".join(expected), ", ".join(found))
        traits, known = samples.personality, samples.personality_known
        for split, rows in self._parts(samples, where):
            picked = rows.tolist()
            yield SplitArrays(
                split,
                [samples.ids[i] for i in picked],
                [samples.groups[i] for i in picked],
                samples.labels[rows],
                {m: [samples.features[m][i] for i in picked] for m in spec.modality_names},
                {m: n[rows] for m, n in samples.lengths.items()},
                extras={name: [x[i] for i in picked] for name, x in samples.extras.items()},
                personality=None if traits is None else traits[rows],
                personality_known=None if known is None else known[rows],
            )

    def _parts(self, samples: Samples, where: Path) -> Iterator[tuple[str, NDArray[np.int64]]]:
        if samples.splits is None:
            yield from rows_of_parts(self.spec.id, samples.groups)
            return
        stray = sorted(set(samples.splits) - set(self.spec.splits))
        if stray:
            raise fail(where, "splits", ", ".join(self.spec.splits), ", ".join(stray))
        own = np.array(samples.splits)
        for split in self.spec.splits:
            yield split, np.flatnonzero(own == split)


class _Read(FolderCorpus):
    """Samples that are in memory already, in the place of files."""

    def __init__(self, spec: DatasetSpec, samples: Samples, where: Path) -> None:
        super().__init__(spec)
        self._samples, self._where = samples, where

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield the splits."""
        yield from self.parted(self._samples, self._where)


def doubts(spec: DatasetSpec, samples: Samples, files: Sequence[Path]) -> tuple[list[str], bool]:
    """Check samples as preparing them will; return what is odd but may be meant, a sentence each.

    NaN and infinite features are among it, for ``data prepare --repair`` takes them: with what is
    odd, whether it is needed.

    Args:
        spec: the data set that the samples are to be.
        samples: of `read_samples`.
        files: that they were read from.

    Raises:
        DataFormatError: preparing them would fail; says which sample or array and why.
    """
    where = files[0].parent
    found = [*_lone(samples)]
    try:
        return found + _passed(Validation(spec, files), _Read(spec, samples, where)), False
    except NotFiniteError as error:
        found.append(str(error))
    repaired = Validation(spec, files, repair=True)
    return found + _passed(repaired, _Read(spec, samples, where)), True


def _lone(samples: Samples) -> Iterator[str]:
    """Yield each label that one sample has and whose name is near another's."""
    for i in np.flatnonzero(samples.labels.sum(axis=0) == 1).tolist():
        name = samples.label_names[i]
        near = difflib.get_close_matches(name, [n for n in samples.label_names if n != name], n=1)
        if near:
            one = samples.ids[int(samples.labels[:, i].argmax())]
            yield f"label {name!r} has one sample, {one!r}; is it meant as {near[0]!r}?"


def _passed(checks: Validation, corpus: _Read) -> list[str]:
    for _ in checks.splits(corpus, Path()):
        pass
    return checks.warnings
