"""`harness.dataset`: splits as numpy, torch and `datasets` objects, of sequences and of grids."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import harness
from harness import paths
from tests.tiny_memor import small_memor
from tests.unit.api.constant import CELLS


def test_the_public_names_exist_and_importing_harness_imports_nothing_heavy() -> None:
    for name in harness.__all__:
        assert getattr(harness, name) is not None, name
    heavy = "{'torch', 'numpy', 'pandas', 'pluggy', 'click'} & sys.modules.keys()"
    code = f"import sys, harness; assert not ({heavy})"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sequences_as_numpy_torch_and_datasets(toy: Path) -> None:
    data = harness.dataset("toy", plugins=toy)
    assert list(data) == ["train", "valid", "test"] and data.labels == ("a", "b", "c", "d")
    test = data["test"]
    arrays, batch, table = test.numpy(), test.torch(), test.datasets()
    assert repr(test) == "<Split test of toy: 40 samples, 8 groups (sample), 4 labels>"
    assert len(test) == len(arrays) == len(batch) == len(table) == 40
    assert arrays.ids == batch.ids == tuple(table["id"]) == tuple(f"test{i}" for i in range(40))
    assert arrays.groups == tuple(table["group"]) and arrays.groups[5] == "g1"
    assert arrays.features["text"].shape == (40, 4, 3) and arrays.masks["audio"].shape == (40, 4)
    for m in ("text", "audio"):
        assert np.array_equal(arrays.features[m], batch.features[m].numpy())
        assert np.array_equal(arrays.features[m], np.asarray(table[f"features:{m}"]))
        assert np.array_equal(arrays.masks[m], np.asarray(table[f"mask:{m}"]))
    assert arrays.labels.dtype == np.uint8 and batch.targets.dtype == torch.float32
    assert np.array_equal(arrays.labels, np.asarray(table["labels"]))


def test_dropout_and_batches(toy: Path) -> None:
    test = harness.dataset("toy", plugins=toy)["test"]
    arrays = test.numpy(dropout="only-t@1")
    assert arrays.present.tolist() == [[True, False]] * 40 and arrays.natural.all()
    assert not arrays.masks["audio"].any() and not arrays.features["audio"].any()
    assert [len(b) for b in test.batches(16)] == [16, 16, 8]


@pytest.fixture
def memor() -> Iterator[None]:
    with small_memor(paths.data_root(), clips=6):
        yield


@pytest.mark.usefixtures("memor")
def test_grids_as_numpy_torch_and_datasets() -> None:
    test = harness.dataset("memor-primary", real=True)["test"]
    arrays, batch, table = test.numpy(), test.torch(), test.datasets()
    grid = batch.grid
    assert grid is not None and arrays.grid is not None and not arrays.features
    tables = test.tables()
    for m in test.spec.modality_names:
        mask, index = arrays.masks[m], arrays.grid["index"][m]
        assert np.array_equal(mask, grid.valid(m).numpy()) and mask.any() and not mask.all()
        known = arrays.grid["rows"][m][index[mask]]
        assert np.array_equal(known, grid.dense(m).numpy()[mask])
        rows = np.asarray(tables[m]["row"], dtype=np.float32)
        stored = np.concatenate([np.asarray(i)[k] for i, k in zip(
            table[f"index:{m}"], table[f"mask:{m}"], strict=True)])  # fmt: skip
        assert np.array_equal(rows[stored], known)
    sequence = test.numpy(layout="sequence")
    assert sequence.grid is None and sequence.features["text"].shape[0] == len(test)


@pytest.mark.usefixtures("memor")
def test_a_model_of_grids_predicts_a_split_and_its_batch() -> None:
    few = {"training.epochs": 1, "training.batch_size": 4}
    runs = harness.run(CELLS, "memor-primary", real=True, overrides=few, device="cpu",
                       references=False)  # fmt: skip
    test, model = harness.dataset("memor-primary", real=True)["test"], runs.load()
    stored = runs.predictions().score.to_numpy().reshape(len(test), -1)
    assert model.task.layout == "grid" and np.array_equal(model.predict(test), stored)
    assert np.allclose(model.predict(test.torch()), stored, atol=1e-6)
    with pytest.raises(harness.UsageError, match="the model takes grids"):
        model.predict({"text": None, "visual": None, "audio": None})


def test_the_home_holds_for_the_call_only(toy: Path, tmp_path: Path) -> None:
    before = paths.home()
    data = harness.dataset("toy", plugins=toy, home=tmp_path / "own")
    assert paths.home() == before and not before.exists()
    assert (tmp_path / "own" / "stores" / "toy" / "card.json").is_file()
    assert len(data["train"].numpy()) == 70
    with pytest.raises(harness.UnknownNameError, match="Did you mean 'toy'"):
        harness.dataset("toi", plugins=toy, home=tmp_path / "own")
    assert paths.home() == before


def test_unknown_names_say_what_there_is(toy: Path) -> None:
    data = harness.dataset("toy", plugins=toy)
    with pytest.raises(harness.UnknownNameError, match="Did you mean 'test'"):
        data["tset"]
    with pytest.raises(harness.UnknownNameError, match="nonzero"):
        data["test"].numpy(mask="nonzeros")
    with pytest.raises(harness.UsageError, match="has no mask option 'length'"):
        data["test"].numpy(mask="length")


def test_batches_are_compared_by_identity(toy: Path) -> None:
    batch = harness.dataset("toy", plugins=toy)["test"].torch()
    assert batch == batch and batch != batch.without_labels()
