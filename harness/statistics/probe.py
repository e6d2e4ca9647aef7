"""How well a linear classifier tells classes of vectors apart (Alain and Bengio, 2016)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from harness.errors import require

FOLDS = 5


def probe_accuracy(
    vectors: NDArray[np.floating], classes: NDArray[np.int64], groups: NDArray[np.str_]
) -> float:
    """Return the accuracy of a fresh linear probe on held-out vectors.

    Logistic regression on standardised vectors, cross-validated in 5 folds over groups: no group of
    a vector was seen by the probe that judges it. NaN with fewer than two groups.

    Args:
        vectors: float [n, d].
        classes: int64 [n].
        groups: n names.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    folds = min(FOLDS, len(np.unique(groups)))
    if folds < 2:
        return math.nan
    selection = require("sklearn.model_selection", "cc")
    pipeline = require("sklearn.pipeline", "cc")
    scaling = require("sklearn.preprocessing", "cc")
    linear = require("sklearn.linear_model", "cc")
    right = 0
    for train, test in selection.GroupKFold(n_splits=folds).split(vectors, classes, groups):
        if len(set(classes[train].tolist())) < 2:
            continue
        probe = pipeline.make_pipeline(
            scaling.StandardScaler(), linear.LogisticRegression(C=0.1, max_iter=2000)
        )
        probe.fit(vectors[train], classes[train])
        right += int((probe.predict(vectors[test]) == classes[test]).sum())
    return right / len(vectors)
