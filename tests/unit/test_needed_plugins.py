"""A record names the plugin files that its run comes from, and no other that was loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.plugins import load
from harness.plugins.needed import needed

HEAD = "from harness import *\nfrom harness.specs import *\n"
MODEL = '@hookimpl\ndef harness_models():\n    return [ModelSpec("{0}", "m:M", "made", "")]\n'
DATA = (
    '@hookimpl\ndef harness_datasets():\n    return [DatasetSpec("{0}", "m:C", '
    '(ModalitySpec("text", "t", 1, 1),), ("a", "b"), group_key="video", has_twin=True)]\n'
)
FILES = {
    "one": MODEL, "two": MODEL, "here": DATA, "there": DATA,
    "form": '@hookimpl\ndef harness_board_formats():\n    return [BoardFormat("x", ".x", "m:r")]\n',
    "hook": "@hookimpl\ndef harness_run_start(run):\n    pass\n",
}  # fmt: skip


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    for stem, text in FILES.items():
        (tmp_path / f"{stem}.py").write_text(HEAD + text.format(stem))
    return [str(tmp_path / f"{stem}.py") for stem in FILES]


@pytest.mark.parametrize(
    ("model", "dataset", "names"),
    [
        ("one", "here", ["one.py", "here.py", "hook.py"]),
        ("two", "there-twin", ["two.py", "there.py", "hook.py"]),
        ("two", "here-3folds", ["two.py", "here.py", "hook.py"]),
        ("none", "here", ["here.py", "hook.py"]),
    ],
)
def test_what_only_happened_to_be_loaded_is_not_named(
    files: list[str], model: str, dataset: str, names: list[str]
) -> None:
    registry = load(files)
    assert needed(files, registry, model, registry.dataset(dataset)) == names
