"""An empty folder for each test; what plugins registered is forgotten."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.plugins import registry
from harness.protocols.dropout.protocol import FAMILIES
from harness.protocols.metrics import METRICS
from harness.protocols.suites import SUITES


@pytest.fixture(autouse=True)
def imports_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in an empty folder; forget what was imported from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = {*sys.modules}
    held = [(table, dict(table)) for table in (METRICS, SUITES, FAMILIES)]
    yield
    for name in {*sys.modules} - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    for table, before in held:
        table.clear()
        table.update(before)
    registry._load.cache_clear()
