"""The twins in the authors' files: what the corpora's own readers return of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.data.corpus import SplitArrays
from harness.data.locate import corpus_of
from harness.data.safe import load_pickle, load_torch
from harness.errors import StorageError, UsageError
from harness_corpora import specs
from harness_corpora.twins import files, m3ed, mosei
from harness_corpora.twins.frames import codes_of
from harness_corpora.twins.plan import PLANS, Plan
from harness_corpora.twins.sample import ModalityFrames, draw
from tests.unit.corpora import small_twins

SIZES = (9, 4, 25)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every twin a few samples large."""
    small_twins.shrink(monkeypatch.setattr, SIZES)


def _read(name: str, root: Path) -> tuple[Plan, dict[str, SplitArrays]]:
    corpus = corpus_of(next(s for s in specs.DATASETS if s.name == name))
    corpus.write_twin(root, 5, "default")
    return PLANS[name], {split.name: split for split in corpus.read(root)}


@pytest.mark.parametrize("name", PLANS)
def test_plans_agree_with_the_data_sets(name: str) -> None:
    spec, plan = next(s for s in specs.DATASETS if s.name == name), PLANS[name]
    assert [(m.name, m.key, m.dim, m.max_length) for m in plan.modalities] == [
        (m.name, m.key, m.dim, m.max_length) for m in spec.modalities
    ]
    assert all(len(m.amplitude) == len(spec.labels) for m in plan.modalities)
    assert sorted(plan.swap) == list(range(len(spec.labels)))
    assert all(plan.swap[partner] == k for k, partner in enumerate(plan.swap))


@pytest.mark.parametrize("name", PLANS)
def test_the_reader_returns_what_was_drawn(name: str, tmp_path: Path) -> None:
    plan, read = _read(name, tmp_path)
    assert [len(split.ids) for split in read.values()] == list(SIZES)
    for split, found in read.items():
        drawn = draw(plan, 5, split, len(found.ids))
        assert np.array_equal(found.labels, drawn.labels)
        order = list(dict.fromkeys(found.groups))
        assert [order.index(group) for group in found.groups] == drawn.video.tolist()
        for modality in plan.modalities:
            source = ModalityFrames(plan, modality, 5, split, drawn)
            for i, rows in enumerate(found.features[modality.name]):
                code = codes_of(np.asarray(rows), source.emission.basis, len(plan.swap) + 2)
                assert np.array_equal(code, source.code(i)[: modality.max_length])


@pytest.mark.parametrize("pad", ["end", "start"])
def test_aligned_file(tmp_path: Path, pad: str) -> None:
    mosei.write_aligned(tmp_path, 0, "default", pad=pad, legacy=pad == "start")
    path = tmp_path / "mosei" / "train_valid_test.pt"
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert (path.read_bytes()[:4] == b"PK\x03\x04") is (pad == "end")
    data = load_torch(path)
    assert (data["dict"]["src"], data["dict"]["tgt"]["fear"]) == (None, 9)
    assert data["settings"].max_audio_seq_len == 60
    part = data["test"]
    assert np.isneginf(part["src-audio"][..., 0]).any() and np.isfinite(part["src-text"]).all()
    real = np.any(part["src-visual"] != 0, axis=2)
    assert (np.diff((real if pad == "end" else real[:, ::-1]).astype(int), axis=1) <= 0).all()
    for tokens in part["tgt"]:
        assert (tokens[0], tokens[-1]) == (2, 3) and all(4 <= t <= 9 for t in tokens[1:-1])


def test_clips_of_a_video_follow_one_another_in_time(tmp_path: Path) -> None:
    mosei.write_unaligned(tmp_path, 0, "default")
    data = load_pickle(tmp_path / "mosei" / "mosei_senti_data_noalign.pkl")
    labels = load_torch(tmp_path / "mosei" / "train_valid_test.pt")
    drawn = draw(PLANS["mosei-unaligned"], 0, "test", SIZES[2])
    for rows in (data["test"]["id"], labels["test"]["id"]):
        clock: dict[str, str] = {}
        for (video, start, end), ms in zip(rows, drawn.amount.tolist(), strict=True):
            assert start == clock.get(video, "0.000")
            assert round(1000 * float(end)) - round(1000 * float(start)) == ms
            clock[video] = end
        assert len(clock) > 1
    column = data["test"]["labels"]
    assert column.shape == (SIZES[2], 1, 1) and np.abs(column).max() <= 3
    assert np.allclose(column * 3, np.rint(column * 3), atol=1e-6)


def test_m3ed_dialogues_show_every_label_of_their_donor(tmp_path: Path) -> None:
    m3ed.write(tmp_path, 0, "default")
    (path,) = (tmp_path / "m3ed").iterdir()
    ids, speakers, emotions, *_, sentences = (data := load_pickle(path))[:7]
    series = [{name.rsplit("_", 1)[0] for name in order} for order in data[7:]]
    assert not (series[0] & series[2] or series[1] & series[2] or series[0] & series[1])
    drawn = draw(PLANS["m3ed"], 0, "test", SIZES[2])
    for i, name in enumerate(data[9]):
        assert set(emotions[name]) == set(np.flatnonzero(drawn.labels[i]).tolist())
        assert len(ids[name]) == len(sentences[name]) == drawn.amount[i]
        assert ids[name][0] == f"{speakers[name][0]}_{name}_1"


def test_arrays_on_disk_hold_what_arrays_in_memory_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for the full size; and another seed draws something else."""
    found = []
    for folder, seed, size in (("a", 0, 2**28), ("b", 0, 0), ("c", 1, 2**28)):
        monkeypatch.setattr(files.Scratch, "IN_MEMORY", size)
        mosei.write_aligned(tmp_path / folder, seed, "default")
        part = load_torch(tmp_path / folder / "mosei" / "train_valid_test.pt")["test"]
        found.append([part[f"src-{name}"].tobytes() for name in ("text", "visual", "audio")])
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_bad_requests(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tiny"):
        m3ed.write(tmp_path, 0, "tiny")
    (tmp_path / "m3ed").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot be written"):
        m3ed.write(tmp_path, 0, "default")
