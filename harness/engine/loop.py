"""The one training loop: every iterative model is trained by it, step by step, epoch by epoch."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from harness.conformance import check_optimizers
from harness.data.batch import Batch
from harness.engine.checkpoint import State, restore, snapshot
from harness.engine.checks import RunChecks
from harness.engine.compiled import compiled
from harness.engine.context import LoopContext
from harness.engine.device import Compute, cpu_seconds
from harness.engine.losses import EpochLosses
from harness.engine.seeds import generator, seed_globals
from harness.engine.state import Progress, ResumeFolder
from harness.model import FitData, ModelPlugin, StepOutput
from harness.protocols.dropout import SplitMasks
from harness.specs import TrainingConfig

RULES = {
    "later": "best on validation, ties to the later epoch",
    "first": "best on validation, ties to the first epoch",
    "last": "last epoch",
}


class BatchSource(Sized, Iterable[Batch], Protocol):
    """Batches in order, and how many."""


class Scorer(Protocol):
    """Predicts with the model that is trained; scores are float32 [N, L]."""

    def __call__(self, batches: BatchSource) -> Any:
        """Return the scores of batches."""

    def under(self, view: Any, masks: Sequence[SplitMasks], batch_size: int) -> Sequence[Any]:
        """Return the scores of a view of a split under each of several masks."""


class TrainingData(Protocol):
    """What training may see: the training split, and figures (not samples) of validation."""

    @property
    def fit(self) -> FitData:
        """Return the training split, nothing dropped, for `ModelPlugin.setup_fit`."""

    @property
    def fit_once(self) -> FitData:
        """Return the training split for a model without epochs, with the first epoch's masks."""

    def epoch(self, epoch: int) -> BatchSource:
        """Return the labelled training batches of an epoch, on the CPU."""

    def complete(self, epoch: int) -> BatchSource | None:
        """Return the same batches before anything is dropped; None: the model sees none."""

    def validate(self, score: Scorer) -> dict[str, float] | None:
        """Return validation metrics of what ``score`` predicts; None without a split for it."""


class Observer(Protocol):
    """Called by the loop as training proceeds."""

    def start(self, total_steps: int, done_steps: int) -> None:
        """Called with the length of the run and how much of it an earlier process did."""

    def step(self, epoch: int, loss: float) -> None:
        """Called when a step is done, with the latest loss that was read (NaN: none yet)."""

    def epoch(self, entry: Mapping[str, Any]) -> None:
        """Called with the log entry of an epoch."""

    def stop(self) -> None:
        """Called when training ends, well or not."""


@dataclass(frozen=True)
class Trained:
    """The result of training: the selected state, the log and what was selected.

    ``steps`` counts optimiser steps, those before an interruption included. ``others`` holds the
    states of further selections, by metric.
    """

    state: State
    log: tuple[dict[str, Any], ...] = ()
    selection: dict[str, Any] | None = None
    seconds: float = 0.0
    cpu_s: float | None = None
    steps: int = 0
    others: Mapping[str, State] = field(default_factory=dict)


