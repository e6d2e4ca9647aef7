"""The source distribution: what is in it, what it says of itself, and that it makes the wheel."""

from __future__ import annotations

import email
import re
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import harness
from tests.packaging.conftest import ROOT, built

NOTES = ROOT / "changelog.d"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the source distribution unpacks to."""
    out = tmp_path_factory.mktemp("sdist")
    built(tree, out, "--sdist")
    (archive,) = out.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(out, filter="data")
    (folder,) = (p for p in out.iterdir() if p.is_dir())
    return folder


@pytest.mark.full
def test_it_holds_the_packages_and_nothing_of_the_tests(sdist: Path) -> None:
    assert sdist.name == f"emotion_harness-{harness.__version__}"
    found = {p.relative_to(sdist).as_posix() for p in sdist.rglob("*") if p.is_file()}
    assert {"LICENSE", "NOTICE", "README.md", "pyproject.toml", "PKG-INFO"} <= found
    assert {"harness/scaffold/templates/metric/metric.py.j2", "harness/py.typed"} <= found
    assert "plugins/harness_corpora/data/mosi_utterance.npz" in found
    tops = {name.split("/")[0] for name in found if "/" in name}
    assert tops == {"harness", "plugins", "baselines", "emotion_harness.egg-info"}
    assert not [n for n in found if n.endswith((".pyc", ".pkl", ".pt")) or "/tests/" in n]


@pytest.mark.full
def test_it_says_what_the_project_says(sdist: Path) -> None:
    said = email.message_from_string((sdist / "PKG-INFO").read_text("utf-8"))
    project = PROJECT["project"]
    assert said["Name"] == project["name"] and said["Version"] == harness.__version__
    assert said["License-Expression"] == project["license"]
    assert said["Requires-Python"] == project["requires-python"]
    assert said["Description-Content-Type"] == "text/markdown"
    assert len(said.get_payload()) > 10_000
    assert {*said.get_all("Provides-Extra", [])} == {*project["optional-dependencies"]}


@pytest.mark.full
def test_the_wheel_of_it_is_the_wheel_of_the_tree(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    built(sdist, tmp_path, "--wheel")
    (own,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(own) as a, zipfile.ZipFile(wheel) as b:
        assert sorted(a.namelist()) == sorted(b.namelist())
        changed = [n for n in a.namelist() if a.read(n) != b.read(n)]
    assert changed == []


def test_fragments_are_of_a_kind_and_are_sentences() -> None:
    kinds = {kind["directory"] for kind in PROJECT["tool"]["towncrier"]["type"]}
    told = (NOTES / "README.md").read_text("utf-8")
    assert all(f"`{kind}`" in told for kind in kinds)
    for path in NOTES.iterdir():
        if path.name != "README.md":
            named = re.fullmatch(r"[a-z0-9-]+\.([a-z]+)\.md", path.name)
            assert named and named[1] in kinds, path.name
            assert path.read_text("utf-8").strip().endswith("."), path.name


@pytest.mark.full
def test_fragments_are_assembled_above_what_was_released(tmp_path: Path) -> None:
    pytest.importorskip("towncrier")
    from click.testing import CliRunner
    from towncrier.build import _main

    for name in ("pyproject.toml", "CHANGELOG.md"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "changelog.d").mkdir()
    (tmp_path / "changelog.d/one.fixed.md").write_text("It is mended.\n")
    (tmp_path / "changelog.d/12.added.md").write_text("It is new.\n")
    words = ["--dir", str(tmp_path), "--version", "9.9.9", "--date", "2030-01-02", "--draft"]
    done = CliRunner().invoke(_main, words)
    assert done.exit_code == 0, done.output
    text = done.output[done.output.index("## [9.9.9]") :]
    assert text.startswith("## [9.9.9] - 2030-01-02\n")
    assert text.index("### Added") < text.index("It is new.") < text.index("### Fixed")
