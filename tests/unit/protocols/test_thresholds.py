from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import f1_score

from harness.errors import UsageError
from harness.protocols.thresholds import (
    GRID,
    apply,
    argmax,
    best_on_grid,
    tune,
    tuned_micro_f1,
)


def test_grid():
    assert len(GRID) == 19
    assert GRID[0] == 0.05 and GRID[2] == 0.15 and GRID[-1] == 0.95


def test_threshold_is_strict_in_float32():
    scores = np.array([[0.25, 0.2501, 0.15]], dtype=np.float32)
    assert apply(scores, 0.25).tolist() == [[0, 1, 0]]
    assert apply(scores, 0.15).tolist() == [[1, 1, 0]]  # float32(0.15) exceeds the float64 0.15
    assert apply(scores, 0.25).dtype == np.uint8


def test_argmax_is_one_hot_with_ties_to_the_first():
    assert argmax([[0.2, 0.5, 0.5], [1.0, 0.0, 0.0]]).tolist() == [[0, 1, 0], [1, 0, 0]]


@settings(max_examples=60, deadline=None)
@given(
    st.data(),
    st.tuples(st.integers(1, 20), st.integers(1, 4)),
)
def test_tuning_equals_trying_every_candidate(data, shape):
    on_grid = st.sampled_from([*GRID, 0.0, 1.0, 0.333])
    scores = data.draw(hnp.arrays(np.float32, shape, elements=on_grid.map(np.float32)))
    truth = data.draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 1)))
    tried = [f1_score(truth.ravel(), apply(scores, t).ravel(), zero_division=0.0) for t in GRID]
    threshold, value = best_on_grid(scores, truth)
    assert value == pytest.approx(max(tried), abs=1e-12)
    assert threshold == GRID[int(np.argmax(np.round(tried, 12)))]


def test_ties_go_to_the_smallest():
    assert tune([[0.9, 0.0]], [[1, 0]]) == 0.05
    assert tune([[0.1, 0.9]], [[0, 1]]) == 0.1


def test_unfit_shapes_are_refused():
    with pytest.raises(UsageError, match="shape"):
        tune([[0.1]], [[1, 0]])


def test_several_scorings_have_one_tuned_threshold() -> None:
    truth = np.array([[1, 0], [1, 1], [0, 0]])
    clear = np.array([[0.9, 0.2], [0.8, 0.7], [0.1, 0.3]])
    low = clear / 2 - 0.1  # the best threshold of its own lies below 0.25
    assert tuned_micro_f1([clear], truth) == best_on_grid(clear, truth)[1] == 1.0
    assert tuned_micro_f1([low], truth) == 1.0
    both, (at, _) = (
        tuned_micro_f1([clear, low], truth),
        best_on_grid(np.concatenate([clear, low]), np.concatenate([truth, truth])),
    )
    each = [2 * (apply(s, at) & truth).sum() / (apply(s, at).sum() + 3) for s in (clear, low)]
    assert both == pytest.approx(np.mean(each)) and both < 1.0
