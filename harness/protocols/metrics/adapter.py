"""The harness's metrics as `torchmetrics.Metric` objects. Imported on use: needs torch.

Get one by `harness.metrics.torchmetrics`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torchmetrics
from numpy.typing import NDArray
from torch import Tensor

from harness.errors import UsageError
from harness.protocols.metrics.registry import metric
from harness.protocols.metrics.scored import Scored, finite_scores
from harness.protocols.thresholds import apply, argmax
from harness.specs import TaskInfo


class MetricAdapter(torchmetrics.Metric):  # type: ignore[misc]
    """A registered metric, updated batch by batch.

    A metric of decisions keeps the sums that it is a function of, float64 and added over
    processes; a metric of scores keeps all scores and truths.
    """

    is_differentiable = False
    full_state_update = False
    totals: Tensor
    scores: list[Tensor] | Tensor
    truth: list[Tensor] | Tensor

    def __init__(self, name: str, task: TaskInfo, threshold: float, **options: Any) -> None:
        super().__init__(**options)
        definition = metric(name)
        if task.label_kind not in definition.label_kinds:
            raise UsageError(f"metric {name!r} is not defined for {task.label_kind} data.")
        self.name = name
        self.single = task.label_kind == "singlelabel"
        self.num_labels = task.num_labels
        self.threshold = threshold
        if definition.sums is None:
            self.add_state("scores", [], dist_reduce_fx="cat")
            self.add_state("truth", [], dist_reduce_fx="cat")
            return
        nothing = np.zeros((0, self.num_labels), dtype=np.bool_)
        widths = [part.shape[-1] for part in definition.sums(nothing, nothing)]
        self.splits = np.cumsum(widths)[:-1].tolist()
        self.add_state(
            "totals", torch.zeros(sum(widths), dtype=torch.float64), dist_reduce_fx="sum"
        )

    @property
    def higher_is_better(self) -> bool:
        """Return whether a higher value is a better one."""
        return not metric(self.name).lower_is_better

    def update(self, predicted: Tensor, target: Tensor) -> None:
        """Add a batch.

        Args:
            predicted: scores float [B, L] as `predict_step` returns them, or decisions, integer or
                bool [B, L] in {0, 1}; of single-label data also class indices, integer [B].
            target: [B, L] in {0, 1}; of single-label data also class indices, integer [B].

        Raises:
            UsageError: the shapes do not fit, scores hold NaN or infinity, or a metric of scores
                is given decisions.
        """
        definition, truth = metric(self.name), self._one_hot(target, "target").astype(np.bool_)
        values = self._one_hot(predicted, "predicted")
        if values.shape != truth.shape:
            raise UsageError(f"{len(values)} predictions do not fit {len(truth)} targets.")
        ranked = predicted.is_floating_point()
        if definition.sums is None:
            if not ranked:
                raise UsageError(f"metric {self.name!r} needs scores (float), not decisions.")
            assert isinstance(self.scores, list) and isinstance(self.truth, list)
            self.scores.append(torch.from_numpy(finite_scores(values)).to(self.device))
            self.truth.append(torch.from_numpy(truth).to(self.device))
            return
        if ranked:
            scores = finite_scores(values)
            values = argmax(scores) if self.single else apply(scores, self.threshold)
        parts = definition.sums(truth, values.astype(np.bool_))
        sums = np.concatenate([p.sum(axis=0, dtype=np.float64) for p in parts])
        self.totals += torch.from_numpy(sums).to(self.totals)

    def compute(self) -> Tensor:
        """Return the metric of all batches, float64: one value, or [L] of a metric per label.

        NaN where a label's value is undefined.

        Raises:
            UsageError: a metric of scores was given no batch.
        """
        definition = metric(self.name)
        if definition.from_scores is not None:
            scores, truth = (_joined(part) for part in (self.scores, self.truth))
            found = definition.from_scores(Scored(truth.astype(np.bool_), scores))
            if isinstance(found, list):
                found = [np.nan if value is None else value for value in found]
        else:
            assert definition.value is not None
            found = definition.value(*np.split(self.totals.cpu().numpy(), self.splits))
        return torch.as_tensor(np.asarray(found, dtype=np.float64), device=self.device)

    def _one_hot(self, given: Tensor, what: str) -> NDArray[Any]:
        values = given.detach().cpu()
        if self.single and values.ndim == 1 and not values.is_floating_point():
            values = torch.nn.functional.one_hot(values.long(), self.num_labels)
        if values.ndim != 2 or values.shape[1] != self.num_labels:
            raise UsageError(
                f"{what} has shape {list(given.shape)}; expected [B, {self.num_labels}]"
                f"{' or class indices [B]' if self.single else ''}."
            )
        array: NDArray[Any] = (values.float() if values.is_floating_point() else values).numpy()
        return array


def _joined(state: list[Tensor] | Tensor) -> NDArray[Any]:
    if isinstance(state, list) and not state:
        raise UsageError("no batch was added, so there are no scores to compute from.")
    whole = torch.cat(state) if isinstance(state, list) else state
    array: NDArray[Any] = whole.cpu().numpy()
    return array
