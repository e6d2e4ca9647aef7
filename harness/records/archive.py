"""One file a board: `<board>.records.zip`, whose content is the same bytes for the same runs.

- ``records.jsonl``: a record a line, in the order of ids, with scores per label on complete data
  only (LZMA); a trial of a search has its own score and neither epochs nor other metrics.
- ``scores.parquet``: test predictions on complete data, and under the protocol that the data set's
  skill is scored under: ``run``, ``protocol``, ``row`` of the truth, ``score:<label>`` (float32).
  None of data that may not be passed on.
- ``sums.parquet``: what stands in the place of other predictions (`harness.records.sums`).
- ``truth/<data set>-<start of its hash>.parquet``: ``id``, ``group``, ``truth:<label>`` and
  ``slice:<name>`` of the test samples of each content of the data.

No file is larger than `LARGEST` where its runs can be divided: further ones are named
``<board>.2.records.zip`` and so on, each complete in itself.
"""

from __future__ import annotations

import io
import json
import lzma
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import DataFormatError, DataMissingError
from harness.paths import storage_errors
from harness.records.artefacts import digest_of_bytes
from harness.records.predictions import SELECTED, Predictions, selected_column
from harness.records.record import COMPLETE, RunRecord, validate
from harness.records.sums import RANKED, ExportedSums, of_table, to_table
from harness.records.truth import Truth, columns_of, stem_of, truth_of, truths_of
from harness.specs import LAYOUTS

SUFFIX = ".records.zip"
LARGEST = 2_000_000
RECORDS, SCORES, SUMS, TRUTH = "records.jsonl", "scores.parquet", "sums.parquet", "truth/"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Held:
    """What is committed of a run: test predictions, and sums in the place of others."""

    record: RunRecord
    parts: tuple[Predictions, ...] = ()
    sums: tuple[ExportedSums, ...] = ()


