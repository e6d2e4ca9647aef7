"""Loading the authors' pickles through an allow-list: arrays, numbers, strings, containers.

A pickle is a program. Here it runs on a machine of ours that knows only what numeric data sets
need: every other name is refused before it is called, no object is altered, no array is made of
bytes that the file does not hold, and memory grows no faster than the file. This is the only
package of the harness that unpickles.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from harness.data.safe.files import checked
from harness.data.safe.held import HeldError, OnDisk
from harness.data.safe.machine import names_of, run
from harness.data.safe.torch_files import load_archive, load_legacy, pickles_of

__all__ = ["globals_of", "load_pickle", "load_torch", "needs_torch"]


def load_pickle(path: Path, *, mapped: bool = False) -> Any:
    """Load a plain pickle (protocols 0 to 5, Python 2 or 3) of arrays and containers.

    Args:
        path: the file.
        mapped: leave arrays of more than 1 MiB on disk, in the file itself where it holds their
            bytes, else in a temporary file (`harness.data.mapped.scratch_in`). They are read-only
            and may be unaligned; `harness.data.mapped.release` lets go of what has been read.

    Returns:
        Dicts, lists, tuples, sets, strings, numbers and NumPy arrays; an `argparse.Namespace` as
        `types.SimpleNamespace`, a ``defaultdict`` without its default.

    Raises:
        DataMissingError: the file is not there.
        UnsafePickleError: it asks for a global outside the allow-list; nothing was executed.
        DataFormatError: it is damaged, no pickle, nested too deeply, or asks for more memory than
            its content justifies.
        StorageError: ``mapped``, and the temporary file cannot be written.
    """
    with checked(path, "pickle") as file:
        if mapped:
            with contextlib.suppress(HeldError):
                return run(file.rest(), disk=OnDisk(file))
            file.stream.seek(0)
        return run(file.rest())


def load_torch(path: Path, *, mapped: bool = False) -> Any:
    """Load what ``torch.save`` wrote: the zip or the legacy container, any pickle protocol.

    A plain pickle under the name of a torch file is loaded as one.

    Args:
        path: the file.
        mapped: as in `load_pickle`, for NumPy arrays; tensors are in memory.

    Returns:
        As `load_pickle`, with tensors (on the CPU, without gradient) as `torch.Tensor`.

    Raises:
        DataMissingError: the file is not there.
        UnsafePickleError: it asks for a global outside the allow-list; nothing was executed.
        DataFormatError: as `load_pickle`, or a tensor lies outside its storage.
        StorageError: as `load_pickle`.
    """
    with checked(path, "torch file") as file:
        load = load_archive if file.is_zip else load_legacy
        if mapped:
            with contextlib.suppress(HeldError):
                return load(file, OnDisk(file))
            file.stream.seek(0)
        return load(file)


def globals_of(path: Path) -> tuple[str, ...]:
    """Return the globals a pickle or torch file asks for, sorted, without executing it.

    Raises:
        DataMissingError: the file is not there.
        DataFormatError: it is damaged or no pickle.
    """
    with checked(path, "pickle") as file:
        found: set[str] = set()
        for stream in pickles_of(file):
            found |= names_of(stream)
        return tuple(sorted(found))


def needs_torch(path: Path) -> bool:
    """Return whether a torch file holds tensors, and loading it imports torch.

    Raises:
        DataMissingError: the file is not there.
        DataFormatError: it is damaged or no torch file.
    """
    with checked(path, "torch file") as file:
        return any(
            name.startswith("torch.")
            for stream in pickles_of(file, check=False)
            for name in names_of(stream)
        )
