"""What of the metrics needs torch, and imports it when called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.specs import TaskInfo

if TYPE_CHECKING:
    from harness.protocols.metrics.adapter import MetricAdapter


def torchmetrics(
    name: str, task: TaskInfo, threshold: float | None = None, **options: Any
) -> MetricAdapter:
    """Return a metric of the harness as a `torchmetrics.Metric`, for a plugin's training code.

    ``update(scores or decisions, targets)`` a batch, ``compute()``, ``reset()``; states are added
    over processes. It gives the figures that the harness gives on the same samples::

        f1 = harness.metrics.torchmetrics("micro_f1", self.task)
        f1.update(scores, batch.targets)

    Args:
        name: a metric (``harness list metrics``).
        task: the task, for its labels and their kind.
        threshold: decides multi-label scores; None: the task's.
        options: of `torchmetrics.Metric`, such as ``sync_on_compute``.

    Raises:
        UnknownNameError: there is no such metric.
        UsageError: the metric is not defined for such labels.
    """
    from harness.protocols.metrics.adapter import MetricAdapter

    chosen = task.threshold if threshold is None else threshold
    return MetricAdapter(name, task, chosen, **options)
