"""Records beside their boards: one file a board (`harness.records.archive`).

Exports once had two files a run, ``<run id>.json`` and ``<run id>.parquet``, and one
``<data set>-<start of its hash>.truth.parquet`` a data set: such folders are read too, and become
files of boards when runs of theirs are exported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from harness.errors import DataFormatError, DataMissingError, HarnessError, UsageError
from harness.paths import atomic_write_bytes, storage_errors
from harness.records.archive import SUFFIX, Archive, Held, archives
from harness.records.artefacts import clear, digest_of
from harness.records.fingerprint import canonical_json
from harness.records.predictions import SELECTED, Predictions
from harness.records.record import COMPLETE, RunRecord
from harness.records.store import BrokenRecord, RunStore
from harness.records.sums import ExportedSums, closed, from_table, sums_of
from harness.records.truth import Truth, stem_of, truth_of

SPLIT = "test"
# Files of boards that are held in memory.
_OPEN = 64
# What a request says beside what is trained and asked of the data.
_BESIDE = ("dropout", "device", "threads", "compile", "plugins", "split")


class CommittedRecords:
    """The records of a folder as `export` writes it; reads like a `RunStore`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.broken: list[BrokenRecord] = []
        self._truths: dict[tuple[Path, tuple[str, ...]], Truth] = {}
        self._archives: dict[Path, tuple[tuple[int, int], Archive | str]] = {}
        self._where: dict[str, Path] = {}

    def all(self) -> list[RunRecord]:
        """Return every readable record in id order; the others are left in ``broken``."""
        self.broken = []
        records = (self.readable(name) for name in self.names())
        return sorted((r for r in records if r is not None), key=lambda r: r.id)

    def names(self) -> list[str]:
        """Return the ids of the runs, in order; files that cannot be read go to ``broken``."""
        self._where = {}
        for path in self.files():
            found = self._archive(path)
            if isinstance(found, str):
                self.broken.append(BrokenRecord(path, found))
            else:
                self._where |= {run: path for run in found.lines}
        return sorted({*self._where, *(path.stem for path in self.root.glob("*.json"))})

    def files(self) -> list[Path]:
        """Return the files of boards, in order."""
        return sorted(self.root.glob(f"*{SUFFIX}"))

    def where(self) -> dict[str, Path | None]:
        """Return by run the file of a board that it is in; None: it has files of its own."""
        return {name: self._where.get(name) for name in self.names()}

    def readable(self, name: str) -> RunRecord | None:
        """Return the record of a name; one that cannot be read is added to ``broken``."""
        archive = self._of(name)
        path = self.root / f"{name}.json"
        try:
            if archive is not None:
                path = archive.path
                return archive.record(name)
            with storage_errors(path):
                content = path.read_bytes()
            return RunRecord.from_json(content, path.name)
        except DataFormatError as error:
            self.broken.append(BrokenRecord(path, str(error)))
        return None

    def digest(self, name: str) -> str:
        """Return a digest of a run's record and predictions; empty: they cannot be read."""
        archive = self._of(name)
        try:
            if archive is not None:
                return archive.digest(name)
            found = [
                digest_of(path) if path.is_file() else "none"
                for path in (self.root / f"{name}.json", self.root / f"{name}.parquet")
            ]
        except HarnessError:
            return ""
        return " ".join(found)

    def sources(self, record: RunRecord) -> tuple[str, ...]:
        """Return the names of what else a run's predictions come from."""
        archive = self._of(record.id)
        if closed(record):
            return ()
        if archive is not None:
            return (f"{archive.path.name}/{archive.truth_name(record)}",)
        return (truth_path(self.root, record).name,)

    def file_digest(self, name: str) -> str:
        """Return the digest of what `sources` names; empty: there is none."""
        file, _, member = name.partition("/")
        path = self.root / file
        if not member:
            return digest_of(path) if path.is_file() else ""
        archive = self._archive(path) if path.is_file() else ""
        return "" if isinstance(archive, str) else archive.member_digest(member)

    def parts(self, record: RunRecord, only: tuple[str, str] | None = None) -> list[Predictions]:
        """Return the test predictions of a finished run, or those of a split and a protocol alone.

        Raises:
            DataMissingError: they or the truth of their data set are not there.
            DataFormatError: the two do not fit together.
        """
        if closed(record):
            raise DataMissingError(
                f"{record.id}: its data may not be passed on, so that the export holds sums over "
                "clusters and no predictions; use the runs themselves."
            )
        archive = self._of(record.id)
        parts = self._own_parts(record) if archive is None else archive.parts(record)
        return [p for p in parts if only is None or (p.key == (*only, ""))]

    def sums(self, record: RunRecord, protocol: str = COMPLETE) -> ExportedSums:
        """Return what is exported of a run in the place of its predictions under a protocol.

        Raises:
            DataMissingError: it is not there.
            DataFormatError: the file holds something else.
        """
        for one in self.every_sums(record):
            if one.protocol == protocol:
                return one
        raise DataMissingError(
            f"{record.id}: nothing is exported of {protocol}; use the runs themselves."
        )

    def every_sums(self, record: RunRecord) -> list[ExportedSums]:
        """Return the sums of a run, one a dropout protocol; raises as `sums`."""
        archive = self._of(record.id)
        if archive is not None:
            return archive.sums(record.id)
        name = f"{record.id}.parquet"
        return [from_table(_read(self.root / name), name)] if closed(record) else []

    def whole(self, records: Iterable[RunRecord]) -> list[RunRecord]:
        """Return the records; that their files are as exported, ``--check`` finds out."""
        return list(records)

    def faults(self, record: RunRecord) -> list[str]:
        """Return nothing: exported records have no digests of their files."""
        return []

    def truth(self, record: RunRecord) -> Truth:
        """Return the test split of a record's data set; raises as `parts`."""
        archive = self._of(record.id)
        if archive is not None:
            return archive.truth(record)
        path = truth_path(self.root, record)
        labels = tuple(record.dataset["labels"])
        if (path, labels) not in self._truths:
            self._truths[path, labels] = truth_of(_read(path), path.name, labels)
        return self._truths[path, labels]

    def _of(self, run: str) -> Archive | None:
        """Return the file of a board that a run is in; None: it has files of its own."""
        if not self._where:
            broken = self.broken
            self.names()
            self.broken = broken
        path = self._where.get(run)
        found = None if path is None else self._archive(path)
        return found if isinstance(found, Archive) else None

    def _archive(self, path: Path) -> Archive | str:
        """Return an archive, read again where it changed, or why it cannot be read."""
        with storage_errors(path):
            state = (path.stat().st_mtime_ns, path.stat().st_size)
        known = self._archives.get(path)
        if known is None or known[0] != state:
            try:
                known = (state, Archive(path))
            except DataFormatError as error:
                known = (state, str(error))
        else:
            del self._archives[path]  # the last one used stands last
        self._archives[path] = known
        if len(self._archives) > _OPEN:
            del self._archives[next(iter(self._archives))]
        return known[1]

    def _own_parts(self, record: RunRecord) -> list[Predictions]:
        """Return the predictions of a run with files of its own."""
        path = self.root / f"{record.id}.parquet"
        table, truth = _read(path), self.truth(record)
        names = [f"score:{name}" for name in record.dataset["labels"]]
        if [n for n in table.column_names if n != SELECTED] != ["protocol", "row", *names]:
            raise DataFormatError(f"{path.name}: found columns {', '.join(table.column_names)}.")
        scores = np.stack([table[name].to_numpy() for name in names], axis=1)
        return truth.parts(path.name, table, scores)


