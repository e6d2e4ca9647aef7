"""The readers give what is documented and refuse what is not, naming file, key and finding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.corpus import SplitArrays
from harness.errors import DataFormatError, DataMissingError
from harness.specs import DatasetSpec
from harness_corpora.m3ed import M3ed
from harness_corpora.mosei import MoseiAligned, MoseiUnaligned
from harness_corpora.mosi import MosiUtterances, MosiVideo, is_validation
from harness_corpora.music import MusicEmotions
from harness_corpora.specs import MOSI, MOSI_1, MOSI_VIDEO, MUSIC
from tests.unit.data.data_files import (
    ALIGNED,
    COUNTS,
    DIALOGUES,
    UNALIGNED,
    aligned,
    dialogues,
    unaligned,
    write_aligned,
    write_dialogues,
    write_unaligned,
)


def read_aligned(root: Path, **options: Any) -> dict[str, SplitArrays]:
    return {s.name: s for s in MoseiAligned(ALIGNED).read(root, **options)}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pad", ["end", "start"])
@pytest.mark.parametrize("object_labels", [False, True])
def test_aligned_in_every_variant(
    tmp_path: Path, legacy: bool, dtype: str, pad: str, object_labels: bool
) -> None:
    data = aligned(dtype, pad, object_labels)
    write_aligned(tmp_path, data, legacy)
    found = read_aligned(tmp_path)
    assert {n: len(s.ids) for n, s in found.items()} == COUNTS
    train = found["train"]
    assert train.labels[:3].tolist() == [[0] * 6, [1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0]]
    assert train.ids[2] == "train[2]"
    wanted = np.where(np.isneginf(data["train"]["src-audio"]), 0, data["train"]["src-audio"])
    for row, whole in zip(train.features["audio"], wanted.astype(np.float32), strict=True):
        # Zero rows at the end are left to the loader; at the start they hold the frames' place.
        np.testing.assert_array_equal(row, whole[: len(row)])
        assert not whole[len(row) :].any()
        assert row[-1].any() or len(row) == 1
    assert (len(train.features["audio"][0]) == len(wanted[0])) is (pad == "start")
    assert train.features["audio"][0].dtype == np.float32
    assert train.cleaned == {"train/src-audio:-inf": 1}


def broken(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    data = aligned()
    change(data)
    return data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("valid"), "valid: expected this key"),
        (lambda d: d["test"].pop("src-visual"), "test/src-visual: expected this key"),
        (
            lambda d: d["train"].update({"src-text": np.zeros((7, 6, 2))}),
            "train/src-text: expected a float array N×6×5, found float64 array of shape",
        ),
        (
            lambda d: d["train"].update({"src-text": np.zeros((6, 6, 5))}),
            "same number of samples in every array",
        ),
        (lambda d: d["train"]["tgt"].pop(), "train/tgt: expected 7 label lists, found 6"),
        (lambda d: d["train"]["tgt"].__setitem__(3, [2, 10, 3]), r"tgt\[3\].*4\.\.9"),
        (lambda d: d["train"]["tgt"].__setitem__(3, [2, 4, 4, 3]), r"tgt\[3\].*different"),
        (lambda d: d["train"]["tgt"].__setitem__(3, [4, 3]), r"tgt\[3\].*from 2 to 3"),
        (
            lambda d: d["dict"]["tgt"].update({"surprise": 9, "fear": 7}),
            "dict/tgt token 7: expected 'surprise', found 'fear'",
        ),
        (
            lambda d: d["valid"]["src-text"].__setitem__((0, 0, 0), np.nan),
            "valid/src-text: expected finite features, found 1 values.*--repair",
        ),
        (
            lambda d: d["valid"]["src-visual"].__setitem__((0, 0, 0), -np.inf),
            "valid/src-visual: expected finite",
        ),
        (
            lambda d: d["valid"]["src-audio"].__setitem__((0, 0, 0), np.inf),
            "valid/src-audio: expected finite",
        ),
    ],
)
def test_aligned_refuses(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    path = write_aligned(tmp_path, broken(change))
    with pytest.raises(DataFormatError, match=message) as caught:
        read_aligned(tmp_path)
    assert str(path) in str(caught.value)


def test_repair_counts_what_it_sets_to_zero(tmp_path: Path) -> None:
    data = aligned()
    data["train"]["src-text"][1, :2, 0] = np.nan
    data["train"]["src-audio"][1, 0, 0] = np.inf
    write_aligned(tmp_path, data)
    train = read_aligned(tmp_path, repair=True)["train"]
    assert dict(train.cleaned) == {
        "train/src-text:nan-or-inf": 2,
        "train/src-audio:-inf": 1,
        "train/src-audio:nan-or-inf": 1,
    }
    assert train.features["text"][1][0, 0] == 0.0


def test_unaligned_takes_labels_by_row(tmp_path: Path) -> None:
    write_aligned(tmp_path, aligned())
    write_unaligned(tmp_path, unaligned())
    train = next(MoseiUnaligned(UNALIGNED).read(tmp_path))
    assert train.labels[1].tolist() == [1, 0, 0, 0, 1, 0]
    assert train.groups[2] == "train-video1"
    assert train.ids[:3] == ["train-video0[0]", "train-video0[1]", "train-video1[0]"]
    assert train.features["visual"][0].shape == (6, 3)


def test_unaligned_without_ids(tmp_path: Path) -> None:
    write_aligned(tmp_path, aligned())
    write_unaligned(tmp_path, unaligned(with_ids=False))
    train = next(MoseiUnaligned(UNALIGNED).read(tmp_path))
    assert train.ids[1] == train.groups[1] == "train[1]"


def test_unaligned_refuses_other_counts(tmp_path: Path) -> None:
    data = unaligned()
    data["valid"] = {k: v[:-1] for k, v in data["valid"].items()}
    write_aligned(tmp_path, aligned())
    path = write_unaligned(tmp_path, data)
    with pytest.raises(DataFormatError, match=r"valid: expected as many .*\(3\), found 2") as e:
        list(MoseiUnaligned(UNALIGNED).read(tmp_path))
    assert str(path) in str(e.value)


def test_m3ed_labels_reach_beyond_the_kept_utterances(tmp_path: Path) -> None:
    data = dialogues()
    write_dialogues(tmp_path, data)
    train, valid, _ = M3ed(DIALOGUES).read(tmp_path)
    assert train.ids == ["d_0", "d_1", "d_2"] == train.groups
    assert train.labels[0].tolist() == [0, 1, 0, 0, 0, 1, 0]
    assert [len(x) for x in train.features["text"]] == [6, 3, 6]
    assert train.lengths["audio"].tolist() == [6, 3, 6]
    assert train.extras["utterances"] == [9, 3, 6]
    assert train.extras["speakers"][1] == "ABA"
    np.testing.assert_array_equal(train.features["audio"][1], data[4]["d_1"].astype(np.float32))
    np.testing.assert_array_equal(valid.features["visual"][0], data[5]["e_0"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop(), "a list of 10 objects, found a list of 9"),
        (lambda d: d[2]["d_1"].__setitem__(0, 7), "emotions 0..6"),
        (lambda d: d[2].update({"d_1": []}), "at least one emotion"),
        (lambda d: d[4].pop("d_1"), "d_1: expected this key"),
        (lambda d: d[4].update({"d_1": np.zeros((3, 3))}), r"\[4\] audio.*expected a float array"),
        (lambda d: d[1]["d_1"].pop(), "3 speakers, found 2"),
        (lambda d: d[3]["d_1"].__setitem__((0, 0), np.nan), "train text: expected finite"),
    ],
)
def test_m3ed_refuses(tmp_path: Path, change: Callable[[Any], object], message: str) -> None:
    data = dialogues()
    change(data)
    write_dialogues(tmp_path, data)
    with pytest.raises(DataFormatError, match=message):
        list(M3ed(DIALOGUES).read(tmp_path))


def test_m3ed_wants_one_pickle_or_the_known_name(tmp_path: Path) -> None:
    corpus = M3ed(DIALOGUES)
    assert corpus.missing(tmp_path) == [tmp_path / DIALOGUES.files[0].path]
    write_dialogues(tmp_path, dialogues(), "a.pkl")
    write_dialogues(tmp_path, dialogues(), "b.pkl")
    with pytest.raises(DataFormatError, match=r"a\.pkl, b\.pkl"):
        list(corpus.read(tmp_path))
    known = write_dialogues(tmp_path, dialogues(), Path(DIALOGUES.files[0].path).name)
    assert corpus.source_files(tmp_path) == [known]


@pytest.mark.parametrize(
    ("spec", "counts", "cut"),
    [
        (MOSI_1, {"train": 1179, "valid": 268, "test": 752}, "train"),
        (MOSI, {"train": 1447, "valid": 259, "test": 493}, "test"),
    ],
    ids=["1", "2"],
)
def test_mosi_is_the_real_data(
    spec: DatasetSpec, counts: dict[str, int], cut: str, tmp_path: Path
) -> None:
    splits = {s.name: s for s in MosiUtterances(spec).read(tmp_path)}
    assert {n: len(s.ids) for n, s in splits.items()} == counts
    whole = {name: split.labels for name, split in splits.items()}
    whole[cut] = np.concatenate([whole[cut], whole["valid"]])
    # The marginals the data set's description states for its 1447 training utterances.
    np.testing.assert_allclose(whole["train"].mean(axis=0), [0.445, 0.510, 0.311, 0.164], atol=5e-4)
    np.testing.assert_allclose(whole["test"].mean(axis=0), [0.580, 0.379, 0.259, 0.174], atol=5e-4)
    groups = [set(s.groups) for s in splits.values()]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    if cut == "train":
        assert all(map(is_validation, groups[1])) and not any(map(is_validation, groups[0]))
    audio = np.concatenate(splits["train"].features["audio"])
    np.testing.assert_allclose(audio.mean(axis=0), 0, atol=1e-4)


def test_mosi_passages_cover_every_utterance_once(tmp_path: Path) -> None:
    passages = {s.name: s for s in MosiVideo(MOSI_VIDEO).read(tmp_path)}
    for split in MosiUtterances(MOSI).read(tmp_path):
        parts = passages[split.name]
        assert parts.lengths["text"].sum() == len(split.ids)
        assert parts.lengths["text"].max() == 4 and parts.lengths["text"].min() >= 1
        np.testing.assert_array_equal(
            np.concatenate(parts.features["text"]), np.concatenate(split.features["text"])
        )
        first = int(parts.lengths["text"][0])
        np.testing.assert_array_equal(parts.labels[0], split.labels[:first].max(axis=0))
        assert all(0.2 < share < 0.95 for share in parts.labels.mean(axis=0))


def write_music(root: Path, rows: int = 5, header_only: bool = False) -> Path:
    names = [f"Mean_Acc1298_Mean_Mem40_{i}" for i in range(32)]
    names += [f"Mean_Acc1298_Std_Mem40_{i}" for i in range(32)]
    names += [f"BH_{i}" for i in range(8)]
    head = [f"@attribute {n} numeric" for n in names]
    head += [f"@attribute {label} {{0,1}}" for label in MUSIC.labels]
    rng = np.random.default_rng(0)
    folder = root / "music-emotions"
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        body = [
            ",".join([*(f"{x:.4f}" for x in rng.normal(5, 3, size=72)), *"010101"])
            for _ in range(0 if header_only else rows)
        ]
        text = "\n".join(["% a comment", "@relation music", *head, "@data", *body, ""])
        (folder / f"emotions-{part}.arff").write_text(text)
    return folder


def test_music_views_and_scaling(tmp_path: Path) -> None:
    write_music(tmp_path)
    train, test = MusicEmotions(MUSIC).read(tmp_path)
    assert train.features["rhythm"][0].shape == (1, 8)
    assert train.labels.tolist() == [[0, 1, 0, 1, 0, 1]] * 5
    stacked = np.concatenate(train.features["mean-timbre"])
    np.testing.assert_allclose(stacked.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(stacked.std(axis=0), 1, atol=1e-5)
    assert abs(np.concatenate(test.features["mean-timbre"]).mean(axis=0)).max() > 0.01


def test_music_refuses_a_short_row_and_no_rows(tmp_path: Path) -> None:
    folder = write_music(tmp_path)
    path = folder / "emotions-train.arff"
    path.write_text(path.read_text() + "1,2,3\n")
    with pytest.raises(DataFormatError, match=r"emotions-train\.arff, line \d+: expected 78"):
        list(MusicEmotions(MUSIC).read(tmp_path))
    write_music(tmp_path, header_only=True)
    with pytest.raises(DataFormatError, match="at least one row"):
        list(MusicEmotions(MUSIC).read(tmp_path))


def test_absent_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataMissingError, match=r"train_valid_test\.pt"):
        read_aligned(tmp_path)


def aligned_beside(root: Path, other_words: bool = False) -> dict[str, Any]:
    """Write both MOSEI files, of the same clips or of others; return the aligned one's splits."""
    data = aligned()
    write_aligned(root, data)
    lent = unaligned()
    for split in ("train", "valid", "test"):
        words = data[split]["src-text"]
        lent[split]["text"] = words[::-1] if other_words else words[:, ::-1]
    write_unaligned(root, lent)
    return {s.name: s for s in MoseiAligned(ALIGNED).read(root)}


