"""Records beside their boards: one JSON and one small parquet a run, truth once per data set.

``<run id>.json`` is the record, with scores per label on complete data only.
``<run id>.parquet`` holds its test predictions on complete data, and under the protocol that the
data set's skill is scored under: ``protocol``, ``row`` (a row of the truth file) and
``score:<label>`` (float32).
Where the data may not be passed on it holds sums over numbered clusters (`harness.records.sums`),
and there is no truth file.
``<data set>-<start of its hash>.truth.parquet`` holds ``id``, ``group``, ``truth:<label>`` and
``slice:<name>`` where the data set has slices.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataFormatError, DataMissingError, HarnessError
from harness.paths import atomic_write_bytes, atomic_write_text, storage_errors
from harness.records.artefacts import clear, digest_of
from harness.records.predictions import SELECTED, Predictions, selected_column, selections
from harness.records.record import COMPLETE, RunRecord, validate
from harness.records.store import BrokenRecord, RunStore
from harness.records.sums import ExportedSums, closed, from_table, sums_of, to_table
from harness.specs import LAYOUTS

SPLIT = "test"
_HASH_DIGITS = 12


@dataclass(frozen=True)
class Truth:
    """The test split of a data set: N ids, their groups, labels int8 [N, L] in {0, 1}.

    ``slices`` as in `Predictions`.
    """

    labels: tuple[str, ...]
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    values: NDArray[np.int8]
    slices: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


class CommittedRecords:
    """The records of a folder as `export` writes it; reads like a `RunStore`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.broken: list[BrokenRecord] = []
        self._truths: dict[tuple[Path, tuple[str, ...]], Truth] = {}

    def all(self) -> list[RunRecord]:
        """Return every readable record in id order; the others are left in ``broken``."""
        self.broken = []
        records = (self.readable(name) for name in self.names())
        return sorted((r for r in records if r is not None), key=lambda r: r.id)

    def names(self) -> list[str]:
        """Return the names of the records' files, without suffix, in order."""
        return [path.stem for path in sorted(self.root.glob("*.json"))]

    def readable(self, name: str) -> RunRecord | None:
        """Return the record of a name; one that cannot be read is added to ``broken``."""
        path = self.root / f"{name}.json"
        with storage_errors(path):
            content = path.read_bytes()
        try:
            return RunRecord.from_json(content, path.name)
        except DataFormatError as error:
            self.broken.append(BrokenRecord(path, str(error)))
        return None

    def digest(self, name: str) -> str:
        """Return a digest of a record's file and its predictions; empty: they cannot be read."""
        try:
            found = [
                digest_of(path) if path.is_file() else "none"
                for path in (self.root / f"{name}.json", self.root / f"{name}.parquet")
            ]
        except HarnessError:
            return ""
        return " ".join(found)

    def sources(self, record: RunRecord) -> tuple[str, ...]:
        """Return the names of the further files that a run's predictions come from."""
        return () if closed(record) else (truth_path(self.root, record).name,)

    def file_digest(self, name: str) -> str:
        """Return the digest of a file of the folder; empty: there is none."""
        path = self.root / name
        return digest_of(path) if path.is_file() else ""

    def parts(self, record: RunRecord, only: tuple[str, str] | None = None) -> list[Predictions]:
        """Return the test predictions of a finished run, or those of a split and a protocol alone.

        Raises:
            DataMissingError: they or the truth of their data set are not there.
            DataFormatError: the two do not fit together.
        """
        path = self.root / f"{record.id}.parquet"
        if closed(record):
            raise DataMissingError(
                f"{record.id}: its data may not be passed on, so that the export holds sums over "
                "clusters and no predictions; use the runs themselves."
            )
        table, truth = _read(path), self.truth(record)
        names = [f"score:{name}" for name in record.dataset["labels"]]
        if [n for n in table.column_names if n != SELECTED] != ["protocol", "row", *names]:
            raise DataFormatError(f"{path.name}: found columns {', '.join(table.column_names)}.")
        scores = np.stack([table[name].to_numpy() for name in names], axis=1)
        rows, protocols = table["row"].to_numpy(), np.asarray(table["protocol"].to_pylist())
        protocols, selected = selections(table, protocols)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(truth.ids):
            raise DataFormatError(f"{path.name}: rows beyond the {len(truth.ids)} of the truth.")
        parts = []
        keys = zip(protocols.tolist(), selected.tolist(), strict=True)
        for protocol, metric in dict.fromkeys(keys):
            chosen = (protocols == protocol) & (selected == metric)
            mine = rows[chosen]
            parts.append(
                Predictions(
                    SPLIT,
                    protocol,
                    tuple(truth.ids[i] for i in mine),
                    tuple(truth.groups[i] for i in mine),
                    scores[chosen],
                    truth.values[mine],
                    {name: inside[mine] for name, inside in truth.slices.items()},
                    metric,
                )
            )
        return [p for p in parts if only is None or (p.key == (*only, ""))]

    def sums(self, record: RunRecord) -> ExportedSums:
        """Return what is exported of a run whose data may not be passed on.

        Raises:
            DataMissingError: it is not there.
            DataFormatError: the file holds something else.
        """
        name = f"{record.id}.parquet"
        return from_table(_read(self.root / name), name)

    def whole(self, records: Iterable[RunRecord]) -> list[RunRecord]:
        """Return the records; that their files are as exported, ``--check`` finds out."""
        return list(records)

    def faults(self, record: RunRecord) -> list[str]:
        """Return nothing: exported records have no digests of their files."""
        return []

    def truth(self, record: RunRecord) -> Truth:
        """Return the test split of a record's data set; raises as `predictions`."""
        path = truth_path(self.root, record)
        labels = tuple(record.dataset["labels"])
        if (path, labels) in self._truths:
            return self._truths[path, labels]
        table = _read(path)
        sliced = [name for name in table.column_names if name.startswith("slice:")]
        expected = ["id", "group", *(f"truth:{name}" for name in labels), *sliced]
        if table.column_names != expected:
            raise DataFormatError(f"{path.name}: found columns {', '.join(table.column_names)}.")
        values = np.stack([table[f"truth:{name}"].to_numpy() for name in labels], axis=1)
        ids, groups = table["id"].to_pylist(), table["group"].to_pylist()
        slices = {n.removeprefix("slice:"): np.asarray(table[n].to_pylist(), bool) for n in sliced}
        self._truths[path, labels] = Truth(labels, tuple(ids), tuple(groups), values, slices)
        return self._truths[path, labels]


