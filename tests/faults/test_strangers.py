"""What strangers hand over, a corpus or a submission, that is not as documented."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from harness.cli import cli
from harness.data.corpus import Corpus, SplitArrays
from harness.data.prepare import prepare
from harness.engine.external import read_submission
from harness.errors import DataFormatError, PluginError
from harness.specs import DatasetSpec, ModalitySpec

SMALL = DatasetSpec(
    name="strange",
    corpus="tests.faults.test_strangers:Strange",
    modalities=(ModalitySpec("text", "t", 2, 4), ModalitySpec("audio", "a", 3, 4)),
    labels=("joy", "fear"),
)


def whole(**changed: Any) -> dict[str, Any]:
    return {
        "labels": np.array([[1, 0], [0, 1], [1, 1]], np.uint8),
        "features": {m.name: [np.ones((2, m.dim)) for _ in range(3)] for m in SMALL.modalities},
    } | changed


class Strange(Corpus):
    """A stranger's corpus: what its splits are is set by a test."""

    given: Any = None

    def missing(self, root: Path) -> list[Path]:
        return []

    def source_files(self, root: Path) -> list[Path]:
        return []

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        for split in ("train", "valid", "test"):
            ids = [f"{split}/{i}" for i in range(3)]
            yield SplitArrays(**{"name": split, "ids": ids, "groups": ids} | self.given)


def given(roots: Path, *, repair: bool = False, **changed: Any) -> Any:
    corpus = Strange(SMALL)
    corpus.given = whole(**changed)
    return prepare(corpus, roots, "strange", repair=repair)


@pytest.mark.parametrize("what", ["missing", "source_files"])
def test_what_a_corpus_raises_about_its_files(
    roots: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("x")

    monkeypatch.setattr(Strange, what, broken)
    with pytest.raises(PluginError, match=rf"data set 'strange': Strange\.{what} failed with Key"):
        given(roots)


def test_a_strangers_float64_is_stored_as_float32(roots: Path) -> None:
    store = given(roots)
    assert store.split("train").gather([0])["text"][0].dtype == np.float32
    assert store.card["warnings"] == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"labels": np.full((3, 2), 0.5)}, "expected 0 or 1, found 0.5"),
        ({"ids": ["a", "b", "c"]}, "sample 'a' is in train and in valid"),
        ({"ids": ["a", "b", "\udc80"]}, "row 2: expected a sample id of UTF-8 text"),
        ({"groups": ["a", None, "b"]}, "row 1: expected a group, found None"),
        ({"extras": {"x": [1, "2", 3]}}, "extra column 'x': expected strings or numbers"),
        ({"extras": {"x": [{}, {}, {}]}}, "extra column 'x': expected strings or numbers"),
        ({"facts": {"x": "many"}}, "facts, x: expected a count, found 'many'"),
        ({"name": "train"}, "split 'train' is there twice"),
        ({"labels": None}, "expected labels"),
        ({"ids": None}, "split 'train' is not as SplitArrays describes .TypeError"),
        ({"features": 3}, "split 'train' is not as SplitArrays describes"),
        ({"lengths": {"text": [1, 2, None]}}, "expected a length"),
        ({"cleaned": 3}, "split 'train' is not as SplitArrays describes"),
    ],
)
def test_what_a_stranger_hands_over(roots: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(DataFormatError, match=said):
        given(roots, **changed)


def test_repairs_are_counted_stored_and_said(roots: Path) -> None:
    broken = [np.full((2, 2), np.nan), np.full((1, 2), np.inf), np.ones((2, 2))]
    features = {"text": broken, "audio": [np.ones((2, 3))] * 3}
    with pytest.raises(DataFormatError, match=r"NaN or infinite.*--repair"):
        given(roots, features=features)
    store = given(roots, features=features, repair=True)
    assert store.card["cleaned"]["train"] == {"train text:nan-or-inf": 6}
    assert "1 samples of train have modalities of unequal lengths" in store.card["warnings"][0]


PLUGIN = """
import numpy as np
import harness
from harness.data.corpus import Corpus, SplitArrays
from harness.specs import DatasetSpec, ModalitySpec

class Odd(Corpus):
    def missing(self, root): return []
    def source_files(self, root): return []
    def read(self, root, *, repair=False):
        for s in ("train", "valid", "test"):
            x = [np.full((1, 2), np.nan if i == 0 and repair else 1.0) for i in range(3)]
            yield SplitArrays(s, [f"{s}/{i}" for i in range(3)], ["g"] * 3,
                              np.array([[1, 0]] * 3), {"text": x})

@harness.hookimpl
def harness_datasets():
    return [DatasetSpec(name="odd", corpus="odd:Odd", labels=("joy", "fear"), group_key="video",
                        modalities=(ModalitySpec("text", "t", 2, 4),))]
"""


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def test_prepare_prints_warnings_and_repairs(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(PLUGIN)
    plugin = ("--plugin", str(tmp_path / "odd.py"))
    done = call("data", "prepare", "odd", "--repair", *plugin)
    assert done.exit_code == 0, done.output
    assert "train: set to 0: 2 values" in done.output
    assert "note: no sample of train has the label fear." in done.output
    assert "1 groups (video) are in train and in test, such as g" in done.output


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own.csv"


LINES = ["id,score:joy,score:fear", "a,0.5,0.1", "b,1,0"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([*LINES, "c,0.1,0.2,0.3"], "line 4: 4 cells, the header has 3"),
        ([*LINES, "c,0.1"], "line 4: 2 cells, the header has 3"),
        ([*LINES, "c,0.1,1_0"], "line 4, score:fear: expected a number from 0 to 1, found '1_0'"),
        ([*LINES, "c,0.1,nan"], "line 4, score:fear: .* found 'nan'"),
        ([*LINES, "c,0.1,"], "line 4, score:fear: .* found nothing"),
        ([*LINES, "c,0.1,\uff11"], "line 4, score:fear"),
        ([*LINES, "c,0.1,1.5"], r"line 4, score:fear: .* found '1\.5'"),
        ([*LINES, ",0.1,0.5"], "line 4, id: expected a sample id, found nothing|line 4, id"),
        ([*LINES, "c" * 140_000 + ",0,0"], "line 4: a field of more than 131072 characters"),
        (["id,score:joy,score:fear,", "a,0,0,"], "unknown columns without a name"),
        (["id,score:joy,score:joy", "a,0,0"], "names a column twice|lacks"),
    ],
)
def test_lines_of_a_submission(own: Path, lines: list[str], said: str) -> None:
    own.write_text("\n".join(lines) + "\n", "utf-8")
    with pytest.raises(DataFormatError, match=rf"own\.csv.*{said}"):
        read_submission(own, SMALL, ["full@1"])


@pytest.mark.parametrize("content", [b"\xff\xfeid", b"id,score:joy\n\xa0", b""])
def test_a_submission_that_is_no_table(own: Path, content: bytes) -> None:
    own.write_bytes(content)
    with pytest.raises(DataFormatError, match=r"own\.csv"):
        read_submission(own, SMALL, ["full@1"])
