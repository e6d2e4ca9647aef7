"""The toy data set and models of the engine's tests, and nothing else that is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

TOY = Path(__file__).parents[1] / "engine" / "toy_plugin.py"


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    return TOY
