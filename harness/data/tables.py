"""The tables of a folder of arrays, CSV or Parquet (`harness.data.folder` says what they hold)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.layouts.sequence.split import SequenceSplit
from harness.data.rows import lengths_of
from harness.data.samples import EXTRA, Samples, labels_of, names_of
from harness.data.values import fail, shown
from harness.errors import DataFormatError

SAMPLES = "samples"
_TEXT = ("id", "group", "split", "label")
_LENGTH, _PERSON, _KNOWN = "length:", "person:", "person:known"
# Samples whose rows are written together.
_STEP = 256


def read_tables(files: Sequence[Path], labelled: bool) -> Samples:
    """Return the samples of tables; arguments and errors as of `folder.read_samples`."""
    tables = {f.stem: (f, _columns(f)) for f in files}
    file, columns = tables.pop(SAMPLES)
    for key in ("id", "group") if labelled else ("id",):
        if key not in columns:
            raise fail(file, "columns", f"a column {key!r}", ", ".join(columns))
    ids = names_of(file, "id", columns["id"])
    groups = names_of(file, "group", columns["group"]) if "group" in columns else [*ids]
    splits = names_of(file, "split", columns["split"]) if "split" in columns else None
    named = [key for key in columns if key not in _TEXT and ":" not in key]
    labels: NDArray[np.uint8] = np.zeros((len(ids), 0), dtype=np.uint8)
    label_names: tuple[str, ...] = ()
    if "label" in columns:
        labels, label_names = labels_of(file, columns["label"], None)
    elif named:
        stacked = np.stack([_numbers(file, key, columns[key]) for key in named], axis=1)
        labels, label_names = labels_of(file, stacked, np.array(named))
    elif labelled:
        raise fail(file, "columns", "a 0/1 column a label, or 'label'", ", ".join(columns))
    features: dict[str, list[NDArray[Any]]] = {}
    lengths: dict[str, NDArray[np.int64]] = {}
    for modality, (own, content) in tables.items():
        if "id" not in content:
            raise fail(own, "columns", "a column 'id'", ", ".join(content))
        numbers = [_numbers(own, key, x) for key, x in content.items() if key != "id"]
        if not numbers:
            raise fail(own, "columns", "a column a feature beside 'id'", "none")
        features[modality] = _grouped(own, ids, content["id"], np.stack(numbers, axis=1))
        given = columns.get(f"{_LENGTH}{modality}")
        if given is None:
            lengths[modality] = lengths_of(features[modality])
        elif given.dtype.kind in "iu":
            lengths[modality] = given.astype(np.int64)
        elif not _all_empty(given):
            expected = "whole numbers, or nothing in every row"
            raise fail(file, f"column {_LENGTH}{modality}", expected, f"{given.dtype}")
    traits = [
        _numbers(file, key, x)
        for key, x in columns.items()
        if key.startswith(_PERSON) and key != _KNOWN
    ]
    known = columns.get(_KNOWN)
    if known is not None and known.dtype.kind != "b":
        raise fail(file, f"column {_KNOWN}", "true or false", f"{known.dtype}")
    return Samples(
        ids,
        groups,
        splits,
        labels,
        label_names,
        features,
        lengths,
        {k.removeprefix(EXTRA): x.tolist() for k, x in columns.items() if k.startswith(EXTRA)},
        np.stack(traits, axis=1).astype(np.float32) if traits else None,
        known,
    )


def write_tables(folder: Path, splits: Sequence[SequenceSplit]) -> None:
    """Write stored splits as Parquet; `read_tables` gives the same samples to the last bit."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    spec = splits[0].spec
    columns: dict[str, Any] = {
        "id": pa.array([i for s in splits for i in s.ids]),
        "group": pa.array([g for s in splits for g in s.groups]),
        "split": pa.array([s.name for s in splits for _ in s.ids]),
    }
    labels = np.concatenate([s.labels for s in splits])
    columns |= {name: pa.array(labels[:, k]) for k, name in enumerate(spec.labels)}
    for m in spec.modalities:
        found = [s.true_lengths[m.name] for s in splits if m.name in s.true_lengths]
        columns[f"{_LENGTH}{m.name}"] = (
            pa.array(np.concatenate(found)) if found else pa.nulls(len(labels), pa.int64())
        )
    for name in splits[0].extras:
        columns[f"{EXTRA}{name}"] = pa.array([v for s in splits for v in s.extras[name]])
    traits = [s.personality for s in splits if s.personality is not None]
    if traits:
        whole = np.concatenate(traits)
        columns |= {f"{_PERSON}{k}": pa.array(x) for k, x in enumerate(whole.T.copy())}
        columns[_KNOWN] = pa.array(np.concatenate([s.personality_known for s in splits]))
    plain: Any = {"compression": "NONE", "use_dictionary": False}
    pq.write_table(pa.table(columns), folder / f"{SAMPLES}.parquet", **plain)
    for m in spec.modalities:
        kinds = [("id", pa.string()), *((f"f{k}", pa.float32()) for k in range(m.dim))]
        schema = pa.schema(kinds)
        # Not compressed: reading is limited by the size of the file.
        with pq.ParquetWriter(folder / f"{m.name}.parquet", schema, **plain) as writer:
            for split in splits:
                for ids, rows in _rows(split, m.name):
                    arrays = [pa.array(ids, pa.string()), *(pa.array(x) for x in rows.T.copy())]
                    writer.write_table(pa.table(arrays, schema=schema))


