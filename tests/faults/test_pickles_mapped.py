"""Pickles whose large arrays stay on disk: the same values, the same refusals."""

from __future__ import annotations

import pickle
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.data.mapped import Scratch, release, scratch_in
from harness.data.safe import load_pickle, load_torch, machine, needs_torch
from harness.data.safe.held import OnDisk
from harness.errors import DataFormatError, StorageError
from tests.faults.test_pickles import HOSTILE, PROTO, STOP
from tests.fuzz import campaign as fuzz
from tests.fuzz.corpus import KINDS

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _small_data_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LARGE_DATA", 64)


def mapped(array: Any) -> bool:
    """Return whether an array's bytes are in a file."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, memoryview) and type(array.obj).__name__ == "mmap"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_every_protocol_stay_on_disk(protocol: int, tmp_path: Path) -> None:
    arrays = {
        "floats": RNG.standard_normal((50, 7)).astype(np.float32),
        "doubles": RNG.standard_normal(40),
        "big-endian": np.arange(300, dtype=">i4"),
        "fortran": np.asfortranarray(np.arange(60.0).reshape(6, 10)),
        "zeros": np.zeros((9, 9)),
    }
    value = {**arrays, "small": np.arange(1), "objects": np.array(["x" * 99, None], dtype=object)}
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    in_memory = load_pickle(path, mapped=True)  # for 'objects' holds long text
    assert in_memory["objects"].tolist() == ["x" * 99, None]
    del value["objects"]
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    found = load_pickle(path, mapped=True)
    assert not mapped(found.pop("small"))
    for key, array in arrays.items():
        assert mapped(found[key]) and not found[key].flags.writeable
        assert found[key].dtype == array.dtype
        np.testing.assert_array_equal(found[key], array)
        release(found[key])
        np.testing.assert_array_equal(found[key], array)


@pytest.mark.parametrize("legacy", [False, True])
def test_arrays_of_torch_files_stay_on_disk(legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    array = RNG.standard_normal((300, 50)).astype(np.float32)
    value = {"array": array, "tensor": torch.arange(12.0), "plain": [1, 2]}
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    found = load_torch(path, mapped=True)
    assert mapped(found["array"]) and found["plain"] == [1, 2]
    np.testing.assert_array_equal(found["array"], array)
    assert torch.equal(found["tensor"], value["tensor"])
    assert needs_torch(path)
    torch.save({"array": array}, path, _use_new_zipfile_serialization=not legacy)
    assert not needs_torch(path)


@pytest.mark.parametrize("broken", [b"\x80", b"\xc3", b"\xc4\x80", b"\xff"])
def test_text_that_is_no_latin_1_is_refused(broken: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    whole = pickle.dumps(np.zeros(100), protocol=2)
    assert whole.count(bytes(800)) == 1
    path.write_bytes(whole.replace(bytes(800), bytes(800 - len(broken)) + broken))
    with pytest.raises(DataFormatError, match=r"x\.pkl"):
        load_pickle(path, mapped=True)


def test_characters_may_be_cut_by_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.data.safe import held

    path = tmp_path / "x.pkl"
    array = RNG.integers(0, 256, 1000, dtype=np.uint8)
    path.write_bytes(pickle.dumps(array, protocol=2))
    for size in (2, 3, 7, 64):
        monkeypatch.setattr(held, "_BLOCK", size)
        np.testing.assert_array_equal(load_pickle(path, mapped=True), array)


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_refused_in_memory_is_refused_on_disk(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "LARGE_DATA", 4)
    path = tmp_path / "x.pkl"
    path.write_bytes(PROTO + HOSTILE[kind] + STOP)
    with pytest.raises(DataFormatError, match=r"x\.pkl"):
        load_pickle(path, mapped=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", PROTO + HOSTILE[kind] + STOP)
    with pytest.raises(DataFormatError, match=r"x\.pkl"):
        load_torch(path, mapped=True)


def test_a_cut_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(np.arange(100.0), protocol=4)[:-200])
    with pytest.raises(DataFormatError, match=r"x\.pkl.*truncated"):
        load_pickle(path, mapped=True)


@pytest.mark.parametrize("kind", KINDS)
def test_mutants_are_read_or_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LARGE_DATA", 16)
    monkeypatch.setattr(fuzz, "load_pickle", partial(load_pickle, mapped=True))
    monkeypatch.setattr(fuzz, "load_torch", partial(load_torch, mapped=True))
    result = fuzz.campaign(kind, 300, seed=20261129)
    assert not result.findings
    assert result.counts["read"] and result.counts["refused"]


def test_temporary_files_have_no_name_and_report_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scratch_in(tmp_path):
        scratch = Scratch(100)
    scratch.append(b"abc")
    place = scratch.align()
    scratch.append(np.arange(3.0))
    assert list(scratch.array(place, np.float64, 3)) == [0, 1, 2]
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="more is written"):
        scratch.append(bytes(200))

    def full(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(RNG.standard_normal(99), protocol=2))
    monkeypatch.setattr(OnDisk, "scratch", property(lambda _: Scratch(0)))
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(StorageError, match="disk is full"):
        load_pickle(path, mapped=True)
