"""Authors' files that are not as documented: file, place, what was expected and what was found."""

from __future__ import annotations

import pickle
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from harness.cli import cli
from harness.config.resolve import resolve_config
from harness.data.corpus import Corpus, SplitArrays
from harness.data.prepare import prepare
from harness.engine.external import read_submission
from harness.errors import ConfigError, DataFormatError, PluginError
from harness.plugins import load
from harness.specs import DatasetSpec, ModalitySpec
from harness_corpora.m3ed import M3ed
from harness_corpora.meld import MeldParty, read_dialogues
from harness_corpora.mosei import MoseiAligned, MoseiUnaligned
from harness_corpora.music import read_arff
from harness_corpora.specs import MELD_PARTY
from tests.unit.corpora.test_meld import HEADER, ROWS
from tests.unit.data.data_files import (
    ALIGNED,
    DIALOGUES,
    UNALIGNED,
    aligned,
    dialogues,
    unaligned,
    write_aligned,
    write_dialogues,
    write_unaligned,
)

Change = Callable[[Any], Any]


def put(*keys: Any, to: Any) -> Change:
    """Return a change that sets one place of nested containers."""

    def change(data: Any) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = to

    return change


WHOLE = r"train/tgt\[0\]: expected whole numbers, found "


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("train", "tgt", 0, to=[2, 4.99, 3]), WHOLE + r"4\.99"),
        (put("train", "tgt", 0, to=[2.9, 4, 3]), WHOLE + r"2\.9"),
        (put("train", "tgt", 0, to=["<s>", "</s>"]), WHOLE + "'<s>'"),
        (put("train", "tgt", 0, to=[2, "4", 3]), WHOLE + "'4'"),
        (put("train", "tgt", 0, to=[[2], [3]]), WHOLE + "a list"),
        (put("train", "tgt", 0, to=np.ones((2, 2))), WHOLE + r"float64 array of shape \(2,\)"),
        (put("train", "tgt", 0, to=[2, None, 3]), WHOLE + "None"),
        (put("train", "tgt", 0, to=[2, True, 3]), WHOLE + "True"),
        (put("train", "tgt", 0, to=[2, float("nan"), 3]), WHOLE + "nan"),
        (put("train", "tgt", 0, to=[2, 10**30, 3]), r"train/tgt\[0\]: expected different tokens"),
        (put("train", "tgt", 0, to=7), r"train/tgt\[0\]: expected a list of tokens, found 7"),
        (put("train", "tgt", to=np.array(3)), "train_valid_test"),
        (put("valid", to=[1]), "valid: expected a dict, found a list"),
        (put("dict", "tgt", "happy", to=[4]), "dict/tgt: expected whole numbers, found a list"),
    ],
)
def test_label_tokens(roots: Path, change: Change, said: str) -> None:
    data = aligned()
    change(data)
    write_aligned(roots, data)
    with pytest.raises(DataFormatError, match=rf"train_valid_test\.pt.*{said}|{said}"):
        prepare(MoseiAligned(ALIGNED), roots, "x")


def test_whole_floats_are_tokens(roots: Path) -> None:
    data = aligned()
    data["train"]["tgt"][0] = [2.0, np.float32(4), 3.0]
    write_aligned(roots, data)
    assert prepare(MoseiAligned(ALIGNED), roots, "x").split("train").labels[0].tolist()[0] == 1


@pytest.mark.parametrize(
    ("row", "found"),
    [(None, "None"), ([], "nothing"), ("", "nothing"), ([" "], "nothing"), ([None, 1], "None"),
     (1.5, "1.5"), (b"\xff", "b'"), ({}, "a dict|nothing"), (np.array([]), "nothing")],
)  # fmt: skip
def test_video_names(roots: Path, row: Any, found: str) -> None:
    write_aligned(roots, aligned())
    data = unaligned()
    rows: list[Any] = [list(r) for r in data["train"]["id"]]
    rows[3] = row
    data["train"]["id"] = rows
    write_unaligned(roots, data)
    with pytest.raises(
        DataFormatError, match=rf"train/id\[3\]: expected a video name, found ({found})"
    ):
        prepare(MoseiUnaligned(UNALIGNED), roots, "x")


