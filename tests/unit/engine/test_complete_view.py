"""The complete view of a training batch: for models that ask, under train-paired@1, in training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import harness
from harness.conformance import CheckFailedError, check_complete
from harness.data.batch import Batch
from harness.records.record import RunRecord

TOY = str(Path(__file__).with_name("toy_plugin.py"))
MODEL = """
import torch
from dataclasses import dataclass
from harness import ModelPlugin, ModelSpec, StepOutput, hookimpl

@dataclass(frozen=True)
class Nothing:
    pass

class Asks(ModelPlugin):
    Config = Nothing
    wants_complete = WANTS
    needs_nonempty_mask = False

    def __init__(self, config, task):
        super().__init__(config, task)
        self.net = torch.nn.Linear(3, task.num_labels)

    def predict_step(self, batch):
        return self.net(batch.features["text"].mean(1)).sigmoid()

    def training_step(self, batch, ctx):
        whole = ctx.complete
        assert (whole is not None) is EXPECTED, whole
        if whole is not None:
            assert whole.ids == batch.ids and whole.labels.equal(batch.labels)
            assert whole.present.all() and not batch.present.all()
            for name, x in batch.features.items():
                there = batch.mask[name]
                assert torch.equal(whole.features[name][there], x[there])
                assert there.all() or whole.features[name][~there].abs().sum() > 0
            if SPOILS:
                whole.features["text"].zero_()
        loss = (self.predict_step(batch) - batch.targets).square().mean()
        return StepOutput(loss)

@hookimpl
def harness_models():
    return [ModelSpec("asks", "asks:Asks", "asks", "")]
"""


@pytest.fixture(autouse=True)
def only_these(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")


def run(folder: Path, train_dropout: str, *, spoils: bool = False, **said: bool) -> RunRecord:
    text = MODEL.replace("WANTS", str(said["wants"])).replace("EXPECTED", str(said["expected"]))
    path = folder / "asks.py"
    path.write_text(text.replace("SPOILS", str(spoils)))
    (record,) = harness.run(
        "asks", "toy", train_dropout=train_dropout, plugins=[TOY, str(path)], device="cpu",
        references=False, overrides=("training.epochs=2", "training.batch_size=16"),
    )  # fmt: skip
    return record


@pytest.mark.parametrize(
    ("protocol", "wants", "expected"),
    [
        ("train-paired@1", True, True),
        ("train-paired@1", False, False),
        ("train-mix@1", True, False),
        ("full@1", True, False),
    ],
)
def test_who_is_given_the_complete_batch(
    tmp_path: Path, protocol: str, wants: bool, expected: bool
) -> None:
    record = run(tmp_path, protocol, wants=wants, expected=expected)
    assert record.status == "ok", record.failure


def test_the_complete_batch_may_not_be_changed(tmp_path: Path) -> None:
    record = run(tmp_path, "train-paired@1", wants=True, expected=True, spoils=True)
    assert record.status == "failed" and record.failure is not None
    assert "training_step changed the batch in place" in record.failure["reason"]


def pair() -> tuple[Batch, Batch]:
    features = {"text": torch.rand(3, 4, 2), "audio": torch.rand(3, 4, 1)}
    mask = {m: torch.ones(3, 4, dtype=torch.bool) for m in features}
    there, labels = torch.ones(3, 2, dtype=torch.bool), torch.eye(3)
    complete = Batch(features, mask, there, there, ("x", "y", "z"), labels)
    kept = torch.tensor([[True, False], [True, True], [False, True]])
    return complete.keeping(kept), complete


@pytest.mark.parametrize("null_positions", [False, True])
def test_a_view_of_the_same_samples_is_one(null_positions: bool) -> None:
    batch, complete = pair()
    check_complete(batch.with_null_positions() if null_positions else batch, complete)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ids": ("y", "x", "z")}, "other samples"),
        ({"labels": torch.ones(3, 3)}, "other labels"),
        ({"present": torch.zeros(3, 2, dtype=torch.bool)}, "not exactly the modalities"),
    ],
)
def test_another_view_is_found(changes: dict[str, Any], said: str) -> None:
    batch, complete = pair()
    with pytest.raises(CheckFailedError, match=said) as caught:
        check_complete(batch, replace(complete, **changes))
    assert caught.value.check == "complete-view"
    for name, x in (("text", torch.rand(3, 4, 2)), ("audio", torch.rand(3, 5, 1))):
        wrong = replace(complete, features={**complete.features, name: x})
        with pytest.raises(CheckFailedError, match=f"of '{name}'"):
            check_complete(batch, wrong)
