"""Committed records in any number, for measuring how boards grow with them.

`make_records` copies the committed runs under further learning rates: each copy is a row of its own
with the seeds of its original, on the board and under the protocols of its original, and with its
predictions. Nothing in the copies was measured.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from itertools import count as counting
from pathlib import Path
from typing import Any

COMMITTED = Path(__file__).parents[1] / "leaderboards" / "records"
_DIGITS = 12


def make_records(folder: Path, number: int, source: Path = COMMITTED, start: int = 0) -> list[Path]:
    """Write records as `harness leaderboard --export` does; return their JSON files.

    Args:
        folder: where they are written; it is made.
        number: of records.
        source: the committed records that are copied: first as they are, then under further
            learning rates.
        start: how many records are left out: ``make_records(folder, 1, start=n)`` adds one to n.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for truth in source.glob("*.truth.parquet"):
        shutil.copyfile(truth, folder / truth.name)
    written = []
    for place, (document, path) in enumerate(_copies(source)):
        if place >= start + number:
            break
        if place < start:
            continue
        target = folder / f"{document['id']}.json"
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        target.write_text(f"{text}\n", "utf-8")
        if path.with_suffix(".parquet").is_file():
            _copy(path.with_suffix(".parquet"), target.with_suffix(".parquet"))
        written.append(target)
    return written


def _copies(source: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    documents = [(json.loads(p.read_text("utf-8")), p) for p in sorted(source.glob("*.json"))]
    yield from documents
    trained = [(d, p) for d, p in documents if d["role"] == "model"]
    for copy in counting(1):
        for document, path in trained:
            yield _copied(document, copy), path


def _copied(document: dict[str, Any], copy: int) -> dict[str, Any]:
    """Return a record under another learning rate."""
    config, rate = document["config"], round(1e-3 * (1 + copy / 1000), 9)
    training = config["training"] | {"lr": rate}
    name = f"{document['fingerprint']} {copy}"
    fingerprint = hashlib.sha256(name.encode()).hexdigest()
    changed = document | {
        "id": f"{document['id'].rpartition('-')[0]}-{fingerprint[:_DIGITS]}",
        "fingerprint": fingerprint,
        "config": config | {"training": training},
        "command": f"{document['command']} --set training.lr={rate}",
    }
    if "request" in document:
        request = document["request"]
        overrides = request["overrides"] | {"training.lr": rate}
        changed["request"] = request | {"overrides": overrides}
    return changed


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
