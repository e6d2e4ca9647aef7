"""The trivial predictors; the best constant set against a search of all sets."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from harness.specs import TaskInfo
from harness_baselines.trivial import (
    AllAbsent,
    BestConstant,
    ConstantPredictor,
    MostFrequent,
    Prior,
    TrivialConfig,
)
from tests.helpers import MODALITIES, make_batch

TRUTH = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 0]]).float()


def predict(cls: type[ConstantPredictor], labels: Tensor, kind: str = "multilabel") -> Tensor:
    names = tuple(f"label{i}" for i in range(labels.shape[1]))
    model = cls(TrivialConfig(), TaskInfo("made", MODALITIES, names, label_kind=kind))  # type: ignore[arg-type]
    model.fit(SimpleNamespace(labels=labels), SimpleNamespace())  # type: ignore[arg-type]
    scores = model.predict_step(make_batch(5))
    assert scores.shape == (5, labels.shape[1]) and (scores == scores[0]).all()
    assert list(model.describe()["scores"].values()) == scores[0].tolist()
    return scores[0]


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (AllAbsent, [0, 0, 0]),
        (Prior, [0.75, 0.5, 0]),
        (MostFrequent, [1, 0, 0]),
        (BestConstant, [1, 1, 0]),
    ],
)
def test_multilabel(cls: type[ConstantPredictor], expected: list[float]) -> None:
    assert predict(cls, TRUTH).tolist() == expected


@pytest.mark.parametrize("cls", [AllAbsent, Prior, MostFrequent, BestConstant])
def test_single_label_scores_sum_to_one(cls: type[ConstantPredictor]) -> None:
    one_hot = torch.eye(3)[[0, 2, 2, 1, 2]]
    scores = predict(cls, one_hot, "singlelabel")
    assert scores.sum().item() == pytest.approx(1.0)
    if cls in (MostFrequent, BestConstant):
        assert scores.tolist() == [0, 0, 1]


def micro_f1(truth: Tensor, answer: Tensor) -> float:
    hits = (truth * answer).sum().item()
    total = truth.sum().item() + answer.sum().item() * len(truth)
    return 2 * hits / total if total else 0.0


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=12))
def test_no_constant_set_beats_the_best(rows: list[list[bool]]) -> None:
    truth = torch.tensor(rows).float()
    found = micro_f1(truth, predict(BestConstant, truth))
    every = (torch.tensor(s).float() for s in itertools.product([0, 1], repeat=4))
    assert found == pytest.approx(max(micro_f1(truth, s) for s in every))
