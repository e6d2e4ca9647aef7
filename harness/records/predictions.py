"""Predictions on disk: ``id, group, split, protocol``, a score and a truth a label, slices."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataFormatError, DataMissingError
from harness.paths import atomic_write_bytes, storage_errors

_FIXED = ("id", "group", "split", "protocol")
SELECTED = "selected_for"


@dataclass(frozen=True)
class Predictions:
    """Scores of one split under one dropout protocol, in the split's order.

    Attributes:
        split: split name.
        protocol: dropout protocol, ``name@version``.
        selected_for: the metric whose own best validation epoch gave these scores (authors'
            evaluations), or which these decisions, 0 or 1, are best for (ceilings and observers);
            empty: the scores of the epoch that the run selected.
        ids: N sample ids.
        groups: N group names.
        scores: float32 [N, L] in [0, 1].
        truth: int8 [N, L] in {0, 1}.
        slices: which samples belong to a part of the split that is scored on its own (on MEmoR
            by what the target shows at the target moment), bool [N] each; empty where the data
            has none.
    """

    split: str
    protocol: str
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    scores: NDArray[np.float32]
    truth: NDArray[np.int8]
    slices: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    selected_for: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what there is one part of: split, protocol, selection."""
        return self.split, self.protocol, self.selected_for


def write_predictions(path: Path, parts: Sequence[Predictions], labels: Sequence[str]) -> None:
    """Write parts to a file, as `predictions_file` gives it, atomically.

    Raises:
        StorageError: the file cannot be written; an older one is left as it was.
    """
    atomic_write_bytes(path, predictions_file(parts, labels))


def replaced(before: Sequence[Predictions], new: Sequence[Predictions]) -> list[Predictions]:
    """Return parts with new ones, each in the place of the one it replaces or at the end."""
    found = {p.key: p for p in before}
    return list((found | {p.key: p for p in new}).values())


