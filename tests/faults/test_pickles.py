"""Hostile and odd pickles: data, or one refusal that names the file."""

from __future__ import annotations

import argparse
import collections
import io
import os
import pickle
import signal
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.data.safe import globals_of, load_pickle, load_torch
from harness.errors import DataFormatError, UnsafePickleError
from tests.fuzz.campaign import OUTCOMES, campaign
from tests.fuzz.corpus import KINDS

PROTO, STOP, CALL, BUILD, NONE = b"\x80\x03", b".", b"R", b"b", b"N"
FALSE, TRUE = b"\x89", b"\x88"


def name(module: str, attribute: str) -> bytes:
    """Return the opcode of a global."""
    return f"c{module}\n{attribute}\n".encode()


def text(value: str) -> bytes:
    """Return the opcode of a string."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def whole(value: int) -> bytes:
    """Return the opcode of a number."""
    return b"J" + struct.pack("<i", value)


def raw(value: bytes) -> bytes:
    """Return the opcode of bytes."""
    return b"B" + struct.pack("<I", len(value)) + value


def tup(*items: bytes) -> bytes:
    """Return the opcodes of a tuple."""
    return b"(" + b"".join(items) + b"t"


def dtype(code: str) -> bytes:
    """Return the opcodes of a dtype before its state."""
    return name("numpy", "dtype") + tup(text(code), FALSE, TRUE) + CALL


def state(flags: int = 0, order: str = "|", size: int = -1, sub: bytes = NONE) -> bytes:
    """Return the opcodes that set a dtype's state."""
    parts = (whole(3), text(order), sub, NONE, NONE, whole(size), whole(-1), whole(flags))
    return tup(*parts) + BUILD


SCALAR = name("numpy.core.multiarray", "scalar")
BUFFER = name("numpy._core.numeric", "_frombuffer")
EMPTY = (
    name("numpy.core.multiarray", "_reconstruct")
    + tup(name("numpy", "ndarray"), tup(whole(0)), raw(b"b"))
    + CALL
)
FIELDS = (
    tup(whole(3), text("|"), NONE, tup(text("a")), b"}" + text("a")
        + tup(dtype("f8"), whole(4096)) + b"s", whole(8), whole(1), whole(0)) + BUILD
)  # fmt: skip
SUBARRAY = state(sub=tup(dtype("f8"), tup(whole(10**6))), size=8)


def array(shape: bytes, kind: bytes, data: bytes) -> bytes:
    """Return the opcodes of an array."""
    return EMPTY + tup(whole(1), shape, kind, FALSE, data) + BUILD


