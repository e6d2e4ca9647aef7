"""A store holds what the reader gave, appears whole or not at all, and knows its content."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness import paths
from harness.data.corpus import Corpus, SplitArrays
from harness.data.describe import statistics, verify
from harness.data.layouts.sequence import writer as writing
from harness.data.prepare import prepare
from harness.data.store import open_store, spec_from_json, spec_to_json
from harness.errors import DataFormatError, DataMissingError, StorageError, UsageError
from harness_corpora.m3ed import M3ed
from harness_corpora.mosei import MoseiAligned
from tests.unit.data.data_files import (
    ALIGNED,
    DIALOGUES,
    aligned,
    dialogues,
    write_aligned,
    write_dialogues,
)


class Ragged(Corpus):
    """Samples of unequal length, some without a modality; ``fault`` breaks the second split."""

    fault: Any = None

    def missing(self, root: Path) -> list[Path]:
        return []

    def source_files(self, root: Path) -> list[Path]:
        return []

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        rng = np.random.default_rng(0)
        for split, n in (("train", 11), ("valid", 4), ("test", 5)):
            if split == "valid" and self.fault is not None:
                raise self.fault
            features = {
                m.name: [
                    rng.normal(size=(int(t), m.dim)).astype(np.float32)
                    for t in rng.integers(0, m.max_length + 1, size=n)
                ]
                for m in self.spec.modalities
            }
            labels = rng.integers(0, 2, size=(n, 6)).astype(np.uint8)
            ids = [f"{split}-{i}" for i in range(n)]
            groups = [f"g{i // 2}" for i in range(n)]
            extras = {"rank": list(range(n))}
            yield SplitArrays(split, ids, groups, labels, features, extras=extras)


def test_store_gives_back_what_was_read(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "BLOCK_VALUES", 150)  # several blocks in one split
    store = prepare(Ragged(ALIGNED), roots, "ragged")
    assert store.spec == ALIGNED
    for given in Ragged(ALIGNED).read(roots):
        split = store.split(given.name)
        assert split.ids == given.ids and split.groups == given.groups
        assert split.extras == {"rank": list(range(len(given.ids)))}
        np.testing.assert_array_equal(split.labels, given.labels)
        order = [3, 0, 2]
        for column, m in enumerate(ALIGNED.modalities):
            lengths = [len(x) for x in given.features[m.name]]
            assert split.stored_lengths[:, column].tolist() == lengths
            assert split.natural[:, column].tolist() == [n > 0 for n in lengths]
            for i, found in zip(order, split.gather(order)[m.name], strict=True):
                np.testing.assert_array_equal(found, given.features[m.name][i])
            padded = split.padded(np.array(order), dict.fromkeys(ALIGNED.modality_names, 4))
            for row, i in enumerate(order):
                wanted = np.zeros((4, m.dim), dtype=np.float32)
                head = given.features[m.name][i][:4]
                wanted[: len(head)] = head
                np.testing.assert_array_equal(padded[m.name][row], wanted)
    assert len(store.split("train").columns["text"].blocks) > 1
    assert store.recompute_hash() == store.content_hash


def test_block_size_and_place_do_not_change_the_content_hash(
    roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare(Ragged(ALIGNED), roots, "one").content_hash
    monkeypatch.setattr(writing, "BLOCK_VALUES", 200)
    assert prepare(Ragged(ALIGNED), roots, "two").content_hash == first
    other = dataclasses.replace(ALIGNED, labels=tuple(reversed(ALIGNED.labels)))
    assert prepare(Ragged(other), roots, "three").content_hash != first


def test_features_are_mapped_and_read_only(roots: Path) -> None:
    prepare(Ragged(ALIGNED), roots, "ragged")
    store = open_store("ragged")
    assert store is not None
    block = store.split("train").columns["text"].blocks[0]
    assert not block.flags.writeable
    address = block.__array_interface__["data"][0]
    maps = Path("/proc/self/maps")
    if maps.is_file():
        spans = [line.split() for line in maps.read_text().splitlines() if "train.arrow" in line]
        ends = [[int(x, 16) for x in span[0].split("-")] for span in spans]
        assert any(low <= address < high for low, high in ends)


def test_valid_lengths_and_deviation_skip_padding(roots: Path) -> None:
    data = aligned(pad="start")
    write_aligned(roots, data)
    store = prepare(MoseiAligned(ALIGNED), roots, "mosei-aligned")
    split, text = store.split("train"), data["train"]["src-text"]
    real = text.any(axis=2)
    assert split.valid_lengths[:, 0].tolist() == real.sum(axis=1).tolist()
    assert (split.stored_lengths == 6).all()
    np.testing.assert_allclose(split.feature_sd["text"], text[real].std(axis=0), rtol=1e-5)
    assert store.split("test").feature_sd is not None
    assert store.card["cleaned"]["train"] == {"train/src-audio:-inf": 1}


def test_recorded_lengths_count_zero_rows(roots: Path) -> None:
    write_dialogues(roots, dialogues())
    split = prepare(M3ed(DIALOGUES), roots, "m3ed").split("train")
    assert split.true_lengths["audio"].tolist() == [6, 3, 6]
    assert split.valid_lengths[1].tolist() == [3, 3, 3]


def test_preparing_twice_does_nothing(roots: Path) -> None:
    path = write_aligned(roots, aligned())
    card = prepare(MoseiAligned(ALIGNED), roots, "x").path / "card.json"
    written = card.stat().st_mtime_ns
    again = prepare(MoseiAligned(ALIGNED), roots, "x")
    assert card.stat().st_mtime_ns == written
    os.utime(path)  # touched, same content
    prepare(MoseiAligned(ALIGNED), roots, "x")
    assert card.stat().st_mtime_ns == written
    data = aligned()
    data["train"]["src-text"][0, 0, 0] += 1
    write_aligned(roots, data)
    changed = prepare(MoseiAligned(ALIGNED), roots, "x")
    assert changed.content_hash != again.content_hash


def test_newer_reader_prepares_again(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_aligned(roots, aligned())
    prepare(MoseiAligned(ALIGNED), roots, "x")
    monkeypatch.setattr(MoseiAligned, "reader_version", 2)
    assert prepare(MoseiAligned(ALIGNED), roots, "x").card["reader_version"] == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (DataFormatError("bad"), DataFormatError),
        (OSError(28, "No space left on device"), StorageError),
    ],
)
def test_interrupted_preparation_leaves_nothing(
    roots: Path, fault: BaseException, error: type[BaseException]
) -> None:
    corpus = Ragged(ALIGNED)
    corpus.fault = fault
    with pytest.raises(error):
        prepare(corpus, roots, "ragged")
    assert open_store("ragged") is None
    assert [p.name for p in paths.stores_dir().iterdir() if p.is_dir()] == []


def test_failed_preparation_keeps_the_store_before(roots: Path) -> None:
    before = prepare(Ragged(ALIGNED), roots, "ragged").content_hash
    corpus = Ragged(ALIGNED)
    corpus.fault = DataFormatError("bad")
    with pytest.raises(DataFormatError):
        prepare(corpus, roots, "ragged", force=True)
    kept = open_store("ragged")
    assert kept is not None and kept.recompute_hash() == before


def test_what_a_killed_process_left_is_cleared(roots: Path) -> None:
    left = paths.stores_dir() / ".ragged.abc123"
    left.mkdir(parents=True)
    prepare(Ragged(ALIGNED), roots, "ragged")
    assert not left.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": ["a"] * 3}, "rows 0 and 1 have the sample id 'a'"),
        ({"ids": [], "groups": [], "labels": np.zeros((0, 6), np.uint8)}, "is empty"),
        ({"labels": np.zeros((3, 5), np.uint8)}, r"expected labels \[3, 6\] of 0 and 1"),
        ({"features": {}}, "text: expected 3 samples, found 0"),
    ],
)
def test_what_a_corpus_must_not_hand_over(
    roots: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], message: str
) -> None:
    features = {m.name: [np.ones((2, m.dim), np.float32)] * 3 for m in ALIGNED.modalities}
    whole = SplitArrays("train", list("abc"), list("abc"), np.zeros((3, 6), np.uint8), features)
    bad = dataclasses.replace(whole, **change)
    monkeypatch.setattr(Ragged, "read", lambda *_, **__: iter([bad]))
    with pytest.raises(DataFormatError, match=message):
        prepare(Ragged(ALIGNED), roots, "ragged")


def test_nan_never_reaches_a_store(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = {m.name: [np.full((2, m.dim), np.nan, np.float32)] for m in ALIGNED.modalities}
    bad = SplitArrays("train", ["a"], ["a"], np.zeros((1, 6), np.uint8), features)
    monkeypatch.setattr(Ragged, "read", lambda *_, **__: iter([bad]))
    with pytest.raises(DataFormatError, match="NaN or infinite"):
        prepare(Ragged(ALIGNED), roots, "ragged")


def test_missing_files_are_named_with_what_they_are(roots: Path) -> None:
    with pytest.raises(DataMissingError, match=r"train_valid_test\.pt  \(CMU-MOSEI word-aligned"):
        prepare(MoseiAligned(ALIGNED), roots, "x")


def test_a_damaged_store_says_so(roots: Path) -> None:
    store = prepare(Ragged(ALIGNED), roots, "ragged")
    with pytest.raises(UsageError, match="no split 'dev'"):
        store.split("dev")
    arrow = store.path / "test.arrow"
    arrow.write_bytes(arrow.read_bytes()[:40])
    fresh = open_store("ragged")
    assert fresh is not None
    with pytest.raises(DataFormatError, match="prepare it again"):
        fresh.split("test")
    (store.path / "card.json").write_text("{")
    with pytest.raises(DataFormatError, match="damaged"):
        open_store("ragged")


def test_verify_finds_changed_rows_and_files(roots: Path) -> None:
    path = write_aligned(roots, aligned())
    corpus = MoseiAligned(ALIGNED)
    store = prepare(corpus, roots, "x")
    report = verify(store, corpus, roots)
    assert not report["ok"] and "published" in report["problems"][0]
    assert "numpy.dtype" in report["globals"][str(path)]
    os.utime(path, (1, 1))
    arrow = store.path / "test.arrow"
    content = arrow.read_bytes()
    row = store.split("test").gather([1])["text"][0].tobytes()[:20]
    arrow.write_bytes(content.replace(row, bytes(20)))
    again = open_store("x")
    assert again is not None
    problems = " ".join(verify(again, corpus, roots)["problems"])
    assert "test.arrow is damaged or another file" in problems and "changed since" in problems


def test_statistics_count(roots: Path) -> None:
    store = prepare(Ragged(ALIGNED), roots, "ragged")
    found = statistics(store)
    labels = store.split("train").labels.astype(int)
    train = found["splits"]["train"]
    assert train["samples"] == 11 and train["groups"] == 6
    assert train["cooccurrence"][0][1] == int((labels[:, 0] & labels[:, 1]).sum())
    assert train["cardinality"] == pytest.approx(labels.sum() / 11)
    assert found["shared_groups"] == {"train&valid": 2, "train&test": 3, "valid&test": 2}
    natural = store.split("train").natural[:, 0]
    assert train["missing_rate"]["text"] == pytest.approx(1 - natural.mean())
    json.dumps(found)


def test_spec_survives_json() -> None:
    assert spec_from_json(json.loads(json.dumps(spec_to_json(DIALOGUES)))) == DIALOGUES


def test_reading_imports_neither_datasets_nor_torch(roots: Path) -> None:
    store = prepare(Ragged(ALIGNED), roots, "ragged")
    code = (
        "import sys; from pathlib import Path; from harness.data.store import read_store;"
        f"s = read_store(Path({str(store.path)!r})); s.split('train').gather([0]);"
        "print('datasets' in sys.modules, 'torch' in sys.modules, s.recompute_hash())"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert found.split() == ["False", "False", store.content_hash]


@pytest.mark.skipif(sys.platform != "linux", reason="limits are Linux's")
@pytest.mark.parametrize("tensors", [False, True])
def test_preparing_imports_torch_only_for_tensors(tensors: bool, tmp_path: Path) -> None:
    """Its libraries do not count against the memory that the file may take."""
    path = tmp_path / "x.pt"
    values = np.arange(6.0)
    torch.save({"x": torch.from_numpy(values) if tensors else values}, path)
    code = (
        "import resource, sys; from pathlib import Path; from harness.data.child import in_child;"
        f"from harness.data.safe import load_torch; p = Path({str(path)!r});"
        "work = lambda: (float(load_torch(p)['x'].sum()), 'torch' in sys.modules,"
        " resource.getrlimit(resource.RLIMIT_AS)[0] < 2**62);"
        "print(*in_child('x', [p], work, limited=True), 'torch' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert found.split() == ["15.0", str(tensors), "True", "False"]
