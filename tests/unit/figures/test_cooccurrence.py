"""Label co-occurrence: shares by hand, per seed, and what a model never predicts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as made_arrays

from harness.boards.entrants import reader
from harness.boards.selecting import Wanted, select
from harness.errors import DataMissingError, UnknownNameError, UsageError
from harness.figures.cooccurrence import (
    conditional,
    counted,
    draw,
    model_figure,
    truth_figure,
    truth_record,
)
from tests.unit.figures.made import figures_dir, numbers, run, store


@given(made_arrays.arrays(np.int8, st.tuples(st.integers(1, 20), st.just(3)),
                          elements=st.integers(0, 1)))  # fmt: skip
def test_shares_are_conditional_probabilities(values: np.ndarray) -> None:
    share = conditional(counted(values))
    for i in range(3):
        with_label = values[values[:, i] == 1]
        if len(with_label):
            assert share[i] == pytest.approx(with_label.mean(axis=0)) and share[i, i] == 1
        else:
            assert np.isnan(share[i]).all()


def test_truth_needs_no_model() -> None:
    found = store(run())
    data = truth_figure(truth_record(found.all(), "fake"), reader(found))
    assert data.both.tolist() == [[4, 2], [2, 2]] and data.samples == 5
    assert data.true().tolist() == [[1.0, 0.5], [1.0, 1.0]]
    rows = numbers(draw(data, figures_dir() / "x", ("svg",))[1])
    assert [(r["given"], r["label"], r["true"]) for r in rows][1] == ("a", "b", "0.500000")
    assert rows[1]["given_count"] == "4" and rows[1]["difference"] == ""


def test_a_models_decisions_are_counted_seed_by_seed() -> None:
    runs = [run(seed=0), run(seed=1)]
    store(runs[0], scores=[[1, 1], [1, 0], [0, 0], [0, 0], [0, 0]])
    found = store(runs[1], scores=[[1, 0], [1, 0], [1, 0], [1, 0], [0, 0]])
    (chosen,) = select(runs, ["one"], Wanted("fake"), {})
    data = model_figure(chosen, reader(found))
    assert data.predicted is not None
    # Seed 0 says b with a once of two; seed 1 never says b, so it has no share given b.
    assert data.predicted.mean().tolist() == [[1.0, 0.25], [1.0, 1.0]]
    assert data.predicted.std()[0, 1] == pytest.approx(0.5 / math.sqrt(2))
    written = draw(data, figures_dir() / "x", ("svg", "png"))
    rows = numbers(written[2])
    assert (rows[1]["difference"], rows[1]["n"], rows[2]["n"]) == ("-0.250000", "2", "1")
    assert rows[2]["predicted_std"] == "" and rows[1]["model"] == "one"


def test_decisions_are_those_at_the_threshold_that_orders_boards() -> None:
    """.45 is above the tuned threshold .4 and below the declared one, .5."""
    made = run()
    found = store(made, scores=[[0.45, 0], [0.45, 0.45], [0, 0], [0, 0], [0, 0]])
    (chosen,) = select([made], ["one"], Wanted("fake"), {})
    data = model_figure(chosen, reader(found))
    assert data.predicted is not None and data.predicted.mean()[0].tolist() == [1.0, 0.5]
    svg = draw(data, figures_dir() / "x", ("svg",))[0].read_bytes()
    assert svg.count(b"tuned threshold") >= 2, "in the panel's title, which --plain keeps"


def test_a_label_nobody_predicts_is_grey_and_said_so() -> None:
    made = run()
    found = store(made, scores=np.zeros((5, 2)))
    (chosen,) = select([made], ["one"], Wanted("fake"), {})
    data = model_figure(chosen, reader(found))
    assert data.predicted is not None and np.isnan(data.predicted.mean()).all()
    written = draw(data, figures_dir() / "x", ("svg",))
    assert b"no seed predicts" in written[0].read_bytes()


def test_what_cannot_be_drawn_is_refused() -> None:
    made = run()
    single = replace(made, dataset=made.dataset | {"label_kind": "singlelabel"})
    with pytest.raises(UsageError, match="one label a sample"):
        truth_figure(single, reader(store(made)))
    with pytest.raises(UnknownNameError, match="data set with records 'fke'"):
        truth_record([made, run(seed=1)], "fke")
    with pytest.raises(DataMissingError, match="no run of fake was scored"):
        truth_record([replace(made, status="failed", metrics={})], "fake")
