"""Loading the authors' pickles through an allow-list: arrays, numbers, strings, containers.

A pickle is a program. Here it may only use the globals that numeric data sets need; any other is
refused by name before it is called. This is the only module of the harness that unpickles.
"""

from __future__ import annotations

import collections
import pickle
import pickletools
import re
import struct
import types
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from harness.errors import DataFormatError, DataMissingError, UnsafePickleError
from harness.paths import storage_errors

ZIP_MAGIC = b"PK\x03\x04"
# The legacy torch container is five pickles: magic number, version, system, object, storage keys.
LEGACY_PICKLES = 5

_BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    MemoryError,
    OverflowError,
    ImportError,
    RuntimeError,
    AssertionError,
    struct.error,
)


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """Stand in for ``_codecs.encode``, which would import whatever codec it is asked for."""
    if encoding not in ("latin1", "latin-1", "iso-8859-1"):
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not allowed")
    return text.encode("latin1")


def _allowed() -> dict[str, Any]:
    """Return the globals a pickle may use by ``module.name``, under numpy's old and new names."""
    # reduce() names the functions that numpy's own pickles ask for.
    reconstruct = np.zeros(1).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    frombuffer = np.zeros(1).__reduce_ex__(5)[0]
    table: dict[str, Any] = {
        "numpy.ndarray": np.ndarray,
        "numpy.dtype": np.dtype,
        "_codecs.encode": _latin1,
        "collections.OrderedDict": collections.OrderedDict,
        # A namespace of plain values; the real class could be altered by a pickle, this cannot.
        "argparse.Namespace": types.SimpleNamespace,
        "builtins.bytes": bytes,
        "__builtin__.bytes": bytes,
    }
    for package in ("numpy.core", "numpy._core"):
        table[f"{package}.multiarray._reconstruct"] = reconstruct
        table[f"{package}.multiarray.scalar"] = scalar
        table[f"{package}.numeric._frombuffer"] = frombuffer
    for name in ("Float16", "Float32", "Float64", "Int8", "Int16", "Int32", "Int64", "UInt8"):
        table[f"numpy.dtypes.{name}DType"] = getattr(np.dtypes, f"{name}DType")
    for name in ("Bool", "Object", "Str"):
        table[f"numpy.dtypes.{name}DType"] = getattr(np.dtypes, f"{name}DType")
    return table


ALLOWED: dict[str, Any] = _allowed()


class _SafeUnpickler(pickle.Unpickler):
    """An unpickler that resolves names from `ALLOWED` only."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        # latin1 is how Python-2 byte strings (old numpy pickles) keep their bytes.
        super().__init__(stream, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        """Return the allowed object of that name, or refuse."""
        full = f"{module}.{name}"
        if full not in ALLOWED:
            raise _unsafe(self._path, full)
        return ALLOWED[full]


def load_pickle(path: Path) -> Any:
    """Load a plain pickle (any protocol, Python 2 or 3) of arrays and containers.

    Raises:
        DataMissingError: the file is not there.
        UnsafePickleError: it asks for a global outside the allow-list; nothing was executed.
        DataFormatError: it is truncated or no pickle.
    """
    with _open(path) as stream:
        try:
            return _SafeUnpickler(stream, path).load()
        except _BROKEN as error:
            raise _broken(path, "pickle", error) from error


def load_torch(path: Path) -> Any:
    """Load what ``torch.save`` wrote, in the zip or the legacy container, weights-only.

    Raises:
        DataMissingError: the file is not there.
        UnsafePickleError: it asks for a global outside the allow-list; nothing was executed.
        DataFormatError: it is truncated or no torch file.
    """
    import torch

    # encode and OrderedDict are on torch's own list.
    own = ("_codecs", "collections")
    extra: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (value, name) for name, value in ALLOWED.items() if not name.startswith(own)
    ]
    with _open(path):
        pass
    try:
        with torch.serialization.safe_globals(extra):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (*_BROKEN, OSError) as error:  # seeking in a truncated zip is an OSError
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused is not None:
            raise _unsafe(path, refused.group(1)) from error
        raise _broken(path, "torch file", error) from error


def globals_of(path: Path) -> tuple[str, ...]:
    """Return the globals a pickle or torch file asks for, sorted, without loading it.

    Raises:
        DataMissingError: the file is not there.
        DataFormatError: it is truncated or no pickle.
    """
    with _open(path):
        pass
    try:
        return tuple(sorted(set(_scan(path))))
    except _BROKEN as error:
        raise _broken(path, "pickle", error) from error


def _scan(path: Path) -> Iterator[str]:
    with path.open("rb") as stream:
        head = stream.read(len(ZIP_MAGIC))
        stream.seek(0)
        if head == ZIP_MAGIC:
            try:
                with zipfile.ZipFile(stream) as archive:
                    inner = [n for n in archive.namelist() if n.endswith("data.pkl")]
                    for name in inner:
                        with archive.open(name) as member:
                            yield from _scan_stream(member)
            except (zipfile.BadZipFile, zlib.error) as error:
                raise ValueError(str(error)) from error
            return
        for _ in range(LEGACY_PICKLES):
            yield from _scan_stream(stream)
            if not stream.peek(1):
                return


def _scan_stream(stream: IO[bytes]) -> Iterator[str]:
    """Yield the names of GLOBAL and STACK_GLOBAL opcodes, following the memo for the latter."""
    memo: dict[int, str | None] = {}
    recent: list[str | None] = []
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".", 1)
            recent.append(None)
        elif name == "STACK_GLOBAL":
            module, attribute = [*recent[-2:], "?", "?"][:2]
            yield f"{module or '?'}.{attribute or '?'}"
            recent.append(None)
        elif name == "MEMOIZE":
            memo[len(memo)] = recent[-1] if recent else None
        elif "PUT" in name:
            memo[int(argument or 0)] = recent[-1] if recent else None
        elif "GET" in name:
            recent.append(memo.get(int(argument or 0)))
        elif "UNICODE" in name or "STRING" in name:
            recent.append(argument if isinstance(argument, str) and len(argument) < 200 else None)
        elif name not in ("PROTO", "FRAME"):
            recent.append(None)
        del recent[:-2]


def _open(path: Path) -> IO[bytes]:
    if not path.is_file():
        raise DataMissingError(f"{path} is not there.")
    with storage_errors(path):
        return path.open("rb")


def _unsafe(path: Path, name: str) -> UnsafePickleError:
    return UnsafePickleError(
        f"{path} asks for {name!r}, which a data file does not need; it was refused and nothing "
        "of it was executed. Get the file again from its authors."
    )


def _broken(path: Path, kind: str, error: BaseException) -> DataFormatError:
    # torch's texts go on about switching the protection off; their first words say what is wrong.
    reason = str(error).strip().split(". ")[0].split("\n")[0][:120] or type(error).__name__
    return DataFormatError(
        f"{path} cannot be read as a {kind}: it is truncated or damaged ({reason}). "
        "Copy or download it again."
    )
