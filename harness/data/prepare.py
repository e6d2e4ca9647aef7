"""Preparing a store: read and validate the authors' files once, write Arrow, hash the content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from numpy.typing import NDArray

from harness import paths
from harness.data.content import SplitHasher, content_hash
from harness.data.corpus import Corpus, GridArrays, SplitArrays
from harness.data.grid_prepare import GridWriter, deviations
from harness.data.store import SCHEMA_VERSION, Store, read_store, spec_to_json
from harness.errors import DataFormatError, DataMissingError

# Arrow counts the values of a list column in 32 bits, and a block is copied once in memory.
BLOCK_VALUES = 1 << 28


def prepare(
    corpus: Corpus,
    root: Path,
    name: str,
    *,
    repair: bool = False,
    twin: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Store:
    """Prepare ``stores_dir()/name`` from the authors' files under ``root``, and open it.

    Nothing is done where the store was made from the same files by the same reader. The store
    appears as a whole or not at all; a second process waits for the first.

    Args:
        corpus: the reader.
        root: folder of the authors' files.
        name: name of the store.
        repair: set NaN and +inf features to 0 and count them, instead of refusing them.
        twin: facts about a generated source (version, seed, size); None: real data.
        force: prepare even if the store is up to date.

    Raises:
        DataMissingError: files are not there.
        DataFormatError: files are not as documented.
        StorageError: the store cannot be written.
    """
    target = paths.stores_dir() / name
    with locked(target):
        files = source_files(corpus, root)
        known = None if force else _known(target)
        if known is not None and _same(known.card, corpus, files, repair, twin):
            return known
        head = {
            "schema": SCHEMA_VERSION,
            "name": name,
            "reader_version": corpus.reader_version,
            "spec": spec_to_json(corpus.spec),
            "sources": [{**_stat(file), "sha256": file_hash(file)} for file in files],
            "repair": repair,
            "twin": None if twin is None else dict(twin),
        }
        with paths.atomic_dir(target) as folder:
            card = head | _write_splits(corpus, root, folder, repair)
            (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    store = read_store(target)
    if store is None:
        raise DataFormatError(f"{target} vanished while it was prepared; prepare it again.")
    return store


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock of a folder that is about to be made, and clear what a killed maker left.

    Raises:
        StorageError: its parent cannot be written.
    """
    with paths.storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(target.parent / f".{target.name}.lock")
        lock.acquire()
    try:
        for stale in target.parent.glob(f".{target.name}.*"):
            if stale.is_dir():
                shutil.rmtree(stale, ignore_errors=True)
        yield
    finally:
        lock.release()


def source_files(corpus: Corpus, root: Path) -> list[Path]:
    """Return the files a corpus reads.

    Raises:
        DataMissingError: some are not there; names each with what it is.
    """
    missing = corpus.missing(root)
    if missing:
        told = {root / f.path: f.description for f in corpus.spec.files}
        lines = [f"  {path}  ({told.get(path, 'needed')})" for path in missing]
        raise DataMissingError(
            f"files of {corpus.spec.base_name} are not there:\n" + "\n".join(lines) + "\n"
            "Put them there, or set HARNESS_DATA (or --data-root) to the folder that holds them."
        )
    return corpus.source_files(root)


def changed_sources(store: Store, corpus: Corpus, root: Path) -> list[Path]:
    """Return the source files whose size or time differ from what the store was made from."""
    if corpus.missing(root):
        return []
    known = {s["path"]: s for s in store.card["sources"]}
    files = corpus.source_files(root)
    return [f for f in files if not _unchanged(known.get(str(f)), f)]


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with paths.storage_errors(path), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _known(target: Path) -> Store | None:
    """Return the store that is there; a damaged one counts as absent, it is about to be remade."""
    try:
        return read_store(target)
    except DataFormatError:
        return None


def _stat(path: Path) -> dict[str, Any]:
    with paths.storage_errors(path):
        found = path.stat()
    return {"path": str(path), "size": found.st_size, "mtime_ns": found.st_mtime_ns}


def _unchanged(known: Mapping[str, Any] | None, path: Path) -> bool:
    now = _stat(path)
    return known is not None and all(known[k] == now[k] for k in ("size", "mtime_ns"))


