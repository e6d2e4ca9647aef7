"""The npz archives of a folder of arrays (`harness.data.folder` says what is in them)."""

from __future__ import annotations

import difflib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from harness.data.layouts.sequence.split import SequenceSplit
from harness.data.partition import PARTS
from harness.data.samples import EXTRA, Samples, labels_of, names_of
from harness.data.values import fail
from harness.errors import DataFormatError

_PER_SAMPLE = ("ids", "groups", "labels", "splits", "lengths")
_TRAITS, _KNOWN, _MISSING = "person:traits", "person:known", ":missing"
_LENGTHS, _ROWS = "_lengths", "_rows"
# Samples that are padded together when an archive is written.
_STEP = 256
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def read_archives(files: Sequence[Path], labelled: bool) -> Samples:
    """Return the samples of archives; arguments and errors as of `folder.read_samples`."""
    split_of = {f: f.stem if f.stem in PARTS else None for f in files}
    if len(files) > 1 and None in split_of.values():
        odd = next(f for f, split in split_of.items() if split is None)
        raise fail(odd, "name", f"one archive, or one each for {', '.join(PARTS)}", odd.name)
    ordered = sorted(files, key=_in_order)
    parts = [_read(f, split_of[f], labelled) for f in ordered]
    first = parts[0]
    for file, part in zip(ordered, parts, strict=True):
        for what, expected, found in (
            ("label_names", first.label_names, part.label_names),
            ("modalities", (*first.features,), (*part.features,)),
            ("modalities with lengths", (*first.lengths,), (*part.lengths,)),
            ("further columns", (*first.extras,), (*part.extras,)),
            (_TRAITS, _width(first.personality), _width(part.personality)),
        ):
            if expected != found:
                raise fail(file, what, _told(expected), _told(found))
    traits = [p.personality for p in parts if p.personality is not None]
    known = [p.personality_known for p in parts if p.personality_known is not None]
    return Samples(
        [i for part in parts for i in part.ids],
        [g for part in parts for g in part.groups],
        None if first.splits is None else [s for part in parts for s in part.splits or ()],
        np.concatenate([part.labels for part in parts]),
        first.label_names,
        {m: [x for part in parts for x in part.features[m]] for m in first.features},
        {m: np.concatenate([part.lengths[m] for part in parts]) for m in first.lengths},
        {name: [v for part in parts for v in part.extras[name]] for name in first.extras},
        np.concatenate(traits) if traits else None,
        np.concatenate(known) if known else None,
    )


def write_archive(file: Path, split: SequenceSplit) -> None:
    """Write a stored split; `read_archives` gives the same samples to the last bit.

    Features are padded with zeros to the longest sample; memory holds a block of them.
    """
    arrays: dict[str, NDArray[Any]] = {
        "ids": np.array(split.ids),
        "groups": np.array(split.groups),
        "labels": split.labels,
        "label_names": np.array(split.spec.labels),
    }
    for column, m in enumerate(split.modalities):
        arrays[f"{m.name}{_ROWS}"] = split.stored_lengths[:, column]
        if m.name in split.true_lengths:
            arrays[f"{m.name}{_LENGTHS}"] = split.true_lengths[m.name]
    for name, values in split.extras.items():
        there = [v for v in values if v is not None]
        blank = type(there[0])() if there else ""
        arrays[f"{EXTRA}{name}"] = np.array([blank if v is None else v for v in values])
        if len(there) < len(values):
            arrays[f"{EXTRA}{name}{_MISSING}"] = np.array([v is None for v in values])
    if split.personality is not None:
        arrays[_TRAITS], arrays[_KNOWN] = split.personality, split.personality_known
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with _member(archive, name) as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
        for m in split.modalities:
            with _member(archive, m.name) as stream:
                _write_padded(stream, split, m.name, m.dim)


def unfit(names: Sequence[str]) -> str:
    """Return the modality that an archive has no place for, or nothing.

    Args:
        names: of the modalities.
    """
    suffixed = {f"{m}{end}" for m in names for end in (_LENGTHS, _ROWS)}
    taken = {*_PER_SAMPLE, "label_names", *suffixed}
    return next((m for m in names if m in taken or ":" in m or "/" in m), "")


def _write_padded(stream: IO[bytes], split: SequenceSplit, modality: str, dim: int) -> None:
    column = split.columns[modality]
    longest = max(int(column.lengths.max(initial=0)), 1)
    shape = (len(split), longest, dim)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    for start in range(0, len(split), _STEP):
        rows = np.arange(start, min(start + _STEP, len(split)))
        stream.write(np.ascontiguousarray(column.padded(rows, longest), dtype="<f4").data)


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    # Not compressed: reading is limited by the size of the file. One date: equal files are equal.
    return archive.open(zipfile.ZipInfo(f"{name}.npy", _LONG_AGO), "w", force_zip64=True)


def _in_order(file: Path) -> int:
    return PARTS.index(file.stem) if file.stem in PARTS else len(PARTS)