def archives(board: str, held: Iterable[Held]) -> dict[str, bytes]:
    """Return the files of a board by name.

    Raises:
        DataFormatError: two runs of one data set disagree on the truth of a sample, or a record
            does not fit the schema.
    """
    known = sorted(held, key=lambda one: one.record.id)
    count = 1
    while True:
        parts = [list(part) for part in np.array_split(np.arange(len(known)), count)]
        files = [_archive([known[i] for i in part]) for part in parts]
        if max(map(len, files)) <= LARGEST or count >= len(known):
            names = ["", *(f".{number}" for number in range(2, count + 1))]
            return {f"{board}{n}{SUFFIX}": f for n, f in zip(names, files, strict=True)}
        count = max(count + 1, -(-sum(map(len, files)) // LARGEST))


class Archive:
    """A file of `archives`, read when it is asked for.

    Args:
        path: the file.

    Raises:
        DataFormatError: it is damaged, or none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with storage_errors(path):
            content = path.read_bytes()
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                self._members = {name: archive.read(name) for name in archive.namelist()}
            lines = self._members[RECORDS].splitlines(keepends=True)
            self.lines = {str(json.loads(line)["id"]): line for line in lines}
        except (zipfile.BadZipFile, lzma.LZMAError, KeyError, ValueError, TypeError, EOFError,
                NotImplementedError) as error:  # fmt: skip
            raise DataFormatError(
                f"{path.name} is damaged, or no file of records: {error}."
            ) from error
        self._tables: dict[str, Any] = {}
        self._truths: dict[tuple[str, tuple[str, ...]], Truth] = {}
        self._places: dict[str, tuple[int, int]] | None = None
        self._sums: dict[str, list[ExportedSums]] | None = None

    def record(self, run: str) -> RunRecord:
        """Return a record.

        Raises:
            DataFormatError: it is none.
        """
        return RunRecord.from_json(self.lines[run], f"{self.path.name}, {run}")

    def digest(self, run: str) -> str:
        """Return a digest of all that is held of a run but the truth of its data."""
        first, last = self._rows(run)
        scores = self._table(SCORES).slice(first, last - first)
        buffers = [column.to_numpy().tobytes() for name, column in
                   zip(scores.column_names, scores.columns, strict=True)
                   if name.startswith(("score:", "row"))]  # fmt: skip
        protocols = json.dumps(scores["protocol"].to_pylist()).encode() if last > first else b""
        held = [self.lines[run], protocols, *buffers]
        for one in self.sums(run):
            held.append(repr((one.protocol, one.samples)).encode())
            for place, (rows, splits) in one.parts.items():
                held += [repr((place, splits)).encode(), rows.tobytes()]
        return digest_of_bytes(b"\0".join(map(bytes, held)))

    def parts(self, record: RunRecord) -> list[Predictions]:
        """Return the test predictions of a run; of one scored under dropout alone none.

        Raises:
            DataMissingError: there are none.
            DataFormatError: scores and truth do not fit together.
        """
        where, labels = f"{self.path.name}, {record.id}", tuple(record.dataset["labels"])
        first, last = self._rows(record.id)
        if first == last and COMPLETE not in record.metrics:
            return []  # a reference under dropout alone: sums stand in the place of predictions
        if first == last:
            raise DataMissingError(
                f"{where}: it has no predictions; 'harness leaderboard --export' writes them."
            )
        table, truth = self._table(SCORES).slice(first, last - first), self.truth(record)
        names = [f"score:{name}" for name in labels]
        missing = [name for name in names if name not in table.column_names]
        if missing:
            raise DataFormatError(f"{where}: found columns {', '.join(table.column_names)}.")
        scores = np.stack([table[name].to_numpy() for name in names], axis=1)
        return truth.parts(where, table, scores)

    def sums(self, run: str) -> list[ExportedSums]:
        """Return the sums of a run, one a dropout protocol; raises as `harness.records.sums`."""
        if self._sums is None:
            name = f"{self.path.name}, {SUMS}"
            self._sums = of_table(self._table(SUMS), name) if SUMS in self._members else {}
        return self._sums.get(run, [])

    def truth(self, record: RunRecord) -> Truth:
        """Return the test split of a record's data.

        Raises:
            DataMissingError: it is not there.
            DataFormatError: it is of other labels.
        """
        member, labels = self.truth_name(record), tuple(record.dataset["labels"])
        if (member, labels) not in self._truths:
            self._truths[member, labels] = truth_of(self._table(member), member, labels)
        return self._truths[member, labels]

    def truth_name(self, record: RunRecord) -> str:
        """Return the name of the member that holds the truth of a record's data."""
        return f"{TRUTH}{stem_of(record)}.parquet"

    def member_digest(self, name: str) -> str:
        """Return the digest of a member; empty: there is none."""
        return digest_of_bytes(self._members[name]) if name in self._members else ""

    def _rows(self, run: str) -> tuple[int, int]:
        """Return where the rows of a run's scores start and end."""
        if self._places is None:
            self._places = {}
            if SCORES in self._members:
                runs = self._table(SCORES)["run"].to_pylist()
                starts = [i for i, name in enumerate(runs) if i == 0 or runs[i - 1] != name]
                ends = [*starts[1:], len(runs)]
                self._places = {runs[a]: (a, b) for a, b in zip(starts, ends, strict=True)}
        return self._places.get(run, (0, 0))

    def _table(self, member: str) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if member not in self._tables:
            if member not in self._members:
                raise DataMissingError(
                    f"{self.path.name} lacks {member}; 'harness leaderboard --export' writes it."
                )
            try:
                self._tables[member] = pq.read_table(pa.BufferReader(self._members[member]))
            except (pa.ArrowException, OSError, ValueError) as error:
                where = f"{self.path.name}, {member}"
                raise DataFormatError(f"{where} is no readable parquet file: {error}.") from error
        return self._tables[member]


def document_of(record: RunRecord) -> dict[str, Any]:
    """Return a record as it is committed.

    No board shows scores per label under a dropout protocol, and with a suite of them they would be
    nearly half of the file. Merged clips keep them: their figures with truth and prediction
    exchanged follow from them under every protocol. Of a trial its place in the search and its
    score are kept.
    """
    document = record.as_dict() | {"artefacts": {}}  # the files are not those of the run's folder
    if record.role == "trial":
        return document | _trial(record)
    about = record.dataset
    if LAYOUTS[about["layout"]].cells and about["label_kind"] == "multilabel":
        return document
    for protocol, by_split in document["metrics"].items():
        if protocol != COMPLETE:
            for places in by_split.values():
                for figures in places.values():
                    (figures or {}).pop("per_label", None)
    return document


def _trial(record: RunRecord) -> dict[str, Any]:
    """Return the fields of a trial that are committed shorter than they are."""
    chosen = {RANKED, str(record.protocols["selection_metric"])}
    figures = {
        split: {
            place: None if known is None else {k: v for k, v in known.items() if k in chosen}
            for place, known in places.items()
        }
        for split, places in record.metrics.get(COMPLETE, {}).items()
    }
    facts = {"machine": record.provenance["machine"]} if "machine" in record.provenance else {}
    return {
        "epochs": [], "facts": {}, "provenance": facts, "checks": {},
        "metrics": {COMPLETE: figures} if figures else {},
    }  # fmt: skip


def compact(document: Mapping[str, Any]) -> str:
    """Return the text of a committed record: one line, keys in order."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"


def _archive(held: Sequence[Held]) -> bytes:
    members: list[tuple[str, bytes, int]] = []
    lines = []
    for one in held:
        document = document_of(one.record)
        validate(document, f"record {one.record.id}")
        lines.append(compact(document))
    members.append((RECORDS, "".join(lines).encode(), zipfile.ZIP_LZMA))
    truths = truths_of((one.record, one.parts) for one in held)
    scored = [one for one in held if one.parts]
    if scored:
        members.append((SCORES, _parquet(_scores(scored, truths)), zipfile.ZIP_STORED))
    summed = {one.record.id: one.sums for one in held if one.sums}
    if summed:
        members.append((SUMS, _parquet(to_table(summed)), zipfile.ZIP_STORED))
    for stem, truth in sorted(truths.items()):
        content = _parquet(_table_of(columns_of(truth)))
        members.append((f"{TRUTH}{stem}.parquet", content, zipfile.ZIP_STORED))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content, method in members:
            info = zipfile.ZipInfo(name, _LONG_AGO)
            info.compress_type, info.create_system, info.external_attr = method, 3, 0o644 << 16
            archive.writestr(info, content)
    return stream.getvalue()


def _scores(held: Sequence[Held], truths: Mapping[str, Truth]) -> Any:
    """Return the scores of runs as a table; labels that a run's data does not have are null."""
    import pyarrow as pa

    tables = []
    selected = any(part.selected_for for one in held for part in one.parts)
    for one in held:
        parts, truth = one.parts, truths[stem_of(one.record)]
        columns: dict[str, Any] = {
            "run": [one.record.id for p in parts for _ in p.ids],
            "protocol": [p.protocol for p in parts for _ in p.ids],
            "row": truth.rows(i for p in parts for i in p.ids),
        }
        empty = {SELECTED: [""] * len(columns["run"])} if selected else {}
        scores = np.concatenate([p.scores for p in parts])
        columns |= empty | selected_column(parts)
        columns |= {f"score:{n}": scores[:, i] for i, n in enumerate(truth.labels)}
        tables.append(pa.table(columns))
    return pa.concat_tables(tables, promote_options="default").combine_chunks()


def _table_of(columns: Mapping[str, Any]) -> Any:
    import pyarrow as pa

    return pa.table(dict(columns))


def _parquet(table: Any) -> bytes:
    import pyarrow.parquet as pq

    floats = [n for n in table.column_names if n.startswith("score:")]
    others = [n for n in table.column_names if n not in floats and n not in ("counts", "sums")]
    stream = io.BytesIO()
    pq.write_table(
        table, stream, compression="zstd", compression_level=15, use_dictionary=others,
        use_byte_stream_split=floats, write_statistics=False, row_group_size=1 << 24,
    )  # fmt: skip
    return stream.getvalue()
