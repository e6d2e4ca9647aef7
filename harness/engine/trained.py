"""A trained run opened for analysis: its checkpoint, one split, and what the model gives on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.data.store import Store
from harness.engine.checkpoint import load_checkpoint
from harness.engine.device import Compute, choose
from harness.engine.predict import predict
from harness.engine.splits import SplitView
from harness.errors import DataFormatError
from harness.model import ModelPlugin
from harness.plugins import Registry
from harness.protocols.dropout import parse
from harness.records.record import RunRecord

BATCH = 128


@dataclass(frozen=True)
class TrainedRun:
    """A finished run with its model in evaluation mode and the split that it is shown."""

    record: RunRecord
    data: Store
    model: ModelPlugin
    view: SplitView
    compute: Compute

    @property
    def split(self) -> Any:
        """Return the stored split."""
        return self.view.split

    @property
    def truth(self) -> NDArray[np.int8]:
        """Return the split's labels, int8 [N, L] in {0, 1}."""
        return np.asarray(self.view.split.labels).astype(np.int8)

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
            for batch in self.view.batches(BATCH):
                found = self.model.analysis(batch.without_labels().to(self.compute.device))
                names = list(found)
                for name, tensor in found.items():
                    if wanted(name):
                        kept.setdefault(name, []).append(tensor.detach().cpu().numpy())
        return {name: np.concatenate(parts) for name, parts in kept.items()}, names

    def scores(self, protocol: str) -> NDArray[np.float32]:
        """Return the scores [N, L] of the split under a dropout protocol."""
        masks = self.view.masks(parse(protocol))
        with self.compute.deterministic():
            return predict(self.model, self.view.batches(BATCH, masks), self.compute)


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
    view = SplitView(
        data.split(split), data.spec, record.dataset["mask"], model.needs_nonempty_mask,
        model.task.layout,
    )  # fmt: skip
    return TrainedRun(record, data, model, view, compute)