def open_records(root: Path) -> RunStore | CommittedRecords:
    """Return the records of a folder, whichever of the two forms it has.

    Raises:
        UsageError: there is no such folder.
    """
    if not root.is_dir():
        raise UsageError(
            f"{root} is no folder; give one of runs or of exported records (--records). The "
            "published ones are leaderboards/records of a checkout of the repository."
        )
    if any(root.glob(f"*{SUFFIX}")):
        return CommittedRecords(root)
    flat = any(root.glob("*.json")) and not any(root.glob("*/record.json"))
    return CommittedRecords(root) if flat else RunStore(root)


def board_of(record: RunRecord) -> str:
    """Return the board whose file a run is in: authors' own evaluations have one of their own."""
    return f"{record.dataset['name']}{'' if record.compat is None else '-compat'}"


def export(
    records: Iterable[RunRecord],
    runs: RunStore | CommittedRecords,
    out: Path,
    further: Mapping[str, str] = MappingProxyType({}),
) -> list[Path]:
    """Write a file a board (`harness.records.archive`); return the files.

    Exporting again gives equal bytes. Records of these boards that are already in ``out`` stay, so
    that rows can be added to a board, and those with files of their own move into the board's. A
    record there gives way to one of the same request on the same data (`same_request`), say
    where a preset or the code changed meanwhile; of a run that is in both the one here is taken,
    unless the one there was scored under further protocols by the same code.

    Args:
        records: what is exported.
        runs: their store.
        out: the folder.
        further: per name of a data set a dropout protocol whose predictions are exported too;
            never where the data may not be passed on.

    Raises:
        DataMissingError: a run's predictions are not there.
        DataFormatError: two runs of one data set disagree on the truth of a sample, or a file of
            one of the boards in ``out`` cannot be read.
        StorageError: the folder cannot be written.
    """
    clear(out, (".write-*", ".*.json.????????", ".*.parquet.????????", ".*.zip.????????"))
    boards: dict[str, dict[str, Held]] = {}
    for record in records:
        boards.setdefault(board_of(record), {})[record.id] = held(record, runs, further)
    before = CommittedRecords(out)
    own = []
    asked = {
        board: {same_request(one.record) for one in known.values()}
        for board, known in boards.items()
    }
    for record in before.all():
        board = board_of(record)
        known = boards.get(board)
        if known is not None:
            own.append(record.id)
            new = known.get(record.id)
            if new is None:
                stays = same_request(record) not in asked[board]
            else:
                stays = _scored_further(record, new.record)
            if stays:
                known[record.id] = held(record, before, further)
    for broken in before.broken:
        if broken.path.name.endswith(SUFFIX) and board_of_file(broken.path) in boards:
            raise DataFormatError(f"{broken.reason} Remove it, and export again.")
    written: list[Path] = []
    for board, mine in sorted(boards.items()):
        files = archives(board, mine.values())
        for name, content in files.items():
            atomic_write_bytes(out / name, content)
            written.append(out / name)
        for path in files_of_board(out, board):
            if path.name not in files:
                path.unlink()
    _remove_moved(out, own)
    return written


