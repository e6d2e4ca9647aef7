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

Where no split is given, whole groups are drawn into train, valid and test (60, 20, 20 %).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.corpus import Corpus, SplitArrays
from harness.data.partition import PARTS, rows_of_parts
from harness.data.rows import lengths_of
from harness.data.values import fail, name, shown
from harness.errors import DataFormatError, DuplicateIdError
from harness.specs import LabelKind, ModalitySpec

SAMPLES = "samples"
TABLES = (".csv", ".parquet")
SUFFIXES = (".npz", *TABLES)
_NO_MODALITY = ("ids", "groups", "labels", "label_names", "splits", "lengths")
_TEXT = ("id", "group", "split", "label")


@dataclass(frozen=True)
class Samples:
    """N samples of a folder, in the order of its files.

    Attributes:
        ids: N names. groups: N names.
        splits: the split of each sample; None: none is given.
        labels: uint8 [N, L]. label_names: L names.
        features: per modality, N arrays [T_i, d] without padding; no row: it is missing.
    """

    ids: list[str]
    groups: list[str]
    splits: list[str] | None
    labels: NDArray[np.uint8]
    label_names: tuple[str, ...]
    features: Mapping[str, Sequence[NDArray[Any]]]

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


def read_samples(files: Sequence[Path]) -> Samples:
    """Return the samples of the files of a folder.

    Raises:
        DataFormatError: a file is not as this module's text says; names file and array or column.
    """
    samples = _of_tables(files) if files[0].suffix in TABLES else _of_archives(files)
    where = files[0].parent
    if not samples.ids:
        raise fail(where, "samples", "at least one", "none")
    if not samples.features:
        raise fail(where, "files", "at least one modality", "none")
    most, times = Counter(samples.ids).most_common(1)[0]
    if times > 1:
        raise DuplicateIdError(str(fail(where, "ids", "each id once", f"{most!r} {times} times")))
    if samples.splits is not None:
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
        samples, spec = read_samples(files), self.spec
        for what, expected, found in (
            ("labels", spec.labels, samples.label_names),
            ("modalities", sorted(spec.modality_names), sorted(samples.features)),
        ):
            if [*expected] != [*found]:
                raise fail(files[0].parent, what, ", ".join(expected), ", ".join(found))
        for split, rows in self._parts(samples, files[0].parent):
            picked = rows.tolist()
            yield SplitArrays(
                split,
                [samples.ids[i] for i in picked],
                [samples.groups[i] for i in picked],
                samples.labels[rows],
                {m: [samples.features[m][i] for i in picked] for m in spec.modality_names},
                {m: lengths_of(samples.features[m])[rows] for m in spec.modality_names},
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


def _of_archives(files: Sequence[Path]) -> Samples:
    split_of = {f: f.stem if f.stem in PARTS else None for f in files}
    if len(files) > 1 and None in split_of.values():
        odd = next(f for f, split in split_of.items() if split is None)
        raise fail(odd, "name", f"one archive, or one each for {', '.join(PARTS)}", odd.name)
    parts = [_of_archive(f, split_of[f]) for f in sorted(files, key=_in_order)]
    first = parts[0]
    for file, part in zip(sorted(files, key=_in_order), parts, strict=True):
        for what, expected, found in (
            ("label_names", first.label_names, part.label_names),
            ("modalities", (*first.features,), (*part.features,)),
        ):
            if expected != found:
                raise fail(file, what, ", ".join(expected), ", ".join(found))
    return Samples(
        [i for part in parts for i in part.ids],
        [g for part in parts for g in part.groups],
        None if first.splits is None else [s for part in parts for s in part.splits or ()],
        np.concatenate([part.labels for part in parts]),
        first.label_names,
        {m: [x for part in parts for x in part.features[m]] for m in first.features},
    )


def _in_order(file: Path) -> int:
    return PARTS.index(file.stem) if file.stem in PARTS else len(PARTS)


def _of_archive(file: Path, split: str | None) -> Samples:
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError) as error:
        raise DataFormatError(
            f"{file}: expected an npz archive of plain arrays, without Python objects: {error}"
        ) from error
    for key in ("ids", "groups", "labels"):
        if key not in arrays:
            raise fail(file, key, "an array", f"the arrays {', '.join(arrays) or 'none'}")
    count = len(arrays["ids"])
    for key, array in arrays.items():
        if key != "label_names" and (array.ndim == 0 or len(array) != count):
            raise fail(file, key, f"{count} rows, as ids has", f"shape {list(array.shape)}")
    ids, groups = (_names(file, key, arrays[key]) for key in ("ids", "groups"))
    splits = _names(file, "splits", arrays["splits"]) if "splits" in arrays else None
    labels, label_names = _labels(file, arrays["labels"], arrays.get("label_names"))
    features: dict[str, list[NDArray[Any]]] = {}
    for key, array in arrays.items():
        owner = key.removesuffix("_lengths")
        if key in _NO_MODALITY or (owner != key and owner in arrays):
            continue
        if array.ndim not in (2, 3) or array.dtype.kind not in "biuf":
            found = f"{array.dtype}, shape {list(array.shape)}"
            raise fail(file, key, "a modality, numbers [N, T, d] or [N, d]", found)
        whole = array if array.ndim == 3 else array[:, None]
        most = whole.shape[1]
        given = arrays.get(f"{key}_lengths", arrays.get("lengths", np.full(count, most)))
        plain = given.ndim == 1 and given.dtype.kind in "iu"
        if array.ndim == 3 and not (plain and ((given >= 0) & (given <= most)).all()):
            expected = f"whole numbers from 0 to {most}, [N]"
            raise fail(file, f"lengths of {key}", expected, f"{given.dtype}, {given[:3]} ...")
        used = given.tolist() if array.ndim == 3 else [1] * count
        features[key] = [x[:n] for x, n in zip(whole, used, strict=True)]
    own = [split] * count if split is not None else splits
    return Samples(ids, groups, own, labels, label_names, features)


