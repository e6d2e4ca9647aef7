"""The twins' files: the documented format, read back safely, the same for the same seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.safe import load_pickle, load_torch
from harness.errors import StorageError, UsageError
from harness_corpora import specs
from harness_corpora.twins import design as designs
from harness_corpora.twins import files, m3ed, mosei

SIZES = (12, 5, 6)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every twin a few samples large."""
    for module, name in (
        (mosei, "MOSEI_ALIGNED"),
        (mosei, "MOSEI_UNALIGNED"),
        (m3ed, "M3ED"),
    ):
        monkeypatch.setattr(module, name, replace(getattr(module, name), sizes=SIZES))


@pytest.mark.parametrize("name", ["mosei-aligned", "mosei-unaligned", "m3ed"])
def test_designs_agree_with_the_data_sets(name: str) -> None:
    spec = next(s for s in specs.DATASETS if s.name == name)
    plan = designs.design(name)
    assert plan.labels.names == spec.labels
    assert plan.aligned == spec.aligned
    assert [(s.name, s.key, s.dim, s.max_length) for s in plan.streams] == [
        (m.name, m.key, m.dim, m.max_length) for m in spec.modalities
    ]
    assert all(len(s.amplitude) == len(spec.labels) for s in plan.streams)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("pad", ["end", "start"])
def test_aligned_file(tmp_path: Path, legacy: bool, pad: str) -> None:
    mosei.write_aligned(tmp_path, 0, "default", pad=pad, legacy=legacy)
    path = tmp_path / "mosei" / "train_valid_test.pt"
    assert (path.read_bytes()[:4] == b"PK\x03\x04") is not legacy
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    data = load_torch(path)
    assert data["dict"]["src"] is None
    assert data["dict"]["tgt"]["<s>"] == 2
    assert data["dict"]["tgt"]["fear"] == 9
    assert data["settings"].max_visual_seq_len == 60
    for split, n in zip(("train", "valid", "test"), SIZES, strict=True):
        part = data[split]
        for key, dim in (("src-text", 300), ("src-visual", 35), ("src-audio", 74)):
            assert part[key].shape == (n, 60, dim)
            assert part[key].dtype == np.float32
            real = np.any(part[key] != 0, axis=2)
            edge = real if pad == "end" else real[:, ::-1]
            assert np.all(np.diff(edge.astype(int), axis=1) <= 0)
        assert np.isneginf(part["src-audio"]).any()
        assert np.isfinite(part["src-text"]).all()
        for tokens in part["tgt"]:
            assert (tokens[0], tokens[-1]) == (2, 3)
            assert all(4 <= t <= 9 and type(t) is int for t in tokens[1:-1])


def test_unaligned_files_belong_together(tmp_path: Path) -> None:
    mosei.write_unaligned(tmp_path, 0, "default")
    data = load_pickle(tmp_path / "mosei" / "mosei_senti_data_noalign.pkl")
    labels = load_torch(tmp_path / "mosei" / "train_valid_test.pt")
    for split, n in zip(("train", "valid", "test"), SIZES, strict=True):
        part = data[split]
        assert part["text"].shape == (n, 50, 300)
        assert part["vision"].shape == (n, 500, 35)
        assert part["audio"].shape == (n, 500, 74)
        assert part["labels"].shape == (n, 1, 1)
        assert np.abs(part["labels"]).max() <= 3
        assert len({tuple(row) for row in part["id"]}) == n
        assert len(labels[split]["tgt"]) == n


def test_m3ed_file(tmp_path: Path) -> None:
    m3ed.write(tmp_path, 0, "default")
    (path,) = (tmp_path / "m3ed").iterdir()
    assert path.suffix == ".pkl"
    data = load_pickle(path)
    assert len(data) == 10
    ids, speakers, labels, text, audio, visual, sentences = data[:7]
    assert [len(s) for s in data[7:]] == list(SIZES)
    order = [d for s in data[7:] for d in s]
    for part in data[:7]:
        assert list(part) == order
    for d in order:
        n = len(ids[d])
        assert ids[d] == [f"{s}_{d}_{k}" for k, s in enumerate(speakers[d], start=1)]
        assert set(speakers[d]) <= {"A", "B"}
        assert set(labels[d]) <= set(range(7))
        shapes = (text[d].shape, audio[d].shape, visual[d].shape)
        assert shapes == ((n, 768), (n, 1024), (n, 342))
        assert sentences[d].shape == (n,)


def content(data: Any) -> Any:
    """Return nested content with arrays as bytes, for comparison."""
    if isinstance(data, dict):
        return {k: content(v) for k, v in data.items()}
    if isinstance(data, list):
        return [content(v) for v in data]
    return data.tobytes() if isinstance(data, np.ndarray) else data


def test_same_seed_same_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        # The second time through arrays on disk, as for the full size.
        monkeypatch.setattr(files.Scratch, "IN_MEMORY", 0 if name == "b" else 2**28)
        mosei.write_aligned(tmp_path / name, seed, "default")
        data = load_torch(tmp_path / name / "mosei" / "train_valid_test.pt")
        found.append(content({s: data[s] for s in ("train", "valid", "test")}))
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_bad_requests(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tiny"):
        m3ed.write(tmp_path, 0, "tiny")
    (tmp_path / "m3ed").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot be written"):
        m3ed.write(tmp_path, 0, "default")