def test_the_aligned_file_takes_its_videos_from_the_unaligned_one(tmp_path: Path) -> None:
    splits = aligned_beside(tmp_path)
    assert splits["train"].groups[:3] == ["train-video0", "train-video0", "train-video1"]
    assert splits["train"].ids[:3] == ["train-video0[0]", "train-video0[1]", "train-video1[0]"]
    assert splits["train"].facts["videos"] == len(set(splits["train"].groups))
    assert len(MoseiAligned(ALIGNED).source_files(tmp_path)) == 2


def test_ids_of_other_clips_are_not_taken(tmp_path: Path) -> None:
    splits = aligned_beside(tmp_path, other_words=True)
    assert splits["train"].ids[0] == "train[0]" and splits["train"].groups == splits["train"].ids
    assert not splits["train"].facts


def test_ids_of_the_aligned_file_itself_count_first(tmp_path: Path) -> None:
    data = aligned()
    for split in ("train", "valid", "test"):
        n = len(data[split]["src-text"])
        data[split]["id"] = [[f"own{i // 3}", "0", "1"] for i in range(n)]
    write_aligned(tmp_path, data)
    splits = {s.name: s for s in MoseiAligned(ALIGNED).read(tmp_path)}
    assert splits["test"].groups[:4] == ["own0", "own0", "own0", "own1"]
