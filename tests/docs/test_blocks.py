"""Commands and code of the pages: all commands exist, and what is marked to be run runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.plugins import load

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
BLOCK = re.compile(r"(<!-- run -->\n)?^```(sh|python)\n(.*?)^```$", re.M | re.S)
NOTEBOOKS = sorted(DOCS.glob("notebooks/*.ipynb"))


def blocks(page: Path) -> list[tuple[bool, str, str]]:
    """Return the blocks of a page: whether it is to be run, its language, its text."""
    found = BLOCK.findall(page.read_text("utf-8"))
    return [(bool(mark), language, text) for mark, language, text in found]


def lines(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def parse(words: list[str]) -> None:
    """Parse a command line without running it; raises a click exception for what does not exist.

    Files are not looked at: a page may name one that its reader has.
    """
    if words[0] == "figure" and "--plugin" in words:  # the kind may be of the reader's file
        place = words.index("--plugin")
        kind = words[1] if words[1] in load().figures else "labels"
        words = ["figure", kind, *words[2:place], *words[place + 2 :]]
    command: click.Command = cli
    context = command.make_context("harness", list(words))
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        known |= {"--help", "-h"}
        if not isinstance(command, click.Group):
            used = {word.partition("=")[0] for word in rest if word.startswith("-")}
            assert used <= known, f"unknown options: {used - known}"
            return
        context = command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_command_of_a_page_exists(page: Path) -> None:
    wrong = []
    for _, language, text in blocks(page):
        for line in lines(text) if language == "sh" else []:
            words = shlex.split(line, comments=True)
            if words[:1] == ["harness"] and len(words) > 1:
                try:
                    parse(words[1:])
                except (click.ClickException, AssertionError) as error:
                    wrong.append(f"{line}: {error}")
    assert not wrong


def test_a_command_that_is_not_there_is_found() -> None:
    parse(["data", "stats", "mosi", "--json"])
    with pytest.raises(click.UsageError):
        parse(["trian", "--model", "x"])
    with pytest.raises(AssertionError, match="--modle"):
        parse(["run", "--modle", "x"])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_code_of_a_page_is_python(page: Path) -> None:
    for _, language, text in blocks(page):
        if language == "python":
            compile(text, page.name, "exec")


PUBLISHED = [
    line
    for page in PAGES
    for _, language, text in blocks(page)
    for line in (lines(text) if language == "sh" else [])
    if line.startswith("harness figure ") and "--records" in line
]


@pytest.mark.full
@pytest.mark.parametrize("line", PUBLISHED)
def test_a_figure_of_published_records_needs_no_run_of_ones_own(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(DOCS.parent)
    done = CliRunner().invoke(cli, [*shlex.split(line)[1:], "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert list(tmp_path.glob("*.csv"))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_what_a_page_draws_is_published_or_made_on_the_page(page: Path) -> None:
    """A figure command as printed must not end in `no run records`."""
    before, lacking = "", []
    for line in page.read_text("utf-8").splitlines():
        if line.startswith("harness figure ") and not {"--records", "--help"} & {*line.split()}:
            made = re.search(r"^harness run |harness\.run\(|^harness score ", before, re.M)
            lacking += [] if made else [line]
        before += line + "\n"
    assert not lacking


# What a page calls is what these tests run by, whatever else is in PATH.
SHELL = f"""
python() {{ {shlex.quote(sys.executable)} "$@"; }}
harness() {{ python -m harness "$@"; }}
"""
RUN = [page for page in PAGES if any(marked for marked, _, _ in blocks(page))]


def execute(words: list[str], folder: Path) -> str:
    roots = {"HARNESS_HOME": str(folder / "home"), "HARNESS_DATA": str(folder / "data")}
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, **roots}, capture_output=True, text=True,
        check=False, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.full
@pytest.mark.parametrize("page", RUN, ids=lambda p: p.name)
def test_what_a_page_marks_runs_in_its_order(page: Path, tmp_path: Path) -> None:
    for marked, language, text in blocks(page):
        if not marked:
            continue
        named = re.match(r"# (\w+\.py)\n", text)
        if named:
            (tmp_path / named[1]).write_text(text, "utf-8")
        elif language == "python":
            assert execute([sys.executable, "-c", text], tmp_path).strip()
        else:
            for line in lines(text):
                execute(["bash", "-euc", f"{SHELL}\n{line}"], tmp_path)


def test_the_worked_example_of_the_metrics_is_right() -> None:
    text = next(t for _, language, t in blocks(DOCS / "metrics.md") if language == "python")
    exec(compile(text.replace("print(", "str("), "metrics.md", "exec"), {})


def cells(notebook: Path) -> list[str]:
    found = json.loads(notebook.read_text("utf-8"))["cells"]
    return ["".join(c["source"]) for c in found if c["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.name)
def test_a_notebook_holds_no_outputs(notebook: Path) -> None:
    assert all(compile(cell, notebook.name, "exec") for cell in cells(notebook))
    found = json.loads(notebook.read_text("utf-8"))["cells"]
    assert not [c for c in found if c.get("outputs") or c.get("execution_count")]


@pytest.mark.full
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.name)
def test_every_cell_of_a_notebook_runs(notebook: Path, tmp_path: Path) -> None:
    """In order and in one namespace, as a kernel does, in a process of its own."""
    (tmp_path / "cells.py").write_text("\n\n".join(cells(notebook)), "utf-8")
    assert "(493, 4)" in execute([sys.executable, "cells.py"], tmp_path)
