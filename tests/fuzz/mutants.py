"""Mutants of files: bytes, numbers and opcodes changed, moved, doubled or taken from elsewhere."""

from __future__ import annotations

import io
import pickletools
import random
import struct
import zipfile
from collections.abc import Callable

# Opcodes in themselves, and short programs that have done harm to loaders.
SPLICES = (
    *(op.code.encode("latin1") for op in pickletools.opcodes),
    b"(", b"t", b"R", b"b", b".", b"N", b"}", b"]", b"0", b"1", b"2", b"u", b"s", b"e", b"a",
    b"r" + struct.pack("<I", 2**28), b"j" + struct.pack("<I", 5), b"h\x01", b"q\x01",
    b"p99999999\n",
    b"B" + struct.pack("<I", 2**31 - 1), b"\x8e" + struct.pack("<Q", 2**40), b"J\xff\xff\xff\xff",
    b"X" + struct.pack("<I", 2**30), b"\x8b" + struct.pack("<i", 2**30), b"\x95" + b"\xff" * 8,
    b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\nscalar\n",
    b"cnumpy._core.multiarray\n_reconstruct\n", b"cnumpy._core.numeric\n_frombuffer\n",
    b"c_codecs\nencode\n", b"cbuiltins\nbytes\n", b"cbuiltins\nset\n", b"ccollections\ndeque\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n", b"cbuiltins\neval\n",
    b"(K\x00K\x00t", b"X\x02\x00\x00\x00O8", b"X\x02\x00\x00\x00V8", b"\x85" * 200, b"(" * 200,
    b"X\x04\x00\x00\x00" + b"U999",
    b"K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t",
)  # fmt: skip


def mutant(rng: random.Random, seeds: list[bytes], kind: str) -> bytes:
    """Return a mutant of one of the files; of a zip container mostly of the pickle within it."""
    base = rng.choice(seeds)
    if kind != "torch-zip" or rng.random() < 0.25:
        return _changed(rng, base, seeds)
    return _inside(rng, base)


def _inside(rng: random.Random, base: bytes) -> bytes:
    """Return a zip container with one member changed and its check sum right."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(base)) as source, zipfile.ZipFile(stream, "w") as target:
        names = source.namelist()
        inner = [name for name in names if name.endswith("data.pkl")]
        chosen = rng.choice(inner if rng.random() < 0.85 else names)
        for name in names:
            content = source.read(name)
            target.writestr(name, _changed(rng, content, [content]) if name == chosen else content)
    return stream.getvalue()


def _changed(rng: random.Random, base: bytes, others: list[bytes]) -> bytes:
    content = bytearray(base)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        _WAYS[rng.randrange(len(_WAYS))](rng, content, others)
    return bytes(content)


def _place(rng: random.Random, content: bytearray) -> int:
    return rng.randrange(len(content)) if content else 0


def _flip(rng: random.Random, content: bytearray, others: list[bytes]) -> None:
    if content:
        content[_place(rng, content)] ^= 1 << rng.randrange(8)


def _set(rng: random.Random, content: bytearray, others: list[bytes]) -> None:
    if content:
        content[_place(rng, content)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _number(rng: random.Random, content: bytearray, others: list[bytes]) -> None:
    at = _place(rng, content)
    width, value = rng.choice((("<I", 2**31), ("<I", 2**32 - 1), ("<Q", 2**40), ("<H", 65535)))
    content[at : at + struct.calcsize(width)] = struct.pack(width, value)


def _cut(rng: random.Random, content: bytearray, others: list[bytes]) -> None:
    at = _place(rng, content)
    del content[at : at + rng.choice((1, 2, 5, 20, 10**6))]


def _double(rng: random.Random, content: bytearray, others: list[bytes]) -> None:
    at = _place(rng, content)
    piece = bytes(content[at : at + rng.randrange(1, 60)])
    where = _place(rng, content)
    content[where:where] = piece * rng.choice((1, 1, 2, 50))


def _splice(rng: random.Random, content: bytearray, others: list[bytes]) -> None:
    at = _place(rng, content)
    content[at:at] = rng.choice(SPLICES)


def _replace(rng: random.Random, content: bytearray, others: list[bytes]) -> None:
    at, piece = _place(rng, content), rng.choice(SPLICES)
    content[at : at + len(piece)] = piece


def _graft(rng: random.Random, content: bytearray, others: list[bytes]) -> None:
    other = rng.choice(others)
    start = rng.randrange(len(other)) if other else 0
    at = _place(rng, content)
    content[at:at] = other[start : start + rng.randrange(1, 120)]


_WAYS: tuple[Callable[[random.Random, bytearray, list[bytes]], None], ...] = (
    _flip, _flip, _set, _number, _cut, _double, _splice, _splice, _replace, _graft,
)  # fmt: skip
