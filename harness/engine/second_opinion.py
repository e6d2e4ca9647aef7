"""Point values computed a second time with torchmetrics: the check of the harness's own metrics.

Precision, recall, F1 and Hamming distance are torchmetrics' multi-label functions, of a single
label (which those refuse) its binary ones; ``accuracy`` is `multiclass_accuracy`, ``subset``
`multilabel_exact_match`, average precision `binary_average_precision` of each label's scores. What
torchmetrics lacks is composed from `multilabel_stat_scores`: Jaccard over samples (``jaccard``,
``jaccard_empty1``, ``jaccard_ceiling``) averaged samplewise, ``support`` and ``labels_without_ap``
of each label. A metric of a plugin is computed through its `harness.metrics.torchmetrics` object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional import classification as tm

from harness.engine.recompute import Comparison, recompute
from harness.protocols.metrics import METRICS, torchmetrics
from harness.protocols.thresholds import apply, argmax
from harness.records.committed import CommittedRecords
from harness.records.predictions import Predictions
from harness.records.record import RunRecord
from harness.records.store import RunStore
from harness.specs import LabelKind, TaskInfo

TOLERANCE = 1e-6
"""torchmetrics divides in float32."""


class _Case:
    """Decisions and truth int64 [N, L], scores float32 [N, L] or None."""

    def __init__(self, truth: Tensor, decided: Tensor, scores: Tensor | None) -> None:
        self.truth, self.decided, self.scores = truth, decided, scores
        self.num_labels = truth.shape[1]

    def averaged(self, name: str, average: str) -> Any:
        """Return ``multilabel_<name>`` with an average; of one label ``binary_<name>``."""
        if self.num_labels == 1:
            found = getattr(tm, f"binary_{name}")(self.decided[:, 0], self.truth[:, 0])
            return found[None] if average == "none" else found
        function = getattr(tm, f"multilabel_{name}")
        return function(self.decided, self.truth, num_labels=self.num_labels, average=average)

    @cached_property
    def by_sample(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return true positives, the union's size and the number of true labels, float64 [N]."""
        # A row and a label without anything: torchmetrics refuses one label, and squeezes one row.
        decided, truth = (F.pad(x, (0, 1, 0, 1))[..., None] for x in (self.decided, self.truth))
        options: Any = {"average": "micro", "multidim_average": "samplewise"}
        stats = tm.multilabel_stat_scores(decided, truth, num_labels=self.num_labels + 1, **options)
        tp, fp, _, fn, support = stats[:-1].double().unbind(-1)
        return tp, tp + fp + fn, support

    def jaccard(self, empty: float) -> Tensor:
        """Return the mean Jaccard index over samples; ``empty``: of two empty sets."""
        both, either, _ = self.by_sample
        return torch.where(either == 0, empty, both / either.clamp(min=1)).mean()

    def exact_match(self) -> Any:
        """Return the share of rows that agree."""
        if self.num_labels == 1:
            return tm.binary_accuracy(self.decided, self.truth)
        return tm.multilabel_exact_match(self.decided, self.truth, num_labels=self.num_labels)

    def accuracy(self) -> Any:
        """Return the multi-class accuracy of one-hot rows."""
        classes = max(self.num_labels, 2)
        chosen, true = self.decided.argmax(dim=1), self.truth.argmax(dim=1)
        return tm.multiclass_accuracy(chosen, true, num_classes=classes, average="micro")

    @cached_property
    def label_ap(self) -> list[float | None]:
        """Return the average precision of each label; None without positives."""
        assert self.scores is not None
        return [_ap(s, y) for s, y in zip(self.scores.unbind(1), self.truth.unbind(1), strict=True)]

    def micro_ap(self) -> float:
        """Return the average precision over all scores; 0 without positives."""
        assert self.scores is not None
        return _ap(self.scores.flatten(), self.truth.flatten()) or 0.0

    def macro_ap(self) -> float:
        """Return the mean of the labels' average precision; 0 where there is none."""
        defined = [ap for ap in self.label_ap if ap is not None]
        return sum(defined) / max(len(defined), 1)


