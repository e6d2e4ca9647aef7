"""Metrics as a plugin or a script uses them.

`torchmetrics` gives a metric of the harness as a `torchmetrics.Metric`, for training code;
`multilabel_metrics` and `singlelabel_metrics` compute all of them on arrays. A plugin's own
`Metric` is registered by the hook ``harness_metrics``; ``harness list metrics`` lists all.
"""

from harness.protocols.metrics import (
    METRICS,
    Metric,
    Scored,
    average_precision,
    metric,
    multilabel_metrics,
    ratio,
    singlelabel_metrics,
    torchmetrics,
)

__all__ = [
    "METRICS",
    "Metric",
    "Scored",
    "average_precision",
    "metric",
    "multilabel_metrics",
    "ratio",
    "singlelabel_metrics",
    "torchmetrics",
]
