"""Rows in blocks: on disk or in memory, in one block or many, the values are the same."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.data import rows as module
from harness.data.corpus import SplitArrays
from harness.data.layouts.sequence.writer import SequenceWriter
from harness.data.mapped import release, scratch_in
from harness.data.rows import FlatRows, blocks, lengths_of, per_sample
from harness.errors import DataFormatError
from harness.specs import DatasetSpec, ModalitySpec
from harness_corpora.checks import Cleaning, trimmed

RNG = np.random.default_rng(3)


def ragged(n: int = 40, dim: int = 3) -> list[NDArray[np.float32]]:
    """Return samples of 0 to 6 rows, some of them all zero."""
    found = [
        RNG.standard_normal((t, dim)).astype(np.float32) for t in RNG.integers(0, 7, size=n)
    ]  # fmt: skip
    for sample in found[::3]:
        sample[1::2] = 0
    return found


def flat(samples: list[NDArray[np.float32]]) -> FlatRows:
    return FlatRows(np.concatenate(samples), np.array([len(x) for x in samples]))


def test_flat_rows_are_a_sequence_of_samples() -> None:
    samples = ragged()
    rows = flat(samples)
    assert len(rows) == 40 and lengths_of(rows).tolist() == lengths_of(samples).tolist()
    for given, found in zip(samples, rows, strict=True):
        np.testing.assert_array_equal(found, given)
    np.testing.assert_array_equal(rows[-1], samples[-1])
    np.testing.assert_array_equal(rows[5:9][2], samples[7])
    assert len(rows[9:5]) == 0
    with pytest.raises(IndexError):
        rows[40]
    with pytest.raises(ValueError, match="consecutive"):
        rows[::2]


@pytest.mark.parametrize("size", [1, 50, 1 << 22])
def test_blocks_hold_every_sample_once(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", size)
    samples = ragged()
    for rows in (samples, flat(samples)):
        place = 0
        for block in blocks(rows, 3):
            assert block.start == place and len(block.lengths)
            own = samples[place : place + len(block.lengths)]
            np.testing.assert_array_equal(block.flat, np.concatenate(own))
            sums = per_sample(block.flat, block.lengths)
            np.testing.assert_allclose(sums, [x.sum(axis=0) for x in own], atol=1e-6)
            place += len(block.lengths)
        assert place == 40


@pytest.mark.parametrize("recorded", [False, True])
def test_deviations_do_not_depend_on_blocks(
    recorded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = DatasetSpec(
        name="x", corpus="m:C", modalities=(ModalitySpec("text", "t", 3, 6),), labels=("a",)
    )
    samples = ragged()
    lengths = np.array([max(len(x) - 1, 0) for x in samples])
    split = SplitArrays(
        "train", [], [], np.zeros((40, 1), np.uint8), {"text": samples},
        lengths={"text": lengths} if recorded else {},
    )  # fmt: skip
    valid = [x[:n] if recorded else x[x.any(axis=1)] for x, n in zip(samples, lengths, strict=True)]
    every = np.concatenate(valid).astype(np.float64)
    found = []
    for size in (1, 60, 1 << 22):
        monkeypatch.setattr(module, "BLOCK_BYTES", size)
        found.append(SequenceWriter(tmp_path, spec).deviations(split)["text"])
    assert found[0] == found[1] == found[2]
    np.testing.assert_allclose(found[0], every.std(axis=0), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f8", "<f2"])
@pytest.mark.parametrize("on_disk", [False, True])
def test_padding_is_trimmed_and_infinities_are_repaired(
    dtype: str, on_disk: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", 0 if on_disk else 1 << 26)
    monkeypatch.setattr("harness_corpora.checks.BLOCK_BYTES", 300)
    array = RNG.standard_normal((20, 5, 3)).astype(dtype)
    array[:, 4] = 0
    array[3], array[4, 1:], array[5, :2] = 0, 0, 0
    array[6, 3, 1] = -np.inf
    counts: dict[str, int] = {}
    cleaning = Cleaning(tmp_path / "f.pt", "train/a", zero_minus_inf=True)
    with scratch_in(tmp_path):
        found = trimmed(array, cleaning)
    cleaning.finish(counts)
    assert counts == {"train/a:-inf": 1}
    assert not found.flat.flags.writeable or not on_disk
    wanted = np.where(np.isinf(array), 0, array).astype(np.float32)
    for i, sample in enumerate(found):
        size = {3: 1, 4: 1}.get(i, 4)
        np.testing.assert_array_equal(sample, wanted[i, :size])
    release(found.flat)
    np.testing.assert_array_equal(found[6], wanted[6, :4])
    array[7, 0, 0] = np.nan
    cleaning = Cleaning(tmp_path / "f.pt", "train/a", zero_minus_inf=True)
    trimmed(array, cleaning)
    with pytest.raises(DataFormatError, match=r"found 1 values .* \(only -inf"):
        cleaning.finish(counts)


@pytest.mark.skipif(sys.platform != "linux", reason="limits and forks are Linux's")
@pytest.mark.parametrize("double", [False, True])
def test_preparation_takes_a_part_of_the_memory_of_its_file(double: bool, tmp_path: Path) -> None:
    """The peak of the child grows by blocks, not by the arrays: 4 times them before."""
    import pickle

    from harness.data.child import in_child
    from harness.data.layouts import SPLITS
    from harness.data.prepare import _written
    from harness.data.store import spec_to_json
    from harness_corpora.mosei import MoseiAligned
    from harness_corpora.specs import MOSEI_ALIGNED

    content = {}
    for split in MOSEI_ALIGNED.splits:
        n = 1200 if split == "train" else 5
        arrays = {
            f"src-{m.name}": np.ones((n, 60, m.dim), "f8" if double else "f4")
            for m in MOSEI_ALIGNED.modalities
        }
        content[split] = {**arrays, "tgt": [[2, 4, 3]] * n}
    size = sum(x.nbytes for x in content["train"].values() if isinstance(x, np.ndarray))
    path = tmp_path / "mosei" / "train_valid_test.pt"
    path.parent.mkdir()
    path.write_bytes(pickle.dumps(content, protocol=2))
    del content, arrays
    corpus, folder = MoseiAligned(MOSEI_ALIGNED), tmp_path / "store"
    folder.mkdir()
    SPLITS["sequence"].writer(folder, MOSEI_ALIGNED)
    head = {"spec": spec_to_json(MOSEI_ALIGNED)}

    def work() -> int:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is reset
        before = _peak()
        _written(corpus, tmp_path, folder, False, dict(head), None)
        return _peak() - before

    grown = in_child("x", [path], work, limited=True)
    assert grown < 120 * 2**20, f"{grown / 2**20:.0f} MiB for arrays of {size / 2**20:.0f}"


def _peak() -> int:
    """Return the peak of this process's resident memory since it was last reset, in bytes."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
