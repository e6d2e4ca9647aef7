"""What the harness adds to a bare training loop: a step, an epoch, a run.

The harness runs a model of the measured model's parameters, optimisers and data whose step and
prediction compute next to nothing, so that hardly anything but the harness takes time; the same
model in a bare loop over batches in memory is subtracted. What remains is set in relation to the
measured model's own step: loader, checks and log for each step; validation, metrics and the state
for resuming for each epoch; set-up, selection, checkpoint, scoring and record for each run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import click
import torch
from torch import Tensor

from benchmarks.made import made_store
from benchmarks.measuring import machine, seconds, table
from benchmarks.settings import Setting, dataset_of
from benchmarks.subject import Size, Subject
from harness.data.batch import Batch
from harness.data.store import Store
from harness.engine.device import choose
from harness.engine.plan import RunPlan, make_plan
from harness.engine.request import RunRequest
from harness.engine.run import run_one
from harness.engine.splits import StoredTrainingData
from harness.model import ModelPlugin, StepContext, StepOutput
from harness.plugins import Registry, load, resolve
from harness.records.store import RunStore
from harness.specs import TaskInfo

COLUMNS = (
    "case", "model", "own step s", "steps", "epochs", "us a step", "ms an epoch", "ms a run",
    "share", "run s",
)  # fmt: skip
LIMIT = 0.03


@dataclass(frozen=True)
class Case:
    """A model on made data.

    Attributes:
        model, dataset, preset: what is trained.
        counts: samples by split that are prepared.
        steps: of an epoch of the full data; 0: of the prepared data.
        whole: also run the model itself from start to end.
    """

    model: str
    dataset: str
    counts: Mapping[str, int]
    preset: str = "paper"
    steps: int = 0
    whole: bool = False


# MOSEI's validation and test splits are whole, its training split is cut short.
_MOSEI = {"train": 1024, "valid": 1871, "test": 4659}
_MOSI = {"train": 1283, "valid": 229, "test": 686}
CASES: Mapping[str, Case] = {
    "carat, paper": Case("carat", "mosei-aligned", _MOSEI, steps=255),
    "tailor, paper": Case("tailor", "mosei-aligned", _MOSEI, steps=255),
    "ramer-public, paper": Case("ramer-public", "mosei-aligned", _MOSEI, steps=255),
    "carat on mosi": Case("carat", "mosi", _MOSI, whole=True),
    "ramer on mosi": Case("ramer", "mosi", _MOSI),
    "misa on mosi, quick": Case("misa", "mosi", _MOSI, "quick"),
    "ml-gcn on mosi, quick": Case("ml-gcn", "mosi", _MOSI, "quick"),
}


class Idle:
    """Mixed into a model: steps that compute nothing, and the times at which they begin."""

    began: ClassVar[list[float]]
    epochs: ClassVar[list[float]]
    automatic_optimization: ClassVar[bool] = True

    def __init__(self: Any, config: Any, task: TaskInfo) -> None:
        super().__init__(config, task)  # type: ignore[call-arg]
        self.shares_encodings = False

    def on_epoch_start(self: Any, ctx: StepContext) -> None:
        """Note the time."""
        type(self).epochs.append(time.process_time())

    def on_step_start(self: Any, ctx: StepContext) -> None:
        """Note the time."""
        type(self).began.append(time.process_time())

    def training_step(self: Any, batch: Batch, ctx: StepContext) -> StepOutput:
        """Return the sum of the smallest parameter."""
        return StepOutput(min(self.parameters(), key=Tensor.numel).sum())

    def predict_step(self: Any, batch: Batch) -> Tensor:
        """Return the same scores for every sample."""
        labels = self.task.num_labels
        return torch.full((len(batch), labels), 1.0 / labels, device=batch.device)


def idle(model_class: type[ModelPlugin]) -> type[ModelPlugin]:
    """Return the class with the steps of `Idle`, its times empty; `made_idle` is it by name."""
    made = type(f"Idle{model_class.__name__}", (Idle, model_class), {"began": [], "epochs": []})
    globals()["made_idle"] = made
    return made


made_idle: type[ModelPlugin]


@contextmanager
def planned(case: Case, epochs: int, size: Size, idly: bool) -> Iterator[RunPlan]:
    """Give the plan of a run of a case, in a home of its own."""
    registry = load()
    entry = registry.models[case.model]
    model_class: type[ModelPlugin] = resolve(entry.spec.factory)
    if idly:
        model_class = idle(model_class)
        spec = replace(entry.spec, factory=f"{__name__}:made_idle")
        models = {**registry.models, case.model: replace(entry, spec=spec)}
        registry = replace(registry, models=models)
    sets = [f"training.epochs={epochs}", *size.overrides]
    if size.batch:
        sets.append(f"training.batch_size={size.batch}")
    with made_store(dataset_of(case.dataset, size.length), case.counts) as store:
        request = RunRequest(
            case.model, store.spec.name, preset=size.preset, overrides=tuple(sets), bar=False
        )
        yield make_plan(request, _with(registry, store), model_class, store, choose("cpu"))


def _with(registry: Registry, store: Store) -> Registry:
    """Return the registry with the store's data set."""
    name = store.spec.name
    entry = replace(next(iter(registry.datasets.values())), spec=store.spec)
    return replace(registry, datasets={**registry.datasets, name: entry})


