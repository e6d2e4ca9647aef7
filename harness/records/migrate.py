"""Records of an earlier schema, rewritten in place."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import DataFormatError, DataMissingError
from harness.paths import atomic_write_text, storage_errors
from harness.records.archive import SUFFIX, compact
from harness.records.record import SCHEMA_VERSION, RunRecord, validate
from harness.records.store import RECORD, BrokenRecord, RunStore


@dataclass
class Migration:
    """What became of the records of a folder: files rewritten, files of today's schema, broken."""

    rewritten: list[Path] = field(default_factory=list)
    current: list[Path] = field(default_factory=list)
    broken: list[BrokenRecord] = field(default_factory=list)


def migrate(root: Path) -> Migration:
    """Rewrite the records of a folder of runs, or of committed records, in today's schema.

    Each file is replaced atomically; a record that cannot be read is left as it is. Runs are
    locked, so that one under way is waited for.

    Raises:
        DataMissingError: the folder holds no record.
        StorageError: a file cannot be read or written.
    """
    with storage_errors(root):
        runs = sorted(root.glob(f"*/{RECORD}"))
        paths = runs or sorted(root.glob("*.json"))
    if not paths and any(root.glob(f"*{SUFFIX}")):  # written in today's schema only
        return Migration(current=sorted(root.glob(f"*{SUFFIX}")))
    if not paths:
        raise DataMissingError(f"{root} holds no records, neither */{RECORD} nor *.json.")
    found = Migration()
    store = RunStore(root)
    for path in paths:
        if runs:
            with store.lock(path.parent.name):
                _rewrite(path, found, committed=False)
        else:
            _rewrite(path, found, committed=True)
    return found


def _rewrite(path: Path, found: Migration, *, committed: bool) -> None:
    where = path.name if committed else f"{path.parent.name}/{path.name}"
    with storage_errors(path):
        content = path.read_bytes()
    try:
        record = RunRecord.from_json(content, where)
        upgraded = record.as_dict()
        validate(upgraded, where)
        if json.loads(content)["schema_version"] == SCHEMA_VERSION:
            found.current.append(path)
            return
    except DataFormatError as error:
        found.broken.append(BrokenRecord(path, str(error)))
        return
    atomic_write_text(path, compact(upgraded) if committed else record.to_json())
    found.rewritten.append(path)
