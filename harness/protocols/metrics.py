"""Metrics of the harness, on integer decisions and float scores. Truth always comes first.

Counts and average precision come from torchmetrics, which is imported on first use. Ratios are
taken here in float64, because torchmetrics divides in float32, and by these rules: a zero
denominator gives 0; macro averages cover all labels, also absent ones; weights are true counts.
torchmetrics takes floats outside [0, 1] for logits batch by batch, so it is handed integers:
decisions as made by `harness.protocols.thresholds`, and for average precision the ranks of scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import DataFormatError, UsageError

Counts = NDArray[np.int64]


def multilabel_metrics(
    truth: ArrayLike,
    predicted: ArrayLike,
    scores: ArrayLike | None,
    labels: Sequence[str],
) -> dict[str, Any]:
    """Return all metrics of multi-label decisions as a flat dict of floats plus ``per_label``.

    ``jaccard`` is the papers' "Acc": the mean over samples of |y and p| / |y or p|, where an empty
    prediction on an empty truth scores 0; ``jaccard_empty1`` scores it 1; ``jaccard_ceiling`` is
    the best reachable ``jaccard``, the share of samples with any label. ``hamming`` is a loss,
    ``subset`` exact match. Average precision (step-wise, ties as one step) of a label without
    positives is undefined: None in ``per_label``, left out of ``macro_ap`` and counted in
    ``labels_without_ap``; without scores there are no such entries.

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
    both, either = (y & p).sum(axis=1), (y | p).sum(axis=1)
    jaccard = both / np.maximum(either, 1)
    counts = _counts(y, p)
    result = {
        "jaccard": float(jaccard.mean()),
        "jaccard_empty1": float(np.where(either == 0, 1.0, jaccard).mean()),
        "jaccard_ceiling": float(y.any(axis=1).mean()),
        **_averages(counts),
        "hamming": float((y != p).mean()),
        "subset": float((y == p).all(axis=1).mean()),
    }
    return _with_labels(result, counts, y, scores, labels)


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
    counts = _counts(y, p)
    averages = _averages(counts)
    result = {
        "accuracy": averages["micro_f1"],
        **{name: averages[name] for name in ("micro_f1", "macro_f1", "weighted_f1")},
    }
    return _with_labels(result, counts, y, scores, labels)


def average_precision(truth: ArrayLike, scores: ArrayLike) -> list[float | None]:
    """Return the average precision of each label; None where a label has no positives.

    Args:
        truth: 0/1 [N, L].
        scores: float [N, L]; compared in float32, the precision in which predictions are stored.

    Raises:
        UsageError: scores hold NaN or infinity.
    """
    y, ranks = np.asarray(truth, dtype=np.int64), _ranks(scores)
    return [_binary_ap(y[:, j], ranks[:, j]) for j in range(y.shape[1])]


def _with_labels(
    result: dict[str, Any],
    counts: Counts,
    y: NDArray[np.bool_],
    scores: ArrayLike | None,
    labels: Sequence[str],
) -> dict[str, Any]:
    tp, fp, fn = counts
    columns: dict[str, list[float | None]] = {
        "precision": _ratio(tp, tp + fp).tolist(),
        "recall": _ratio(tp, tp + fn).tolist(),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn).tolist(),
        "support": (tp + fn).tolist(),
    }
    if scores is not None:
        columns["ap"] = average_precision(y, scores)
        defined = [ap for ap in columns["ap"] if ap is not None]
        result["micro_ap"] = _binary_ap(y.ravel().astype(np.int64), _ranks(scores).ravel()) or 0.0
        result["macro_ap"] = float(np.mean(defined)) if defined else 0.0
        result["labels_without_ap"] = float(len(labels) - len(defined))
    result["per_label"] = {
        label: {name: values[j] for name, values in columns.items()}
        for j, label in enumerate(labels)
    }
    return result


def _averages(counts: Counts) -> dict[str, float]:
    tp, fp, fn = counts
    f1 = _ratio(2 * tp, 2 * tp + fp + fn)
    support = tp + fn
    hits, predicted, true = tp.sum(), (tp + fp).sum(), support.sum()
    return {
        "micro_p": float(_ratio(hits, predicted)),
        "micro_r": float(_ratio(hits, true)),
        "micro_f1": float(_ratio(2 * hits, predicted + true)),
        "macro_f1": float(f1.mean()),
        "weighted_f1": float(_ratio((f1 * support).sum(), true)),
    }


def _ratio(numerator: ArrayLike, denominator: ArrayLike) -> NDArray[np.float64]:
    n, d = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(n, d, out=np.zeros_like(n), where=d != 0)


def _counts(y: NDArray[np.bool_], p: NDArray[np.bool_]) -> Counts:
    """Return true positives, false positives and false negatives per label, int64 [3, L]."""
    import torch
    from torchmetrics.functional import classification

    target = torch.from_numpy(y.astype(np.int64))
    decided = torch.from_numpy(p.astype(np.int64))
    if y.shape[1] == 1:  # torchmetrics refuses a single label
        found = classification.binary_stat_scores(decided, target)[None]
    else:
        found = classification.multilabel_stat_scores(
            decided, target, num_labels=y.shape[1], average="none"
        )
    counts: Counts = found.numpy().astype(np.int64)[:, [0, 1, 3]].T
    return counts


def _ranks(scores: ArrayLike) -> NDArray[np.float64]:
    """Return dense ranks of all scores scaled to [0, 1]: same order and ties, any input scale."""
    values = _finite(scores)
    distinct, ranks = np.unique(values, return_inverse=True)
    scaled: NDArray[np.float64] = ranks.reshape(values.shape) / max(len(distinct) - 1, 1)
    return scaled


def _finite(scores: ArrayLike) -> NDArray[np.float32]:
    values = np.asarray(scores, dtype=np.float32)
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise UsageError(f"scores hold NaN or infinity (first in row {row}); nothing was scored")
    return values


def _binary_ap(y: NDArray[np.int64], ranks: NDArray[np.float64]) -> float | None:
    if not y.any():
        return None
    import torch
    from torchmetrics.functional import classification

    found = classification.binary_average_precision(
        torch.from_numpy(np.ascontiguousarray(ranks)), torch.from_numpy(np.ascontiguousarray(y))
    )
    return float(found)


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