HOSTILE = {
    "object-scalar-from-bytes": SCALAR + tup(dtype("O8") + state(), raw(b"A" * 8)) + CALL,
    "object-array-from-bytes": array(tup(whole(1)), dtype("O8") + state(), raw(b"A" * 8)),
    "object-buffer": BUFFER + tup(raw(b"A" * 8), dtype("O8"), tup(whole(1)), text("C")) + CALL,
    "field-outside-item": array(tup(whole(1)), dtype("V8") + FIELDS, raw(b"A" * 8)),
    "subarray": array(tup(whole(1)), dtype("f8") + SUBARRAY, raw(b"A" * 8)),
    "flags-of-objects": array(tup(whole(1)), dtype("f8") + state(63, size=16), raw(b"A" * 8)),
    "more-shape-than-bytes": array(tup(whole(1000)), dtype("f8"), raw(b"A" * 8)),
    "negative-shape": array(tup(whole(-1)), dtype("f8"), raw(b"A" * 8)),
    "product-overflows": array(
        tup(*[whole(2**30)] * 3), dtype("f8"), raw(b"A" * 8)
    ),
    "ndarray-of-buffer": name("numpy", "ndarray") + tup(tup(whole(1)), text("O")) + CALL,
    "ndarray-of-nothing": name("numpy", "ndarray") + tup(tup(whole(3 * 10**8)), text("O")) + CALL,
    "newobj-of-ndarray": name("numpy", "ndarray") + tup(tup(whole(9))) + b"\x81",
    "inst-of-ndarray": b"(" + whole(1) + b"inumpy\nndarray\n",
    "memo-index": NONE + b"r" + struct.pack("<I", 2**28) + b"j" + struct.pack("<I", 7),
    "text-memo-index": NONE + b"p1000000000000\n",
    "bytes-of-a-number": name("builtins", "bytes") + tup(b"\x8a\x05\x00\x00\x00\x00\x04") + CALL,
    "many-dtypes": dtype("i4," * 1000),
    "deep-key": b"})" + b"\x85" * 200_000 + b"Ns",
    "deep-set": b"\x8f()" + b"\x85" * 200_000 + b"\x90",
    "deep-frozenset": b"()" + b"\x85" * 200_000 + b"\x91",
    "deep-value": b")" + b"\x85" * 200_000,
    "marks": b"(" * 200_000,
    "unknown-codec": name("builtins", "bytes") + tup(text("a"), text("no-such-codec")) + CALL,
    "zip-codec": name("_codecs", "encode") + tup(text("a"), text("zip")) + CALL,
    "stand-in-altered": name("_codecs", "encode")
    + tup(NONE, b"}" + text("__defaults__") + tup(text("utf-7")) + b"s") + BUILD,
    "array-used-twice": EMPTY + b"q\x01" + b"h\x01" + tup(whole(1)) + BUILD,
    "state-of-a-list": b"]" + b"}" + text("a") + NONE + b"s" + BUILD,
    "extension": b"\x82\x01",
    "next-buffer": b"\x97",
    "persistent": b"Px\n",
    "unhashable-key": b"}]Ns",
    "call-of-a-string": text("a") + tup() + CALL,
    "unfinished-array": EMPTY,
    "announced-bytes": b"\x8e" + struct.pack("<Q", 2**40),
    "announced-bytearray": b"\x96" + struct.pack("<Q", 2**34),
    "announced-frame": b"\x95" + struct.pack("<Q", 2**34),
    "colliding-keys": b"}(" + b"".join(
        b"\x8a\x09" + ((2**61 - 1) * (k + 1)).to_bytes(9, "little") + NONE for k in range(20)
    ) + b"u",
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("container", ["pickle", "torch"])
def test_hostile_pickle_is_refused_by_name(kind: str, container: str, tmp_path: Path) -> None:
    content = PROTO + HOSTILE[kind] + STOP
    path = tmp_path / ("x.pkl" if container == "pickle" else "x.pt")
    if container == "pickle":
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x/data.pkl", content)
    with pytest.raises(DataFormatError, match=r"x\.p(kl|t)"):
        (load_pickle if container == "pickle" else load_torch)(path)


def test_multiplied_content_is_refused(tmp_path: Path) -> None:
    one = raw(b"A" * 2**20) + b"q\x01" + b"0]("
    copies = b"".join(name("builtins", "bytearray") + b"h\x01\x85" + CALL for _ in range(200))
    path = tmp_path / "x.pkl"
    path.write_bytes(PROTO + one + copies + b"e" + STOP)
    with pytest.raises(DataFormatError, match="more memory than its content"):
        load_pickle(path)


def test_a_refused_file_leaves_the_loader_as_it_was(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.pkl", tmp_path / "good.pkl"
    bad.write_bytes(PROTO + HOSTILE["stand-in-altered"] + STOP)
    good.write_bytes(PROTO + name("_codecs", "encode") + tup(text("a")) + CALL + STOP)
    with pytest.raises(DataFormatError):
        load_pickle(bad)
    assert load_pickle(good) == b"a"


@pytest.mark.parametrize("protocol", range(6))
def test_harmless_content_of_every_protocol(protocol: int, tmp_path: Path) -> None:
    value: dict[str, Any] = {
        "set": {1, 2},
        "frozen": frozenset("ab"),
        "default": collections.defaultdict(list, a=[1]),
        "ordered": collections.OrderedDict(b=1, a=2),
        "deque": collections.deque([1, 2], maxlen=3),
        "counter": collections.Counter("aab"),
        "bytes": b"\x00\xff",
        "bytearray": bytearray(b"xyz"),
        "complex": 1 + 2j,
        "long": 2**80,
        "space": argparse.Namespace(a=1, b=[2]),
        "float": np.float32(1.5),
        "flag": np.bool_(True),
        "word": np.str_("ab"),
        "day": np.datetime64("2024-02-29"),
    }
    arrays = {
        "big-endian": np.arange(3, dtype=">i4"),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "days": np.arange(3).astype("datetime64[D]"),
        "objects": np.array([[1], "x", None], dtype=object),
        "half": np.ones(2, np.float16),
    }
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({**value, **arrays}, protocol=protocol))
    found = load_pickle(path)
    assert vars(found.pop("space")) == {"a": 1, "b": [2]}
    assert found["deque"].maxlen == 3 and list(found["ordered"]) == ["b", "a"]
    for key, array_ in arrays.items():
        got = found.pop(key)
        assert type(got) is np.ndarray and got.dtype == array_.dtype and got.flags.writeable
        np.testing.assert_array_equal(got, array_)
    del value["space"]
    assert found == value


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_tensors(legacy: bool, protocol: int, tmp_path: Path) -> None:
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    value = {
        "base": base,
        "column": base[:, 1],
        "half": torch.ones(2, dtype=torch.bfloat16),
        "empty": torch.zeros(0, 3),
        "flag": torch.tensor([True, False]),
        "expanded": torch.arange(3.0).expand(500, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "array": np.arange(3.0),
    }
    path = tmp_path / "x.pt"
    torch.save(value, path, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load_torch(path)
    for key, tensor in value.items():
        if isinstance(tensor, torch.Tensor):
            assert found[key].dtype == tensor.dtype and not found[key].requires_grad
            assert torch.equal(found[key], tensor.detach())
    np.testing.assert_array_equal(found["array"], value["array"])


def test_a_plain_pickle_under_the_name_of_a_torch_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(pickle.dumps({"a": [1]}))
    assert load_torch(path) == {"a": [1]}


def test_a_tensor_outside_its_storage_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    torch.save(torch.zeros(4), stream)
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(stream) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.namelist():
            content = source.read(entry)
            if entry.endswith("data.pkl"):
                content = content.replace(b"K\x04\x85", b"K\x05\x85")
            target.writestr(entry, content)
    with pytest.raises(DataFormatError, match="outside its storage"):
        load_torch(path)


def test_compressed_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"N" * 10**6 + STOP)
    for load in (load_torch, globals_of):
        with pytest.raises(DataFormatError, match="compressed"):
            load(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 1\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"\x93NUMPY\x01\x00", "npy"),
        (b"", "truncated or damaged"),
        (b"not a pickle at all", "truncated or damaged"),
    ],
)
def test_what_is_no_pickle_is_called_what_it_is(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "train_valid_test.pt"
    path.write_bytes(content)
    for load in (load_pickle, load_torch):
        with pytest.raises(DataFormatError, match=said):
            load(path)


def test_names_are_listed_without_calling_them(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(b"cposix\nsystem\n(S'true'\ntR.")
    assert globals_of(path) == ("posix.system",)
    with pytest.raises(UnsafePickleError, match=r"posix\.system"):
        load_pickle(path)


@pytest.mark.parametrize("kind", KINDS)
def test_mutants_are_read_or_refused(kind: str) -> None:
    result = campaign(kind, 500, seed=20261128)
    assert not result.findings
    assert sum(result.counts[outcome] for outcome in OUTCOMES) == 500
    assert result.counts["read"] and result.counts["refused"]


def test_a_campaign_finds_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.fuzz import campaign as module

    def crashes(path: Path) -> None:
        content = path.read_bytes()
        if content == b"die":
            os.kill(os.getpid(), signal.SIGKILL)
        if content == b"key":
            raise KeyError
        if content == b"loop":
            while True:
                pass

    monkeypatch.setattr(module, "load_pickle", crashes)
    monkeypatch.setattr(module, "SECONDS", 0.2)
    result = module.Result()
    module._judge("pickle", [b"fine", b"die", b"key", b"loop", b"fine"], result)
    assert result.counts == {"read": 2, "crash": 1, "KeyError": 1, "hang": 1}
    assert {content for _, _, content in result.findings} == {b"die", b"key", b"loop"}
