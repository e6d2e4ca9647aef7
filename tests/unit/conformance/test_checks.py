"""Each check of the model contract fails on a model that breaks just it, and on no other."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.conformance import (
    CheckFailedError,
    ParameterWatch,
    Surroundings,
    check_encodings,
    check_optimizers,
    check_prediction,
    check_scores,
    check_step_output,
    padding_gap,
)
from harness.data.batch import Batch
from harness.model import ModelPlugin, StepOutput
from harness.specs import ModalitySpec, TaskInfo, TrainingConfig

TASK = TaskInfo("made", (ModalitySpec("text", "t", 3, 4),), ("a", "b"))


@dataclass(frozen=True)
class Config:
    """No options."""


class Plain(ModelPlugin):
    """A linear model that keeps the contract."""

    Config = Config

    def __init__(self) -> None:
        super().__init__(Config(), TASK)
        torch.manual_seed(0)
        self.net = nn.Linear(3, 2)

    def predict_step(self, batch: Batch) -> Tensor:
        return self.net(batch.features["text"].mean(1)).sigmoid()


def made(size: int = 7) -> Batch:
    """Return a batch of sequences."""
    features = torch.linspace(-1, 1, size * 12).view(size, 4, 3)
    there = torch.ones(size, 1, dtype=torch.bool)
    ids = tuple(f"s{i}" for i in range(size))
    return Batch({"text": features}, {"text": there.expand(size, 4)}, there, there, ids)


def predicting(model: ModelPlugin) -> Callable[[Batch], Any]:
    """Return the model's checked prediction."""

    def predict(batch: Batch) -> Any:
        with torch.no_grad():
            return check_scores(model, model.eval().predict_step(batch), batch)

    return predict


class Random(Plain):
    def predict_step(self, batch: Batch) -> Tensor:
        return torch.rand(len(batch), 2)


class SeededRandom(Plain):
    def predict_step(self, batch: Batch) -> Tensor:
        return torch.rand(len(batch), 2, generator=torch.Generator().manual_seed(1))


class Centred(Plain):
    def predict_step(self, batch: Batch) -> Tensor:
        scores = super().predict_step(batch)
        return (scores - scores.mean(0) + 0.5).clamp(0, 1)


class ByCall(Plain):
    calls = 0

    def predict_step(self, batch: Batch) -> Tensor:
        self.calls += 1
        return torch.full((len(batch), 2), (self.calls % 3) / 2)


class InPlace(Plain):
    def predict_step(self, batch: Batch) -> Tensor:
        scores = super().predict_step(batch)
        batch.features["text"].zero_()
        return scores


class Masked(Plain):
    def predict_step(self, batch: Batch) -> Tensor:
        mask = batch.mask["text"]
        kept = torch.where(mask[..., None], batch.features["text"], 0.0).sum(1)
        return self.net(kept / mask.sum(1, keepdim=True)).sigmoid()


def test_a_prediction_that_reads_padding_is_found() -> None:
    full = made()
    lengths = torch.tensor([4, 1, 2, 4, 3, 2, 1])
    mask = {"text": torch.arange(4) < lengths[:, None]}
    short = replace(full, mask=mask)
    assert short.ends["text"].tolist() == lengths.tolist()
    for kind, finds in ((Plain, True), (Masked, False)):
        assert (padding_gap(short, predicting(kind())) > 1e-5) is finds
        assert padding_gap(full, predicting(kind())) == 0.0


PAIR = TaskInfo("made", (*TASK.modalities, ModalitySpec("audio", "a", 3, 4)), ("a", "b"))


class Split(ModelPlugin):
    """Adds what it sees of two modalities; a missing one is zero."""

    Config = Config
    needs_nonempty_mask = False
    shares_encodings = True

    def __init__(self) -> None:
        super().__init__(Config(), PAIR)

    def encode(self, batch: Batch) -> Any:
        return {m: (x.mean((1, 2)), batch.mask[m].any(1)) for m, x in batch.features.items()}

    def fuse(self, encoded: Any, batch: Batch) -> Tensor:
        total = sum(torch.where(there, x, 0.0) for x, there in encoded.values())
        return torch.stack([total, -total], 1).sigmoid()


class OtherSteps(Split):
    def predict_step(self, batch: Batch) -> Tensor:
        return super().predict_step(batch) * 0.9


class LooksAside(Split):
    def encode(self, batch: Batch) -> Any:
        beside = batch.features["audio"].mean((1, 2))
        found = super().encode(batch)
        return found | {"text": (found["text"][0] * (1 + beside), found["text"][1])}


class ReadsTheBatch(Split):
    def encode(self, batch: Batch) -> Any:
        found = super().encode(batch)
        return {m: (x - x.mean(), there) for m, (x, there) in found.items()}


class NoTuples(Split):
    def encode(self, batch: Batch) -> Any:
        return {m: x for m, (x, _) in super().encode(batch).items()}


class OneMissing(Split):
    def encode(self, batch: Batch) -> Any:
        return {"text": super().encode(batch)["text"]}


def made_pair() -> Batch:
    one = made()
    there = torch.ones(len(one), 2, dtype=torch.bool)
    features = {"text": one.features["text"], "audio": one.features["text"].flip(0) + 0.5}
    mask = {m: one.mask["text"] for m in features}
    return Batch(features, mask, there, there, one.ids)


def split_of(model: ModelPlugin) -> Callable[[Batch, Any], Any]:
    def predict(batch: Batch, step: Any) -> Any:
        with torch.no_grad():
            return check_scores(model, (step or model.eval().predict_step)(batch), batch)

    return predict