def same_request(record: RunRecord) -> str:
    """Return what two runs have in common where the later one takes the earlier one's place.

    The request but what it was scored under and where it ran; role, data and seed.
    """
    request = {k: v for k, v in record.request.items() if k not in _BESIDE}
    own = record.id if record.request["model"] is None else ""
    where = [record.dataset["content_hash"], record.dataset["mask"], record.role, record.seed]
    track = record.protocols["train_dropout"]
    return canonical_json([own, record.model["name"], request, where, track])


def _scored_further(there: RunRecord, new: RunRecord) -> bool:
    """Return whether a run as it is in an export was scored under more, by the same code."""
    same = (there.result_version, there.model.get("code")) == (
        new.result_version, new.model.get("code"),
    )  # fmt: skip
    return same and there.status == "ok" and bool(there.metrics.keys() - new.metrics.keys())


def files_of_board(root: Path, board: str) -> list[Path]:
    """Return the files of a board in a folder of exported records, in order."""
    return sorted(path for path in root.glob(f"*{SUFFIX}") if board_of_file(path) == board)


def board_of_file(path: Path) -> str:
    """Return the board that a file of records is of."""
    stem = path.name.removesuffix(SUFFIX)
    name, dot, number = stem.rpartition(".")
    return name if dot and number.isdigit() else stem


def _remove_moved(out: Path, runs: Iterable[str]) -> None:
    """Remove the files of runs that are in files of boards, and truths that no run needs."""
    for run in runs:
        (out / f"{run}.json").unlink(missing_ok=True)
        (out / f"{run}.parquet").unlink(missing_ok=True)
    left = CommittedRecords(out)
    flat = [r for n in (p.stem for p in out.glob("*.json")) if (r := left.readable(n)) is not None]
    needed = {truth_path(out, record) for record in flat}
    for path in out.glob("*.truth.parquet"):
        if path not in needed and not left.broken:
            path.unlink()


def truth_path(root: Path, record: RunRecord) -> Path:
    """Return where the truth of a record's data set is, beside runs with files of their own."""
    return root / f"{stem_of(record)}.truth.parquet"


def held(record: RunRecord, runs: RunStore | CommittedRecords, further: Mapping[str, str]) -> Held:
    """Return what is committed of a run: predictions on complete data first."""
    if record.status != "ok" or not any(SPLIT in splits for splits in record.metrics.values()):
        return Held(record)
    if isinstance(runs, CommittedRecords):
        parts = [] if closed(record) else runs.parts(record)
        return Held(record, tuple(parts), tuple(runs.every_sums(record)))
    known = [p for p in runs.parts(record) if p.split == SPLIT]
    kept = {COMPLETE, further.get(record.dataset["name"], COMPLETE)} if not closed(record) else ()
    parts = sorted((p for p in known if p.protocol in kept), key=lambda p: p.protocol != COMPLETE)
    sums = [
        sums_of(record, part)
        for part in known
        if part.protocol not in kept and not part.selected_for and part.protocol in record.metrics
    ]
    return Held(record, tuple(parts), tuple(sums))


def _read(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise DataMissingError(f"{path.name} is missing; 'harness leaderboard --export' writes it.")
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataFormatError(f"{path.name} is not a readable parquet file: {error}.") from error
