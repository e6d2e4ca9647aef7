"""`harness doctor` names what is wrong, and how it is mended."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.housekeeping import installation, readiness
from harness.housekeeping.installation import Check
from harness.plugins import load
from harness.plugins.cards import read_content
from harness.plugins.hooks import Broken


@pytest.fixture(autouse=True)
def no_data_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")


def found(kind: object = installation) -> dict[str, Check]:
    checks = installation.installation() if kind is installation else readiness.readiness(load())
    return {check.what: check for check in checks}


def without(names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, **others: str) -> None:
    def version(name: str) -> str:
        if name in names:
            raise PackageNotFoundError(name)
        return others.get(name.replace("-", "_")) or metadata.version(name)

    monkeypatch.setattr(installation, "version", version)


def test_what_is_in_order_has_no_fix_and_json_has_every_field() -> None:
    done = CliRunner().invoke(cli, ["doctor", "--json"])
    checks = json.loads(done.stdout)
    assert done.exit_code == 0 and {*checks[0]} == {"state", "what", "found", "fix"}
    assert all(c["fix"] == "" for c in checks if c["state"] == "ok")
    assert all(c["fix"] for c in checks if c["state"] != "ok")


def test_an_absent_extra_is_a_note_and_an_absent_need_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without(("matplotlib", "scikit-learn", "scipy"), monkeypatch, pluggy="0.1")
    checks = found()
    assert checks["matplotlib"].state == checks["scikit-learn"].state == "note"
    assert "for harness figure: extra 'plots'" in checks["matplotlib"].found
    assert checks["matplotlib"].fix == "pip install 'emotion-harness[plots]'"
    assert checks["scipy"].state == "FAIL" and checks["scipy"].fix.startswith("pip install 'scipy>")
    assert checks["pluggy"].state == "FAIL" and checks["pluggy"].found.startswith("0.1; needs")


def test_a_folder_that_is_not_installed_and_one_of_another_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without((), monkeypatch, emotion_harness="0.0.9")
    own = found()["emotion-harness"]
    assert own.state == "FAIL" and "but 0.0.9 is installed" in own.found
    assert "PYTHONPATH" in own.fix
    without(("emotion-harness",), monkeypatch)
    monkeypatch.setattr(installation, "requires", installation.version)
    own = found()["emotion-harness"]
    assert own.state == "FAIL" and own.fix.startswith("pip install -e /")


def test_the_command_of_another_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert found()["command"].fix.endswith(f"{sys.executable} -m harness.")
    (tmp_path / "harness").write_text("#!/bin/sh\n")
    (tmp_path / "harness").chmod(0o755)
    assert "of another environment" in found()["command"].found


@pytest.mark.parametrize(
    ("gpu", "supported", "toolkit", "state", "fix"),
    [
        ("H200", (13, 0), "12.8", "ok", ""),
        ("H200", (13, 0), "", "note", "Install a torch that was built for CUDA"),
        ("K80", (11, 4), "12.8", "note", "Update the driver, or install a torch for CUDA 11.4."),
    ],
)
def test_a_gpu_that_torch_cannot_use(
    gpu: str, supported: tuple[int, int], toolkit: str, state: str, fix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(installation, "_driver", lambda: (gpu, supported))
    monkeypatch.setattr(installation, "_cuda_of_torch", lambda: toolkit)
    device = found()["device"]
    assert device.state == state and device.fix.startswith(fix) and gpu in device.found


def test_roots_that_are_full_or_not_there(
    own_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = found(readiness)
    assert checks["HARNESS_HOME"].state == "ok"
    assert "(not there)" in checks["HARNESS_DATA"].found and "export" in checks["HARNESS_DATA"].fix
    (own_folders / "data").write_text("")
    assert "(cannot be read)" in found(readiness)["HARNESS_DATA"].found
    monkeypatch.setattr(readiness, "LEAST_FREE", 2**63)
    full = found(readiness)["HARNESS_HOME"]
    assert full.state == "note" and "GB left" in full.found and "harness runs gc" in full.fix


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        ("them: ModuleNotFoundError: No module named 'librosa.core'", "pip install librosa;"),
        ("harness_models: the name 'misa' is already taken by plugin 'baselines'", "Rename it"),
        ("them: ValueError: no", "pip uninstall theirs"),
    ],
)
def test_a_broken_plugin_is_named_with_its_fix(reason: str, fix: str) -> None:
    registry = load()
    registry.broken.append(Broken("theirs", "theirs", reason))
    try:
        check = {c.what: c for c in readiness.readiness(registry)}["plugin theirs"]
    finally:
        registry.broken.pop()
    assert check.state == "FAIL" and check.found == reason and fix in check.fix


def test_one_table_and_a_fix_once_with_all_that_it_mends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A path longer than a line splits no table in two; data that is made is not missing."""
    monkeypatch.delenv("HARNESS_PLUGINS")
    root = tmp_path / ("a-folder-with-a-long-name" * 4)
    done = CliRunner().invoke(cli, ["doctor", "--home", str(root)])
    table, mending = done.output.split("\nTo mend:\n")
    assert [line for line in table.splitlines() if not line.strip()] == []
    assert str(root) in next(x for x in table.splitlines() if "HARNESS_HOME" in x)
    assert mending.count("harness data prepare NAME --check") == 1
    said = " ".join(mending.split())
    assert "data sets " in said and "muvi" in said and "diag-xor" not in said
    assert "generated" in next(x for x in table.splitlines() if "data set diag-xor" in x)
    assert (done.exit_code == 0) == said.endswith("In order: all that every run needs is there.")


def test_what_the_extra_cc_is_for_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    """Support vector machines need scikit-learn (test_cc.py), the chains of the card do not."""
    without(("scikit-learn",), monkeypatch)
    assert "cc on support vector machines" in found()["scikit-learn"].found
    presets = read_content("harness_baselines:cc.yaml")["presets"].values()
    assert {preset["model"]["base"] for preset in presets} == {"logistic"}
