"""Files of boards, edited by hand."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def members(path: Path) -> Iterator[dict[str, bytes]]:
    """Give the members of a file of a board, and write it back as they were left."""
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    yield held
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in held.items():
            archive.writestr(name, content)


@contextmanager
def edited(path: Path, run: str) -> Iterator[dict[str, Any]]:
    """Give a record of a file of a board, and write it back as it was left."""
    with members(path) as held:
        lines = held["records.jsonl"].splitlines(keepends=True)
        place = next(i for i, line in enumerate(lines) if json.loads(line)["id"] == run)
        document = json.loads(lines[place])
        yield document
        lines[place] = f"{json.dumps(document)}\n".encode()
        held["records.jsonl"] = b"".join(lines)