@dataclass
class Trainer:
    """Trains one model; see `Trainer.run`.

    ``scorer`` predicts with the model (`harness.engine.patterns.RunScorer`).
    ``checks`` hold the model to its contract. ``mode`` says which epoch is selected by ``metric``;
    ``also`` names metrics whose own best epochs are kept beside it. ``until``: training pauses at
    the end of the epoch that reaches so many optimiser steps; a later call goes on. None: never.
    ``paused``: whether it did.
    """

    model: ModelPlugin
    training: TrainingConfig
    seed: int
    compute: Compute
    data: TrainingData
    resume: ResumeFolder
    observer: Observer
    metric: str
    scorer: Scorer
    checks: RunChecks
    compiled: bool = False
    mode: Literal["later", "first", "last"] = "later"
    also: tuple[str, ...] = ()
    until: int | None = None
    _log: list[dict[str, Any]] = field(default_factory=list)
    _stepped: bool = False
    paused: bool = field(default=False, init=False)

    def run(self) -> Trained:
        """Train to the end, from where an interrupted run stopped.

        Returns:
            The state of the best epoch by validation (ties: the later one), or of the last epoch
            where there is no validation split. Epochs before the model's ``selects_from`` are not
            selected, unless there are no others.

        Raises:
            LossNotFiniteError: a loss is NaN or infinite.
            CheckFailedError: the model breaks its contract.
        """
        model = self.model.to(self.compute.device)
        seed_globals(self.seed, "setup")
        model.setup_fit(self.data.fit)
        model.to(self.compute.device)
        steps_per_epoch = len(self.data.epoch(0))
        if self.training.steps:
            # Models whose schedules count epochs are told how many there will be.
            epochs = math.ceil(self.training.steps / steps_per_epoch)
            self.training = replace(self.training, epochs=epochs)
        total = self.training.steps or self.training.epochs * steps_per_epoch
        optimizers = check_optimizers(model, model.configure_optimizers(self.training, total))
        self.checks.labels(self.data.fit.labels)
        self.checks.prediction(model, self.data.epoch(0))
        ctx = LoopContext(
            model.parameters(),
            optimizers,
            self.training,
            self.compute,
            generator(self.seed, "epoch:0"),
            total,
        )
        if self.compiled:
            ctx.stay_eager()
        progress = self.resume.load()
        if progress is None:
            progress = Progress(0, (), None, None)
        else:
            restore(model, self.resume.model_state(progress))
            self.resume.load_optimizers(progress, optimizers)
        self.checks.start(optimizers)
        before = ctx.step = min(progress.done * steps_per_epoch, total)
        self._log = list(progress.log)
        self.observer.start(total, ctx.step)
        try:
            while not self._ended(ctx, progress):
                progress = self._epoch(ctx, progress, optimizers)
        finally:
            self.observer.stop()
        still = self.training.lr == 0
        if still:
            self.checks.warn(["training.lr is 0: nothing was trained."])
        self.checks.end(trained=ctx.step > before and not still)
        return Trained(
            state=self.resume.best_state(progress) if progress.done else snapshot(model),
            log=progress.log,
            selection=self._selection(progress),
            seconds=sum(entry["seconds"] for entry in progress.log),
            cpu_s=cpu_of(progress.log),
            steps=ctx.step,
            others={
                name: self.resume.state_of(place[0]) for name, place in progress.others.items()
            },
        )

    def _better(self, value: float, best: float | None) -> bool:
        if best is None or self.mode == "last":
            return True
        return value > best if self.mode == "first" else value >= best

    def _epoch(
        self, ctx: LoopContext, progress: Progress, optimizers: list[torch.optim.Optimizer]
    ) -> Progress:
        epoch, started, cpu = progress.done, time.perf_counter(), cpu_seconds()
        # Reseeding here is what makes a resumed run equal to an uninterrupted one.
        seed_globals(self.seed, f"epoch:{epoch}")
        ctx.start_epoch(epoch, generator(self.seed, f"steps:{epoch}"))
        self.checks.start_epoch()
        self.model.train()
        self.model.on_epoch_start(ctx)
        means = self._steps(ctx)
        self.checks.end_epoch(means, selectable=epoch >= self._first_selectable)
        valid = self.data.validate(self.scorer)
        loss = means.pop("loss", math.nan)
        entry = {
            "epoch": epoch,
            "loss": loss,
            "terms": means,
            "valid": valid,
            "seconds": time.perf_counter() - started,
            "cpu_s": cpu_seconds() - cpu,
        }
        best_epoch, best_value = progress.best_epoch, progress.best_value
        others = dict(progress.others)
        if valid is not None and epoch >= self._first_selectable:
            if self._better(valid[self.metric], best_value):
                best_epoch, best_value = epoch, valid[self.metric]
            for name in self.also:
                if name not in others or valid[name] >= others[name][1]:
                    others[name] = (epoch, valid[name])
        self._log.append(entry)
        progress = Progress(epoch + 1, tuple(self._log), best_epoch, best_value, others)
        self.resume.save(progress, snapshot(self.model), optimizers)
        self.observer.epoch(entry)
        return progress

    def _steps(self, ctx: LoopContext) -> dict[str, float]:
        losses = EpochLosses(ctx.epoch, at_once=self.compute.device.type == "cpu")
        try:
            left = ctx.total_steps - ctx.step
            whole = self.data.complete(ctx.epoch) or itertools.repeat(None)
            pairs = zip(self.data.epoch(ctx.epoch), whole, strict=False)
            for batch, complete in itertools.islice(pairs, left):
                ctx.complete = None if complete is None else complete.to(self.compute.device)
                self._step(ctx, batch, losses)
        except Exception:
            losses.read()  # a loss that is not finite explains what comes of it
            raise
        return losses.means()

    def _step(self, ctx: LoopContext, batch: Batch, losses: EpochLosses) -> None:
        """Take one step; nothing here but the first one's checks waits for a GPU."""
        moved = batch.to(self.compute.device)
        self.model.on_step_start(ctx)
        if not self._stepped:
            self.checks.before_step(moved, ctx.complete)
        if self.model.automatic_optimization:
            with ctx.autocast():
                output = self._training_step(moved, ctx)
        else:
            output = self._training_step(moved, ctx)
        output = self.checks.after_step(output)
        self._stepped = True
        losses.add(ctx.step, output, batch.ids)
        if self.model.automatic_optimization:
            _update(ctx, output.loss)
        ctx.step += 1
        self.observer.step(ctx.epoch, losses.last)

    @cached_property
    def _training_step(self) -> Callable[[Batch, LoopContext], StepOutput]:
        if not self.compiled:
            return self.model.training_step
        return compiled(self.model.training_step)

    @property
    def _first_selectable(self) -> int:
        return min(self.model.selects_from, self.training.epochs - 1)

    def _ended(self, ctx: LoopContext, progress: Progress) -> bool:
        if progress.done >= self.training.epochs or self._patience_ended(progress):
            return True
        self.paused = self.until is not None and ctx.step >= self.until
        return self.paused

    def _patience_ended(self, progress: Progress) -> bool:
        if self.training.patience <= 0 or progress.best_epoch is None:
            return False
        return progress.done - 1 - progress.best_epoch >= self.training.patience

    def _selection(self, progress: Progress) -> dict[str, Any] | None:
        if not progress.done:
            return None
        if progress.best_epoch is None:
            return {
                "rule": "last epoch (no validation split)",
                "metric": self.metric,
                "epoch": progress.done - 1,
                "value": None,
            }
        return {
            "rule": RULES[self.mode],
            "metric": self.metric,
            "epoch": progress.best_epoch,
            "value": progress.best_value,
        }


