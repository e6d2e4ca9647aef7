"""Tables of the command line fit a terminal; ``--wide`` shows all of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from harness import paths
from harness.boards.grid import Column, Grid, GridRow, Statistic
from harness.boards.render.console import WIDTH, fitted, table
from harness.cli import cli
from harness.cli.list import TOGETHER
from harness.records.store import RunStore
from tests.unit.boards.made import record


@pytest.fixture(autouse=True)
def own_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_roots", {})
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))


def call(*arguments: str) -> str:
    done = CliRunner().invoke(cli, list(arguments))
    assert done.exit_code == 0, done.output
    return done.output


def test_every_list_fits_and_wide_has_every_column_in_one_line_a_row() -> None:
    everything = call("list")
    assert max(map(len, everything.splitlines())) <= WIDTH
    assert all(f"\n{kind}\n" in f"\n{everything}" for kind in TOGETHER)
    rows = json.loads(call("list", "--json"))
    for kind in ("datasets", "suites"):
        narrow, wide = call("list", kind), call("list", kind, "--wide")
        heads = list(rows[kind][0])
        first = next(line for line in wide.splitlines() if line.startswith(heads[0]))
        assert first.split() == heads
        assert set(narrow.split()) <= set(wide.split()) | {"-" * n for n in range(1, WIDTH)}
        assert len(wide.splitlines()) == 2 + len(rows[kind]) < len(narrow.splitlines())
        assert ("text, visual" in wide, "text, visual" in narrow) == (kind == "datasets", False)


@pytest.mark.parametrize("name", ["ramer", "memor-fine"])
def test_what_is_known_of_a_model_or_data_set_fits(name: str) -> None:
    narrow, wide = call("show", name), call("show", name, "--wide")
    assert max(map(len, narrow.splitlines())) <= WIDTH < max(map(len, wide.splitlines()))
    assert yaml.safe_load(narrow) == yaml.safe_load(wide)


def test_a_list_of_runs_fits(tmp_path: Path) -> None:
    run = record("a-model-with-a-long-name-of-its-own", 0, 0.5, dataset="a-data-set-with-one-too")
    RunStore().write(run)
    lines = call("runs", "list").splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert any(line.startswith(run.id) for line in lines)
    assert "1 run, " in "\n".join(lines)


def test_texts_go_on_in_the_next_line_and_lose_nothing() -> None:
    long = " ".join(f"word{i}" for i in range(40))
    text = fitted(["name", "about", "n"], [["one", long, "3"], ["two", "short", "4"]], 40)
    assert max(map(len, text.splitlines())) == 40
    body = text.splitlines()[2:]
    assert " ".join(line[8:36].strip() for line in body[:-1]).split()[:40:39] == ["word0", "word39"]
    assert body[0].endswith("3") and body[-1].split() == ["two", "short", "4"]
    whole = fitted(["name", "about", "n"], [["one", long, "3"]], None)
    assert len(whole.splitlines()) == 3 and long in whole


def test_the_checks_fit_too() -> None:
    assert max(map(len, call("list", "checks").splitlines())) <= WIDTH


def test_figures_are_never_broken_but_stand_in_several_tables() -> None:
    names = [f"metric {i}" for i in range(9)]
    columns = (Column("model"), *(Column(name, kind="figure") for name in names))
    cells = {name: Statistic(0.5 + i / 100, 0.01, 3) for i, name in enumerate(names)}
    grid = Grid("All", columns, (GridRow({"model": "one"} | cells),))
    text = table(grid)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert [text.count(f"0.5{i}00 ± 0.0100") for i in range(9)] == [1] * 9
    assert text.count("one ") == 2 and text.count("model ") == 2
    assert table(grid, None).count("one ") == 1


def test_a_word_that_is_too_long_stays_whole() -> None:
    path = "/".join(["folder"] * 30)
    assert path in fitted(["found", "what"], [[path, "a path that somebody copies"]], 60)
    _, rule, row = fitted(["what", "found"], [["a file", path]], 60).split("\n")
    assert path in row and len(rule) == 60
