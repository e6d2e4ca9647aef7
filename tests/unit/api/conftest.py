"""The toy data set and models of the engine's tests, and nothing else that is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness

TOY = Path(__file__).parents[1] / "engine" / "toy_plugin.py"
SHORT = {"training.epochs": 3, "training.batch_size": 16, "training.lr": 0.02}
POOR = {**SHORT, "training.epochs": 1, "training.lr": 0.0}


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    return TOY


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with two models of three seeds and a trivial one; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("api")
    options = {"dropout": "only-t@1", "device": "cpu", "plugins": TOY, "home": folder}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_PLUGINS", "")
        harness.run("toy", "toy", [0, 1, 2], overrides=SHORT, references=False, **options)
        harness.run("toy-plain", "toy", [0, 1, 2], overrides=POOR, **options)
    return folder


@pytest.fixture
def made(toy: Path, home: Path) -> harness.Runs:
    """Return the runs of the two models."""
    return harness.runs(role="model", plugins=toy, home=home)
