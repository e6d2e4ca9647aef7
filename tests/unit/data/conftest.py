from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import paths


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Point both roots into a fresh folder; return that of the authors' files."""
    monkeypatch.setattr(paths, "_roots", {"home": tmp_path / "home", "data": tmp_path / "data"})
    yield tmp_path / "data"
