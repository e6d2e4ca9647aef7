"""Trained runs as figures need them: a checkpoint, the split it is shown, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

from harness.boards.collect import ablated
from harness.cli.figures.common import Store, chosen_rows
from harness.errors import DataFormatError, DataMissingError, UsageError
from harness.records.record import RunRecord
from harness.records.store import RunStore

if TYPE_CHECKING:
    from harness.boards.selecting import Wanted
    from harness.data.store import Store as DataStore
    from harness.engine.device import Compute
    from harness.engine.splits import SplitView
    from harness.model import ModelPlugin
    from harness.plugins import Registry

BATCH = 128


@dataclass(frozen=True)
class TrainedRun:
    """A finished run with its model in evaluation mode and the split that is looked at."""

    record: RunRecord
    model: ModelPlugin
    view: SplitView
    compute: Compute

    @property
    def truth(self) -> NDArray[np.int8]:
        """Return the split's labels, int8 [N, L] in {0, 1}."""
        return np.asarray(self.view.split.labels).astype(np.int8)

    def analysis(self, wanted: Callable[[str], bool]) -> tuple[dict[str, NDArray[Any]], list[str]]:
        """Return the tensors of the model's `analysis` that are wanted, over the whole split.

        Returns:
            arrays [N, ...] by name, and all names the model gives.
        """
        import torch

        kept: dict[str, list[NDArray[Any]]] = {}
        names: list[str] = []
        with torch.no_grad(), self.compute.deterministic():
            for batch in self.view.batches(BATCH):
                found = self.model.analysis(batch.without_labels().to(self.compute.device))
                names = list(found)
                for name, tensor in found.items():
                    if wanted(name):
                        kept.setdefault(name, []).append(tensor.detach().cpu().numpy())
        return {name: np.concatenate(parts) for name, parts in kept.items()}, names

    def scores(self, protocol: str) -> NDArray[np.float32]:
        """Return the scores [N, L] of the split under a dropout protocol."""
        from harness.engine.predict import predict
        from harness.protocols.dropout import parse

        masks = self.view.masks(parse(protocol))
        with self.compute.deterministic():
            return predict(self.model, self.view.batches(BATCH, masks), self.compute)


def open_trained(
    record: RunRecord, folder: Path, data: DataStore, registry: Registry, device: str, split: str
) -> TrainedRun:
    """Return a run ready to be asked.

    Raises:
        DataFormatError: the data is not what the run was trained on.
        DataMissingError: the run has no checkpoint. UsageError: no such split or device.
    """
    from harness.engine.checkpoint import load_checkpoint
    from harness.engine.device import choose
    from harness.engine.splits import SplitView

    if record.dataset["content_hash"] != data.content_hash:
        raise DataFormatError(
            f"{record.id} was trained on other content of {data.spec.name} than is prepared now; "
            "train it again, or give the --home it was trained in."
        )
    compute = choose(device, "fp32")
    model = load_checkpoint(folder, registry).to(compute.device)
    view = SplitView(
        data.split(split), data.spec, record.dataset["mask"], model.needs_nonempty_mask,
        model.task.layout,
    )  # fmt: skip
    return TrainedRun(record, model, view, compute)


def open_data(name: str, registry: Registry) -> DataStore:
    """Return the data of runs; says on stderr what a user should be told about it."""
    from harness.data.locate import find_store

    data = find_store(registry.dataset(name))
    if data.notice:
        click.echo(data.notice, err=True)
    return data


def runs_only(store: Store) -> RunStore:
    """Return the store if it keeps checkpoints.

    Raises:
        DataMissingError: it holds exported records.
    """
    if isinstance(store, RunStore):
        return store
    raise DataMissingError(
        f"{store.root} holds exported records without checkpoints; this figure asks the trained "
        "models. Leave out --records, or train them again: 'harness run'."
    )


def rows_by_seed(
    records: Iterable[RunRecord], model: str, wanted: Wanted, plugins: tuple[str, ...]
) -> list[RunRecord]:
    """Return the finished runs of one model over its seeds.

    Raises:
        UsageError, UnknownNameError, DataMissingError: as `harness.boards.selecting.select`.
    """
    known = list(records)
    row = chosen_rows(known, [model], wanted, plugins)[0].row
    if row.role != "model":
        raise UsageError(f"{model!r} is a {row.role} row: there is no trained model to ask.")
    by_id = {r.id: r for r in known}
    return [by_id[run] for run in row.runs]


def ablated_twin(records: Iterable[RunRecord], run: RunRecord, name: str) -> RunRecord:
    """Return the run that differs from another in one ablation; the newest of several.

    Raises:
        DataMissingError: there is none.
    """
    found = [
        r
        for r in records
        if r.status == "ok"
        and ablated(r) == (name,)
        and r.seed == run.seed
        and r.model["name"] == run.model["name"]
        and r.dataset["content_hash"] == run.dataset["content_hash"]
        and r.dataset["name"] == run.dataset["name"]
        and r.protocols["train_dropout"] == run.protocols["train_dropout"]
        and r.config["preset"] == run.config["preset"]
    ]
    if not found:
        raise DataMissingError(
            f"no run like {run.id} with the ablation {name!r}; train it with: {run.command} "
            f"--set 'model.ablate=[{name}]'"
        )
    return max(found, key=lambda r: (r.created, r.id))
