"""Preparing a store: read and validate the authors' files once, write Arrow, hash the content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import paths
from harness.boundary import printable
from harness.data.child import in_child
from harness.data.content import content_hash
from harness.data.corpus import Corpus
from harness.data.layouts import SPLITS
from harness.data.mapped import scratch_in
from harness.data.store import (
    DAMAGED,
    SCHEMA_VERSION,
    Store,
    locked,
    read_store,
    spec_to_json,
    write_card,
)
from harness.data.validate import Validation
from harness.errors import (
    DataFormatError,
    DataMissingError,
    HarnessError,
    PluginError,
    StorageError,
)


def prepare(
    corpus: Corpus,
    root: Path,
    name: str,
    *,
    repair: bool = False,
    twin: Mapping[str, Any] | None = None,
    force: bool = False,
    expected: str | None = None,
) -> Store:
    """Prepare ``stores_dir()/name`` from the authors' files under ``root``, and open it.

    Nothing is done, and no lock is taken, where an intact store was made from the same files by the
    same reader. The store appears as a whole or not at all; a second process waits for the first.
    The files are read in a child process (`harness.data.child`), within limits unless they are
    generated.

    Args:
        corpus: the reader.
        root: folder of the authors' files.
        name: name of the store.
        repair: set NaN and infinite features to 0 and count them, instead of refusing them.
        twin: facts about a generated source (version, seed, size); None: real data.
        force: prepare even if the store is up to date.
        expected: content hash that the store must have to appear; None: any.

    Returns:
        The store; its notice says what was wrong with the one before, if it was damaged.

    Raises:
        DataMissingError: files are not there.
        DataFormatError: files are not as documented, or not those that were expected.
        StorageError: the store cannot be written.
    """
    target = paths.stores_dir() / name
    files = source_files(corpus, root)

    def up_to_date() -> tuple[Store | None, str]:
        known, damage = found(target)
        same = known is not None and _same(known.card, corpus, files, repair, twin)
        return (known if same and not damage and not force else None), damage

    known, _ = up_to_date()
    if known is not None:
        return known
    with locked(target):
        known, damage = up_to_date()  # another process may just have made it
        if known is not None:
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
            SPLITS[corpus.spec.layout].writer(folder, corpus.spec)  # imported before the child is
            write_card(
                folder,
                in_child(
                    corpus.spec.name,
                    files,
                    lambda: _written(corpus, root, folder, repair, head, expected),
                    limited=twin is None,
                ),
            )
    store = read_store(target)
    if store is None:
        raise DataFormatError(f"{target} vanished while it was prepared; prepare it again.")
    store.notice = f"{damage} It was prepared again." if damage else ""
    return store


def found(target: Path) -> tuple[Store | None, str]:
    """Return the store in a folder, None without a readable card, and what is damaged in it."""
    store = None
    try:
        store = read_store(target)
        if store is not None:
            store.check()
    except DAMAGED as error:
        return store, str(error).partition("; prepare it")[0].partition(" Prepare it")[0] + "."
    return store, ""


def source_files(corpus: Corpus, root: Path) -> list[Path]:
    """Return the files a corpus reads.

    Raises:
        DataMissingError: some are not there; names each with what it is.
    """
    missing = missing_files(corpus, root)
    if missing:
        told = {root / f.path: f.description for f in corpus.spec.files}
        lines = [f"  {path}  ({told.get(path, 'needed')})" for path in missing]
        raise DataMissingError(
            f"files of {corpus.spec.base_name} are not there:\n" + "\n".join(lines) + "\n"
            "Put them there, or set HARNESS_DATA (or --data-root) to the folder that holds them."
        )
    return _asked(corpus, root, "source_files")


def missing_files(corpus: Corpus, root: Path) -> list[Path]:
    """Return the expected files that are not there.

    Raises:
        StorageError: a folder cannot be entered.
        PluginError: the corpus raised something else.
    """
    return _asked(corpus, root, "missing")


def _asked(corpus: Corpus, root: Path, what: str) -> list[Path]:
    """Return the files that a corpus names; whatever it raises is a message about it."""
    try:
        return list(getattr(corpus, what)(root))
    except HarnessError:
        raise
    except OSError as error:
        raise StorageError(
            f"cannot look for {corpus.spec.base_name} in {error.filename or root}: "
            f"{(error.strerror or str(error)).lower()}; ask its owner, or set HARNESS_DATA (or "
            "--data-root) to another folder."
        ) from error
    except Exception as error:
        raise PluginError(
            f"data set {corpus.spec.name!r}: {type(corpus).__name__}.{what} failed with "
            f"{type(error).__name__}: {printable(str(error))}"
        ) from error


def changed_sources(store: Store, corpus: Corpus, root: Path) -> list[Path]:
    """Return the source files whose size or time differ from what the store was made from.

    Args:
        store: the prepared data set.
        corpus: its reader.
        root: folder of the authors' files.
    """
    if missing_files(corpus, root):
        return []
    known = {s["path"]: s for s in store.card["sources"]}
    files = _asked(corpus, root, "source_files")
    return [f for f in files if not _unchanged(known.get(str(f)), f)]


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with paths.storage_errors(path), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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


def _written(
    corpus: Corpus,
    root: Path,
    folder: Path,
    repair: bool,
    head: dict[str, Any],
    expected: str | None,
) -> dict[str, Any]:
    """Write every split; return the card: of what is on disk, read back."""
    spec = corpus.spec
    checks = Validation(spec, corpus.source_files(root), repair=repair)
    writer = SPLITS[spec.layout].writer(folder, spec)
    counts: dict[str, int] = {}
    cleaned: dict[str, dict[str, int]] = {}
    facts: dict[str, dict[str, int]] = {}
    sd: dict[str, list[float]] = {}
    with scratch_in(folder):  # where arrays that stay on disk are
        for split in checks.splits(corpus, root):
            writer.write(split)
            counts[split.name] = len(split.ids)
            cleaned[split.name] = dict(split.cleaned)
            facts[split.name] = dict(split.facts)
            if split.name == "train":
                sd = writer.deviations(split)
            del split  # before the next is read
    card = head | {
        "counts": counts,
        "cleaned": cleaned,
        "warnings": checks.warnings,
        "facts": facts,
        "feature_sd": sd,
        "content_hash": "",
    }
    written = Store(folder, card)
    card["split_hashes"] = written.split_hashes()
    card["content_hash"] = content_hash(written.spec, card["split_hashes"])
    if expected not in (None, card["content_hash"]):
        raise DataFormatError(
            f"{root}: expected the content {expected}, found {card['content_hash']}: {spec.name} "
            "has other sizes, names or labels here than where it was exported."
        )
    card["files"] = written.digests()
    return card
