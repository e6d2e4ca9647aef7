"""Tensors of torch files: the zip container and the legacy one, on the machine for pickles."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pickle import UnpicklingError
from typing import Any

import numpy as np

from harness.data.safe.allowed import Allowed, Budget
from harness.data.safe.files import Bounded, SafeFile
from harness.data.safe.held import OnDisk
from harness.data.safe.machine import run

# The legacy container is five pickles (magic number, version, system, object, storage keys), then
# the storages. This is the number 0x1950a86a20f9469cfc6c as a pickle holds it.
LEGACY_MAGIC = bytes.fromhex("6cfc9c46f9206aa85019")
LEGACY_PICKLES = 5

# Bytes that an expanded tensor may stand for, should its reader copy it.
MAX_EXPANDED = 2**28

_BLOCK = 2**20
# torch's name of the dtype by the name of a storage's class.
_DTYPES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32",
    "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
    "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """Where a member of a zip container lies in the file, as it is stored there."""

    name: str
    start: int
    size: int
    crc: int

    def open(self, file: SafeFile, *, check: bool = True) -> Bounded:
        """Return its bytes as a stream, once their check sum is known to be right.

        Args:
            file: the container.
            check: compute the check sum.

        Raises:
            UnpicklingError: it is not.
        """
        stream, crc = file.part(self.start, self.size), self.crc
        crc = 0 if check else crc
        while check and stream.left:
            crc = zlib.crc32(stream.read(min(_BLOCK, stream.left)), crc)
        if crc != self.crc:
            raise UnpicklingError(f"the check sum of {self.name} is wrong")
        return file.part(self.start, self.size)


class Storage:
    """The numbers that tensors are views of: ``size`` elements of ``dtype`` (torch's name)."""

    __slots__ = ("dtype", "key", "size", "values")

    def __init__(self, pid: Any) -> None:
        """Read a persistent id: ``('storage', class, key, location, size, ...)``."""
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise UnpicklingError("a storage of another form")
        kind, key, size = pid[1], pid[2], pid[4]
        named = kind.name if type(kind) is Allowed else ""
        if named not in _DTYPES or not isinstance(key, str) or type(size) is not int or size < 0:
            raise UnpicklingError("a storage of another form")
        self.key = key
        self.dtype = _DTYPES[named]
        self.size = size
        self.values: Any = None

    def allocate(self, most: int) -> None:
        """Make room for the numbers, at most ``most`` bytes.

        Raises:
            UnpicklingError: the file does not hold that many.
        """
        import torch

        dtype = getattr(torch, self.dtype)
        if self.size * dtype.itemsize > most:
            raise UnpicklingError(f"storage {self.key} is larger than the file")
        self.values = torch.empty(self.size, dtype=dtype)

    @property
    def nbytes(self) -> int:
        """Return the size in bytes."""
        return int(self.size * self.values.element_size())

    def fill(self, stream: Bounded, *, swapped: bool) -> None:
        """Read the numbers, written in the other byte order where ``swapped``."""
        import torch

        if not self.size:
            return
        raw = self.values.view(torch.uint8).numpy()
        width = self.values.element_size()
        width = width // 2 if self.dtype.startswith("complex") else width
        for start in range(0, self.nbytes, _BLOCK):
            size = min(_BLOCK, self.nbytes - start)
            block = np.frombuffer(stream.read(size), dtype=np.uint8)
            if swapped:
                block = block.reshape(-1, width)[:, ::-1].reshape(-1)
            raw[start : start + size] = block


def load_archive(file: SafeFile, disk: OnDisk | None = None) -> Any:
    """Return the object of a zip container; ``disk`` as in `run`."""
    members = _members(file)
    pickles = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise UnpicklingError("it holds no data.pkl; was it written by torch.save?")
    root = pickles[0].removesuffix("data.pkl")
    order = members.get(f"{root}byteorder")
    swapped = order is not None and order.open(file).read().strip() == b"big"
    made: dict[str, Storage] = {}
    source = members[pickles[0]]

    def storages(budget: Budget, pid: Any) -> Storage:
        wanted = Storage(pid)
        known = made.get(wanted.key)
        if known is not None:
            return known
        member = members.get(f"{root}data/{wanted.key}")
        if member is None:
            raise UnpicklingError(f"storage {wanted.key} is not in it")
        wanted.allocate(member.size)
        if wanted.nbytes != member.size:
            raise UnpicklingError(f"storage {wanted.key} is of another size than it says")
        position = file.stream.tell()
        wanted.fill(member.open(file), swapped=swapped)
        file.stream.seek(position)
        made[wanted.key] = wanted
        return wanted

    return run(source.open(file), storages, TORCH, disk)


def load_legacy(file: SafeFile, disk: OnDisk | None = None) -> Any:
    """Return the object of a legacy container, or of a plain pickle; ``disk`` as in `run`."""
    head = file.stream.read(64)
    file.stream.seek(0)
    if LEGACY_MAGIC not in head:
        return run(file.rest(), disk=disk)
    made: dict[str, Storage] = {}

    def storages(budget: Budget, pid: Any) -> Storage:
        wanted = Storage(pid)
        if wanted.key not in made:
            wanted.allocate(file.size)
            made[wanted.key] = wanted
            if sum(storage.nbytes for storage in made.values()) > file.size:
                raise UnpicklingError("its storages are larger than the file")
        return made[wanted.key]

    for _ in ("magic number", "version"):
        run(file.rest())
    system = run(file.rest())
    root = run(file.rest(), storages, TORCH, disk)
    keys = run(file.rest())
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(made):
        raise UnpicklingError("its list of storages is not that of its tensors")
    swapped = isinstance(system, dict) and not system.get("little_endian", True)
    stream = file.rest()
    for key in keys:
        (size,) = struct.unpack("<q", stream.read(8))
        if size != made[str(key)].size:
            raise UnpicklingError(f"storage {key} is of another size than it says")
        made[str(key)].fill(stream, swapped=swapped)
    return root


def pickles_of(file: SafeFile, *, check: bool = True) -> Iterator[Bounded]:
    """Yield the streams of a file's pickles, each to be walked before the next is asked for.

    Args:
        file: the file.
        check: compute check sums.
    """
    if file.is_zip:
        for name, member in _members(file).items():
            if name.endswith("data.pkl"):
                yield member.open(file, check=check)
        return
    for _ in range(LEGACY_PICKLES):
        yield file.rest()
        if file.stream.tell() >= file.size:
            return


def _members(file: SafeFile) -> dict[str, Member]:
    """Return the members of a zip container; torch stores them without compression."""
    found: dict[str, Member] = {}
    with zipfile.ZipFile(file.stream) as archive:
        entries = archive.infolist()
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise UnpicklingError(f"{entry.filename} is compressed, which torch.save never does")
        header = file.part(entry.header_offset, 30).read()
        names, extra = struct.unpack("<HH", header[26:30])
        start = entry.header_offset + 30 + names + extra
        file.part(start, entry.file_size)
        found[entry.filename] = Member(entry.filename, start, entry.file_size, entry.CRC)
    return found


def _tensor(budget: Budget, arguments: Sequence[Any]) -> Any:
    """Stand in for ``torch._utils._rebuild_tensor`` and its version 2: a view of a storage."""
    if not 4 <= len(arguments) <= 7:
        raise UnpicklingError("a tensor of another form")
    storage, offset, size, stride = arguments[:4]
    if not isinstance(storage, Storage) or not isinstance(size, tuple):
        raise UnpicklingError("a tensor of another form")
    whole = (offset, *size, *(stride if isinstance(stride, tuple) else (-1,)))
    if len(size) != len(stride) or len(size) > 32 or not all(
        type(n) is int and 0 <= n < 2**48 for n in whole
    ):  # fmt: skip
        raise UnpicklingError("a tensor without a shape of whole numbers")
    count, last = 1, offset
    for n, step in zip(size, stride, strict=True):
        count, last = count * n, last + (n - 1) * step
    if count and last >= storage.size:
        raise UnpicklingError("a tensor lies outside its storage")
    if not count and offset > storage.size:
        raise UnpicklingError("a tensor lies outside its storage")
    # An expanded tensor repeats its storage without holding it again.
    if count > storage.size and count * storage.values.element_size() > MAX_EXPANDED:
        raise UnpicklingError("a tensor repeats its storage too often")
    return storage.values.as_strided(size, stride, offset)


def _parameter(budget: Budget, arguments: Sequence[Any]) -> Any:
    import torch

    if not arguments or not isinstance(arguments[0], torch.Tensor):
        raise UnpicklingError("a parameter of another form")
    return arguments[0]


def _size(budget: Budget, arguments: Sequence[Any]) -> tuple[int, ...]:
    if len(arguments) != 1 or not isinstance(arguments[0], tuple | list):
        raise UnpicklingError("a size of another form")
    return tuple(arguments[0])


def _class(budget: Budget, arguments: Sequence[Any]) -> Any:
    raise UnpicklingError("a class that a data file names but does not call")


TORCH: dict[str, Allowed] = {
    "torch._utils._rebuild_tensor": Allowed("_rebuild_tensor", _tensor),
    "torch._utils._rebuild_tensor_v2": Allowed("_rebuild_tensor_v2", _tensor),
    "torch._utils._rebuild_parameter": Allowed("_rebuild_parameter", _parameter),
    "torch.Size": Allowed("Size", _size),
    **{f"torch.{name}": Allowed(name, _class) for name in _DTYPES},
}
