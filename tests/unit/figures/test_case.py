"""The page about one sample: which one, what it shows, where from."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import harness
from harness.cli import cli
from harness.data.layouts.stored import Person, Shown
from harness.data.locate import find_store
from harness.errors import UsageError
from harness.figures.case import Case, Verdict, most_disputed, page, verdict
from harness.plugins import load
from harness.records.committed import export
from harness.records.store import RunStore
from harness.statistics.entrants import Entrant
from tests.tiny_memor import small_memor
from tests.unit.figures.made import TRUTH, run, store


class Cells(HTMLParser):
    """Collect the text of every cell, table by table, row by row; and all attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.attributes: list[tuple[str, str | None]] = []
        self._in = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._in = True

    def handle_endtag(self, tag: str) -> None:
        self._in = self._in and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._in:
            self.tables[-1][-1][-1] += data


def made(**changes: object) -> Case:
    said = Verdict("one", "quick", "model", "one-s0", 0, (0.9, 0.2), (True, False), True, 2, 3)
    wrong = replace(said, name="<b>two</b>", decided=(True, True), right=False, seeds_right=0)
    person = Person(4, True, False, ((True, False), (False, False), (True, True)))
    case = Case(
        "d-twin", "twin", "test", "full@1", "id&1", "clip", "clip", "", "frame", "multilabel",
        ("joy", "anger"), (True, False), ("text", "visual"), (said, wrong),
        Shown((), (person, replace(person, target=False, personality=True)), 3, 2),
        {"moment": "m<1>"},
    )  # fmt: skip
    return replace(case, **changes)


def entrant(decided: list[list[list[int]]], name: str = "one") -> Entrant:
    array = np.array(decided, dtype=np.uint8)
    ids = tuple("vwxyz"[: array.shape[1]])
    return Entrant(
        name, tuple(range(len(array))), ids, ids, ("a", "b"), "", "sample",
        TRUTH[: array.shape[1]], array,
    )  # fmt: skip


def test_the_grid_says_who_had_what_when() -> None:
    text = page(made())
    grid, said = Cells(text).tables
    assert grid[0] == ["person", "personality", "1", "2", "3"]
    assert grid[1][0] == "character 4 asked about" and grid[1][1] == "unknown"
    assert "text there, " in grid[1][2] and "visual missing" in grid[1][2]
    assert grid[1][4].startswith("asked about: ") and "missing" not in grid[1][4]
    assert grid[2][0] == "character 4" and grid[2][1] == "known"
    assert [row[1] for row in said[1:]] == ["✓ right", "✗ wrong"]
    assert said[1][2:5] == ["2 of 3", "joy", "0.90 ✓ decided"]
    assert said[0][4:] == ["joy (true)", "anger"] and said[1][5] == "0.20"


def test_text_of_data_is_no_markup_and_nothing_is_fetched() -> None:
    text = page(made())
    assert "<b>two" not in text and "&lt;b&gt;two" in text and "m&lt;1&gt;" in text
    assert "id&amp;1" in text and "Generated data" in text
    names = {name for name, _ in Cells(text).attributes}
    assert not names & {"src", "href", "srcset", "onclick"}
    assert not re.search(r"https?:|@import|url\(", text)
    assert "Generated data" not in page(made(source="real"))
    assert "only predictions are shown" in page(made(shown=None, modalities=()))
    assert "none of the labels" in page(made(truth=(False, False)))


def test_the_most_disputed_sample() -> None:
    agreed, split = [[1, 0], [0, 0], [1, 1]], [[1, 0], [1, 1], [1, 1]]
    half = entrant([[[1, 0], [0, 0], [1, 1]], [[0, 0], [0, 0], [1, 1]]])
    assert most_disputed([entrant([agreed]), entrant([split])])[0] == 1
    place, amount = most_disputed([entrant([agreed]), half])
    assert (place, amount) == (0, pytest.approx(0.25**2))
    assert most_disputed([entrant([agreed]), entrant([agreed])]) == (0, 0.0)
    with pytest.raises(UsageError, match="name the sample with --id"):
        most_disputed([half])


