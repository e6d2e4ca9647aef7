"""Only data comes out of a pickle: nothing runs, and every damage is one clear message."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.data.safe import globals_of, load_pickle, load_torch
from harness.errors import DataFormatError, DataMissingError, UnsafePickleError
from tests.unit.data.data_files import aligned, write_aligned


class Touch:
    """A hostile object: unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


class Evil:
    """A hostile object: unpickling it would evaluate a string."""

    def __init__(self, path: Path) -> None:
        self.code = f"open({str(path)!r}, 'w')"

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (self.code,)


@pytest.mark.parametrize("protocol", range(6))
def test_hostile_pickle_is_refused_by_name(tmp_path: Path, protocol: int) -> None:
    bait = tmp_path / "bait"
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"a": np.zeros(3), "b": Evil(bait)}, protocol=protocol))
    with pytest.raises(UnsafePickleError, match=r"x\.pkl asks for '(builtins|__builtin__)\.eval'"):
        load_pickle(path)
    assert not bait.exists()
    assert any(name.endswith("eval") for name in globals_of(path))


@pytest.mark.parametrize("legacy", [False, True])
def test_hostile_torch_file_is_refused_by_name(tmp_path: Path, legacy: bool) -> None:
    bait = tmp_path / "bait"
    path = tmp_path / "x.pt"
    torch.save({"b": Evil(bait)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UnsafePickleError, match="eval"):
        load_torch(path)
    assert not bait.exists()
    assert any(name.endswith("eval") for name in globals_of(path))


@pytest.mark.parametrize(
    "hostile",
    [
        b"cposix\nsystem\n(S'true'\ntR.",
        b"c_codecs\nencode\n(Vabc\nVrot13\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cargparse\nFileType\n(tR.",
    ],
)
def test_no_other_door(tmp_path: Path, hostile: bytes) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(hostile)
    with pytest.raises(DataFormatError):
        load_pickle(path)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.97])
def test_truncated_torch_file(tmp_path: Path, legacy: bool, share: float) -> None:
    path = write_aligned(tmp_path, aligned(), legacy)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataFormatError, match=r"train_valid_test\.pt cannot be read") as caught:
        load_torch(path)
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.97])
def test_truncated_pickle(tmp_path: Path, share: float) -> None:
    path = tmp_path / "x.pkl"
    content = pickle.dumps([np.arange(50), {"a": ["b"] * 9}])
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataFormatError, match="truncated or damaged"):
        load_pickle(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_survive_every_protocol(tmp_path: Path, protocol: int) -> None:
    value = {
        "f4": np.arange(6, dtype=np.float32).reshape(2, 3),
        "f8": np.arange(3.0),
        "text": np.array(["a", "bc"]),
        "objects": np.array([[1], [2, 3]], dtype=object),
        "scalar": np.float64(2.5),
        "none": np.zeros((0, 3)),
    }
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    found = load_pickle(path)
    assert found["scalar"] == 2.5
    for key in ("f4", "f8", "text", "objects", "none"):
        assert found[key].dtype == value[key].dtype
        np.testing.assert_array_equal(found[key], value[key])


def test_names_of_numpy_1_and_python_2_are_read(tmp_path: Path) -> None:
    content = pickle.dumps(np.arange(3.0), protocol=2)
    old = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != content
    path = tmp_path / "x.pkl"
    path.write_bytes(old)
    np.testing.assert_array_equal(load_pickle(path), np.arange(3.0))
    path.write_bytes(b"S'caf\\xe9'\n.")
    assert load_pickle(path) == "café"
    container = write_aligned(tmp_path, aligned(), legacy=True)
    container.write_bytes(container.read_bytes().replace(b"numpy._core.", b"numpy.core."))
    assert load_torch(container)["train"]["src-text"].shape == (7, 6, 5)


def test_settings_come_out_as_plain_values(tmp_path: Path) -> None:
    found = load_torch(write_aligned(tmp_path, aligned()))
    assert found["settings"].max_text_seq_len == 6


def test_absent_file(tmp_path: Path) -> None:
    for load in (load_pickle, load_torch, globals_of):
        with pytest.raises(DataMissingError, match="nowhere"):
            load(tmp_path / "nowhere.pkl")
