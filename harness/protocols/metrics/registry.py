"""`METRICS`: every metric by name; those of plugins are added when plugins are loaded."""

from __future__ import annotations

from harness.errors import PluginError, UnknownNameError
from harness.protocols.metrics.definitions import BUILTIN
from harness.specs import LabelKind, Metric

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
