"""Readers of felt emotions: groups on one side, and the traps that the public files have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.partition import partition
from harness.errors import DataFormatError
from harness_corpora.emopair import EmoPair
from harness_corpora.emotify import EmotifyListeners, EmotifyPieces
from harness_corpora.muvi import Muvi
from harness_corpora.specs import EMOPAIR, EMOTIFY, EMOTIFY_LISTENERS, MUVI
from tests.unit.corpora.felt_files import write_emopair, write_emotify, write_muvi

READERS = (
    (EmotifyPieces, EMOTIFY, write_emotify),
    (EmotifyListeners, EMOTIFY_LISTENERS, write_emotify),
    (Muvi, MUVI, write_muvi),
    (EmoPair, EMOPAIR, write_emopair),
)


def parts_of(reader: Any, spec: Any, root: Path) -> dict[str, Any]:
    return {part.name: part for part in reader(spec).read(root)}


@pytest.mark.parametrize(("reader", "spec", "write"), READERS, ids=lambda x: getattr(x, "name", ""))
def test_no_group_is_on_two_sides_and_train_is_standardised(
    reader: Any, spec: Any, write: Any, tmp_path: Path
) -> None:
    write(tmp_path)
    parts = parts_of(reader, spec, tmp_path)
    groups = [set(part.groups) for part in parts.values()]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert list(parts) == ["train", "valid", "test"]
    for m in spec.modalities:
        rows = [x for x in parts["train"].features[m.name] if len(x)]
        assert {x.shape for x in rows} == {(1, m.dim)}
    first = spec.modalities[0].name
    if spec is not EMOTIFY_LISTENERS:  # standardised over its pieces, of which each counts once
        train = np.concatenate([x for x in parts["train"].features[first] if len(x)])
        assert np.abs(train.mean(axis=0)).max() < 0.15 and np.abs(train.std(axis=0) - 1).max() < 0.3


def test_emotify_names_pieces_by_their_track_not_by_their_row(tmp_path: Path) -> None:
    write_emotify(tmp_path / "a")
    write_emotify(tmp_path / "b", order=np.random.default_rng(3).permutation(400))
    a, b = (parts_of(EmotifyPieces, EMOTIFY, tmp_path / name) for name in "ab")
    for part in a:
        place = {name: i for i, name in enumerate(b[part].ids)}
        order = [place[name] for name in a[part].ids]
        assert np.array_equal(a[part].labels, b[part].labels[order])
        left = np.concatenate(a[part].features["tagger"])
        right = np.concatenate([b[part].features["tagger"][i] for i in order])
        np.testing.assert_allclose(left, right, atol=1e-5)


def test_listeners_split_like_the_pieces_and_liked_is_no_input(tmp_path: Path) -> None:
    write_emotify(tmp_path)
    pieces = parts_of(EmotifyPieces, EMOTIFY, tmp_path)
    listeners = parts_of(EmotifyListeners, EMOTIFY_LISTENERS, tmp_path)
    for part, whole in pieces.items():
        assert set(listeners[part].groups) == set(whole.groups)
    traits = listeners["train"].personality
    assert traits.shape[1] == EMOTIFY_LISTENERS.personality_dim == 10
    # `liked` is 1 and `disliked` 0 throughout: a constant column would be left at 0.
    constant = np.flatnonzero(traits.std(axis=0) == 0)
    assert len(constant) == 1 + 5  # gender, and the five mother tongues that nobody has


def test_muvi_has_no_audio_where_the_video_was_muted(tmp_path: Path) -> None:
    write_muvi(tmp_path)
    for part in parts_of(Muvi, MUVI, tmp_path).values():
        muted = ["muted_video" in name for name in part.ids]
        assert [len(x) == 0 for x in part.features["audio"]] == muted and any(muted)
        assert all(len(x) == 1 for x in part.features["condition"])


def test_muvi_components_are_those_of_the_training_videos(tmp_path: Path) -> None:
    write_muvi(tmp_path / "a")
    before = parts_of(Muvi, MUVI, tmp_path / "a")
    write_muvi(tmp_path / "b", change=sorted(set(before["test"].groups)))
    after = parts_of(Muvi, MUVI, tmp_path / "b")
    for x, y in zip(
        before["train"].features["audio"], after["train"].features["audio"], strict=True
    ):
        assert np.array_equal(x, y)
    assert not np.array_equal(
        np.concatenate(before["test"].features["audio"]),
        np.concatenate(after["test"].features["audio"]),
    )


def test_muvi_values_lie_on_a_grid_that_no_kernel_can_move(tmp_path: Path) -> None:
    write_muvi(tmp_path)
    values = np.concatenate(parts_of(Muvi, MUVI, tmp_path)["train"].features["audio"])
    assert np.array_equal(values * 1024, np.round(values * 1024))


def test_emopair_leaves_out_copies_and_open_answers_and_fills_what_was_not_measured(
    tmp_path: Path,
) -> None:
    write_emopair(tmp_path)
    parts = parts_of(EmoPair, EMOPAIR, tmp_path)
    assert sum(len(part.ids) for part in parts.values()) == 310
    assert sum(part.cleaned.get("eda:not-measured", 0) for part in parts.values()) == 1
    rows = np.concatenate([x for part in parts.values() for x in part.features["eda"]])
    assert np.isfinite(rows).all() and len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.parametrize(
    ("write", "reader", "spec", "file", "old", "new", "told"),
    [
        (write_muvi, Muvi, MUVI, "muvi/ratings.csv", "muted_video", "mute", "condition"),
        (write_muvi, Muvi, MUVI, "muvi/people.csv", "Female", "F", "gender"),
        (
            write_emotify,
            EmotifyListeners,
            EMOTIFY_LISTENERS,
            "emotify/answers.csv",
            "\r\n1,",
            "\r\n401,",
            "track",
        ),
    ],
)
def test_a_value_that_is_not_as_documented_is_named(
    write: Any, reader: Any, spec: Any, file: str, old: str, new: str, told: str, tmp_path: Path
) -> None:
    write(tmp_path)
    path = tmp_path / file
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new).encode())
    with pytest.raises(DataFormatError, match=rf"{path.name}, line \d+, {told}"):
        list(reader(spec).read(tmp_path))


def test_a_broken_archive_is_named(tmp_path: Path) -> None:
    write_emopair(tmp_path)
    path = tmp_path / "emopair-compete/emopair.npz"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataFormatError, match=r"emopair\.npz"):
        list(EmoPair(EMOPAIR).read(tmp_path))


def test_a_part_depends_on_names_alone_and_sizes_are_met() -> None:
    names = [f"g{i}" for i in range(101)]
    part = partition("x@1", names, (0.6, 0.2, 0.2))
    assert part == partition("x@1", names[::-1] * 3, (0.6, 0.2, 0.2))
    assert np.bincount(list(part.values())).tolist() == [61, 20, 20]
    assert part != partition("x@2", names, (0.6, 0.2, 0.2))