def predictions_file(parts: Sequence[Predictions], labels: Sequence[str]) -> bytes:
    """Return parts as a zstd parquet file.

    ``slice:<name>`` columns are written for the slices that all parts have, ``selected_for`` where
    a part has one.

    Raises:
        DataFormatError: a part is there twice, or a sample twice in a part.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {
        "id": pa.array([i for p in parts for i in p.ids], pa.string()),
        "group": pa.array([g for p in parts for g in p.groups], pa.string()),
        "split": pa.array([p.split for p in parts for _ in p.ids], pa.string()),
        "protocol": pa.array([p.protocol for p in parts for _ in p.ids], pa.string()),
    }
    columns |= selected_column(parts)
    scores = np.concatenate([p.scores for p in parts])
    truth = np.concatenate([p.truth for p in parts])
    columns |= {f"score:{n}": pa.array(scores[:, i], pa.float32()) for i, n in enumerate(labels)}
    columns |= {f"truth:{n}": pa.array(truth[:, i], pa.int8()) for i, n in enumerate(labels)}
    for name in common_slices(parts):
        inside = np.concatenate([p.slices[name] for p in parts])
        columns[f"slice:{name}"] = pa.array(inside, pa.bool_())
    _check_once("predictions", parts)
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream, compression="zstd")
    return stream.getvalue()


def _check_once(where: str, parts: Sequence[Predictions]) -> None:
    """Check that no sample is there twice in a split under a protocol."""
    keys = [p.key for p in parts]
    for part in parts:
        if keys.count(part.key) > 1 or len(set(part.ids)) < len(part.ids):
            raise DataFormatError(
                f"{where}: samples of {part.split} are there twice under {part.protocol}; "
                "run again with --rerun."
            )


def selected_column(parts: Sequence[Predictions]) -> dict[str, list[str]]:
    """Return the column ``selected_for`` of parts; empty where no part has one."""
    column = [p.selected_for for p in parts for _ in p.ids]
    return {SELECTED: column} if any(column) else {}


def common_slices(parts: Sequence[Predictions]) -> list[str]:
    """Return the names of the slices that every part has, in the order of the first."""
    return [n for n in parts[0].slices if all(n in p.slices for p in parts)] if parts else []


def read_predictions(
    path: Path, only: tuple[str, str] | None = None
) -> tuple[tuple[str, ...], list[Predictions]]:
    """Return what a file holds, as `parse_predictions` does.

    Raises:
        DataMissingError: there is no such file.
        DataFormatError: it is not a predictions file.
    """
    where = f"{path.parent.name}/{path.name}"
    if not path.is_file():
        raise DataMissingError(f"{where} is missing; run again with --rerun to make it.")
    with storage_errors(path):
        content = path.read_bytes()
    return parse_predictions(content, where, only)


def parse_predictions(
    content: bytes, where: str, only: tuple[str, str] | None = None
) -> tuple[tuple[str, ...], list[Predictions]]:
    """Return the label names and the parts of a file, in the order they were written.

    Args:
        content: the bytes of the file.
        where: the file as messages name it.
        only: a split and a protocol: nothing else is read, and no part of another selection.

    Raises:
        DataFormatError: it is not a predictions file, or holds a sample twice.
    """
    try:
        labels, parts = _parsed(content, where, only)
    # Whatever Arrow and NumPy make of a damaged file; Arrow raises OSError for a broken page.
    except (ValueError, TypeError, KeyError, OSError, MemoryError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataFormatError(
            f"{where} is not a readable parquet file: {reason}. Run again with --rerun."
        ) from error
    _check_once(where, parts)
    return labels, parts


def _parsed(
    content: bytes, where: str, only: tuple[str, str] | None
) -> tuple[tuple[str, ...], list[Predictions]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = None if only is None else [("split", "=", only[0]), ("protocol", "=", only[1])]
    table = pq.read_table(pa.BufferReader(content), filters=wanted)
    table.validate(full=True)
    labels = tuple(n.removeprefix("score:") for n in table.column_names if n.startswith("score:"))
    found = [n for n in table.column_names if n != SELECTED]
    expected = [*_FIXED, *(f"score:{n}" for n in labels), *(f"truth:{n}" for n in labels)]
    sliced = [n for n in table.column_names if n.startswith("slice:")]
    if not labels or found != [*expected, *sliced]:
        raise DataFormatError(
            f"{where}: expected columns {', '.join(_FIXED)}, score:*, truth:*, slice:*; "
            f"found {', '.join(table.column_names)}."
        )
    splits, protocols = (np.asarray(table[c].to_pylist()) for c in ("split", "protocol"))
    protocols, selected = selections(table, protocols)
    ids, groups = table["id"].to_pylist(), table["group"].to_pylist()
    scores = np.stack([table[f"score:{n}"].to_numpy() for n in labels], axis=1)
    truth = np.stack([table[f"truth:{n}"].to_numpy() for n in labels], axis=1)
    inside = {n.removeprefix("slice:"): np.asarray(table[n].to_pylist(), bool) for n in sliced}
    parts = []
    keys = zip(splits.tolist(), protocols.tolist(), selected.tolist(), strict=True)
    for split, protocol, metric in dict.fromkeys(keys):
        if only is not None and metric:
            continue
        rows = np.flatnonzero((splits == split) & (protocols == protocol) & (selected == metric))
        parts.append(
            Predictions(
                split,
                protocol,
                tuple(ids[r] for r in rows),
                tuple(groups[r] for r in rows),
                scores[rows],
                truth[rows],
                {name: marks[rows] for name, marks in inside.items()},
                metric,
            )
        )
    return labels, parts


def selections(
    table: Any, protocols: NDArray[np.str_]
) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Return the protocol and the ``selected_for`` of every row of a table.

    Files of result version 1 name such parts ``<protocol>#<metric>``.
    """
    parts = [name.partition("#") for name in protocols.tolist()]
    bare = np.asarray([name for name, _, _ in parts], dtype=np.str_)
    metrics = [metric for _, _, metric in parts]
    if SELECTED in table.column_names:
        metrics = table[SELECTED].to_pylist()
    return bare, np.asarray(metrics, dtype=np.str_)