def test_a_prediction_may_be_split() -> None:
    model = Split()
    check_encodings(model, made_pair(), split_of(model))
    check_prediction(model, made_pair(), predicting(model))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (OtherSteps, "gives other scores than predict_step with every modality"),
        (LooksAside, "'audio' missing in some samples|'text' alone"),
        (ReadsTheBatch, "missing in some samples|alone"),
        (NoTuples, "must give 'text' as a tuple of tensors"),
        (OneMissing, r"gave encodings of \['text'\], expected \['text', 'audio'\]"),
    ],
)
def test_a_split_that_is_not_the_prediction_is_found(kind: type[Split], said: str) -> None:
    model = kind()
    with pytest.raises(CheckFailedError, match=said) as caught:
        check_encodings(model, made_pair(), split_of(model))
    assert caught.value.check == "encode-fuse"


def test_a_model_without_any_prediction_says_so() -> None:
    class Nothing(ModelPlugin):
        Config = Config

    class Half(Nothing):
        def encode(self, batch: Batch) -> Any:
            return {}

    for kind in (Nothing, Half):
        with pytest.raises(TypeError, match=f"{kind.__name__} defines no predict_step"):
            kind(Config(), TASK).predict_step(made())


def test_a_model_that_keeps_the_contract_passes() -> None:
    model = Plain()
    check_prediction(model, made(), predicting(model))
    check_prediction(model, made(1), predicting(model))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Random, "the same batch"),
        (SeededRandom, "another order"),
        (Centred, "another size|alone"),
        (ByCall, "the same batch"),
        (InPlace, r"changed the batch in place \(features\[text\]\)"),
    ],
)
def test_a_prediction_that_is_no_function_of_its_sample(kind: type[Plain], said: str) -> None:
    model = kind()
    with pytest.raises(CheckFailedError, match=rf"{kind.__name__}\.predict_step .*({said})"):
        check_prediction(model, made(), predicting(model))


@pytest.mark.parametrize(
    ("scores", "check"),
    [
        (None, "score-type"),
        ([[0.1, 0.2]], "score-type"),
        (np.zeros((1, 2)), "score-type"),
        (torch.zeros(1, 2).to_sparse(), "score-type"),
        (torch.zeros(1, 2, dtype=torch.complex64), "score-dtype"),
        (torch.zeros(1, 2, dtype=torch.int64), "score-dtype"),
        (torch.zeros(2, 2), "score-shape"),
        (torch.full((1, 2), 1.5), "score-range"),
    ],
)
def test_wrong_scores_are_named(scores: Any, check: str) -> None:
    with pytest.raises(CheckFailedError, match=r"Plain\.predict_step returned") as caught:
        check_scores(Plain(), scores, made(1))
    assert caught.value.check == check


def test_scores_that_are_not_finite_name_the_sample() -> None:
    with pytest.raises(CheckFailedError, match="NaN or infinite score for 's0'"):
        check_scores(Plain(), torch.tensor([[0.5, float("nan")]]), made(1))


@pytest.mark.parametrize(
    "output",
    [
        None,
        1.0,
        torch.zeros(()),
        StepOutput(torch.zeros(3, requires_grad=True)),
        StepOutput(torch.zeros((), requires_grad=True), {"term": 1.0}),  # type: ignore[dict-item]
        StepOutput(torch.zeros(())),
    ],
)
def test_wrong_step_outputs_are_named(output: Any) -> None:
    with pytest.raises(CheckFailedError, match=r"Plain\.training_step returned"):
        check_step_output(Plain(), output)


def test_optimizers_are_a_sequence_of_optimisers() -> None:
    model = Plain()
    good = list(model.configure_optimizers(TrainingConfig(), 1))
    assert check_optimizers(model, good) == good
    for bad in (None, good[0], ["adam"], [], [torch.optim.LBFGS(model.parameters())]):
        with pytest.raises(CheckFailedError, match="configure_optimizers returned"):
            check_optimizers(model, bad)


def test_parameters_without_optimiser_or_gradient_are_named() -> None:
    model = Plain()
    model.spare = nn.Linear(2, 2)
    model.dead = nn.Linear(2, 2)
    optimizer = torch.optim.SGD([*model.net.parameters(), *model.dead.parameters()], lr=0.1)
    watch = ParameterWatch(model, [optimizer])
    model.predict_step(made()).sum().backward()
    optimizer.step()
    said = " ".join(watch.warnings())
    assert "in no optimiser, hence never trained: spare.weight, spare.bias." in said
    assert "no gradient in the first epoch: dead.weight, dead.bias." in said
    watch.check_changed()


def test_training_that_changes_nothing_fails() -> None:
    model = Plain()
    watch = ParameterWatch(model, [torch.optim.SGD(model.parameters(), lr=0.0)])
    with pytest.raises(CheckFailedError, match="changed no parameter of Plain"):
        watch.check_changed()


def test_surroundings_are_restored_and_named(tmp_path: Path) -> None:
    here, before = Path.cwd(), Surroundings()
    assert before.restore("nobody") == []
    torch.set_default_dtype(torch.float64)
    os.chdir(tmp_path)
    said = before.restore("plugin 'p'")
    assert [line.split(" changed ")[1] for line in said] == [
        "the default dtype; it was restored.",
        "the working directory; it was restored.",
    ]
    assert torch.get_default_dtype() is torch.float32 and Path.cwd() == here
