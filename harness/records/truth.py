"""The truth of committed predictions: the test samples of each content of a data set, once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataFormatError
from harness.records.predictions import Predictions, selections
from harness.records.record import RunRecord

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

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.ids)}

    def rows(self, ids: Iterable[str]) -> NDArray[np.int32]:
        """Return where samples stand."""
        return np.array([self._places[name] for name in ids], dtype=np.int32)

    def parts(self, where: str, table: Any, scores: NDArray[np.float32]) -> list[Predictions]:
        """Return the predictions that a table holds.

        Args:
            where: the table, for messages.
            table: columns ``protocol`` and ``row``, and ``selected_for`` where there are any.
            scores: float32 [rows of the table, L].

        Raises:
            DataFormatError: rows that are no samples.
        """
        rows, protocols = table["row"].to_numpy(), np.asarray(table["protocol"].to_pylist())
        protocols, selected = selections(table, protocols)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self.ids):
            raise DataFormatError(f"{where}: rows beyond the {len(self.ids)} of the truth.")
        parts = []
        keys = zip(protocols.tolist(), selected.tolist(), strict=True)
        for protocol, metric in dict.fromkeys(keys):
            chosen = (protocols == protocol) & (selected == metric)
            mine = rows[chosen]
            parts.append(
                Predictions(
                    SPLIT,
                    protocol,
                    tuple(self.ids[i] for i in mine),
                    tuple(self.groups[i] for i in mine),
                    scores[chosen],
                    self.values[mine],
                    {name: inside[mine] for name, inside in self.slices.items()},
                    metric,
                )
            )
        return parts


def stem_of(record: RunRecord) -> str:
    """Return the name of what holds the truth of a record's data."""
    about = record.dataset
    return f"{about['name']}-{about['content_hash'][:_HASH_DIGITS]}"


def truth_of(table: Any, name: str, labels: tuple[str, ...]) -> Truth:
    """Return the truth that a table holds.

    Raises:
        DataFormatError: it is of other labels.
    """
    sliced = [column for column in table.column_names if column.startswith("slice:")]
    if table.column_names != ["id", "group", *(f"truth:{label}" for label in labels), *sliced]:
        raise DataFormatError(f"{name}: found columns {', '.join(table.column_names)}.")
    values = np.stack([table[f"truth:{label}"].to_numpy() for label in labels], axis=1)
    ids, groups = table["id"].to_pylist(), table["group"].to_pylist()
    slices = {n.removeprefix("slice:"): np.asarray(table[n].to_pylist(), bool) for n in sliced}
    return Truth(labels, tuple(ids), tuple(groups), values, slices)


def columns_of(truth: Truth) -> dict[str, Any]:
    """Return a truth as the columns of `truth_of`."""
    columns: dict[str, Any] = {"id": list(truth.ids), "group": list(truth.groups)}
    columns |= {f"truth:{n}": truth.values[:, i] for i, n in enumerate(truth.labels)}
    return columns | {f"slice:{name}": inside for name, inside in truth.slices.items()}


def truths_of(runs: Iterable[tuple[RunRecord, Sequence[Predictions]]]) -> dict[str, Truth]:
    """Return the test samples of each content that predictions are of, by `stem_of`.

    Raises:
        DataFormatError: two runs of one content disagree on the truth of a sample.
    """
    pools: dict[str, dict[str, tuple[str, bytes]]] = {}
    marks: dict[str, dict[str, dict[str, bool]]] = {}
    labels: dict[str, tuple[str, ...]] = {}
    scored = [(record, parts) for record, parts in runs if parts]
    scored.sort(key=lambda one: (-max(len(p.ids) for p in one[1]), one[0].id))
    for record, parts in scored:
        stem = stem_of(record)
        pool = pools.setdefault(stem, {})
        labels.setdefault(stem, tuple(record.dataset["labels"]))
        for part in parts:
            rows = (row.astype(np.int8).tobytes() for row in part.truth)
            new = {i: (g, row) for i, g, row in zip(part.ids, part.groups, rows, strict=True)}
            clash = next((i for i, v in new.items() if pool.get(i, v) != v), None)
            if clash is not None:
                raise DataFormatError(
                    f"{record.id}: the truth of {clash!r} differs from that of other runs on "
                    f"{stem}; both claim the same data. Run it again, or remove the folder and "
                    "export anew."
                )
            pool |= new
            for name, inside in part.slices.items():
                known = marks.setdefault(stem, {}).setdefault(name, {})
                known.update(zip(part.ids, inside.tolist(), strict=True))
    found = {}
    for stem, pool in pools.items():
        values = np.frombuffer(b"".join(v for _, v in pool.values()), dtype=np.int8)
        found[stem] = Truth(
            labels[stem],
            tuple(pool),
            tuple(g for g, _ in pool.values()),
            values.reshape(-1, len(labels[stem])),
            {
                name: np.array([inside[i] for i in pool], dtype=np.bool_)
                for name, inside in marks.get(stem, {}).items()
                if len(inside) == len(pool)  # else only some runs know the slice
            },
        )
    return found
