"""The metrics of the harness, in the order in which records hold them.

Conventions: a zero denominator gives 0; macro averages cover all labels, also absent ones; weights
are true counts. TP, FP and FN are counts of true positives, false positives and false negatives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.protocols.metrics.scored import Scored
from harness.specs import LabelKind, Metric

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Parts = tuple[NDArray[Any], ...]

MULTI: tuple[LabelKind, ...] = ("multilabel",)
SINGLE: tuple[LabelKind, ...] = ("singlelabel",)


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """Return the elementwise ratio; a zero denominator gives 0."""
    n, d = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(n, d, out=np.zeros(np.broadcast(n, d).shape), where=d != 0)


def mean_ratio(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """Return the mean over the last axis of the elementwise ratio, [..., K] -> [...]."""
    found = ratio(numerator, denominator)
    # The mean of one value is that value; tests ask for it ten thousand times a pair.
    mean: Floats = found[..., 0] if found.shape[-1] == 1 else found.mean(axis=-1)
    return mean


def weighted_ratio(numerator: ArrayLike, denominator: ArrayLike, weight: ArrayLike) -> Floats:
    """Return the mean over the last axis of the ratio, weighted: [..., K] each -> [...]."""
    weights = np.asarray(weight)
    return ratio((ratio(numerator, denominator) * weights).sum(axis=-1), weights.sum(axis=-1))


def _ones(truth: Bools) -> NDArray[np.int64]:
    return np.ones((*truth.shape[:-1], 1), dtype=np.int64)


def _total(values: NDArray[Any]) -> NDArray[np.int64]:
    total: NDArray[np.int64] = values.sum(axis=-1, keepdims=True, dtype=np.int64)
    return total


def _jaccard(truth: Bools, decided: Bools) -> Parts:
    both, either = _total(truth & decided), _total(truth | decided)
    return both / np.maximum(either, 1), _ones(truth)


def _jaccard_empty1(truth: Bools, decided: Bools) -> Parts:
    index, samples = _jaccard(truth, decided)
    return np.where(_total(truth | decided) > 0, index, 1.0), samples


def _any_label(truth: Bools, decided: Bools) -> Parts:
    return _total(truth) > 0, _ones(truth)


def _exact(truth: Bools, decided: Bools) -> Parts:
    return (truth == decided).all(axis=-1, keepdims=True), _ones(truth)


def _wrong(truth: Bools, decided: Bools) -> Parts:
    return _total(truth != decided), truth.shape[-1] * _ones(truth)


def _precision(truth: Bools, decided: Bools) -> Parts:
    return truth & decided, decided


def _recall(truth: Bools, decided: Bools) -> Parts:
    return truth & decided, truth


def _f1(truth: Bools, decided: Bools) -> Parts:
    return 2 * (truth & decided), np.add(truth, decided, dtype=np.int64)


def _micro(parts: Callable[[Bools, Bools], Parts]) -> Callable[[Bools, Bools], Parts]:
    """Return the parts of a metric per label, summed over labels."""
    return lambda truth, decided: tuple(map(_total, parts(truth, decided)))


def _weighted_f1(truth: Bools, decided: Bools) -> Parts:
    return (*_f1(truth, decided), truth)


def _macro_ap(scored: Scored) -> float:
    defined = [ap for ap in scored.label_ap if ap is not None]
    return float(np.mean(defined)) if defined else 0.0


def _labels_without_ap(scored: Scored) -> float:
    return float(sum(ap is None for ap in scored.label_ap))


BUILTIN = (
    Metric(
        "jaccard", "Jaccard",
        "mean over samples of |y∧p| / |y∨p|; both empty: 0 (the papers' accuracy)",
        _jaccard, mean_ratio, label_kinds=MULTI, columns={"multilabel": 20},
    ),
    Metric(
        "jaccard_empty1", "Jaccard, empty 1", "the same; both empty: 1",
        _jaccard_empty1, mean_ratio, label_kinds=MULTI,
    ),
    Metric(
        "jaccard_ceiling", "Jaccard, best",
        "the best jaccard that can be reached: share of samples with any label",
        _any_label, mean_ratio, label_kinds=MULTI,
    ),
    Metric(
        "accuracy", "accuracy", "share of samples with the right label",
        _exact, mean_ratio, label_kinds=SINGLE, columns={"singlelabel": 20},
    ),
    Metric(
        "micro_p", "P", "precision over all decisions: TP / (TP + FP)",
        _micro(_precision), mean_ratio, label_kinds=MULTI, columns={"multilabel": 30},
    ),
    Metric(
        "micro_r", "R", "recall over all decisions: TP / (TP + FN)",
        _micro(_recall), mean_ratio, label_kinds=MULTI, columns={"multilabel": 40},
    ),
    Metric(
        "micro_f1", "micro-F1", "F1 over all decisions: 2 TP / (2 TP + FP + FN); boards' order",
        _micro(_f1), mean_ratio, columns={"multilabel": 10, "singlelabel": 10},
    ),
    Metric(
        "macro_f1", "macro-F1", "mean of the labels' F1",
        _f1, mean_ratio, columns={"multilabel": 50, "singlelabel": 50},
    ),
    Metric(
        "weighted_f1", "weighted-F1", "mean of the labels' F1, weighted by their true counts",
        _weighted_f1, weighted_ratio, columns={"singlelabel": 60},
    ),
    Metric(
        "hamming", "Hamming", "share of wrong decisions",
        _wrong, mean_ratio, lower_is_better=True, label_kinds=MULTI, columns={"multilabel": 70},
    ),
    Metric(
        "subset", "exact match", "share of samples with every label right",
        _exact, mean_ratio, label_kinds=MULTI,
    ),
    Metric(
        "micro_ap", "micro-AP", "average precision over all scores; needs no threshold",
        from_scores=lambda scored: scored.micro_ap, columns={"multilabel": 80},
    ),
    Metric(
        "macro_ap", "macro-AP", "mean of the labels' average precision, where defined",
        from_scores=_macro_ap, columns={"multilabel": 90},
    ),
    Metric(
        "labels_without_ap", "labels without AP", "labels without positives: no average precision",
        from_scores=_labels_without_ap, lower_is_better=True,
    ),
    Metric(
        "precision", "P", "TP / (TP + FP) of a label", _precision, ratio, per_label=True
    ),
    Metric("recall", "R", "TP / (TP + FN) of a label", _recall, ratio, per_label=True),
    Metric("f1", "F1", "2 TP / (2 TP + FP + FN) of a label", _f1, ratio, per_label=True),
    Metric("support", "support", "true samples of a label", lambda truth, decided: (truth,),
           lambda total: total, per_label=True),
    Metric(
        "ap", "AP", "average precision of a label; undefined without positives",
        from_scores=lambda scored: scored.label_ap, per_label=True,
    ),
)  # fmt: skip
