"""Committed records in any number, for measuring how boards grow with them.

`make_records` copies the committed runs under further learning rates: each copy is a row of its own
with the seeds of its original, on the board and under the protocols of its original, and with its
predictions. Nothing in the copies was measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import count as counting
from itertools import islice
from pathlib import Path
from typing import Any

from harness.records.archive import Held, archives
from harness.records.committed import CommittedRecords, board_of, held
from harness.records.record import RunRecord

COMMITTED = Path(__file__).parents[1] / "leaderboards" / "records"
_DIGITS = 12


def make_records(folder: Path, number: int, source: Path = COMMITTED) -> list[Path]:
    """Write records as `harness leaderboard --export` does; return the files.

    Args:
        folder: where they are written; it is made.
        number: of records.
        source: the committed records that are copied: first as they are, then under further
            learning rates.
    """
    folder.mkdir(parents=True, exist_ok=True)
    boards: dict[str, list[Held]] = {}
    for one in islice(_copies(CommittedRecords(source)), number):
        boards.setdefault(board_of(one.record), []).append(one)
    written = []
    for board, mine in boards.items():
        for name, content in archives(board, mine).items():
            (folder / name).write_bytes(content)
            written.append(folder / name)
    return written


def _copies(source: CommittedRecords) -> Iterator[Held]:
    known = [held(record, source, {}) for record in source.all()]
    yield from known
    trained = [one for one in known if one.record.role == "model"]
    for copy in counting(1):
        for one in trained:
            document = _copied(one.record.as_dict(), copy)
            yield replace(one, record=RunRecord.from_dict(document))


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
