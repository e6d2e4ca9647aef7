"""Preparing a store: read and validate the authors' files once, write Arrow, hash the content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock

from harness import paths
from harness.data.content import content_hash
from harness.data.corpus import Corpus
from harness.data.layouts import SPLITS
from harness.data.store import SCHEMA_VERSION, Store, read_store, spec_to_json
from harness.errors import DataFormatError, DataMissingError


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
            card: dict[str, Any] = head | _write_splits(corpus, root, folder, repair)
            # Of what is read back: the card speaks of what is on disk.
            written = Store(folder, card)
            card["split_hashes"] = written.split_hashes()
            card["content_hash"] = content_hash(written.spec, card["split_hashes"])
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
    """Return the source files whose size or time differ from what the store was made from.

    Args:
        store: the prepared data set.
        corpus: its reader.
        root: folder of the authors' files.
    """
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
    """Write every split; return the part of the card that follows from the data."""
    spec = corpus.spec
    files = corpus.source_files(root)
    writer = SPLITS[spec.layout].writer(folder, spec, ", ".join(f.name for f in files))
    counts: dict[str, int] = {}
    cleaned: dict[str, dict[str, int]] = {}
    facts: dict[str, dict[str, int]] = {}
    sd: dict[str, list[float]] = {}
    for split in corpus.read(root, repair=repair):
        writer.write(split)
        counts[split.name] = len(split.ids)
        cleaned[split.name] = dict(split.cleaned)
        facts[split.name] = dict(split.facts)
        if split.name == "train":
            sd = writer.deviations(split)
    if sorted(counts) != sorted(spec.splits):
        raise DataFormatError(
            f"{spec.name}: expected splits {', '.join(spec.splits)}, found {', '.join(counts)}."
        )
    return {
        "counts": counts,
        "cleaned": cleaned,
        "facts": facts,
        "feature_sd": sd,
        "content_hash": "",
    }