def _ap(scores: Tensor, truth: Tensor) -> float | None:
    return float(tm.binary_average_precision(scores, truth)) if truth.any() else None


REFERENCES: Mapping[str, Callable[[_Case], Any]] = {
    "jaccard": lambda c: c.jaccard(0.0),
    "jaccard_empty1": lambda c: c.jaccard(1.0),
    "jaccard_ceiling": lambda c: (c.by_sample[2] > 0).double().mean(),
    "accuracy": _Case.accuracy,
    "micro_p": lambda c: c.averaged("precision", "micro"),
    "micro_r": lambda c: c.averaged("recall", "micro"),
    "micro_f1": lambda c: c.averaged("f1_score", "micro"),
    "macro_f1": lambda c: c.averaged("f1_score", "macro"),
    "weighted_f1": lambda c: c.averaged("f1_score", "weighted"),
    "hamming": lambda c: c.averaged("hamming_distance", "micro"),
    "subset": _Case.exact_match,
    "micro_ap": _Case.micro_ap,
    "macro_ap": _Case.macro_ap,
    "labels_without_ap": lambda c: (c.averaged("stat_scores", "none")[..., 4] == 0).sum(),
    "precision": lambda c: c.averaged("precision", "none"),
    "recall": lambda c: c.averaged("recall", "none"),
    "f1": lambda c: c.averaged("f1_score", "none"),
    "support": lambda c: c.averaged("stat_scores", "none")[..., 4],
    "ap": lambda c: c.label_ap,
}


def verify(record: RunRecord, parts: Sequence[Predictions]) -> Comparison:
    """Compare every figure of a record with what torchmetrics computes from its predictions."""
    return recompute(record, parts, metrics_by_torchmetrics, TOLERANCE)


def verify_all(
    store: RunStore | CommittedRecords, records: Iterable[RunRecord]
) -> Iterator[tuple[RunRecord, Comparison]]:
    """Yield each finished run with the comparison of `verify`.

    Raises:
        DataMissingError: a run's predictions are not there.
        DataFormatError: they are broken.
    """
    for record in records:
        if record.status == "ok":
            yield record, verify(record, store.parts(record))


def metrics_by_torchmetrics(
    scores: NDArray[np.float32],
    truth: NDArray[np.integer],
    labels: Sequence[str],
    kind: LabelKind,
    threshold: float,
    *,
    ranked: bool = True,
) -> dict[str, Any]:
    """Return what `harness.engine.evaluate.metrics_at` returns, computed by torchmetrics.

    Args:
        scores: float32 [N, L] in [0, 1].
        truth: [N, L] in {0, 1}.
        labels: L names.
        kind: of the labels.
        threshold: of multi-label decisions.
        ranked: whether the scores are scores; false: they are decisions.
    """
    decided = argmax(scores) if kind == "singlelabel" else apply(scores, threshold)
    case = _Case(
        torch.from_numpy(truth.astype(np.int64)),
        torch.from_numpy(decided.astype(np.int64)),
        torch.from_numpy(np.ascontiguousarray(scores)) if ranked else None,
    )
    task = TaskInfo("", (), tuple(labels), kind)
    found: dict[str, Any] = {}
    per_label: dict[str, dict[str, Any]] = {label: {} for label in labels}
    for name, metric in METRICS.items():
        if kind not in metric.label_kinds or (metric.from_scores and not ranked):
            continue
        if name in REFERENCES:
            value = REFERENCES[name](case)
        else:
            own = torchmetrics(name, task)
            given = case.decided if metric.sums or case.scores is None else case.scores
            own.update(given, case.truth)
            value = own.compute()
        if not metric.per_label:
            found[name] = float(value)
            continue
        values = value.tolist() if isinstance(value, Tensor) else value
        for label, one in zip(labels, values, strict=True):
            per_label[label][name] = None if one is None or one != one else one
    return {**found, "per_label": per_label}
