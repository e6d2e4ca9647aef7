"""`METRICS`: every metric by name; those of plugins are added when plugins are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import PluginError, UnknownNameError
from harness.protocols.metrics.definitions import BUILTIN
from harness.specs import LabelKind, Metric, TaskInfo

if TYPE_CHECKING:
    from harness.protocols.metrics.adapter import MetricAdapter

METRICS: dict[str, Metric] = {m.name: m for m in BUILTIN}
"""In the order of a record: the harness's metrics, then those of plugins as they were loaded."""


def register(added: Metric) -> None:
    """Add a plugin's metric, or replace the one of this name that a plugin registered before.

    Raises:
        PluginError: the name is one of the harness's own metrics.
    """
    if is_builtin(added.name):
        raise PluginError(f"metric {added.name!r} is one of the harness's own; choose another name")
    METRICS[added.name] = added


def is_builtin(name: str) -> bool:
    """Return whether a metric of the harness has this name."""
    return any(m.name == name for m in BUILTIN)


def metric(name: str) -> Metric:
    """Return a metric.

    Raises:
        UnknownNameError: nothing is registered under the name.
    """
    if name not in METRICS:
        raise UnknownNameError("metric", name, METRICS)
    return METRICS[name]


def summed() -> tuple[str, ...]:
    """Return the metrics with one value that follow from sums: those that can be tested."""
    return tuple(m.name for m in METRICS.values() if m.sums is not None and not m.per_label)


def columns(label_kind: LabelKind) -> tuple[str, ...]:
    """Return the metrics that boards of such data show, in the order of their columns."""
    shown = [m for m in METRICS.values() if label_kind in m.columns]
    return tuple(m.name for m in sorted(shown, key=lambda m: m.columns[label_kind]))


def headings() -> dict[str, str]:
    """Return the headings of the metrics with one value, by name."""
    return {m.name: m.heading for m in METRICS.values() if not m.per_label}


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
