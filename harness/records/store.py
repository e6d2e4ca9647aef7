"""`RunStore`: one folder a run, written so that a record is there whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from harness.errors import DataFormatError
from harness.paths import atomic_write_text, runs_dir, storage_errors
from harness.records.record import RunRecord

RECORD = "record.json"
PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True)
class BrokenRecord:
    """A record that could not be read, and why."""

    path: Path
    reason: str


class RunStore:
    """The runs under a root (default: `harness.paths.runs_dir`)."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or runs_dir()
        self.broken: list[BrokenRecord] = []

    def folder(self, run: str) -> Path:
        """Return the folder of a run id, whether or not it exists."""
        return self.root / run

    def predictions(self, run: str) -> Path:
        """Return where a run's predictions are."""
        return self.folder(run) / PREDICTIONS

    def find(self, run: str) -> RunRecord | None:
        """Return the record of a run id, None where there is none.

        Raises:
            DataFormatError: it is there and broken.
        """
        path = self.folder(run) / RECORD
        with storage_errors(path):
            if not path.is_file():
                return None
            content = path.read_bytes()
        return RunRecord.from_json(content, f"{run}/{RECORD}")

    def of(self, model: str, dataset: str, seed: int) -> list[RunRecord]:
        """Return the readable records of a model on a data set with a seed, in id order."""
        prefix = f"{model}-{dataset}-s{seed}-"
        found = []
        for path in self._record_files(prefix):
            with contextlib.suppress(DataFormatError):  # `all` reports broken ones
                found.append(self.find(path.parent.name))
        return [record for record in found if record is not None]

    def all(self) -> list[RunRecord]:
        """Return every readable record in id order; the others are left in ``broken``."""
        self.broken = []
        records = []
        for path in self._record_files():
            try:
                found = self.find(path.parent.name)
            except DataFormatError as error:
                self.broken.append(BrokenRecord(path, str(error)))
                continue
            if found is not None:
                records.append(found)
        return records

    def write(self, record: RunRecord) -> Path:
        """Write a record atomically; return its path.

        Raises:
            DataFormatError: it does not fit the schema.
            StorageError: the folder cannot be written.
        """
        path = self.folder(record.id) / RECORD
        atomic_write_text(path, record.to_json())
        return path

    @contextmanager
    def lock(self, run: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Lock a run for this process; ``waiting`` is called if another process holds the lock."""
        path = self.root / ".locks" / f"{run}.lock"
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if waiting is not None:
                    waiting()
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _record_files(self, prefix: str = "") -> list[Path]:
        """Return the record files of the folders whose name starts with ``prefix``."""
        with storage_errors(self.root):
            if not self.root.is_dir():
                return []
            folders = sorted(f for f in self.root.iterdir() if f.name.startswith(prefix))
            return [f / RECORD for f in folders if (f / RECORD).is_file()]