def open_records(root: Path) -> RunStore | CommittedRecords:
    """Return the records of a folder, whichever of the two forms it has."""
    flat = root.is_dir() and any(root.glob("*.json")) and not any(root.glob("*/record.json"))
    return CommittedRecords(root) if flat else RunStore(root)


def export(
    records: Iterable[RunRecord],
    runs: RunStore,
    out: Path,
    further: Mapping[str, str] = MappingProxyType({}),
) -> list[Path]:
    """Write records and their test predictions on complete data; return the files.

    Exporting again gives equal bytes; records that are already in ``out`` stay.

    Args:
        records: what is exported.
        runs: their store.
        out: the folder.
        further: per name of a data set a dropout protocol whose predictions are exported too;
            never where the data may not be passed on.

    Raises:
        DataMissingError: a run's predictions are not there.
        DataFormatError: two runs of one data set disagree on the truth of a sample.
        StorageError: the folder cannot be written.
    """
    chosen = sorted(records, key=lambda r: r.id)
    written: dict[Path, None] = {}
    clear(out, (".write-*", ".*.json.????????", ".*.parquet.????????"))
    read = {r.id: _kept_parts(r, runs, further) for r in chosen if r.status == "ok"}
    parts = {run: found for run, found in read.items() if found}
    shut = {r.id: r for r in chosen if closed(r)}
    sums = {run: sums_of(shut[run], own[0]) for run, own in parts.items() if run in shut}
    parts = {run: own for run, own in parts.items() if run not in shut}
    truths = _truths(chosen, parts, out)
    for path, truth in truths.items():
        columns: dict[str, Any] = {"id": list(truth.ids), "group": list(truth.groups)}
        columns |= {f"truth:{n}": truth.values[:, i] for i, n in enumerate(truth.labels)}
        columns |= {f"slice:{name}": inside for name, inside in truth.slices.items()}
        _write(path, columns)
        written[path] = None
    for record in chosen:
        if record.id in parts:
            path = out / f"{record.id}.parquet"
            truth = truths[truth_path(out, record)]
            _write(path, _score_columns(parts[record.id], truth))
            written[path] = None
        if record.id in sums:
            path = out / f"{record.id}.parquet"
            _write_table(path, to_table(sums[record.id]))
            written[path] = None
        path = out / f"{record.id}.json"
        document = _document(record)
        validate(document, f"record {record.id}")
        atomic_write_text(path, compact(document))
        written[path] = None
    return list(written)


def compact(document: Mapping[str, Any]) -> str:
    """Return the text of a committed record: one line, keys in order."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"


def _document(record: RunRecord) -> dict[str, Any]:
    """Return a record as it is committed.

    No board shows scores per label under a dropout protocol, and with a suite of them they would be
    nearly half of the file. Merged clips keep them: their figures with truth and prediction
    exchanged follow from them under every protocol.
    """
    document = record.as_dict() | {"artefacts": {}}  # the files are not those of the run's folder
    about = record.dataset
    if LAYOUTS[about["layout"]].cells and about["label_kind"] == "multilabel":
        return document
    for protocol, by_split in document["metrics"].items():
        if protocol != COMPLETE:
            for places in by_split.values():
                for figures in places.values():
                    (figures or {}).pop("per_label", None)
    return document


def truth_path(root: Path, record: RunRecord) -> Path:
    """Return where the truth of a record's data set is."""
    about = record.dataset
    return root / f"{about['name']}-{about['content_hash'][:_HASH_DIGITS]}.truth.parquet"


