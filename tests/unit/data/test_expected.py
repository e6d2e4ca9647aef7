"""`harness data prepare --check` and `harness check`: what is expected beside what is here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import cli
from tests.unit.corpora.felt_files import write_emotify, write_muvi


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_prepare_check_names_what_differs_from_the_documented_files(root: Path) -> None:
    write_muvi(root)
    done = CliRunner().invoke(cli, ["data", "prepare", "muvi", "--check"])
    assert done.exit_code == 0, done.output
    assert done.output.count("<- differs") == 6  # size and digest of three generated files
    assert "expected: f432c3dbe5d46f290ce572916685dfe5343be6e865e8a2cb0f81e00816314a21" in (
        done.output
    )
    assert "differs: train:" in done.output and "published are 922" in done.output


def test_prepare_check_says_what_is_expected_where_no_file_is(root: Path) -> None:
    done = CliRunner().invoke(cli, ["data", "prepare", "mosei-aligned", "--check"])
    assert done.exit_code == 3
    assert "train 16326, valid 1871, test 4659" in done.output
    assert "happy 0.53" in done.output and "not there" in done.output


def test_a_twin_has_no_files_to_check(root: Path) -> None:
    done = CliRunner().invoke(cli, ["data", "prepare", "m3ed-twin", "--check"])
    assert done.exit_code == 2 and "generated" in done.output


def test_check_finds_nothing_on_a_shipped_set_but_notes(root: Path) -> None:
    done = CliRunner().invoke(cli, ["check", "--dataset", "mosi"])
    assert done.exit_code == 0, done.output
    assert "pairing" not in done.output and "(a note)" in done.output


def test_check_ends_with_1_where_a_recording_is_there_twice(root: Path) -> None:
    import numpy as np

    write_emotify(root)
    path = root / "emotify/emotify.npz"
    with np.load(path) as archive:
        arrays = dict(archive)
    for view in ("timbre", "harmony", "rhythm", "tagger"):
        arrays[view][7] = arrays[view][300]
    np.savez(path, **arrays)
    done = CliRunner().invoke(cli, ["check", "--dataset", "emotify", "--json"])
    assert done.exit_code == 1
    text = done.stdout[: done.stdout.rindex("}") + 1]
    found = json.loads(text[text.index("{") :])["findings"]
    assert {f["check"] for f in found} == {"duplicates"} and all(f["harmful"] for f in found)
    assert "track-8" in found[0]["text"] and "track-301" in found[0]["text"]


def test_what_needs_validation_says_so_and_names_the_remedy() -> None:
    from harness.data.store import Store
    from harness.engine.compat import authors_rules
    from harness.errors import NoValidationError
    from harness.plugins import load

    registry = load()
    spec = registry.dataset("music-emotions")
    store = object.__new__(Store)
    store.spec = spec
    with pytest.raises(NoValidationError, match="harness list datasets"):
        store.split("valid")
    with pytest.raises(NoValidationError, match="--compat"):
        authors_rules(registry.model("carat"), spec)