def _same(
    card: Mapping[str, Any],
    corpus: Corpus,
    files: list[Path],
    repair: bool,
    twin: Mapping[str, Any] | None,
) -> bool:
    """Return whether a store was made by this reader from these files."""
    if (card["reader_version"], card["repair"]) != (corpus.reader_version, repair):
        return False
    if card["spec"] != json.loads(json.dumps(spec_to_json(corpus.spec))):
        return False
    if twin is not None or card["twin"] is not None:
        return bool(card["twin"] == (None if twin is None else dict(twin)))
    known = card["sources"]
    if [Path(s["path"]).name for s in known] != [f.name for f in files]:
        return False
    return all(
        (s["path"] == str(f) and _unchanged(s, f))
        or (s["size"] == f.stat().st_size and s["sha256"] == file_hash(f))
        for s, f in zip(known, files, strict=True)
    )


def _write_splits(corpus: Corpus, root: Path, folder: Path, repair: bool) -> dict[str, Any]:
    """Write every split; return the card's part that only the data knows."""
    digests: dict[str, str] = {}
    counts: dict[str, int] = {}
    cleaned: dict[str, dict[str, int]] = {}
    facts: dict[str, dict[str, int]] = {}
    sd: dict[str, list[float]] = {}
    files = corpus.source_files(root)
    grids = GridWriter(folder, corpus.spec)
    for split in corpus.read(root, repair=repair):
        counts[split.name] = len(split.ids)
        cleaned[split.name] = dict(split.cleaned)
        facts[split.name] = dict(split.facts)
        if isinstance(split, GridArrays):
            digests[split.name] = grids.write(split)
            sd = deviations(split) if split.name == "train" else sd
            continue
        _check(split, corpus, files)
        digests[split.name] = _write(split, corpus, folder / f"{split.name}.arrow")
        if split.name == "train":
            sd = {m.name: _deviation(split, m.name, m.dim) for m in corpus.spec.modalities}
    if tuple(sorted(digests)) != tuple(sorted(corpus.spec.splits)):
        raise DataFormatError(
            f"{corpus.spec.name}: expected splits {', '.join(corpus.spec.splits)}, "
            f"found {', '.join(digests)}."
        )
    return {
        "counts": counts,
        "cleaned": cleaned,
        "facts": facts,
        "split_hashes": digests,
        "content_hash": content_hash(corpus.spec, digests),
        "feature_sd": sd,
    }


def _check(split: SplitArrays, corpus: Corpus, files: Sequence[Path]) -> None:
    """Refuse what a corpus plugin must not hand over.

    Raises:
        DataFormatError: an empty split, unequal counts, repeated ids, wrong shapes, inf or NaN.
    """
    where = f"{corpus.spec.name}, split {split.name!r}"
    if files:
        where = f"{', '.join(f.name for f in files)}: {where}"
    n, labels = len(split.ids), len(corpus.spec.labels)
    if n == 0:
        raise DataFormatError(f"{where}: is empty; every split needs at least one sample.")
    if len(set(split.ids)) != n:
        raise DataFormatError(f"{where}: sample ids repeat; each must be unique.")
    if len(split.groups) != n or split.labels.shape != (n, labels):
        raise DataFormatError(
            f"{where}: {n} ids, {len(split.groups)} groups and labels of shape "
            f"{split.labels.shape}; expected {n} groups and labels ({n}, {labels})."
        )
    traits = (0, 0) if split.personality is None else split.personality.shape
    if traits[1] != corpus.spec.personality_dim or (traits[1] and traits[0] != n):
        raise DataFormatError(
            f"{where}: personality of shape {traits}, expected {n} of "
            f"{corpus.spec.personality_dim} numbers."
        )
    for m in corpus.spec.modalities:
        rows = split.features.get(m.name, ())
        if len(rows) != n:
            raise DataFormatError(f"{where}, {m.name}: expected {n} samples, found {len(rows)}.")
        for i, matrix in enumerate(rows):
            if matrix.ndim != 2 or matrix.shape[1] != m.dim or len(matrix) > m.max_length:
                raise DataFormatError(
                    f"{where}, {m.name}, sample {split.ids[i]!r}: expected at most "
                    f"{m.max_length} rows of {m.dim}, found shape {matrix.shape}."
                )
            if not np.isfinite(matrix).all():
                raise DataFormatError(
                    f"{where}, {m.name}, sample {split.ids[i]!r}: features are NaN or infinite."
                )


def valid_rows(split: SplitArrays, modality: str, index: int) -> NDArray[np.bool_]:
    """Return which stored rows of a sample are valid positions, bool [T_i]."""
    matrix = split.features[modality][index]
    true = split.lengths.get(modality)
    if true is not None:
        return np.asarray(np.arange(len(matrix)) < true[index])
    return np.asarray(matrix.any(axis=1))


