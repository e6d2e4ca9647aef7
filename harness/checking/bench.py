"""A model on one made data set: built, trained and asked through the engine."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.batch import Batch
from harness.data.locate import find_store
from harness.engine.checkpoint import checkpoint_of, model_class_of
from harness.engine.checks import RunChecks
from harness.engine.device import Compute
from harness.engine.loop import Trained, Trainer, fit_once
from harness.engine.patterns import RunScorer
from harness.engine.plan import RunPlan, make_plan
from harness.engine.predict import predict
from harness.engine.progress import TrainingProgress
from harness.engine.request import RunRequest
from harness.engine.run import build_model
from harness.engine.seeds import isolated_rng
from harness.engine.splits import SplitView
from harness.engine.state import ResumeFolder
from harness.model import ModelPlugin
from harness.plugins import Registry
from harness.protocols.dropout import parse
from harness.specs import DatasetSpec

Scores = NDArray[np.float32]
CPU = Compute(torch.device("cpu"))
BATCH, EPOCHS, LAST = 16, 10, 3


@dataclass(frozen=True)
class Session:
    """A model after training.

    Attributes:
        model: as it is at the end. trained: the result. checks: what the run warned of.
        held: bytes of all tensors of the process at the end of each of the last `LAST` epochs,
            where they were asked for.
        cpu_s: processor time of the training, seconds.
    """

    model: ModelPlugin
    trained: Trained
    checks: RunChecks
    held: tuple[int, ...] = ()
    cpu_s: float = 0.0

    @property
    def losses(self) -> list[float]:
        """Return the mean loss of each epoch."""
        return [float(entry["loss"]) for entry in self.trained.log]


class Bench:
    """One model on one made data set.

    Args:
        registry: the loaded plugins and the made data sets.
        model: the model's name.
        spec: the made data set.
        folder: for resume states.
    """

    def __init__(self, registry: Registry, model: str, spec: DatasetSpec, folder: Path) -> None:
        self.registry, self.name, self.spec, self.folder = registry, model, spec, folder
        self.model_class = model_class_of(registry.model(model))
        self.kind = self.model_class.__name__

    @property
    def on(self) -> str:
        """Return the data as messages name it."""
        return f"on {self.spec.layout} data with {self.spec.label_kind} labels"

    @cached_property
    def plan(self) -> RunPlan:
        """Return the plan of a short run on the CPU."""
        return self.planned()

    def planned(self, epochs: int = EPOCHS, seed: int = 0, **asked: Any) -> RunPlan:
        """Return the plan of a run of so many epochs; ``asked`` are fields of `RunRequest`."""
        few = (
            *(f"training.{k}={v}" for k, v in self._recipe(epochs).items()),
            *asked.pop("overrides", ()),
        )
        request = RunRequest(
            self.name, self.spec.name, seed=seed, overrides=few, bar=False, **asked
        )  # fmt: skip
        return make_plan(request, self.registry, self.model_class, self._store, CPU)

    @staticmethod
    def _recipe(epochs: int) -> dict[str, Any]:
        sizes = {"batch_size": BATCH, "eval_batch_size": BATCH, "warmup": 0.0, "patience": 0}
        return {"epochs": epochs, "steps": 0, "lr": 3e-3, **sizes}

    @cached_property
    def _store(self) -> Any:
        return find_store(self.spec)

    def built(self, plan: RunPlan | None = None) -> ModelPlugin:
        """Return the model with the initial parameters of a run's seed."""
        return build_model(plan or self.plan)

    def view(self, split: str, model: ModelPlugin) -> SplitView:
        """Return a split as a model is given it."""
        return SplitView(self._store.split(split), self.plan.mask, model)

    def batch(self, model: ModelPlugin, split: str = "test", dropout: str = "full@1") -> Batch:
        """Return all samples of a split in one labelled batch."""
        view = self.view(split, model)
        batches = view.batches(len(view), view.masks(parse(dropout)), labelled=True)
        return next(iter(batches))

    def scores(self, model: ModelPlugin, batch: Batch, compute: Compute = CPU) -> Scores:
        """Return a model's checked scores of a batch, float32 [B, L]."""
        with isolated_rng():
            return predict(model, [batch], compute)

    @cached_property
    def session(self) -> Session:
        """Return the model after `EPOCHS` epochs."""
        return self.train(self.plan)

    def _data(self, plan: RunPlan, model: ModelPlugin) -> Any:
        config = plan.config
        return plan.rules.training_data(
            plan.store, plan.mask, model, config.training, config.threshold, plan.request.seed
        )

    def train(
        self,
        plan: RunPlan,
        *,
        compute: Compute = CPU,
        until: int | None = None,
        folder: str | None = None,
        measured: bool = False,
    ) -> Session:
        """Train as a run does.

        Args:
            plan: of the run.
            compute: what it computes on.
            until: pause at the end of the epoch that reaches so many steps.
            folder: name of the folder of its resume states; None: one of its own.
            measured: measure what tensors hold at the end of the last epochs.
        """
        with isolated_rng():
            model = self.built(plan)
            checks = RunChecks(model, compute)
            data, seed, training = self._data(plan, model), plan.request.seed, plan.config.training
            held: list[int] = []

            def measure(entry: Mapping[str, Any]) -> None:
                if measured and entry["epoch"] >= training.epochs - LAST:
                    held.append(bytes_held())

            observer = TrainingProgress(plan.title, "micro_f1", bar=False, on_epoch=measure)
            started = time.process_time()
            with checks.surroundings():
                if not model.iterative:
                    done = fit_once(model, training, seed, compute, data, observer, checks)
                    taken = time.process_time() - started
                    return Session(model.eval(), done, checks, cpu_s=taken)
                chosen = plan.rules.selection(plan.spec)
                where = self.folder / (folder or f"own{len([*self.folder.iterdir()])}")
                where.mkdir(exist_ok=True)
                trainer = Trainer(
                    model=model, training=training, seed=seed, compute=compute, data=data,
                    resume=ResumeFolder(where), observer=observer, metric=chosen.metric,
                    mode=chosen.mode, scorer=RunScorer(model, compute, None), checks=checks,
                    until=until,
                )  # fmt: skip
                done = trainer.run()
            taken = time.process_time() - started
            return Session(model.eval(), done, checks, tuple(held), taken)

    def checkpoint(self, state: dict[str, Tensor]) -> dict[str, bytes]:
        """Return the files of a checkpoint, as a run writes them; the model's facts are left out.

        No model is built of its facts, and they have a check of their own.
        """
        return checkpoint_of(self.plan, {}, state).files()

    def alone(self, batch: Batch, model: ModelPlugin) -> Iterator[tuple[str, Batch]]:
        """Yield a batch with each modality missing, each pair missing, and each alone."""
        names = [m.name for m in model.task.modalities]
        total = len(names)
        for gone in range(1, 2**total - 1):
            missing = [n for k, n in enumerate(names) if gone >> k & 1]
            if len(missing) > 2 and len(missing) != total - 1:
                continue
            kept = torch.ones_like(batch.present)
            for k in range(total):
                kept[:, k] = not gone >> k & 1
            left = batch.keeping(kept)
            if model.needs_nonempty_mask:
                left = left.with_null_positions()
            yield f"{' and '.join(missing)} missing", replace(left, labels=batch.labels)


def bytes_held() -> int:
    """Return how many bytes the tensors have that this process can still reach."""
    gc.collect()
    # By type: asking an object for its class may run its code.
    found = [o for o in gc.get_objects() if issubclass(type(o), Tensor)]
    return sum(o.numel() * o.element_size() for o in found if o.layout is torch.strided)