def test_a_video_in_two_splits(roots: Path) -> None:
    write_aligned(roots, aligned())
    data = unaligned()
    data["test"]["id"] = [list(data["train"]["id"][0]), *map(list, data["test"]["id"][1:])]
    write_unaligned(roots, data)
    with pytest.raises(DataFormatError, match=r"'train-video0\[0\]' is in train and in test"):
        prepare(MoseiUnaligned(UNALIGNED), roots, "x")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x[9].append("d_0"), "sample 'd_0' is in train and in test"),
        (lambda x: x[7].append("d_0"), "rows 0 and 3 have the sample id 'd_0'"),
        (put(7, 0, to=None), r"\[7\] train\[0\]: expected a dialogue id, found None"),
        (put(7, 0, to=""), r"\[7\] train\[0\]: expected a dialogue id, found nothing"),
        (put(2, "d_1", 1, to=1.5), r"\[2\] d_1\[1\]: expected whole numbers, found 1\.5"),
        (put(2, "d_1", 1, to="joy"), r"\[2\] d_1\[1\]: expected whole numbers, found 'joy'"),
        (put(2, "d_1", 1, to=7), r"\[2\] d_1: expected emotions 0\.\.6"),
        (put(1, "d_1", 1, to=" "), r"\[1\] d_1\[1\]: expected a letter, found nothing"),
        (put(1, "d_1", to=3), r"\[1\] d_1: expected 3 speakers, found 3"),
    ],
)
def test_dialogues(roots: Path, change: Change, said: str) -> None:
    data = dialogues()
    change(data)
    write_dialogues(roots, data)
    with pytest.raises(DataFormatError, match=rf"features\.pkl.*{said}"):
        prepare(M3ed(DIALOGUES), roots, "x")


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("kind", [dict, OrderedDict, lambda d: defaultdict(list, d), Counter])
def test_containers_are_read(roots: Path, kind: Any, protocol: int) -> None:
    data = dialogues()
    if kind is not Counter:
        data[2] = kind(data[2])
    data[6] = Counter(data[6].keys())
    data[0]["d_0"] = deque(data[0]["d_0"])
    path = write_dialogues(roots, data)
    path.write_bytes(pickle.dumps(data, protocol))
    assert len(prepare(M3ed(DIALOGUES), roots, "x").split("train")) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t + ROWS.splitlines()[1] + "\n",
         r"line 7: dialogue 0, utterance 0 is there already \(line 3\)"),
        (lambda t: t.replace(",The Waiter,", ",,"), "line 5, Speaker: expected a name, found not"),
        (lambda t: t.replace(",The Waiter,", ",  ,"), "line 5, Speaker: expected a name, found "),
        (lambda t: t.replace(",1,0,1,1,", ",1.5,0,1,1,"), "line 5, Dialogue_ID: .* found '1.5'"),
        (lambda t: t.replace(",1,0,1,1,", ",1_0,0,1,1,"), "line 5, Dialogue_ID: .* found '1_0'"),
        (lambda t: t.replace(",1,0,1,1,", ",,0,1,1,"), "line 5, Dialogue_ID: .* found nothing"),
        (lambda t: t.replace(",joy,", ",,", 1), "line 3, Emotion: .* found nothing"),
        (lambda t: t.replace("Hello there,", "Hello, there,"), "line 3: 12 cells, the header has"),
        (lambda t: t.replace('00:00:08,000"', 'later"'), "line 6: expected a time"),
        (lambda t: t.replace("Hello there", "x" * 140_000), "line 3: a field of more than 131072"),
        (lambda t: t.replace("Speaker", "Utterance"), "header: expected"),
    ],
)  # fmt: skip
def test_lines_of_meld(tmp_path: Path, change: Change, said: str) -> None:
    path = tmp_path / "train_sent_emo.csv"
    path.write_text(change(HEADER + ROWS), "utf-8")
    with pytest.raises(DataFormatError, match=rf"train_sent_emo\.csv, {said}"):
        read_dialogues(path)