def _width(array: NDArray[Any] | None) -> tuple[str, ...]:
    return () if array is None else (f"{array.shape[1]} traits",)


def _told(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _read(file: Path, split: str | None, labelled: bool) -> Samples:
    arrays = _arrays(file)
    for key in ("ids", "groups", "labels") if labelled else ("ids",):
        if key not in arrays:
            raise fail(file, key, "an array", f"the arrays {_told((*arrays,))}")
    count = len(arrays["ids"]) if arrays["ids"].ndim else 0
    for key, array in arrays.items():
        if key != "label_names" and (array.ndim == 0 or len(array) != count):
            near = difflib.get_close_matches(key, (*_PER_SAMPLE, "label_names"), n=1)
            hint = f" (did you mean {near[0]!r}?)" if near and near[0] not in arrays else ""
            raise fail(file, key, f"{count} rows, as ids has{hint}", f"shape {list(array.shape)}")
    ids = names_of(file, "ids", arrays["ids"])
    groups = names_of(file, "groups", arrays["groups"]) if "groups" in arrays else [*ids]
    splits = names_of(file, "splits", arrays["splits"]) if "splits" in arrays else None
    labels: NDArray[np.uint8] = np.zeros((count, 0), dtype=np.uint8)
    label_names: tuple[str, ...] = ()
    if "labels" in arrays:
        labels, label_names = labels_of(file, arrays["labels"], arrays.get("label_names"))
    features: dict[str, list[NDArray[Any]]] = {}
    lengths: dict[str, NDArray[np.int64]] = {}
    for key in _modalities(arrays):
        features[key], recorded = _modality(file, key, arrays)
        if recorded is not None:
            lengths[key] = recorded
    traits, known = arrays.get(_TRAITS), arrays.get(_KNOWN)
    if traits is not None and (traits.ndim != 2 or traits.dtype.kind not in "biuf"):
        raise fail(file, _TRAITS, "numbers [N, d]", f"{traits.dtype}, {list(traits.shape)}")
    if known is not None and (known.dtype.kind != "b" or known.ndim != 1):
        raise fail(file, _KNOWN, "booleans [N]", f"{known.dtype}, {list(known.shape)}")
    return Samples(
        ids,
        groups,
        [split] * count if split is not None else splits,
        labels,
        label_names,
        features,
        lengths,
        dict(_extras(file, arrays)),
        None if traits is None else traits.astype(np.float32),
        known,
    )


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataFormatError(
            f"{file}: expected an npz archive of plain arrays, without Python objects: {error}"
        ) from error


def _modalities(arrays: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    for key in arrays:
        owners = {key.removesuffix(end) for end in (_LENGTHS, _ROWS) if key.endswith(end)}
        if key not in (*_PER_SAMPLE, "label_names") and ":" not in key and not owners & {*arrays}:
            yield key


def _modality(
    file: Path, key: str, arrays: Mapping[str, NDArray[Any]]
) -> tuple[list[NDArray[Any]], NDArray[np.int64] | None]:
    """Return a modality's rows [T_i, d] of each sample, and the lengths that are recorded."""
    array = arrays[key]
    if array.ndim not in (2, 3) or array.dtype.kind not in "biuf":
        found = f"{array.dtype}, shape {list(array.shape)}"
        raise fail(file, key, "a modality, numbers [N, T, d] or [N, d]", found)
    if array.ndim == 2:
        return [x[None] for x in array], np.ones(len(array), dtype=np.int64)
    most = array.shape[1]
    recorded = arrays.get(f"{key}{_LENGTHS}", arrays.get("lengths"))
    stored = arrays.get(f"{key}{_ROWS}")
    if recorded is None and stored is None:
        recorded = np.full(len(array), most)
    for what, given in ((f"lengths of {key}", recorded), (f"rows of {key}", stored)):
        if given is not None and not _within(given, most):
            expected = f"whole numbers from 0 to {most}, [N]"
            raise fail(file, what, expected, f"{given.dtype}, {given[:3]} ...")
    used = recorded if stored is None else stored
    assert used is not None
    rows = [x[:n] for x, n in zip(array, used.tolist(), strict=True)]
    return rows, None if recorded is None else recorded.astype(np.int64)


def _within(given: NDArray[Any], most: int) -> bool:
    whole = given.ndim == 1 and given.dtype.kind in "iu"
    return bool(whole and ((given >= 0) & (given <= most)).all())


def _extras(file: Path, arrays: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, list[Any]]]:
    for key, array in arrays.items():
        if key.startswith(EXTRA) and not key.endswith(_MISSING):
            if array.ndim != 1:
                raise fail(file, key, "one value a sample", f"shape {list(array.shape)}")
            missing = arrays.get(f"{key}{_MISSING}", np.zeros(len(array), dtype=np.bool_))
            values = zip(array.tolist(), missing.tolist(), strict=True)
            yield key.removeprefix(EXTRA), [None if gone else v for v, gone in values]