def unfit(names: Sequence[str], labels: Iterable[str]) -> str:
    """Return the modality or label that tables have no place for, or nothing.

    Args:
        names: of the modalities.
        labels: names of the labels.
    """
    odd = [m for m in names if m == SAMPLES or "/" in m]
    odd += [n for n in labels if n in _TEXT or ":" in n]
    return odd[0] if odd else ""


def _rows(split: SequenceSplit, modality: str) -> Iterable[tuple[NDArray[Any], Any]]:
    """Yield the ids [K] and rows float32 [K, d] of consecutive samples."""
    column = split.columns[modality]
    ids = np.array(split.ids, dtype=object)
    for start in range(0, len(split), _STEP):
        places = range(start, min(start + _STEP, len(split)))
        if column.lengths[start : start + _STEP].any():
            owners = np.repeat(ids[start : start + _STEP], column.lengths[start : start + _STEP])
            yield owners, np.concatenate([column.sample(i) for i in places])


def _grouped(
    file: Path, ids: Sequence[str], keys: NDArray[Any], rows: NDArray[np.floating]
) -> list[NDArray[Any]]:
    """Return for each sample its rows [T, d], in the order of the file."""
    place = {i: k for k, i in enumerate(ids)}
    owners = np.array([place.get(key, -1) for key in names_of(file, "id", keys)], dtype=np.int64)
    if (owners < 0).any():
        line = int(np.argmin(owners))
        raise fail(file, f"row {line + 1}, id", f"an id of {SAMPLES}", shown(str(keys[line])))
    if (np.diff(owners) < 0).any():
        rows = rows[np.argsort(owners, kind="stable")]
    ends = np.cumsum(np.bincount(owners, minlength=len(ids)))
    return np.split(rows.astype(np.float32, copy=False), ends[:-1])


def _columns(file: Path) -> dict[str, NDArray[Any]]:
    """Return the columns of a CSV or Parquet table; further columns as objects."""
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
    return {
        n: _objects(table.column(n)) if n.startswith(EXTRA) else table.column(n).to_numpy()
        for n in names
    }


def _objects(column: Any) -> NDArray[Any]:
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_pylist()
    return values


def _all_empty(values: NDArray[Any]) -> bool:
    return all(v is None or v != v for v in values.tolist())


def _numbers(file: Path, key: str, values: NDArray[Any]) -> NDArray[np.floating]:
    if values.dtype.kind not in "biuf":
        raise fail(file, f"column {key}", "numbers", f"{values.dtype}")
    return values if values.dtype == np.float32 else values.astype(np.float64)
