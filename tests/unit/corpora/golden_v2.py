"""The golden file of recipe v2: ``$HARNESS_GOLDEN/twins-v2.json``, or the copy beside the tests."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parents[2] / "golden"


@cache
def golden() -> dict[str, Any]:
    """Return the content of the file."""
    folder = Path(os.environ.get("HARNESS_GOLDEN") or HERE)
    found: dict[str, Any] = json.loads((folder / "twins-v2.json").read_text("utf-8"))
    return found


def part(name: str) -> dict[str, Any]:
    """Return a part of the file, empty where it is absent."""
    found: dict[str, Any] = golden().get(name, {})
    return found


def agrees(about: dict[str, Any], key: str, found: Any) -> None:
    """Check a value that the golden file may lack."""
    assert found == about.get(key, found), key


def digest(frames: Iterable[NDArray[np.float32]]) -> str:
    """Return the SHA-256 of the float32 bytes, little-endian, one array after the other."""
    return hashlib.sha256(b"".join(x.astype("<f4").tobytes() for x in frames)).hexdigest()
