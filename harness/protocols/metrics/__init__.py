"""The registry of metrics, and point values of decisions and scores. NumPy at import; no torch.

A metric is one `harness.specs.Metric`: those of the harness stand in `definitions`, those of
plugins come from the hook ``harness_metrics``. Point values (`points`), bootstrap and permutation
(`harness.statistics`), columns of boards and ``harness list metrics`` all read `METRICS`.
"""

from harness.protocols.metrics.curves import nauilc
from harness.protocols.metrics.definitions import ratio
from harness.protocols.metrics.on_use import torchmetrics
from harness.protocols.metrics.points import (
    multilabel_metrics,
    point_value,
    point_values,
    singlelabel_metrics,
)
from harness.protocols.metrics.registry import (
    METRICS,
    columns,
    headings,
    is_builtin,
    metric,
    register,
    summed,
)
from harness.protocols.metrics.scored import Scored, average_precision
from harness.specs import Metric

__all__ = [
    "METRICS",
    "Metric",
    "Scored",
    "average_precision",
    "columns",
    "headings",
    "is_builtin",
    "metric",
    "multilabel_metrics",
    "nauilc",
    "point_value",
    "point_values",
    "ratio",
    "register",
    "singlelabel_metrics",
    "summed",
    "torchmetrics",
]
