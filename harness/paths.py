"""Where things are kept, and writing them so that nothing is ever half there.

``HARNESS_DATA`` holds the authors' files, ``HARNESS_HOME`` prepared stores, twins, runs and
records. Flags override the environment through `set_roots`, a call's ``home=`` both (`using_home`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

from harness.boundary import printable, storage_error
from harness.errors import StorageError, UsageError

_roots: dict[str, Path] = {}
_home: ContextVar[Path | None] = ContextVar("harness_home", default=None)


def set_roots(home: Path | None = None, data: Path | None = None) -> None:
    """Override the roots for this process; None leaves a root as it is."""
    if home is not None:
        _roots["home"] = home
    if data is not None:
        _roots["data"] = data


@contextlib.contextmanager
def using_roots(home: Path, data: Path) -> Iterator[None]:
    """Override both roots for this process inside the block."""
    before = dict(_roots)
    set_roots(home, data)
    try:
        yield
    finally:
        _roots.clear()
        _roots.update(before)


@contextlib.contextmanager
def using_home(folder: str | Path | None) -> Iterator[None]:
    """Take ``folder`` as the home inside the block; None leaves it as it is.

    The override is local to the thread (or the asynchronous task) that enters the block.
    """
    if folder is None:
        yield
        return
    token = _home.set(Path(folder).expanduser().absolute())
    try:
        yield
    finally:
        _home.reset(token)


def home() -> Path:
    """Return the folder of prepared stores, runs and records (``HARNESS_HOME``)."""
    override = _home.get()
    if override is not None:
        return override
    given = _roots.get("home") or os.environ.get("HARNESS_HOME")
    return _folder(given or "~/.harness", "HARNESS_HOME")


def data_root() -> Path:
    """Return the folder of the authors' files (``HARNESS_DATA``, default ``<home>/data``)."""
    given = _roots.get("data") or os.environ.get("HARNESS_DATA")
    return _folder(given, "HARNESS_DATA") if given else home() / "data"


def _folder(given: str | Path, variable: str) -> Path:
    """Return a root, refusing what a library further down would misread."""
    text = str(given)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(
            f"{variable} is not UTF-8 ({printable(text)}); use a folder with another name."
        ) from None
    if "::" in text:
        raise UsageError(f"{variable}: '::' cannot be used in {text!r}; use another folder.")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        user = text.partition("/")[0]
        reason = "there is no home directory" if user == "~" else f"there is no user {user[1:]!r}"
        raise UsageError(
            f"{variable}: {text!r} cannot be used, {reason}; set {variable}."
        ) from None


def stores_dir() -> Path:
    """Return the folder of prepared stores."""
    return home() / "stores"


def runs_dir() -> Path:
    """Return the folder of runs, one sub-folder each."""
    return home() / "runs"


def twins_dir() -> Path:
    """Return the folder generated twins are written to in the authors' formats."""
    return home() / "twins"


@contextlib.contextmanager
def unhidden() -> Iterator[None]:
    """Raise what ended a ``torch.save`` of the block: an interrupt, or a disk that is full.

    It closes its archive whatever happened, fails at that too, and reports the latter.
    """
    try:
        yield
    except RuntimeError as closing:
        cause = closing.__context__
        full = isinstance(cause, OSError) and cause.errno == errno.ENOSPC
        if cause is None or not (full or isinstance(cause, KeyboardInterrupt)):
            raise
        raise cause from None


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a `StorageError` that names ``path`` and the remedy."""
    try:
        with unhidden():
            yield
    except OSError as error:
        raise storage_error(error, path) from error


@contextlib.contextmanager
def file_lock(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock of a path; another process that asks waits.

    Args:
        path: the lock's file, in a folder that exists.
        waiting: called when another process has it.

    Raises:
        StorageError: it cannot be written, or its file system has no locks.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        with storage_errors(path):
            try:
                lock.acquire(timeout=0 if waiting is not None else -1)
            except Timeout:
                if waiting is not None:
                    waiting()
                lock.acquire()
    except NotImplementedError as error:
        raise storage_error(OSError(errno.ENOLCK, str(error), str(path))) from error
    except StorageError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in (errno.EOPNOTSUPP, errno.EIO):
            raise storage_error(OSError(errno.ENOLCK, "", str(path))) from cause
        raise
    try:
        yield
    finally:
        lock.release()


def atomic_write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside its place, then rename it.

    Raises:
        StorageError: the path cannot be written; nothing is left behind.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def atomic_write_text(path: Path, text: str) -> None:
    """Write UTF-8 text as `atomic_write_bytes` does."""
    atomic_write_bytes(path, text.encode())


@contextlib.contextmanager
def atomic_dir(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``path`` if the block succeeds, else disappears.

    An existing ``path`` is replaced only at the end.

    Raises:
        StorageError: the folder cannot be written.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        temporary.chmod(0o755)
    try:
        with storage_errors(path):
            yield temporary
            if path.exists():
                old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
                path.rename(old / path.name)
                temporary.rename(path)
                shutil.rmtree(old)
            else:
                temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