def _kept_parts(record: RunRecord, runs: RunStore, further: Mapping[str, str]) -> list[Predictions]:
    """Return the test predictions that are exported, those on complete data first."""
    other = COMPLETE if closed(record) else further.get(record.dataset["name"], COMPLETE)
    parts = [p for p in runs.parts(record) if p.split == SPLIT and p.protocol in (COMPLETE, other)]
    return sorted(parts, key=lambda p: p.protocol != COMPLETE)


def _truths(
    records: Iterable[RunRecord], parts: Mapping[str, list[Predictions]], out: Path
) -> dict[Path, Truth]:
    """Return per data set its test samples: those already in ``out`` first, then new ones."""
    kept: dict[Path, Truth] = {}
    pools: dict[Path, dict[str, tuple[str, bytes]]] = {}
    marks: dict[Path, dict[str, dict[str, bool]]] = {}
    by_size = sorted(
        (r for r in records if parts.get(r.id)),
        key=lambda r: (-max(len(p.ids) for p in parts[r.id]), r.id),
    )
    for record in by_size:
        path, labels = truth_path(out, record), tuple(record.dataset["labels"])
        if path not in pools:
            old = CommittedRecords(out).truth(record) if path.is_file() else None
            pools[path] = {} if old is None else _pool(old.ids, old.groups, old.values)
            marks[path] = {} if old is None else _marks(old.ids, old.slices)
        for part in parts[record.id]:
            new = _pool(part.ids, part.groups, part.truth)
            clash = next((i for i, v in new.items() if pools[path].get(i, v) != v), None)
            if clash is not None:
                raise DataFormatError(
                    f"{record.id}: the truth of {clash!r} differs from that in {path.name}; both "
                    "claim the same data. Run it again, or remove the folder and export anew."
                )
            pools[path] |= new
            for name, inside in _marks(part.ids, part.slices).items():
                marks[path].setdefault(name, {}).update(inside)
        values = np.frombuffer(b"".join(v for _, v in pools[path].values()), dtype=np.int8)
        kept[path] = Truth(
            labels,
            tuple(pools[path]),
            tuple(g for g, _ in pools[path].values()),
            values.reshape(-1, len(labels)),
            {
                name: np.array([inside[i] for i in pools[path]], dtype=np.bool_)
                for name, inside in marks[path].items()
                if len(inside) == len(pools[path])  # else only some runs know the slice
            },
        )
    return kept


def _pool(
    ids: Iterable[str], groups: Iterable[str], truth: NDArray[np.int8]
) -> dict[str, tuple[str, bytes]]:
    rows = (row.astype(np.int8).tobytes() for row in truth)
    return {i: (g, row) for i, g, row in zip(ids, groups, rows, strict=True)}


def _marks(
    ids: Sequence[str], slices: Mapping[str, NDArray[np.bool_]]
) -> dict[str, dict[str, bool]]:
    return {n: dict(zip(ids, inside.tolist(), strict=True)) for n, inside in slices.items()}


def _score_columns(parts: list[Predictions], truth: Truth) -> dict[str, Any]:
    position = {name: i for i, name in enumerate(truth.ids)}
    scores = np.concatenate([p.scores for p in parts])
    columns: dict[str, Any] = {
        "protocol": [p.protocol for p in parts for _ in p.ids],
        "row": np.array([position[i] for p in parts for i in p.ids], dtype=np.int32),
    }
    columns |= selected_column(parts)
    return columns | {f"score:{n}": scores[:, i] for i, n in enumerate(truth.labels)}


def _read(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise DataMissingError(f"{path.name} is missing; 'harness leaderboard --export' writes it.")
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataFormatError(f"{path.name} is not a readable parquet file: {error}.") from error


def _write(path: Path, columns: Mapping[str, Any]) -> None:
    import pyarrow as pa

    _write_table(path, pa.table(dict(columns)))


def _write_table(path: Path, table: Any) -> None:
    import pyarrow.parquet as pq

    floats = [n for n in table.column_names if n.startswith("score:")]
    others = [n for n in table.column_names if n not in floats and n != "sums"]
    stream = io.BytesIO()
    pq.write_table(
        table,
        stream,
        compression="zstd",
        compression_level=15,
        use_dictionary=others,
        use_byte_stream_split=floats,
        write_statistics=False,
    )
    atomic_write_bytes(path, stream.getvalue())