def fit_once(
    model: ModelPlugin,
    training: TrainingConfig,
    seed: int,
    compute: Compute,
    data: TrainingData,
    observer: Observer,
    checks: RunChecks,
) -> Trained:
    """Train a model that fits without epochs (``iterative`` false).

    Such a model keeps what it learns in buffers; a buffer may be None or empty until then. Under
    dropout in training it sees each sample once, with the first epoch's masks.

    Raises:
        CheckFailedError: the model breaks its contract.
    """
    started, cpu = time.perf_counter(), cpu_seconds()
    model.to(compute.device)
    seed_globals(seed, "setup")
    model.setup_fit(data.fit)
    ctx = LoopContext(model.parameters(), [], training, compute, generator(seed, "fit"), 1)
    seed_globals(seed, "fit")
    observer.start(1, 0)
    try:
        checks.start(None)
        model.fit(data.fit_once, ctx)
    finally:
        observer.stop()
    checks.end(trained=True)
    cpu, seconds = cpu_seconds() - cpu, time.perf_counter() - started
    return Trained(state=snapshot(model), seconds=seconds, cpu_s=cpu)


def cpu_of(log: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the CPU time of the epochs of a log in seconds; None: one of them does not know it."""
    known: list[Any] = [entry.get("cpu_s") for entry in log]
    return None if None in known else float(sum(known))


def _update(ctx: LoopContext, loss: Tensor) -> None:
    ctx.zero_grad()
    ctx.backward(loss)
    if ctx.clips:
        ctx.clip()
    for index in range(len(ctx.optimizers)):
        ctx.step_optimizer(index)
