"""The digest of a model's code: what it covers, what it leaves out, and what a run makes of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.errors import PluginError
from harness.plugins import Entry, load
from harness.records import code
from harness.records.code import model_digest, refuse_stale
from harness.specs import ModelSpec

ROOT = Path(__file__).parents[3]
BASELINES = ROOT / "baselines/harness_baselines"
ENTRIES = {n: e for n, e in load().models.items() if e.plugin == "baselines"}


@pytest.fixture
def baselines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the baselines' folder that digests are taken of."""
    copy = tmp_path / "harness_baselines"
    shutil.copytree(BASELINES, copy, ignore=shutil.ignore_patterns("__pycache__"))
    package = types.ModuleType("harness_baselines")
    package.__file__ = str(copy / "__init__.py")
    for name in [n for n in sys.modules if n.partition(".")[0] == "harness_baselines"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "harness_baselines", package)
    return copy


def digests() -> dict[str, str]:
    return {name: model_digest(entry) for name, entry in ENTRIES.items()}


def changed(before: dict[str, str]) -> set[str]:
    after = digests()
    return {name for name in before if before[name] != after[name]}


def test_editing_or_adding_a_baseline_changes_no_other_models_digest(baselines: Path) -> None:
    before = digests()
    (baselines / "new.py").write_text("WIDTH = 3\n")
    (baselines / "__init__.py").write_text("from harness_baselines.new import WIDTH\n")
    assert changed(before) == set()
    text = (baselines / "tailor.py").read_text()
    (baselines / "tailor.py").write_text("# a comment\n" + text.replace('"""', '"""Also: ', 1))
    assert changed(before) == set(), "docstrings and comments compute nothing"
    (baselines / "tailor.py").write_text(text + "\nEPS = 1e-9\n")
    assert changed(before) == {"tailor"}


def test_editing_a_shared_module_changes_all_that_import_it(baselines: Path) -> None:
    before = digests()
    path = baselines / "mult.py"
    path.write_text(path.read_text() + "\nEPS = 1e-9\n")
    assert changed(before) == {"mult", "hhmpn"}


FILES = {
    "mine.py": "import harness\nimport shapes as s\nfrom side import SHIFT\n"
    "from parts import WIDE\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
    "    import unused\ndef late():\n    from deep.inner import leaf\n    return leaf.X\n",
    "side.py": "SHIFT = 0.0\n",
    "shapes/__init__.py": "from shapes.square import area\nfrom shapes.round import turn\n",
    "shapes/square.py": "def area(): return 1\n",
    "shapes/round.py": "def turn(): return 1\n",
    "parts/__init__.py": "from .wide import WIDE\nfrom .narrow import NARROW\n",
    "parts/wide.py": "WIDE = 1\n",
    "parts/narrow.py": "NARROW = 1\n",
    "deep/inner/leaf.py": "X = 1\n",
    "deep/inner/__init__.py": "",
    "deep/__init__.py": "",
    "unused.py": "X = 1\n",
    "harness.py": "not python, and never looked at",
}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], bool]]:
    """A plugin file with helpers; call to edit one and learn whether the digest changed."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "mine.py").write_text(FILES["mine.py"] + "print(s.area())\n")
    module = types.ModuleType("harness_plugin_mine_0")
    module.__file__ = str(tmp_path / "mine.py")
    monkeypatch.setitem(sys.modules, "harness_plugin_mine_0", module)

    def edit(name: str, text: str) -> bool:
        before = model_digest(MINE)
        path = tmp_path / name
        path.write_text(path.read_text() + text)
        return model_digest(MINE) != before

    yield edit


MINE = Entry(ModelSpec("mine", "harness_plugin_mine_0:C", "", ""), "mine", "", "1")


@pytest.mark.parametrize(
    ("name", "covered"),
    [
        ("mine.py", True),
        ("side.py", True),
        ("shapes/square.py", True),
        ("parts/wide.py", True),
        ("deep/inner/leaf.py", True),
        ("shapes/round.py", False),
        ("parts/narrow.py", False),
        ("parts/__init__.py", False),
        ("unused.py", False),
        ("harness.py", False),
    ],
)
def test_a_plugin_files_helpers_are_followed_through_imports(
    mine: Callable[[str, str], bool], name: str, covered: bool
) -> None:
    assert mine(name, "EDITED = 1\n") == covered


def test_a_module_edited_after_its_import_is_refused(
    mine: Callable[[str, str], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "_imported", {})
    refuse_stale(MINE)
    mine("side.py", "# only a comment\n")
    refuse_stale(MINE)
    monkeypatch.setitem(sys.modules, "side", types.ModuleType("side"))
    refuse_stale(MINE)
    mine("side.py", "SHIFT = 1.0\n")
    with pytest.raises(PluginError, match=r"side\.py has changed since this process imported it"):
        refuse_stale(MINE)


def test_digests_import_no_model() -> None:
    script = (
        "import sys\nfrom harness.plugins import load\nfrom harness.records.code import "
        "model_digest\n"
        "for entry in load().models.values():\n    model_digest(entry)\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
