"""What plugins do wrong ends in a failed run that names plugin, model and method, or in a warning.

Each kind of section P of the list of faults, in this process; those that end a process are in
`test_processes`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import harness
from harness.boards.rows import tables
from harness.boards.views.table import table_grid
from harness.data.batch import Batch
from harness.model import StepOutput
from harness.records.record import RunRecord
from tests.unit.engine.toy_plugin import Prior, Toy

TOY = str(Path(__file__).parents[1] / "unit/engine/toy_plugin.py")


class OwnError(BaseException):
    """An exception that is no Exception."""


class Mute(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        raise ValueError("mute")


def run(name: str, base: type = Toy, epochs: int = 2, **members: Any) -> RunRecord:
    """Return the record of a model that differs from the toy by these members."""
    model = type(name, (base,), {**members, "__module__": __name__})
    setattr(sys.modules[__name__], name, model)  # as if it stood here
    overrides = {"training.epochs": epochs, "training.batch_size": 16}
    (record,) = harness.run(
        model, "toy", overrides=overrides, device="cpu", plugins=TOY, references=False
    )
    json.dumps(record.as_dict(), allow_nan=False, ensure_ascii=False).encode()
    return record


def raising(error: BaseException) -> Callable[..., Any]:
    """Return a method that raises."""

    def method(self: Any, *_: Any, **__: Any) -> Any:
        raise error

    return method


def scoring(change: Callable[[Toy, Tensor], Any]) -> Mapping[str, Any]:
    """Return a ``predict_step`` whose scores are changed."""
    return {"predict_step": lambda self, batch: change(self, Toy.predict_step(self, batch))}


def stepping(change: Callable[[StepOutput], Any]) -> Mapping[str, Any]:
    """Return a ``training_step`` whose output is changed."""
    return {"training_step": lambda self, batch, ctx: change(Toy.training_step(self, batch, ctx))}


def counted(self: Toy, scores: Tensor) -> Tensor:
    """Return scores that depend on how often this was called."""
    self.__dict__["calls"] = self.__dict__.get("calls", 0) + 1
    return torch.full_like(scores, self.__dict__["calls"] % 3 / 2)


def emptied(self: Toy, batch: Batch) -> Tensor:
    """Return good scores, and zero the batch."""
    scores = Toy.predict_step(self, batch)
    for x in batch.features.values():
        x.zero_()
    return scores


def zeroing(self: Toy, batch: Batch, ctx: Any) -> StepOutput:
    """Return a good step, and zero the batch's labels."""
    output = Toy.training_step(self, batch, ctx)
    batch.targets.zero_()
    return output


def own_optimizer(make: Callable[[Toy], Any]) -> Mapping[str, Any]:
    """Return a ``configure_optimizers``."""
    return {"configure_optimizers": lambda self, training, total_steps: make(self)}