def _deviation(split: SplitArrays, modality: str, dim: int) -> list[float]:
    """Return the population deviation per feature over the valid rows, in one pass a moment."""

    def valid() -> Iterator[NDArray[np.float64]]:
        for i, matrix in enumerate(split.features[modality]):
            yield matrix[valid_rows(split, modality, i)].astype(np.float64)

    count = 0
    total = np.zeros(dim)
    for rows in valid():
        count += len(rows)
        total += rows.sum(axis=0)
    mean = total / max(count, 1)
    squares = np.zeros(dim)
    for rows in valid():
        squares += ((rows - mean) ** 2).sum(axis=0)
    deviation: list[float] = np.sqrt(squares / max(count, 1)).tolist()
    return deviation


def _write(split: SplitArrays, corpus: Corpus, path: Path) -> str:
    """Write one split as an Arrow stream; return its content hash."""
    import datasets
    import pyarrow as pa
    from datasets.arrow_writer import ArrowWriter

    modalities = corpus.spec.modalities
    features: dict[str, Any] = {
        "id": datasets.Value("string"),
        "group": datasets.Value("string"),
        "labels": datasets.features.features.Sequence(datasets.Value("int8")),
    }
    columns: dict[str, Any] = {
        "id": pa.array([str(i) for i in split.ids]),
        "group": pa.array([str(g) for g in split.groups]),
        "labels": _nested(split.labels.astype(np.int8)),
    }
    hasher = SplitHasher(split.name, list(split.ids), list(split.groups))
    hasher.labels(split.labels)
    for m in modalities:
        rows, true = split.features[m.name], split.lengths.get(m.name)
        stored = np.array([len(x) for x in rows], dtype=np.int64)
        hasher.modality(m.name, stored, true, rows)
        numbers = {"valid": [int(valid_rows(split, m.name, i).sum()) for i in range(len(rows))]}
        if true is not None:
            numbers["length"] = true.tolist()
        for kind, counted in numbers.items():
            columns[f"{kind}:{m.name}"] = pa.array(counted, type=pa.int32())
            features[f"{kind}:{m.name}"] = datasets.Value("int32")
        features[f"features:{m.name}"] = datasets.Array2D(shape=(None, m.dim), dtype="float32")
    if split.personality is not None:
        known = split.personality_known
        known = np.ones(len(split.ids), dtype=np.bool_) if known is None else known
        hasher.array("personality", split.personality)
        hasher.array("personality_known", known)
        columns["personality"] = _nested(split.personality.astype(np.float32))
        columns["personality_known"] = pa.array(known.astype(np.int8))
        features["personality"] = datasets.features.features.Sequence(datasets.Value("float32"))
        features["personality_known"] = datasets.Value("int8")
    hasher.extras(split.extras)
    for name, values in split.extras.items():
        columns[f"extra:{name}"] = pa.array(list(values))
        kind = "int64" if isinstance(values[0], int) else "string"
        features[f"extra:{name}"] = datasets.Value(kind)
    described = datasets.Features(features)
    per_sample = sum(m.dim * max(len(x) for x in split.features[m.name]) for m in modalities)
    step = max(1, BLOCK_VALUES // max(per_sample, 1))
    writer = ArrowWriter(features=described, path=str(path), writer_batch_size=step)
    for start in range(0, len(split.ids), step):
        part = {name: column[start : start + step] for name, column in columns.items()}
        for m in modalities:
            block = split.features[m.name][start : start + step]
            kind = described.arrow_schema.field(f"features:{m.name}").type
            part[f"features:{m.name}"] = pa.ExtensionArray.from_storage(kind, _ragged(block, m.dim))
        table = pa.table({name: part[name] for name in features}, schema=described.arrow_schema)
        writer.write_table(table, writer_batch_size=step)
    writer.finalize()
    return hasher.hexdigest()


def _nested(matrix: NDArray[Any]) -> Any:
    """Return an [N, L] matrix as an Arrow column of lists."""
    import pyarrow as pa

    n, width = matrix.shape
    offsets = pa.array(np.arange(n + 1, dtype=np.int32) * width)
    return pa.ListArray.from_arrays(offsets, pa.array(matrix.ravel()))


def _ragged(block: Any, dim: int) -> Any:
    """Return matrices [T_i, d] as an Arrow column of lists of rows, without a Python loop."""
    import pyarrow as pa

    flat = np.concatenate([*block, np.zeros((0, dim), dtype=np.float32)])
    rows = np.arange(len(flat) + 1, dtype=np.int32) * dim
    inner = pa.ListArray.from_arrays(pa.array(rows), pa.array(flat.ravel()))
    ends = np.cumsum([0, *(len(x) for x in block)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), inner)
