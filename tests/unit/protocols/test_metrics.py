"""Equality with scikit-learn (truth first), and the conventions it leaves open."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from harness.errors import DataFormatError, UsageError
from harness.protocols.metrics import average_precision, multilabel_metrics, singlelabel_metrics
from harness.protocols.thresholds import argmax

SHAPES = st.tuples(st.integers(1, 25), st.integers(1, 5))
BITS = st.integers(0, 1)
CLOSE = {"abs": 1e-12}


def names(count: int) -> list[str]:
    return [f"label{i}" for i in range(count)]


@settings(max_examples=80, deadline=None)
@given(st.data(), SHAPES)
def test_multilabel_equals_sklearn(data, shape):
    y = data.draw(hnp.arrays(np.uint8, shape, elements=BITS))
    p = data.draw(hnp.arrays(np.uint8, shape, elements=BITS))
    found = multilabel_metrics(y, p, None, names(shape[1]))
    # A second, empty column keeps scikit-learn from reading one column as a binary task.
    columns = list(range(shape[1]))
    truth, predicted = (np.pad(m, ((0, 0), (0, 1))) for m in (y, p))

    def expected(function, average):
        return function(truth, predicted, labels=columns, average=average, zero_division=0.0)

    assert found["micro_p"] == pytest.approx(expected(sk.precision_score, "micro"), **CLOSE)
    assert found["micro_r"] == pytest.approx(expected(sk.recall_score, "micro"), **CLOSE)
    for average in ("micro", "macro", "weighted"):
        value = expected(sk.f1_score, average)
        assert found[f"{average}_f1"] == pytest.approx(value, **CLOSE)
    jaccard = sk.jaccard_score(truth, predicted, average="samples", zero_division=0.0)
    assert found["jaccard"] == pytest.approx(jaccard, **CLOSE)
    full = sk.jaccard_score(truth, predicted, average="samples", zero_division=1.0)
    assert found["jaccard_empty1"] == pytest.approx(full, **CLOSE)
    assert found["hamming"] == pytest.approx((y != p).mean(), **CLOSE)
    assert found["subset"] == pytest.approx(sk.accuracy_score(truth, predicted), **CLOSE)
    per_label = sk.precision_recall_fscore_support(
        truth, predicted, labels=columns, average=None, zero_division=0.0
    )
    for j, label in enumerate(names(shape[1])):
        row = found["per_label"][label]
        assert [row["precision"], row["recall"], row["f1"], row["support"]] == pytest.approx(
            [column[j] for column in per_label], **CLOSE
        )


@settings(max_examples=60, deadline=None)
@given(st.data(), SHAPES)
def test_average_precision_equals_sklearn_at_any_scale(data, shape):
    y = data.draw(hnp.arrays(np.uint8, shape, elements=BITS))
    few = st.sampled_from([-7.5, -1.0, 0.0, 0.1, 0.5, 0.9, 1.0, 40.0])  # ties and "logits"
    scores = data.draw(hnp.arrays(np.float32, shape, elements=few))
    found = average_precision(y, scores)
    for j, value in enumerate(found):
        if y[:, j].any():
            assert value == pytest.approx(
                sk.average_precision_score(y[:, j], scores[:, j]), **CLOSE
            )
        else:
            assert value is None
    result = multilabel_metrics(y, y, scores, names(shape[1]))
    defined = [v for v in found if v is not None]
    assert result["labels_without_ap"] == shape[1] - len(defined)
    assert result["macro_ap"] == pytest.approx(np.mean(defined) if defined else 0.0)
    if defined:
        micro = sk.average_precision_score(y.ravel(), scores.ravel())
        assert result["micro_ap"] == pytest.approx(micro, **CLOSE)
    else:
        assert result["micro_ap"] == 0.0


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 30), st.integers(2, 6))
def test_singlelabel_equals_sklearn_with_all_classes(data, n, classes):
    y = data.draw(hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1)))
    scores = data.draw(hnp.arrays(np.float32, (n, classes), elements=st.floats(0, 1, width=32)))
    p = scores.argmax(axis=1)
    found = singlelabel_metrics(np.eye(classes)[y], argmax(scores), scores, names(classes))
    assert found["accuracy"] == found["micro_f1"] == pytest.approx((y == p).mean(), **CLOSE)
    for average in ("macro", "weighted"):
        value = sk.f1_score(y, p, labels=range(classes), average=average, zero_division=0.0)
        assert found[f"{average}_f1"] == pytest.approx(value, **CLOSE)


def test_absent_class_counts_zero():
    one_hot = np.eye(3)[[0, 1, 1]]
    found = singlelabel_metrics(one_hot, one_hot, None, names(3))
    assert found["macro_f1"] == pytest.approx(2 / 3)
    assert found["weighted_f1"] == found["accuracy"] == 1.0
    assert "macro_ap" not in found


def test_both_conventions_for_empty_sets():
    empty = np.zeros((4, 3), dtype=np.uint8)
    found = multilabel_metrics(empty, empty, None, names(3))
    assert found["jaccard"] == found["jaccard_ceiling"] == 0.0
    assert found["jaccard_empty1"] == found["subset"] == 1.0
    assert found["micro_f1"] == found["macro_f1"] == found["weighted_f1"] == 0.0


def test_worked_example():
    y = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0]])
    p = np.array([[1, 0, 1], [0, 0, 0], [0, 0, 0]])
    found = multilabel_metrics(y, p, None, ["a", "b", "c"])
    assert found["jaccard"] == pytest.approx(1 / 9)
    assert found["jaccard_empty1"] == pytest.approx(4 / 9)
    assert found["jaccard_ceiling"] == pytest.approx(2 / 3)
    assert (found["micro_p"], found["micro_r"]) == pytest.approx((1 / 2, 1 / 3))
    assert found["hamming"] == pytest.approx(3 / 9)
    assert found["per_label"]["a"] == {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 2}


def test_all_values_are_plain_json():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (9, 4))
    y[:, 2] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = multilabel_metrics(y, 1 - y, rng.random((9, 4)), names(4))
    flat = {k: v for k, v in found.items() if k != "per_label"}
    assert all(type(v) is float for v in flat.values())
    assert found["per_label"]["label2"]["ap"] is None
    assert type(found["per_label"]["label0"]["support"]) is int


@pytest.mark.parametrize(
    ("y", "p", "labels"),
    [
        (np.zeros((2, 3)), np.zeros((2, 2)), 3),
        (np.zeros((2, 3)), np.zeros((2, 3)), 2),
        (np.zeros((0, 3)), np.zeros((0, 3)), 3),
        (np.zeros((2, 3)), np.full((2, 3), 0.7), 3),
        (np.full((2, 3), 2), np.zeros((2, 3)), 3),
    ],
)
def test_unfit_input_is_refused(y, p, labels):
    with pytest.raises(DataFormatError, match="cannot score"):
        multilabel_metrics(y, p, None, names(labels))


def test_bad_scores_and_rows_are_refused():
    y = np.eye(2)
    scores = np.array([[0.1, 0.2], [np.nan, 0.3]])
    with pytest.raises(UsageError, match="row 1"):
        multilabel_metrics(y, y, scores, names(2))
    with pytest.raises(DataFormatError, match="exactly one true class"):
        singlelabel_metrics(np.ones((2, 2)), y, None, names(2))
    with pytest.raises(DataFormatError, match="exactly one predicted class"):
        singlelabel_metrics(y, np.zeros((2, 2)), None, names(2))
