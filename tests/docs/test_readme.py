"""Every command and every piece of code of the README is run, as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, flags=re.S)
LINES = [line for block in BLOCKS for line in block.splitlines() if line.strip()]
# What follows the set-up is what a test can repeat: the environment it runs in is that set-up.
COMMANDS = [line.split(" && ")[-1].removeprefix(".venv/bin/") for line in LINES]
SUITE = "python -m pytest -n 2"


def command(name: str) -> str:
    found = re.search(rf"<!-- command: {name} -->\n```sh\n(.*)\n```", README)
    assert found, f"the README marks no command {name!r}"
    return found[1]


FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", README, flags=re.S))


def python_example() -> str:
    """Return the code under "Use it from Python"."""
    found = re.search(r"## Use it from Python\n.*?```python\n(.*?)```", README, flags=re.S)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    for name, text in FILES.items():
        (folder / name).write_text(text, "utf-8")
    return folder


# The headline trains for minutes: in full in the long tests, one epoch of it otherwise.
LONG = next(line for line in COMMANDS if "--model ramer --dataset mosei-aligned" in line)
RUN = [
    pytest.param(line, marks=pytest.mark.full if line == LONG else ())
    for line in (f"{LONG} --set training.epochs=1", *COMMANDS)
    if line != SUITE
]


@pytest.mark.parametrize("line", RUN)
def test_command_runs(line: str, workplace: Path) -> None:
    """In the README's order, in one home, so that a later command finds what an earlier made."""
    program, *words = shlex.split(line)
    arguments = [sys.executable, *(("-m", "harness") if program == "harness" else ()), *words]
    roots = {"HARNESS_HOME": str(workplace / "home"), "HARNESS_DATA": str(workplace / "data")}
    done = subprocess.run(
        arguments,
        cwd=workplace,
        env={**os.environ, **roots},
        capture_output=True,
        text=True,
        check=False,
        timeout=580,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.strip() or program == "python"
    assert "Traceback" not in done.stderr
    if line.startswith("harness run"):
        assert "micro" in done.stdout.lower()
    if "mosei-aligned" in line:
        assert "twin" in done.stdout.splitlines()[0] + done.stderr


def test_python_example_runs_as_printed(workplace: Path) -> None:
    """In the home of the commands above it, whose runs of the same models have other settings."""
    roots = {"HARNESS_HOME": str(workplace / "home"), "HARNESS_DATA": str(workplace / "data")}
    done = subprocess.run(
        [sys.executable, "-c", python_example()], cwd=workplace, env={**os.environ, **roots},
        capture_output=True, text=True, check=False, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert re.search(r"mean-pool +0\.\d+", done.stdout) and "(493, 4)" in done.stdout
    assert "p_holm" in done.stdout and "best-constant" in done.stdout
    assert len(python_example().splitlines()) <= 11


def test_every_line_is_a_command_that_is_tested_or_this_suite() -> None:
    others = [c for c in COMMANDS if not c.startswith("harness ")]
    assert others == [SUITE, *(f"python {name}" for name in FILES if name.startswith("make_"))]


def test_both_commands_are_one_line_that_sets_itself_up() -> None:
    for name in ("run", "test"):
        assert command(name).startswith("python3 -m venv .venv && .venv/bin/pip install ")
        assert "-c constraints.txt" in command(name)


def test_ci_runs_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci/run").read_text("utf-8")
    extract = re.search(r"command=\$\((.*)\)", script)
    assert extract
    done = subprocess.run(
        ["bash", "-c", extract[1]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == command("test")


@pytest.mark.parametrize("name", ["mean_pool.py", "reviews.py"])
def test_plugin_examples_are_short(name: str) -> None:
    assert len(FILES[name].splitlines()) < 40


def test_the_reviewers_of_the_example_are_in_one_split_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(FILES["make_reviews.py"], {})
    files = [np.load(tmp_path / f"reviews/{name}.npz") for name in ("train", "valid", "test")]
    reviewers = [{*file["reviewer"].tolist()} for file in files]
    assert sum(map(len, reviewers)) == len(set.union(*reviewers)) == (80 + 20 + 40) / 4


def test_files_the_readme_names_exist() -> None:
    for name in re.findall(r"`((?:docs/)?[\w./-]+\.(?:md|txt|ini)|NOTICE|LICENSE)`", README):
        assert (ROOT / name).is_file(), name


def test_constraints_pin_every_direct_dependency() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["test"], *extras["cc"], *extras["dev"]]
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = {line.split("==")[0] for line in lines if "==" in line}
    names = {re.split(r"[<>=!\[; ]", d)[0].lower().replace("_", "-") for d in wanted}
    assert names <= pinned
    assert not [line for line in lines if "+" in line], "no local build tags: they fit one machine"
