"""What a corpus hands over is checked once, for every corpus: each fault names its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.corpus import Corpus, SplitArrays
from harness.data.validate import Validation
from harness.errors import DataFormatError
from harness.specs import DatasetSpec, ModalitySpec

SPEC = DatasetSpec(
    name="small",
    corpus="x:X",
    modalities=(ModalitySpec("text", "t", 2, 4), ModalitySpec("audio", "a", 3, 4)),
    labels=("joy", "fear"),
    aligned=False,
)


def split(name: str = "train", size: int = 4, **changed: Any) -> SplitArrays:
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.uint8)[:size]
    made = SplitArrays(
        name,
        [f"{name}/{i}" for i in range(size)],
        [f"{name}/g{i // 2}" for i in range(size)],
        labels,
        {
            "text": [np.ones((2, 2), np.float32) for _ in range(size)],
            "audio": [np.ones((3, 3), np.float32) for _ in range(size)],
        },
    )
    return replace(made, **changed)


def test_a_good_split_passes_unchanged() -> None:
    checks = Validation(SPEC)
    given = split()
    found = checks.check(given)
    assert isinstance(found, SplitArrays) and not checks.warnings
    assert found.ids == given.ids and found.labels.dtype == np.uint8
    assert all(a is b for a, b in zip(found.features["text"], given.features["text"], strict=True))


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.bool_])
def test_what_loses_nothing_is_converted(dtype: Any) -> None:
    features = {
        "text": [np.ones((2, 2), dtype) for _ in range(4)],
        "audio": np.ones((4, 3, 3), dtype),
    }
    found = Validation(SPEC).check(split(features=features, labels=np.eye(4, 2, dtype=dtype)))
    assert isinstance(found, SplitArrays) and found.labels.dtype == np.uint8
    assert {x.dtype for rows in found.features.values() for x in rows} == {np.dtype(np.float32)}


TEXT = [np.ones((2, 2), np.float32) for _ in range(4)]
AUDIO = [np.ones((3, 3), np.float32) for _ in range(4)]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"labels": np.full((4, 2), 0.5)}, 
         "sample 'train/0', label 'joy': expected 0 or 1, found 0.5"),
        ({"labels": np.full((4, 2), 2)}, "found 2"),
        ({"labels": np.full((4, 2), np.nan)}, "found nan"),
        ({"labels": np.zeros((4, 3))}, "expected labels [4, 2] of 0 and 1"),
        ({"labels": np.full((4, 2), "1")}, "expected labels"),
        ({"ids": ["a", "b", None, "d"]}, "row 2: expected a sample id, found None"),
        ({"ids": ["a", "b", " ", "d"]}, "row 2: expected a sample id, found nothing"),
        ({"ids": ["a", "b", "a", "d"]}, "rows 0 and 2 have the sample id 'a'"),
        ({"groups": ["a", "b", 1.5, "d"]}, "row 2: expected a group, found 1.5"),
        ({"groups": ["a"]}, "4 sample ids and 1 groups"),
        ({"ids": [], "groups": []}, "is empty"),
        ({"name": "dev"}, "split 'dev' is none of train, valid, test"),
        ({"features": {"text": TEXT}}, "audio: expected 4 samples, found 0"),
        ({"features": {"text": TEXT, "audio": AUDIO, "x": AUDIO}}, "features of x"),
        ({"features": {"text": TEXT, "audio": [*AUDIO[:3], AUDIO[0] * np.nan]}},
         "audio, sample 'train/3': features are NaN or infinite"),
        ({"features": {"text": TEXT, "audio": [*AUDIO[:3], np.ones((9, 3), np.float32)]}},
         "expected at most 4 rows of 3, found shape (9, 3)"),
        ({"features": {"text": TEXT, "audio": [np.full((3, 3), "x")] * 4}},
         "audio, sample 'train/0': expected features of numbers"),
        ({"features": {"text": TEXT, "audio": [np.ones((3, 3), np.complex64)] * 4}}, "complex64"),
        ({"lengths": {"text": np.array([1, 2, 3, 1])}}, "sample 'train/2' with 3 of 2"),
        ({"lengths": {"text": np.array([1.0, 2, 2, 1])}}, "expected a length"),
        ({"personality": np.ones((4, 5), np.float32)}, "personality of shape (4, 5)"),
        ({"extras": {"speaker": ["A"]}}, "extra column 'speaker': expected 4 values"),
    ],
)  # fmt: skip
def test_faults_are_named(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(DataFormatError) as caught:
        Validation(SPEC, [Path("x.pkl")]).check(split(**changed))
    assert str(caught.value).startswith("x.pkl: small") and said in str(caught.value)


def test_a_sample_in_two_splits_is_refused_and_a_group_is_said() -> None:
    checks = Validation(SPEC)
    checks.check(split())
    checks.check(split("valid", groups=["train/g0", "x", "x", "train/g1"]))
    (said,) = checks.warnings
    assert "2 groups (sample) are in train and in valid, such as train/g0, train/g1" in said
    with pytest.raises(DataFormatError, match="sample 'train/0' is in train and in test"):
        checks.check(split("test", ids=["train/0", "b", "c", "d"]))


def test_labels_that_never_occur_are_said() -> None:
    checks = Validation(SPEC)
    checks.check(split(labels=np.tile([1, 0], (4, 1))))
    checks.check(split("valid", labels=np.zeros((4, 2))))
    assert checks.warnings == [
        "no sample of train has the label fear.",
        "no sample of valid has the label joy, fear.",
        "no sample of valid has any label: its scores mean nothing.",
    ]


def test_single_label_data_has_one_label_a_sample() -> None:
    with pytest.raises(DataFormatError, match=r"sample 'train/2': .* found 2"):
        Validation(replace(SPEC, label_kind="singlelabel")).check(split(size=3))


def test_aligned_data_has_aligned_positions() -> None:
    checks = Validation(replace(SPEC, aligned=True))
    checks.check(split())
    (said,) = checks.warnings
    assert "4 samples of train have modalities of unequal lengths" in said
    missing = [np.ones((0, 3), np.float32), *[np.ones((2, 3), np.float32)] * 3]
    checks.check(split("valid", features={"text": TEXT, "audio": missing}))
    assert checks.warnings == [said]


class Broken(Corpus):
    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        yield split()
        raise KeyError("no\nsuch")


def test_what_a_reader_raises_is_about_its_file() -> None:
    checks = Validation(SPEC, [Path("x.pkl")])
    with pytest.raises(DataFormatError, match=r"x\.pkl: small: the reader Broken .*KeyError.*line"):
        list(checks.splits(Broken(SPEC), Path()))
