"""A trained run opened for analysis: its checkpoint, one split, and what the model gives on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.data.store import Store, StoredSplit
from harness.engine.checkpoint import load_checkpoint
from harness.engine.compat import RenamedBatches, exchanged_names
from harness.engine.device import Compute, choose
from harness.engine.loop import BatchSource
from harness.engine.predict import predict
from harness.engine.splits import SplitView
from harness.errors import DataFormatError, UsageError
from harness.model import ModelPlugin
from harness.plugins import Registry
from harness.protocols.dropout import parse
from harness.records.record import COMPLETE, RunRecord
from harness.specs import CompatSpec, DatasetSpec

BATCH = 128


@dataclass(frozen=True)
class TrainedRun:
    """A finished run with its model in evaluation mode and the split that it is shown."""

    record: RunRecord
    data: Store
    model: ModelPlugin
    split: StoredSplit
    compute: Compute

    @property
    def truth(self) -> NDArray[np.int8]:
        """Return the split's labels, int8 [N, L] in {0, 1}."""
        return np.asarray(self.split.labels).astype(np.int8)

    @property
    def axes(self) -> Mapping[str, str]:
        """Return the declared axes of tensors of `analysis`, by name."""
        return self.model.analysis_axes

    def analysis(self, wanted: Callable[[str], bool]) -> tuple[dict[str, NDArray[Any]], list[str]]:
        """Return the tensors of the model's `analysis` that are wanted, over the whole split.

        Returns:
            arrays [N, ...] by name, and all names the model gives.
        """
        kept: dict[str, list[NDArray[Any]]] = {}
        names: list[str] = []
        with torch.no_grad(), self.compute.deterministic():
            for batch in self._batches():
                found = self.model.analysis(batch.without_labels().to(self.compute.device))
                names = list(found)
                for name, tensor in found.items():
                    if wanted(name):
                        kept.setdefault(name, []).append(tensor.detach().cpu().numpy())
        return {name: np.concatenate(parts) for name, parts in kept.items()}, names

    def scores(self, protocol: str) -> NDArray[np.float32]:
        """Return the scores [N, L] of the split under a dropout protocol."""
        with self.compute.deterministic():
            return predict(self.model, self._batches(protocol), self.compute)

    def _batches(self, protocol: str = COMPLETE) -> BatchSource:
        return batches_for(
            self.model, self.record, self.split, self.data.spec, dropout=protocol, batch_size=BATCH
        )


def batches_for(
    model: ModelPlugin,
    record: RunRecord | None,
    split: StoredSplit,
    spec: DatasetSpec,
    *,
    dropout: str = COMPLETE,
    batch_size: int | None = None,
) -> BatchSource:
    """Return a split's batches as a trained model was evaluated on them.

    The mask option is that of the run where the data set has it, and modalities have the names
    that the run exchanged (`harness.specs.CompatSpec`).

    Args:
        model: the trained model.
        record: its run; None: not known.
        split: the split.
        spec: its data set.
        dropout: dropout protocol to apply.
        batch_size: samples at a time; None: as the run was evaluated.

    Raises:
        UsageError: the labels or modalities are not those the model was trained on.
    """
    compat = None if record is None or record.compat is None else CompatSpec(**record.compat)
    names = exchanged_names(compat, spec)
    task, mask = model.task, spec.default_mask
    given = [(names.get(m.name, m.name), m.dim) for m in spec.modalities]
    for what, trained, found in (
        ("labels", list(task.labels), list(spec.labels)),
        ("modalities", [(m.name, m.dim) for m in task.modalities], given),
    ):
        if trained != found:
            raise UsageError(
                f"the model was trained on {task.dataset} with {what} {trained}; {spec.name} has "
                f"{found}. Choose a data set that fits, or train on it."
            )
    if record is not None:
        mask = record.dataset["mask"] if record.dataset["mask"] in spec.mask_options else mask
        batch_size = batch_size or int(record.config["training"]["eval_batch_size"])
    view = SplitView(split, spec, mask, model.needs_nonempty_mask, task.layout)
    batches = view.batches(batch_size or BATCH, view.masks(parse(dropout)))
    return RenamedBatches(batches, names) if names else batches


def open_trained(
    record: RunRecord, folder: Path, data: Store, registry: Registry, device: str, split: str
) -> TrainedRun:
    """Return a run with its model loaded.

    Args:
        record: the run.
        folder: its folder, with the checkpoint.
        data: the prepared data set.
        registry: the loaded plugins.
        device: ``auto``, ``cpu`` or ``cuda``.
        split: name of a split.

    Raises:
        DataFormatError: the data is not what the run was trained on.
        DataMissingError: the run has no checkpoint.
        UsageError: no such split or device.
    """
    if record.dataset["content_hash"] != data.content_hash:
        raise DataFormatError(
            f"{record.id} was trained on other content of {data.spec.name} than is prepared now; "
            "train it again, or give the --home it was trained in."
        )
    compute = choose(device, "fp32")
    model = load_checkpoint(folder, registry).to(compute.device)
    return TrainedRun(record, data, model, data.split(split), compute)