def _of_tables(files: Sequence[Path]) -> Samples:
    tables = {f.stem: (f, _columns(f)) for f in files}
    file, columns = tables.pop(SAMPLES)
    for key in ("id", "group"):
        if key not in columns:
            raise fail(file, "columns", f"a column {key!r}", ", ".join(columns))
    ids, groups = (_names(file, key, columns[key]) for key in ("id", "group"))
    splits = _names(file, "split", columns["split"]) if "split" in columns else None
    named = [key for key in columns if key not in _TEXT]
    if "label" in columns:
        labels, label_names = _labels(file, columns["label"], None)
    else:
        if not named:
            raise fail(file, "columns", "a 0/1 column a label, or 'label'", ", ".join(columns))
        stacked = np.stack([_numbers(file, key, columns[key]) for key in named], axis=1)
        labels, label_names = _labels(file, stacked, np.array(named))
    features: dict[str, list[NDArray[Any]]] = {}
    for modality, (own, content) in tables.items():
        if "id" not in content:
            raise fail(own, "columns", "a column 'id'", ", ".join(content))
        numbers = [_numbers(own, key, x) for key, x in content.items() if key != "id"]
        if not numbers:
            raise fail(own, "columns", "a column a feature beside 'id'", "none")
        features[modality] = _grouped(own, ids, content["id"], np.stack(numbers, axis=1))
    return Samples(ids, groups, splits, labels, label_names, features)


def _grouped(
    file: Path, ids: Sequence[str], keys: NDArray[Any], rows: NDArray[np.float64]
) -> list[NDArray[Any]]:
    """Return for each sample its rows [T, d], in the order of the file."""
    place = {i: k for k, i in enumerate(ids)}
    owners = np.array([place.get(key, -1) for key in _names(file, "id", keys)], dtype=np.int64)
    if (owners < 0).any():
        line = int(np.argmin(owners))
        raise fail(file, f"row {line + 1}, id", f"an id of {SAMPLES}", shown(str(keys[line])))
    order = np.argsort(owners, kind="stable")
    ends = np.cumsum(np.bincount(owners, minlength=len(ids)))
    return np.split(rows[order].astype(np.float32), ends[:-1])


def _columns(file: Path) -> dict[str, NDArray[Any]]:
    """Return the columns of a CSV or Parquet table."""
    import pyarrow as pa

    try:
        if file.suffix == ".parquet":
            import pyarrow.parquet as pq

            table = pq.read_table(file)
        else:
            from pyarrow import csv

            texts = csv.ConvertOptions(column_types=dict.fromkeys(_TEXT, pa.string()))
            table = csv.read_csv(file, convert_options=texts)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataFormatError(f"{file}: expected a {file.suffix[1:]} table: {error}") from error
    names = table.column_names
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise fail(file, "columns", "each column once", f"{twice!r} twice")
    return {n: table.column(n).to_numpy() for n in names}


def _names(file: Path, key: str, values: NDArray[Any]) -> list[str]:
    if values.ndim != 1:
        raise fail(file, key, "one name a sample", f"shape {list(values.shape)}")
    return [name(file, f"{key}[{i}]", value) for i, value in enumerate(values.tolist())]


def _numbers(file: Path, key: str, values: NDArray[Any]) -> NDArray[np.float64]:
    if values.dtype.kind not in "biuf":
        raise fail(file, f"column {key}", "numbers", f"{values.dtype}")
    return values.astype(np.float64)


def _labels(
    file: Path, values: NDArray[Any], given: NDArray[Any] | None
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Return labels uint8 [N, L] and their names, of 0/1 columns or of names of classes."""
    if values.ndim == 1:
        classes = _names(file, "labels", values)
        known = _names(file, "label_names", given) if given is not None else sorted(set(classes))
        stray = sorted(set(classes) - set(known))
        if stray:
            raise fail(file, "labels", f"one of {', '.join(known)}", ", ".join(stray))
        columns = np.array([known.index(c) for c in classes])
        return np.eye(len(known), dtype=np.uint8)[columns], tuple(known)
    if values.ndim != 2 or values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise fail(file, "labels", "0 and 1, [N, L]", f"{values.dtype}, {list(values.shape)}")
    if given is None:
        raise fail(file, "label_names", f"{values.shape[1]} names", "no such array")
    known = _names(file, "label_names", given)
    if len(known) != values.shape[1] or len(set(known)) != len(known):
        raise fail(file, "label_names", f"{values.shape[1]} different names", ", ".join(known))
    return values.astype(np.uint8), tuple(known)