def test_a_verdict_is_right_where_the_whole_set_is() -> None:
    mine = entrant([[[1, 1], [1, 1]], [[1, 0], [0, 1]]])
    about = {"setting": "s", "role": "model", "run": "r"}
    first = verdict(mine, 0, 0, np.array([0.7, 0.6]), about)
    assert (first.right, first.seeds_right, first.decided) == (False, 1, (True, True))
    assert verdict(mine, 1, 0, np.array([0.7, 0.6]), about).right
    assert not verdict(mine, 1, 1, np.array([0.7, 0.6]), about).right


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, ["figure", "case", "--dataset", "fake", *words])


def test_the_command_needs_neither_data_nor_torch(tmp_path: Path) -> None:
    wrong = 1 - TRUTH
    wrong[1:] = TRUTH[1:]
    store(run("one", 0), run("one", 1))
    store(run("two"), scores=wrong)
    code = (
        "import sys\nfrom harness.cli import main\n"
        "try:\n    main(['figure', 'case', '--dataset', 'fake', '--out', "
        f"{str(tmp_path)!r}])\nexcept SystemExit as end:\n"
        "    found = {'torch', 'datasets', 'matplotlib'} & set(sys.modules)\n"
        "    sys.exit(str(found) if found else end.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "fake is not prepared here" in done.stderr
    (path,) = tmp_path.iterdir()
    assert path.name == "fake-case-v.html" and "the 2 models disagree most" in path.read_text()
    (said,) = Cells(path.read_text()).tables
    assert [(row[0], row[1], row[2]) for row in said[1:]] == [
        ("one", "✓ right", "2 of 2"),
        ("two", "✗ wrong", "0 of 1"),
    ]
    export(RunStore().all(), RunStore(), tmp_path / "records")
    words = ("--records", str(tmp_path / "records"), "--out", str(tmp_path / "again"))
    assert call(*words).exit_code == 0
    assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_a_named_sample_and_mistakes(tmp_path: Path) -> None:
    store(run("one", 0), run("one", 1))
    out = ("--out", str(tmp_path))
    done = call("one", "--id", "x", "--seed", "1", "--json", *out)
    assert done.exit_code == 0 and json.loads(done.stdout)["id"] == "x", done.output
    assert "seed 1</li>" in (tmp_path / "fake-case-x.html").read_text()
    for words, text in (
        (("one", "--id", "q"), "no test sample 'q'; ids are like v, w, x."),
        (("one", "--id", "x", "--seed", "3"), "no run with seed 3; it has 0, 1"),
        (("one",), "name the sample with --id"),
    ):
        refused = call(*words, *out)
        assert refused.exit_code == 2 and text in refused.output
        assert refused.output.splitlines()[-1].startswith("Error: ")


def test_a_clip_of_memor(own_folders: Path, tmp_path: Path) -> None:
    with small_memor(own_folders / "data"):
        options = {"device": "cpu", "references": False}
        harness.run("mdl", "memor-primary", overrides=("training.epochs=1",), **options)
        split = find_store(load().dataset("memor-primary")).split("test")
        aimed = int(np.flatnonzero(split.has_target)[0])
        words = ["figure", "case", "mdl", "--dataset", "memor-primary", "--id", split.ids[aimed]]
        done = CliRunner().invoke(cli, [*words, "--out", str(tmp_path)])
        assert done.exit_code == 0, done.output
        grid = split.shown(aimed)
    (path,) = tmp_path.iterdir()
    table, said = Cells(path.read_text()).tables
    assert len(table) == len(grid.persons) + 1 == split.persons[aimed] + 1
    assert len(table[0]) == split.segments[aimed] + 2
    row, column = int(split.target_person[aimed]), int(split.target_segment[aimed])
    framed = [(r, c) for r, line in enumerate(table) for c, text in enumerate(line)
              if text.startswith("asked about: ")]  # fmt: skip
    assert framed == [(row + 1, column + 2)]
    cell = split.offsets[aimed] + row * split.segments[aimed] + column
    for j, m in enumerate(split.modalities):
        there = bool(split.index[m.name][cell] >= 0)
        assert grid.persons[row].cells[column][j] is there
        assert f"{m.name} {'there' if there else 'missing'}" in table[row + 1][column + 2]
    assert all(p.personality for p in grid.persons)
    assert said[1][0] == "mdl" and len(said[0]) == 4 + 9
