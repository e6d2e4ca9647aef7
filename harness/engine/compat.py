"""Authors' own evaluations (`harness.specs.CompatSpec`), reproduced on request: `run --compat`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from harness.engine.evaluate import metrics_at, scalar_metrics
from harness.engine.loop import BatchSource
from harness.engine.seeds import generator
from harness.engine.splits import StoredTrainingData
from harness.errors import UsageError
from harness.specs import CompatSpec, DatasetSpec, ModalitySpec, ModelSpec

PRINTED = ("jaccard", "micro_p", "micro_r", "micro_f1")


@dataclass(frozen=True)
class Selection:
    """Which epoch is taken: best in ``metric`` with ties to the later or first one, or the last.

    ``also`` names metrics whose own best epochs (ties to the later) are kept beside it.
    """

    metric: str
    mode: Literal["later", "first", "last"] = "later"
    also: tuple[str, ...] = ()


def check_compat(model: ModelSpec, dataset: DatasetSpec) -> CompatSpec:
    """Return a model's own evaluation.

    Raises:
        UsageError: none is known, or the data is not what it was written for.
    """
    if model.compat is None:
        raise UsageError(f"--compat: no public evaluation of {model.name!r} is known.")
    if dataset.label_kind != "multilabel":
        raise UsageError(f"--compat: the authors' evaluations are multi-label, {dataset.name} not.")
    if "valid" not in dataset.splits and model.compat.select != "last":
        raise UsageError(f"--compat: {dataset.name} has no validation split to select on.")
    return model.compat


def selection(compat: CompatSpec) -> Selection:
    """Return the selection of an author's evaluation."""
    if compat.select == "val_acc_first":
        return Selection("jaccard", "first")
    if compat.select == "last":
        return Selection("micro_f1", "last")
    if compat.select == "per_metric_val":
        return Selection("micro_f1", also=tuple(m for m in PRINTED if m != "micro_f1"))
    return Selection("micro_f1")


def kept_order(count: int, batch_size: int, drawn: torch.Generator) -> NDArray[np.int64] | None:
    """Return what a shuffled loader without its last incomplete batch yields, int [<= count].

    None means every sample: for a batch size of 0, and where not one batch would be left.
    """
    if not 0 < batch_size <= count:
        return None
    order: NDArray[np.int64] = torch.randperm(count, generator=drawn).numpy()
    return order[: count // batch_size * batch_size]


def exchanged_names(compat: CompatSpec | None, dataset: DatasetSpec) -> dict[str, str]:
    """Return the names that stand for others on a data set; empty: all are right."""
    names: dict[str, str] = {}
    for base, first, second in compat.exchange if compat is not None else ():
        if base == dataset.base_name:
            names |= {first: second, second: first}
    return names


def renamed(modalities: Iterable[ModalitySpec], names: Mapping[str, str]) -> tuple[Any, ...]:
    """Return modalities in their order under exchanged names."""
    return tuple(replace(m, name=names.get(m.name, m.name)) for m in modalities)


class CompatTrainingData(StoredTrainingData):
    """Training and validation as an author's loaders give them; holds no test split either.

    Args:
        compat: the authors' evaluation.
        args: those of `StoredTrainingData`.
    """

    def __init__(self, compat: CompatSpec, *args: Any) -> None:
        super().__init__(*args)
        self._compat, self._current = compat, 0

    def epoch(self, epoch: int) -> BatchSource:
        """Return the training batches; the validation that follows is this epoch's."""
        self._current = epoch
        return super().epoch(epoch)

    def validate(self, score: Callable[[BatchSource], Any]) -> dict[str, float] | None:
        """Return the figures of what the author's validation loader keeps in this epoch."""
        view = self._valid
        if view is None:
            return None
        drawn = generator(self._seed, f"compat-valid:{self._current}")
        order = kept_order(len(view), self._compat.val_drop_last, drawn)
        batches = view.batches(self._training.eval_batch_size, order=order)
        truth = np.asarray(view.split.labels)
        truth = truth if order is None else truth[order]
        spec = view.spec
        found = scalar_metrics(
            metrics_at(score(batches), truth, spec.labels, spec.label_kind, self._threshold)
        )
        return found | {"jaccard": round(found["jaccard"], self._compat.acc_round)}
