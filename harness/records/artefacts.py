"""The files of a run or a store: written together, read only if they are what was written.

A `transaction` writes new files under temporary names and then one journal that names them; from
that moment the new state holds. A process that dies before it leaves the old state, one that dies
after it leaves renames that whoever opens the folder next completes (`recover`).

Digests guard against accidents (a disk, a copy into the wrong folder), not against an attacker:
they are hashes of the bytes, kept in the record or card that the files belong to. A file that was
verified is not hashed again while its size, time and inode stay the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.errors import DataFormatError, DataMissingError
from harness.paths import storage_errors

JOURNAL = ".commit.json"
VERIFIED = ".verified.json"
PREFIX = ".new."
# What killed processes leave behind: of a transaction, and of a file written on its own.
LEFTOVERS = (f"{PREFIX}*", ".write-*", ".*.*.????????")

_BLOCK = 2**20
# What this process verified, by path: folders that cannot be written remember nothing themselves.
_seen: dict[Path, list[Any]] = {}


def digest_of(path: Path) -> str:
    """Return the digest of a file's bytes, ``blake2b:`` and 32 hexadecimal digits."""
    state = hashlib.blake2b(digest_size=16)
    with storage_errors(path), path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            state.update(block)
    return f"blake2b:{state.hexdigest()}"


def digest_of_bytes(content: bytes) -> str:
    """Return the digest of bytes, as `digest_of` gives it for a file of them."""
    return f"blake2b:{hashlib.blake2b(content, digest_size=16).hexdigest()}"


class Transaction:
    """New files of a folder, not yet in force."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, str] = {}

    def path(self, name: str) -> Path:
        """Return the temporary path at which to write the new file ``name``.

        A name may lead into a folder below, with slashes; `recover` clears only the folder itself.
        """
        if name not in self.names:
            beside = (self.folder / name).parent
            beside.mkdir(parents=True, exist_ok=True)
            handle, made = tempfile.mkstemp(dir=beside, prefix=f"{PREFIX}{Path(name).name}.")
            os.close(handle)
            Path(made).chmod(0o644)
            # mkstemp answers with an absolute path, also where the folder is relative.
            self.names[name] = (Path(name).parent / Path(made).name).as_posix()
        return self.folder / self.names[name]

    def write(self, name: str, content: bytes) -> str:
        """Write the new file ``name``; return its digest."""
        self.path(name).write_bytes(content)
        return digest_of_bytes(content)

    def digest(self, name: str) -> str:
        """Return the digest of the new file ``name``."""
        return digest_of(self.path(name))

    def remove(self, name: str) -> None:
        """Have no file ``name`` once the others are in force."""
        self.names[name] = ""


@contextlib.contextmanager
def transaction(folder: Path) -> Iterator[Transaction]:
    """Write files of a folder so that all of them take the place of the old ones, or none.

    The caller holds the folder for itself (`RunStore.lock`). Files come into force in the order in
    which they were first named: what proves the others (the record, the card) is named last.

    Raises:
        StorageError: the folder cannot be written; the old files are as they were.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    recover(folder)
    made = Transaction(folder)
    try:
        with storage_errors(folder):
            yield made
            if not made.names:
                return
            for name in filter(None, made.names.values()):
                _sync(folder / name)
            journal = folder / f"{PREFIX}{JOURNAL}"
            journal.write_text(json.dumps(made.names), "utf-8")
            _sync(journal)
            journal.replace(folder / JOURNAL)
    except BaseException:
        if not (folder / JOURNAL).exists():
            for name in filter(None, made.names.values()):
                (folder / name).unlink(missing_ok=True)
        raise
    with storage_errors(folder):
        _complete(folder, made.names)


def recover(folder: Path) -> None:
    """Complete what a killed process committed, and clear what it had only begun.

    Nothing happens where the folder cannot be written: `current` finds the new files all the same.
    """
    names = _pending(folder)
    with contextlib.suppress(OSError):
        if names or (folder / JOURNAL).exists():
            _complete(folder, names)
        clear(folder, LEFTOVERS)


def clear(folder: Path, patterns: Iterable[str]) -> None:
    """Remove the files and folders below ``folder`` that fit one of the patterns."""
    for left in (path for pattern in patterns for path in folder.glob(pattern)):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def current(folder: Path, name: str) -> Path:
    """Return where the file ``name`` in force is, also while its transaction is not completed."""
    pending = _pending(folder).get(name)
    if pending and (folder / pending).is_file():
        return folder / pending
    return folder / name


def read_current(folder: Path, name: str) -> bytes | None:
    """Return the bytes of the file ``name`` in force; None: there is none.

    Raises:
        DataFormatError: a folder is in its place.
        StorageError: it cannot be read.
    """
    for _ in range(2):  # once more where another process completes its transaction meanwhile
        path = current(folder, name)
        if path.is_dir():
            raise DataFormatError(f"{folder.name}/{name} is a folder. Run again with --rerun.")
        with storage_errors(path), contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
    return None


def check(path: Path, digest: str | None, remedy: str, *, full: bool = False) -> None:
    """Check that a file is the one that was written.

    Args:
        path: the file.
        digest: its digest by the record or card; None: nothing is known of it.
        remedy: what to do about another file, as a clause ("run again with --rerun").
        full: hash the bytes even if the file looks as it did when it was last verified.

    Raises:
        DataMissingError: it is not there.
        DataFormatError: it is another file, or damaged.
    """
    where = f"{path.parent.name}/{path.name}"
    with storage_errors(path):
        if not path.is_file():
            raise DataMissingError(f"{where} is missing; {remedy}.")
        if digest is None:
            return
        signature = _signature(path, digest)
    if not full and signature in (_seen.get(path), _remembered(path.parent).get(path.name)):
        return
    if digest_of(path) != digest:
        raise DataFormatError(f"{where} is damaged or another file than was written; {remedy}.")
    _remember(path, signature)


def remember(path: Path, digest: str) -> None:
    """Remember that the file has this digest, which was taken of its bytes just now."""
    _remember(path, _signature(path, digest))


def _signature(path: Path, digest: str) -> list[Any]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino, digest]


def _pending(folder: Path) -> dict[str, str]:
    try:
        found = json.loads((folder / JOURNAL).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _complete(folder: Path, names: dict[str, str]) -> None:
    for name, temporary in names.items():
        if not temporary:
            (folder / name).unlink(missing_ok=True)
            continue
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        # Another process may complete the same journal: what is gone is in its place.
        with contextlib.suppress(FileNotFoundError):
            (folder / temporary).replace(folder / name)
    (folder / JOURNAL).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _remembered(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / VERIFIED).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(path: Path, signature: list[Any]) -> None:
    _seen[path] = signature
    known = {**_remembered(path.parent), path.name: signature}
    # A hint that saves a hash: where it cannot be kept, the file is hashed again next time.
    with contextlib.suppress(OSError):
        handle, made = tempfile.mkstemp(dir=path.parent, prefix=f"{PREFIX}{VERIFIED}.")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(known, stream)
        Path(made).chmod(0o644)
        Path(made).replace(path.parent / VERIFIED)
