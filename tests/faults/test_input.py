"""Authors' files that are not as documented: file, place, what was expected and what was found."""

from __future__ import annotations

import pickle
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.config.resolve import resolve_config
from harness.data.prepare import prepare
from harness.errors import ConfigError, DataFormatError
from harness.plugins import load
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
