"""Derived values of records, kept in ``HARNESS_HOME/cache`` under digests of what they come from.

Everything in it can be computed again: the folder may be removed at any time. An entry has a place
of its own, so that the cache grows with the number of runs and not with their changes, and begins
with the digest of its sources and that of its bytes. One that is cut short, damaged or of other
sources counts as none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache as once
from importlib import metadata, util
from pathlib import Path
from typing import Any

from harness.paths import home
from harness.plugins import Registry
from harness.records.artefacts import digest_of_bytes

log = logging.getLogger("harness")

FORMAT = 1
_KINDS = (".py", ".yaml", ".yml", ".json", ".j2", ".js", ".css")
# A plugin file may lie in a folder that is not its own.
_MOST_FILES = 500


class Cache:
    """Values by place and key in a folder; the key is a digest of all that a value depends on.

    Where the folder cannot be written, one line says so and values are computed each time.

    Args:
        folder: None: nothing is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._writable = True

    def get(self, place: str, key: str) -> Any:
        """Return the value at a place; None: there is none of this key, or it is damaged."""
        if self._folder is None:
            return None
        try:
            head, _, body = (self._folder / place).read_bytes().partition(b"\n")
            if head == _head(key, body):
                return json.loads(body)
        except (OSError, ValueError, RecursionError):
            pass
        return None

    def put(self, place: str, key: str, value: Any) -> None:
        """Keep a JSON value, under a temporary name until it is whole."""
        if self._folder is None or not self._writable:
            return
        path = self._folder / place
        temporary = ""
        try:
            body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new.")
            with os.fdopen(handle, "wb") as stream:
                stream.write(_head(key, body) + b"\n")
                stream.write(body)
            Path(temporary).replace(path)
        except (OSError, ValueError) as error:
            if temporary:
                Path(temporary).unlink(missing_ok=True)
            self._writable = False
            reason = error.strerror if isinstance(error, OSError) else str(error)
            log.warning(
                "%s cannot be written (%s): figures are computed anew each time.",
                self._folder, reason,
            )  # fmt: skip


def cache_of(root: Path, registry: Registry) -> tuple[Cache, str]:
    """Return the cache of a folder of records, and the digest of the code that derives from them.

    Nothing is kept where the code of a plugin cannot be told.
    """
    code = code_digest(registry)
    folder = home() / "cache" / "boards" / digest(str(root.absolute()))[:16]
    return Cache(folder if code else None), code


def digest(*parts: Any) -> str:
    """Return the digest of JSON values, 32 hexadecimal digits."""
    text = json.dumps(parts, sort_keys=True, default=repr)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def code_digest(registry: Registry) -> str:
    """Return the digest of the harness, the loaded plugins and the libraries that give figures.

    Empty where the files of a plugin cannot be told.
    """
    lines = [sys.version, *(f"{n} {metadata.version(n)}" for n in ("numpy", "scipy", "pyarrow"))]
    for source in ("harness", *(plugin.source for plugin in registry.plugins)):
        files = _files(source)
        if files is None:
            return ""
        lines += [f"{source} {name} {found}" for name, found in files]
    faults = [repr(broken) for broken in registry.broken]
    return digest(FORMAT, lines, faults, os.environ.get("HARNESS_PLUGINS", ""))


def _files(source: str) -> list[tuple[str, str]] | None:
    """Return the names and digests of a package's files, or of a plugin file's folder."""
    if source.endswith(".py"):
        return _beside(Path(source))
    return _package(source.partition(":")[0].partition(".")[0])


@once
def _package(name: str) -> list[tuple[str, str]] | None:
    # Once a process: what was imported stays as it was.
    spec = util.find_spec(name)
    return None if spec is None or spec.origin is None else _beside(Path(spec.origin))


def _beside(path: Path) -> list[tuple[str, str]] | None:
    try:
        folder = path.parent
        most = sys.maxsize if path.name == "__init__.py" else _MOST_FILES
        found = [file for file in _below(folder, most) if file.suffix in _KINDS]
        return [(str(f.relative_to(folder)), digest_of_bytes(f.read_bytes())) for f in found]
    except (OSError, OverflowError):
        return None


def _below(folder: Path, most: int = sys.maxsize) -> Iterable[Path]:
    """Return the files below a folder, in order.

    Raises:
        OverflowError: there are more than ``most``.
    """
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if f != "__pycache__" and not f.startswith("."))
        found += [Path(parent) / name for name in sorted(names)]
        if len(found) > most:
            raise OverflowError(folder)
    return found


def _head(key: str, body: bytes) -> bytes:
    return f"harness cache {FORMAT} {key} {digest_of_bytes(body)}".encode()


@contextlib.contextmanager
def warnings_said() -> Iterator[list[str]]:
    """Collect what is logged in the block: a board with warnings is made anew, to say them."""
    said: list[str] = []
    otherwise = None if log.hasHandlers() else logging.lastResort

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())
            if otherwise is not None:
                otherwise.handle(record)

    listener = Listener(logging.WARNING)
    log.addHandler(listener)
    try:
        yield said
    finally:
        log.removeHandler(listener)
