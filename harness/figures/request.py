"""What a figure is computed from: names and options, records, plugins, trained models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.boards.frame import board_name, content_of
from harness.boards.reported import reported_by_plugins
from harness.boards.selecting import Chosen, Wanted, select
from harness.boards.settings import ablated
from harness.errors import DataMissingError, UnknownNameError, UsageError
from harness.records.committed import CommittedRecords
from harness.records.record import COMPLETE, RunRecord
from harness.records.store import RunStore

if TYPE_CHECKING:
    from harness.api.arrays import Split
    from harness.api.trained import TrainedModel
    from harness.data.layouts.stored import StoredSplit
    from harness.data.store import Store
    from harness.plugins import Registry

BATCH = 128


@dataclass(frozen=True)
class TrainedRun:
    """A trained model and the split that it is shown (N samples, L labels).

    Attributes:
        record: the run.
        data: the prepared data set.
        shown: the split, as `harness.dataset` gives it.
        model: as `harness.runs(...).load` gives it.
    """

    record: RunRecord
    data: Store
    shown: Split
    model: TrainedModel

    @property
    def split(self) -> StoredSplit:
        """Return the stored split."""
        return self.shown.stored

    @property
    def truth(self) -> NDArray[np.int8]:
        """Return the split's labels, int8 [N, L] in {0, 1}."""
        return np.asarray(self.split.labels).astype(np.int8)

    @property
    def axes(self) -> Mapping[str, str]:
        """Return the declared axes of tensors of `analysis`, by name."""
        return self.model.module.analysis_axes

    def analysis(self, wanted: Callable[[str], bool]) -> tuple[dict[str, NDArray[Any]], list[str]]:
        """Return the wanted tensors [N, ...] of the model's `analysis`, and all their names."""
        return self.model.analysis(self.shown, wanted, BATCH)

    def scores(self, protocol: str) -> NDArray[np.float32]:
        """Return the scores [N, L] under a dropout protocol."""
        return self.model.predict(self.shown, dropout=protocol, batch_size=BATCH)


@dataclass(frozen=True)
class FigureRequest:
    """A figure that was asked for.

    Attributes:
        models: positional names, each once.
        options: values of the kind's options by name.
        store: the runs or exported records.
        records: the records of the store.
        registry: the loaded plugins.
        open_run: loads the trained model of a run for a split on a device.
        notify: called with what a user should be told.
    """

    models: tuple[str, ...]
    options: Mapping[str, Any]
    store: RunStore | CommittedRecords
    records: Sequence[RunRecord]
    registry: Registry
    open_run: Callable[[RunRecord, str, str], TrainedRun]
    notify: Callable[[str], None]

    def __getitem__(self, name: str) -> Any:
        """Return the value of an option."""
        return self.options[name]

    @cached_property
    def by_id(self) -> dict[str, RunRecord]:
        """Return the records by run id."""
        return {record.id: record for record in self.records}

    @cached_property
    def wanted(self) -> Wanted:
        """Return where rows are looked for."""
        asked = self.options
        return Wanted(
            asked["dataset"], asked.get("dropout", COMPLETE), asked.get("train_dropout"),
            asked.get("mask"),
        )  # fmt: skip

    def rows(self, names: Iterable[str] | None = None) -> list[Chosen]:
        """Return the row of each name (None: of each model asked for).

        Raises as `harness.boards.selecting.select`.
        """
        unique = list(dict.fromkeys(self.models if names is None else names))
        return select(self.records, unique, self.wanted, reported_by_plugins(self.registry))

    def with_ceiling(self, chosen: list[Chosen]) -> list[Chosen]:
        """Return rows and, where the same data has one, its ceiling."""
        key = chosen[0].key
        there = any(
            r.role == "ceiling"
            and board_name(r) == self.wanted.dataset
            and content_of(r) == key.content
            and self.wanted.dropout in r.metrics
            for r in self.records
        )
        if not there or any(c.row.role == "ceiling" for c in chosen):
            return chosen
        return self.rows([*(c.name for c in chosen), "ceiling"])

    def trained(self, record: RunRecord) -> TrainedRun:
        """Return the trained model of a run, for the split and on the device asked for."""
        return self.open_run(record, self.options["split"], self.options["device"])

    def runs_of(self, model: str) -> list[RunRecord]:
        """Return the finished runs of one model over its seeds.

        Raises:
            UsageError: a reference row, which has no trained model.
        """
        row = self.rows([model])[0].row
        if row.role != "model":
            raise UsageError(f"{model!r} is a {row.role} row: there is no trained model to ask.")
        return [self.by_id[run] for run in row.runs]

    def run(self, name: str) -> RunRecord:
        """Return a finished run by its id.

        Raises:
            UnknownNameError: there is none.
        """
        known = {r.id: r for r in self.records if r.status == "ok" and r.role == "model"}
        if name not in known:
            raise UnknownNameError("run", name, known)
        return known[name]

    def ablated_twin(self, run: RunRecord, name: str) -> RunRecord:
        """Return the newest run that differs from another in one ablation alone.

        Raises:
            DataMissingError: there is none.
        """

        def settings(record: RunRecord) -> tuple[Any, ...]:
            return (
                *(record.seed, record.model["name"], record.dataset["content_hash"]),
                *(record.dataset["name"], record.protocols["train_dropout"]),
                record.config["preset"],
            )

        found = [
            r for r in self.records
            if r.status == "ok" and ablated(r) == (name,) and settings(r) == settings(run)
        ]  # fmt: skip
        if not found:
            raise DataMissingError(
                f"no run like {run.id} with the ablation {name!r}; train it with: {run.command} "
                f"--set 'model.ablate=[{name}]'"
            )
        return max(found, key=lambda r: (r.created, r.id))


def protocol_part(protocol: str | None) -> str:
    """Return the part of a file's name for a protocol; empty for complete data."""
    name = protocol or COMPLETE
    return "" if name == COMPLETE else f"-{name.partition('@')[0]}"


def name_part(name: str) -> str:
    """Return the part of a file's name for ``model`` or ``model:setting``."""
    return name.replace(":", "-").replace(" ", "-")