def test_a_readers_own_exception_names_data_set_and_file(
    roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in MELD_PARTY.files:
        (roots / file.path).parent.mkdir(parents=True, exist_ok=True)
        (roots / file.path).write_text(HEADER + ROWS, "utf-8")
    monkeypatch.setattr("harness_corpora.meld.read_traits", lambda _: [][0])
    with pytest.raises(
        DataFormatError,
        match=r"train_sent_emo\.csv, .*meld-party: the reader MeldParty.*IndexError",
    ):
        prepare(MeldParty(MELD_PARTY), roots, "x")


ARFF = "@relation x\n@attribute BH_1 numeric\n@attribute 'amazed one' {0,1}\n@data\n1,0\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.replace(" BH_1 numeric", ""), "line 2: expected a name and a type"),
        (lambda t: t.replace(" BH_1 numeric", " BH_1"), "line 2: expected a name and a type"),
        (lambda t: t.replace(" BH_1 numeric", " 'BH_1"), "line 2: expected a name and a type"),
        (lambda t: t.replace("1,0", "1"), "line 5: expected 2 values, found 1"),
        (lambda t: t.replace("1,0", "1,0,0"), "line 5: expected 2 values, found 3"),
        (lambda t: t.replace("1,0", "1_0,0"), "line 5: expected a number, found '1_0'"),
        (lambda t: t.replace("1,0", "1,"), "line 5: expected a number, found nothing"),
        (lambda t: t.replace("1,0", "1,1e999"), "line 5: expected a number, found '1e999'"),
        (lambda t: t.replace("1,0", ""), "@data: expected at least one row"),
    ],
)
def test_lines_of_an_arff_file(tmp_path: Path, change: Change, said: str) -> None:
    path = tmp_path / "x.arff"
    path.write_text(change(ARFF))
    with pytest.raises(DataFormatError, match=rf"x\.arff, {said}"):
        read_arff(path)
    path.write_text(ARFF)
    assert read_arff(path)[0] == ["BH_1", "amazed one"]


SMALL = DatasetSpec(
    name="strange",
    corpus="tests.faults.test_input:Strange",
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


@pytest.mark.parametrize(
    "change",
    [f"training.lr={'9' * 400}", f"training.epochs={'9' * 400}", f"training.lr={'9' * 5000}",
     f"threshold={'9' * 400}", "training.epochs=1e30", "training.epochs=1.5",
     "training.lr=" + "[" * 30_000, "training.lr=" + "- " * 3000 + "1", "training.lr=1e999",
     "training.batch_size=" + "9" * 20],
)  # fmt: skip
def test_numbers_of_the_configuration(change: str) -> None:
    registry = load()
    model, dataset = registry.models["misa"].spec, registry.dataset("mosi")
    with pytest.raises(ConfigError) as caught:
        resolve_config(model, dataset, "paper", overrides=[change])
    assert change.partition("=")[0] in str(caught.value) and len(str(caught.value)) < 500


def test_a_table_of_published_figures_with_a_bad_byte(tmp_path: Path) -> None:
    from harness.documents import read_yaml

    for content in (b"mosi: \xff", b"x: " + b"9" * 5000, b"[" * 3000):
        (tmp_path / "published.yaml").write_bytes(content)
        with pytest.raises(DataFormatError, match=r"published\.yaml is not valid YAML"):
            read_yaml(tmp_path / "published.yaml")


def test_line_ends_of_boards_do_not_matter(tmp_path: Path) -> None:
    from harness.boards.board import stale_files

    (tmp_path / "a.md").write_bytes(b"x\r\ny\r\n")
    assert stale_files({"a.md": "x\ny\n"}, tmp_path) == ([], [])
    assert stale_files({"a.md": "x\nz\n"}, tmp_path)[0] == ["a.md does not follow from the records"]