FAILURES: Mapping[str, tuple[Mapping[str, Any], str]] = {
    # A score is a function of its sample.
    "random": (
        scoring(lambda m, s: torch.rand_like(s)),
        r"check prediction-per-sample .*same batch",
    ),
    "dropout": (scoring(lambda m, s: nn.functional.dropout(s / 2)), "prediction-per-sample"),
    "training mode": (
        {"predict_step": lambda self, batch: self.train() and Toy.predict_step(self, batch)},
        "prediction-per-sample",
    ),
    "calls": (scoring(counted), "prediction-per-sample"),
    "batch mean": (scoring(lambda m, s: (s - s.mean(0)).sigmoid()), "another size|alone"),
    "batch rank": (scoring(lambda m, s: s.argsort(0).float() / len(s)), "prediction-per-sample"),
    "order": (scoring(lambda m, s: s.cumsum(0) / 1000), "prediction-per-sample"),
    # What methods return.
    "complex": (scoring(lambda m, s: torch.complex(s, s)), "score-dtype .*complex64"),
    "whole numbers": (scoring(lambda m, s: (s > 0.5).long()), "score-dtype .*int64"),
    "numpy": (scoring(lambda m, s: s.numpy()), "score-type .*Bad.predict_step returned ndarray"),
    "list": (scoring(lambda m, s: s.tolist()), "score-type .*list"),
    "nothing": (scoring(lambda m, s: None), "score-type .*NoneType"),
    "tuple": (scoring(lambda m, s: (s, s)), "score-type .*tuple"),
    "sparse": (scoring(lambda m, s: s.to_sparse()), "score-type .*sparse"),
    "shape": (scoring(lambda m, s: s[:, :2]), "score-shape"),
    "range": (scoring(lambda m, s: s * 3), "score-range"),
    "nan": (scoring(lambda m, s: s * float("nan")), "score-finite"),
    "step none": (stepping(lambda o: None), "Bad.training_step returned NoneType, expected StepO"),
    "step tensor": (stepping(lambda o: o.loss), "returned Tensor, expected StepOutput"),
    "step float": (stepping(lambda o: 0.5), "returned float"),
    "step vector": (stepping(lambda o: StepOutput(o.loss.expand(3))), r"returned \[3\] as 'loss'"),
    "step number": (stepping(lambda o: StepOutput(1.0)), "float as 'loss'"),  # type: ignore[arg-type]
    "step detached": (stepping(lambda o: StepOutput(o.loss.detach())), "without a gradient"),
    "no optimiser": (own_optimizer(lambda m: []), "configure_optimizers returned no optimiser"),
    "optimiser none": (own_optimizer(lambda m: None), "optimizers .*NoneType"),
    "optimiser bare": (own_optimizer(lambda m: torch.optim.SGD(m.parameters(), 0.1)), "sequence"),
    "lbfgs": (own_optimizer(lambda m: [torch.optim.LBFGS(m.parameters())]), "LBFGS"),
    "rate 0": (own_optimizer(lambda m: [torch.optim.SGD(m.parameters(), 0.0)]), "no parameter"),
    "describe list": ({"describe": lambda self: [1]}, "check describe .*returned list"),
    "describe set": ({"describe": lambda self: {"a": {1}}}, "Bad.describe returned set at 'a'"),
    "describe nan": ({"describe": lambda self: {"a": [float("nan")]}}, r"nan at 'a\[0\]'"),
    "describe array": ({"describe": lambda self: {"a": np.zeros(2)}}, "ndarray at 'a'"),
    "describe key": ({"describe": lambda self: {1: 2}}, "key 1 of type int"),
    # The batch.
    "batch emptied": ({"predict_step": emptied}, r"batch-unchanged .*features\[audio\]"),
    "labels zeroed": ({"training_step": zeroing}, "batch-unchanged .*training_step .*labels"),
    # Whatever is raised.
    "exit": ({"training_step": raising(SystemExit(0))}, "SystemExit in training_step|SystemExit"),
    "exit text": ({"predict_step": raising(SystemExit("text"))}, "SystemExit.*text"),
    "own": ({"training_step": raising(OwnError("mine"))}, "OwnError.*mine"),
    "generator": ({"training_step": raising(GeneratorExit())}, "GeneratorExit"),
    "cancelled": ({"configure_optimizers": raising(asyncio.CancelledError())}, "CancelledError"),
    "stop": ({"setup_fit": raising(StopIteration())}, "StopIteration"),
    "surrogate": ({"training_step": raising(ValueError("a\udc80b"))}, r"ValueError.*a\\udc80b"),
    "mute": ({"training_step": raising(Mute())}, "Mute"),
    "describe raises": ({"describe": raising(SystemExit(0))}, "SystemExit"),
    "memory": (
        {"training_step": raising(RuntimeError("DefaultCPUAllocator: can't allocate"))},
        "out of memory with --set training.batch_size=16; try a smaller one",
    ),
    "extra state": ({"get_extra_state": lambda self: 1}, "no tensor"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_broken_contract_is_a_failed_run_that_says_where(kind: str) -> None:
    members, expected = FAILURES[kind]
    record = run("Bad", **members)
    assert record.status == "failed" and record.failure is not None
    reason = record.failure["reason"]
    assert "model 'Bad'" in reason and "plugin " in reason
    assert re.search(expected, reason, re.DOTALL), reason


def frozen(self: Toy, config: Any, task: Any) -> None:
    """Build a model with a layer that is never used."""
    Toy.__init__(self, config, task)
    self.spare = nn.Linear(2, 2)


def reseeding(self: Toy, batch: Batch, ctx: Any) -> StepOutput:
    """Seed anew at every step."""
    torch.manual_seed(0)
    return Toy.training_step(self, batch, ctx)


def meddling(self: Toy) -> dict[str, Any]:
    """Change what belongs to the process."""
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(False)
    np.seterr(all="ignore")
    os.chdir("/")
    return {}
    return {}


def drawing(self: Toy, batch: Batch) -> Tensor:
    """Return good scores, and draw a random number."""
    torch.rand(1)
    return Toy.predict_step(self, batch)


WARNINGS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "no gradient": ({"__init__": frozen}, "no gradient in the first epoch: spare.weight, spare.b"),
    "no optimiser": (
        own_optimizer(lambda m: [torch.optim.SGD(m.net[0].parameters(), 0.1)]),
        "in no optimiser, hence never trained: net.3.weight, net.3.bias",
    ),
    "two optimisers": (
        own_optimizer(lambda m: [torch.optim.SGD(m.parameters(), 0.1) for _ in range(2)]),
        "in more than one optimiser: net.0.weight",
    ),
    "seeds": ({"training_step": reseeding}, "seeded torch's random numbers anew"),
    "draws": ({"predict_step": drawing}, "Bad.predict_step draws random numbers"),
    "dtype": ({"describe": meddling}, "changed the default dtype; it was restored"),
    "threads": ({"describe": meddling}, "changed the number of threads"),
    "deterministic": ({"describe": meddling}, "changed deterministic algorithms"),
    "folder": ({"describe": meddling}, "changed the working directory"),
    "term": (
        stepping(lambda o: StepOutput(o.loss, {"bce": o.loss * float("nan")})),
        "the term 'bce' was nan; it is logged as null",
    ),
}


@pytest.mark.parametrize("kind", WARNINGS)
def test_what_is_odd_is_a_warning_in_the_record(kind: str) -> None:
    before = (torch.get_default_dtype(), torch.get_num_threads(), Path.cwd(), np.geterr())
    members, expected = WARNINGS[kind]
    record = run("Bad", **members)
    assert record.status == "ok", record.failure
    assert expected in " ".join(record.checks["warnings"])
    assert (torch.get_default_dtype(), torch.get_num_threads(), Path.cwd(), np.geterr()) == before
    (grid,) = (table_grid(t) for t in tables([record]))
    assert any(note.startswith("Checks of Bad") and expected in note for note in grid.notes)


def test_a_model_that_keeps_its_contract_has_no_warnings() -> None:
    for base in (Toy, Prior):
        assert run("Good", base).checks == {"warnings": []}


def test_a_fitted_model_whose_parameters_stay_is_untrained() -> None:
    record = run("Bad", Prior, __init__=frozen_prior)
    assert "training changed no parameter of Bad" in record.failure["reason"]  # type: ignore[index]


def frozen_prior(self: Prior, config: Any, task: Any) -> None:
    """Build a fit-once model with a parameter that fit does not touch."""
    Prior.__init__(self, config, task)
    self.spare = nn.Linear(2, 2)


def test_no_training_sample_has_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.engine.splits import TrainingSplit

    monkeypatch.setattr(TrainingSplit, "labels", property(lambda self: torch.zeros(70, 4)))
    assert "no training sample has a label" in " ".join(run("Good").checks["warnings"])


HOOKS = """
from pathlib import Path
import numpy as np
import harness

@harness.hookimpl
def harness_provenance():
    return FACTS
"""


@pytest.mark.parametrize(
    ("facts", "fault"),
    [
        ('{"note": {1, 2}}', "set at 'note'"),
        ('{"note": np.zeros(2)}', "ndarray at 'note'"),
        ('{"note": object()}', "object at 'note'"),
        ('{"note": [float("inf")]}', "inf at 'note[0]'"),
        ('{"a": {"b": "x\\udc80"}}', "text that is not UTF-8 at 'a.b'"),
        ("[1]", "list"),
        ('exec("raise SystemExit(0)")', "SystemExit"),
    ],
)
def test_facts_that_are_no_json_are_named_and_left_out(
    facts: str, fault: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = tmp_path / "theirs.py"
    plugin.write_text(HOOKS.replace("FACTS", facts))
    with caplog.at_level(logging.WARNING):
        (record,) = harness.run(
            "toy", "toy", overrides={"training.epochs": 1}, device="cpu",
            plugins=[TOY, plugin], references=False,
        )  # fmt: skip
    assert record.status == "ok" and "plugins" not in record.provenance
    assert "harness_provenance" in caplog.text and fault in caplog.text


def test_the_plugin_is_blamed_only_for_its_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    scope: dict[str, Any] = {"__name__": "harness.engine.run"}
    exec("def epochs_csv(log):\n    return log[0]['no such key']", scope)
    monkeypatch.setattr("harness.engine.run.epochs_csv", scope["epochs_csv"])
    with pytest.raises(harness.HarnessError, match="internal error: KeyError"):
        run("Good")