def measure(
    name: str,
    epochs: int = 3,
    scale: float = 1.0,
    size: Mapping[str, Any] | None = None,
    whole: bool = True,
) -> dict[str, Any]:
    """Return what the harness adds in a case.

    Args:
        name: of the case.
        epochs: of the idle run.
        scale: of the numbers of samples.
        size: fields of `Size`; the preset is the case's unless it is given.
        whole: false: do not run the model itself, where the case asks for it.
    """
    case = CASES[name]
    case = replace(case, counts={k: max(2, int(n * scale)) for k, n in case.counts.items()})
    given = Size(**{"preset": case.preset, **(size or {})})
    with planned(case, epochs, given, idly=True) as plan:
        total = seconds(lambda: completed(plan))
        log: Any = plan.model_class
        steps = len(log.began) // epochs
        bare = _bare(plan)
        idle_steps = [
            (log.began[e * steps + steps - 1] - log.began[e * steps]) / max(steps - 1, 1)
            for e in range(epochs)
        ]
        step = min(idle_steps) if steps > 1 else bare
        ends = [log.epochs[e + 1] - log.began[(e + 1) * steps - 1] for e in range(epochs - 1)]
        epoch = max(min(ends, default=0.0) - step, 0.0)
        run = total - epochs * (steps * step + epoch)
        training = plan.config.training
        run_steps = (case.steps or steps) * training.epochs
        recipe = plan.registry.model(case.model)
    own = _own_step(case, given)
    added = (case.steps or steps) * (step - bare) + epoch
    found: dict[str, Any] = {
        "model": recipe.name,
        "preset": given.preset,
        "batch": training.batch_size,
        "own_step_s": own,
        "steps": case.steps or steps,
        "epochs": epochs,
        "step_us": round(1e6 * (step - bare), 1),
        "bare_idle_step_us": round(1e6 * bare, 1),
        "epoch_ms": round(1e3 * epoch, 2),
        "run_ms": round(1e3 * run, 1),
        "share_of_step": round((step - bare) / own, 5),
        "share_of_epoch": round(added / (own * (case.steps or steps)), 5),
    }
    if case.whole and whole:
        found |= _whole(case, given, own, run_steps, training.epochs)
    found["met"] = found["share_of_epoch"] <= LIMIT if case.steps else None
    return {"figures": found, "machine": machine()}


def completed(plan: RunPlan) -> None:
    """Make a run.

    Raises:
        click.ClickException: it failed.
    """
    record = run_one(plan, RunStore())
    if record.status != "ok":
        raise click.ClickException(f"the run failed: {record.failure}")


def _bare(plan: RunPlan) -> float:
    """Return the seconds of an idle step in a bare loop over batches in memory."""
    model = plan.model_class(plan.config.model, plan.task)
    training = plan.config.training
    data = StoredTrainingData(plan.store, plan.mask, model, training, 0.5, 0)
    batches = list(data.epoch(0))
    model.setup_fit(data.fit)
    model.train()
    optimizers = list(model.configure_optimizers(training, 1000))
    clip, value = training.clip_norm, training.clip_value

    def loop() -> None:
        for batch in batches:
            loss = model.training_step(batch, None).loss  # type: ignore[arg-type]
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            if clip > 0:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            if value > 0:
                torch.nn.utils.clip_grad_value_(model.parameters(), value)
            for optimizer in optimizers:
                optimizer.step()

    loop()
    return min(seconds(loop) for _ in range(3)) / len(batches)


def _own_step(case: Case, size: Size) -> float:
    """Return the seconds of the model's own step on a batch in memory."""
    with Subject(Setting("", case.model, case.dataset), choose("cpu"), size) as subject:
        subject.step()
        return round(min(seconds(subject.step) for _ in range(3)), 6)


def _whole(case: Case, size: Size, own: float, steps: int, epochs: int) -> dict[str, Any]:
    """Return the seconds of a run of the model itself, and how much of it are its own steps."""
    with planned(case, epochs, size, idly=False) as plan:
        run = seconds(lambda: completed(plan))
    return {
        "whole_run_s": round(run, 3),
        "whole_run_epochs": epochs,
        "own_steps_s": round(steps * own, 3),
        "share_of_whole_run": round(1 - steps * own / run, 4),
    }


def show(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures as a table; the share is that of an epoch's own steps."""
    return table(
        COLUMNS,
        [
            (name, f["model"], f["own_step_s"], f["steps"], f["epochs"], f["step_us"],
             f["epoch_ms"], f["run_ms"],
             f"{f['share_of_epoch']:.2%}" + (" !" if f["met"] is False else ""),
             f.get("whole_run_s"))
            for name, f in rows.items()
        ],
    )  # fmt: skip
