"""Point values: every registered metric of the decisions and scores of one set of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import DataFormatError, UsageError
from harness.protocols.metrics.registry import METRICS
from harness.protocols.metrics.scored import Scored, finite_scores
from harness.specs import LabelKind, Metric


def multilabel_metrics(
    truth: ArrayLike,
    predicted: ArrayLike,
    scores: ArrayLike | None,
    labels: Sequence[str],
) -> dict[str, Any]:
    """Return all metrics of multi-label decisions as a flat dict of floats plus ``per_label``.

    ``jaccard`` is the papers' "Acc": the mean over samples of ``|y∧p| / |y∨p|``, where an empty
    prediction on an empty truth scores 0; ``jaccard_empty1`` scores it 1. ``hamming`` is a loss,
    ``subset`` exact match. Average precision (step-wise, ties as one step) of a label without
    positives is undefined: None in ``per_label``, left out of ``macro_ap`` and counted in
    ``labels_without_ap``; without scores there are no such entries. All metrics:
    ``harness list metrics``.

    Args:
        truth: 0/1 [N, L].
        predicted: 0/1 [N, L].
        scores: float [N, L], any scale, or None.
        labels: L names.

    Raises:
        DataFormatError: shapes disagree, no samples, or values other than 0 and 1.
        UsageError: scores hold NaN or infinity.
    """
    y, p = _decisions(truth, predicted, labels)
    return point_values("multilabel", y, p[None], scores, labels)[0]


def singlelabel_metrics(
    truth: ArrayLike,
    predicted: ArrayLike,
    scores: ArrayLike | None,
    labels: Sequence[str],
) -> dict[str, Any]:
    """Return the metrics of single-label decisions; arguments as in `multilabel_metrics`, one-hot.

    ``accuracy`` equals ``micro_f1``. ``macro_f1`` averages over all L classes, so that one absent
    from truth and prediction counts 0; ``weighted_f1`` weights by true counts. Average precision
    is one-versus-rest.

    Raises:
        DataFormatError: as `multilabel_metrics`, or rows that are not one-hot.
        UsageError: scores hold NaN or infinity.
    """
    y, p = _decisions(truth, predicted, labels)
    for name, rows in (("true", y), ("predicted", p)):
        wrong = rows.sum(axis=1) != 1
        if wrong.any():
            raise DataFormatError(
                f"single-label data needs exactly one {name} class a sample; row "
                f"{int(np.argmax(wrong))} has {int(rows[wrong][0].sum())}"
            )
    return point_values("singlelabel", y, p[None], scores, labels)[0]


def point_value(
    metric: Metric, truth: NDArray[np.bool_], decided: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return a metric of decisions, bool [..., N, L] each, as [...] or per label [..., L].

    Raises:
        UsageError: it is a metric of scores.
    """
    if metric.sums is None or metric.value is None:
        raise UsageError(f"metric {metric.name!r} is computed from scores, not from decisions.")
    # Sums along a contiguous axis are pairwise: the order of additions, hence the last bit, does
    # not depend on the number of parts.
    parts = (np.ascontiguousarray(np.moveaxis(p, -2, -1)) for p in metric.sums(truth, decided))
    found: NDArray[np.float64] = metric.value(*(part.sum(axis=-1) for part in parts))
    return found


def point_values(
    kind: LabelKind,
    truth: NDArray[np.bool_],
    decided: NDArray[np.bool_],
    scores: ArrayLike | None,
    labels: Sequence[str],
) -> list[dict[str, Any]]:
    """Return all metrics of several decisions on the same samples, as `multilabel_metrics`.

    Args:
        kind: of the labels.
        truth: bool [N, L].
        decided: bool [T, N, L].
        scores: float [N, L] that all decisions were made from, or None.
        labels: L names.

    Raises:
        UsageError: scores hold NaN or infinity.
    """
    count = len(decided)
    scored = None if scores is None else Scored(truth, finite_scores(scores))
    true = np.broadcast_to(truth, decided.shape)
    results: list[dict[str, Any]] = [{} for _ in range(count)]
    per_label: list[dict[str, dict[str, Any]]] = [{n: {} for n in labels} for _ in range(count)]
    for metric in METRICS.values():
        if kind not in metric.label_kinds or (metric.from_scores and scored is None):
            continue
        if metric.from_scores and scored is not None:
            found = [metric.from_scores(scored)] * count
        else:
            found = list(point_value(metric, true, decided))
        for each, result, own in zip(found, results, per_label, strict=True):
            if not metric.per_label:
                result[metric.name] = float(each)
                continue
            values = each.tolist() if isinstance(each, np.ndarray) else each
            for label, value in zip(labels, values, strict=True):
                own[label][metric.name] = value
    return [r | {"per_label": own} for r, own in zip(results, per_label, strict=True)]


def _decisions(
    truth: ArrayLike, predicted: ArrayLike, labels: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    y, p = np.asarray(truth), np.asarray(predicted)
    if y.shape != p.shape or y.ndim != 2 or y.shape[1] != len(labels) or not len(y):
        raise DataFormatError(
            f"cannot score: truth has shape {y.shape}, prediction {p.shape}; both must be "
            f"[N, {len(labels)}] with N of at least 1"
        )
    for name, values in (("truth", y), ("prediction", p)):
        if not ((values == 0) | (values == 1)).all():
            raise DataFormatError(f"cannot score: the {name} holds values other than 0 and 1")
    return y.astype(np.bool_), p.astype(np.bool_)
