"""`RunStore`: one folder a run, written so that a record is there whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from harness.errors import DataFormatError, DataMissingError, HarnessError
from harness.paths import runs_dir, storage_errors
from harness.records.artefacts import (
    JOURNAL,
    digest_of,
    digest_of_bytes,
    read_current,
    recover,
    transaction,
)
from harness.records.leases import FOLDER, Lease, Leases, RunHeldError
from harness.records.predictions import Predictions, parse_predictions
from harness.records.record import AGAIN, RunRecord

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
        self._held: dict[str, Lease] = {}

    @cached_property
    def leases(self) -> Leases:
        """The leases of the runs."""
        return Leases(self.root / FOLDER)

    def folder(self, run: str) -> Path:
        """Return the folder of a run id, whether or not it exists."""
        return self.root / run

    def predictions(self, run: str) -> Path:
        """Return where a run's predictions are."""
        return self.folder(run) / PREDICTIONS

    def find(self, run: str, *, moved: bool = False) -> RunRecord | None:
        """Return the record of a run id, None where there is none.

        ``moved``: the folder is a copy that may have any name; the record's digests still bind the
        files beside it.

        Raises:
            DataFormatError: it is broken, not as the run wrote it, or the record of another run.
        """
        content = read_current(self.folder(run), RECORD)
        if content is None:
            return None
        record = RunRecord.from_json(content, f"{run}/{RECORD}")
        if record.id != run and not moved:
            raise DataFormatError(f"{run}/{RECORD} is the record of {record.id}. {AGAIN}")
        return record

    def read(self, record: RunRecord, name: str, folder: Path | None = None) -> bytes:
        """Return the bytes of a file of a run, as the run wrote them.

        Nothing is known of the bytes where the record is older than digests.

        Args:
            record: the run.
            name: the file.
            folder: where the run's files are; None: in its own folder.

        Raises:
            DataMissingError: the file is not there.
            DataFormatError: it is another one, or damaged.
        """
        folder = folder or self.folder(record.id)
        where, remedy = f"{folder.name}/{name}", f"make it again with: {again(record)}"
        content = read_current(folder, name)
        if content is None:
            raise DataMissingError(f"{where} is missing; {remedy}")
        wanted = record.artefacts.get(name)
        found = None if wanted is None else digest_of_bytes(content)
        if found != wanted:
            # Another process may have added to the run since the record was read.
            newer = self.find(folder.name, moved=True)
            if newer is None or newer.artefacts.get(name) != found:
                raise DataFormatError(
                    f"{where} is damaged or another file than the run wrote; {remedy}"
                )
        return content

    def parts(self, record: RunRecord, only: tuple[str, str] | None = None) -> list[Predictions]:
        """Return the predictions of a finished run, or those of a split and a protocol alone.

        Raises:
            DataMissingError: they are not there.
            DataFormatError: they are not what the run wrote.
        """
        where = f"{record.id}/{PREDICTIONS}"
        return parse_predictions(self.read(record, PREDICTIONS), where, only)[1]

    def faults(self, record: RunRecord) -> list[str]:
        """Return what is wrong with the files of a run, a sentence a file; all are read in full."""
        found = []
        for name in record.artefacts:
            try:
                self.read(record, name)
            except HarnessError as error:
                found.append(str(error))
        return found

    def whole(self, records: Iterable[RunRecord]) -> list[RunRecord]:
        """Return the runs whose predictions are what they wrote; the others go to ``broken``.

        A run older than digests has to have readable predictions, if any.
        """
        kept = []
        for record in records:
            path = self.predictions(record.id)
            try:
                if PREDICTIONS in record.artefacts:
                    self.read(record, PREDICTIONS)
                elif record.status == "ok" and path.is_file():
                    self.parts(record)
            except HarnessError as error:
                self.broken.append(BrokenRecord(path, str(error)))
            else:
                kept.append(record)
        return kept

    def of(self, model: str, dataset: str, seed: int) -> list[RunRecord]:
        """Return the readable records of a model on a data set with a seed, in id order."""
        return self._named(f"{model}-{dataset}-s{seed}-")

    def of_model(self, model: str) -> list[RunRecord]:
        """Return the readable records of a model, in id order."""
        return [r for r in self._named(f"{model}-") if r.model["name"] == model]

    def _named(self, prefix: str) -> list[RunRecord]:
        found = []
        for path in self._record_files(prefix):
            with contextlib.suppress(HarnessError):  # `all` reports broken ones
                found.append(self.find(path.parent.name))
        return [record for record in found if record is not None]

    def all(self) -> list[RunRecord]:
        """Return every readable record in id order; the others are left in ``broken``."""
        self.broken = []
        return [r for name in self.names() if (r := self._found(name)) is not None]

    def names(self) -> list[str]:
        """Return the names of the runs' folders, in order."""
        return [path.parent.name for path in self._record_files()]

    def readable(self, name: str) -> RunRecord | None:
        """Return a run whose predictions are what it wrote; others are added to ``broken``."""
        found = self._found(name)
        return None if found is None or not self.whole([found]) else found

    def digest(self, name: str) -> str:
        """Return a digest of a run's record and predictions; empty: they cannot be read."""
        try:
            found = [read_current(self.folder(name), file) for file in (RECORD, PREDICTIONS)]
        except HarnessError:
            return ""
        return " ".join("none" if content is None else digest_of_bytes(content)
                        for content in found)  # fmt: skip

    def sources(self, record: RunRecord) -> tuple[str, ...]:
        """Return the names of the further files that a run's predictions come from: none."""
        return ()

    def file_digest(self, name: str) -> str:
        """Return the digest of a file of the folder; empty: there is none."""
        path = self.root / name
        return digest_of(path) if path.is_file() else ""

    def _found(self, name: str) -> RunRecord | None:
        path = self.folder(name) / RECORD
        try:
            found = self.find(name)
        except HarnessError as error:
            self.broken.append(BrokenRecord(path, str(error)))
            return None
        if found is None:
            self.broken.append(BrokenRecord(path, f"{name}/{RECORD} is missing. {AGAIN}"))
        return found

    def write(
        self, record: RunRecord, files: Mapping[str, bytes | None] | None = None
    ) -> RunRecord:
        """Write a record and files of its run together; return the record with their digests.

        Args:
            record: the run; the caller holds it (`lock`).
            files: content by file name; None removes a file. Others stay as they are.

        Raises:
            DataFormatError: the record does not fit the schema.
            StorageError: the folder cannot be written; everything is as it was.
            LeaseLostError: another process has taken the run over; likewise.
        """
        self.check(record.id)
        given = files or {}
        digests = {n: digest_of_bytes(c) for n, c in given.items() if c is not None}
        kept = {n: d for n, d in record.artefacts.items() if n not in given}
        record = replace(record, artefacts=kept | digests)
        text = record.to_json()
        with transaction(self.folder(record.id)) as made:
            for name, content in given.items():
                if content is None:
                    made.remove(name)
                else:
                    made.write(name, content)
            made.write(RECORD, text.encode())
            self.check(record.id)  # as late as can be: a large file takes its time
        return record

    def check(self, run: str) -> None:
        """Make sure that a run which this object holds is still its own.

        Raises:
            LeaseLostError: another process has taken it over.
            StorageError: the lease cannot be read.
        """
        if run in self._held:
            self._held[run].check()

    @contextmanager
    def lock(
        self, run: str, waiting: Callable[[RunHeldError], None] | None = None
    ) -> Iterator[None]:
        """Hold a run for this process, on every machine that shares the root.

        What a killed process left half done in its folder is completed or cleared.

        Args:
            run: its id.
            waiting: called before another process is waited for, with the error that names it; to
                raise it is not to wait.

        Raises:
            StorageError: the root cannot be written, or its file system has no hard links.
            LeaseLostError: another process has taken the run over.
        """
        with self.leases.hold(run, waiting) as lease:
            self._held[run] = lease
            try:
                self.check(run)
                recover(self.folder(run))
                yield
            finally:
                del self._held[run]

    def _record_files(self, prefix: str = "") -> list[Path]:
        """Return the record files of the folders whose name starts with ``prefix``.

        Among them are those of folders whose record is gone, and of those that may not be read.
        """
        with storage_errors(self.root):
            if not self.root.is_dir():
                return []
            folders = sorted(f for f in self.root.iterdir() if f.name.startswith(prefix))
        return [f / RECORD for f in folders if _is_run(f)]


def again(record: RunRecord) -> str:
    """Return the command that makes a run again, whatever is in its folder."""
    words = record.command
    return words if record.role == "external" or "--rerun" in words else f"{words} --rerun"


def _is_run(folder: Path) -> bool:
    try:
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    except OSError:  # of another account: reading the record says so
        return True
    return not names.isdisjoint((RECORD, PREDICTIONS, JOURNAL))
