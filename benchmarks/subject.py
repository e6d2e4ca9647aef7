"""A model built as a run builds it, with the step that the loop does and the evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import mean
from types import TracebackType

import torch

from benchmarks.made import batch_of, made_store
from benchmarks.settings import Setting, dataset_of
from harness.config import ResolvedConfig, resolve_config
from harness.data.batch import Batch
from harness.engine.context import LoopContext
from harness.engine.device import Compute
from harness.engine.splits import StoredTrainingData
from harness.model import ModelPlugin
from harness.plugins import load, resolve
from harness.specs import TaskInfo

# Where batches differ: those of an epoch of MOSEI, and how many stand for them.
EPOCH = 255
BATCHES = 4


@dataclass(frozen=True)
class Size:
    """How a setting is made smaller: another preset, batch size, length, single keys."""

    preset: str = "paper"
    batch: int | None = None
    length: int | None = None
    overrides: tuple[str, ...] = ()


class OneEpoch:
    """Training data for `setup_fit`."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._batches = batches
        self.labels = torch.cat([batch.targets for batch in batches])

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yield the batches."""
        yield from self._batches

    def __len__(self) -> int:
        return len(self.labels)


class Subject:
    """A built model with its optimisers and batches on the device; ``with`` fixes the threads.

    Attributes:
        model, config, task: what was built.
        batches: what `step` and `evaluate` go through, each batch once a call.
    """

    def __init__(self, setting: Setting, compute: Compute, size: Size | None = None) -> None:
        size = size or Size()
        self.compute = compute
        entry = load().model(setting.model)
        dataset = dataset_of(setting.dataset, size.length)
        self.config: ResolvedConfig = resolve_config(
            entry, dataset, size.preset, setting.config or None, size.overrides
        )
        training = self.config.training
        count = size.batch or training.batch_size
        self.task = TaskInfo.of(dataset, self.config.threshold, entry.layouts)
        torch.manual_seed(0)
        self.model: ModelPlugin = resolve(entry.factory)(self.config.model, self.task)
        if setting.mask == "ones":
            batches = [batch_of(count, self.task, setting.lengths)]
        else:
            clips = {"train": EPOCH * count, "valid": count}
            options = ("ones", setting.mask)
            with made_store(dataset, clips, mask_options=options) as store:
                recipe = replace(training, batch_size=count)
                data = StoredTrainingData(store, setting.mask, self.model, recipe, 0.5, 0)  # type: ignore[arg-type]
                batches = spread(list(data.epoch(0)), BATCHES)
        self._optimizers: list[torch.optim.Optimizer] = []
        self._whole = ExitStack()
        self._prepare(batches)

    def _prepare(self, batches: list[Batch]) -> None:
        model, device, training = self.model, self.compute.device, self.config.training
        if model.iterative:
            total = 1000 * len(batches)
            model.to(device)
            model.setup_fit(OneEpoch(batches))
            model.to(device).train()
            self._optimizers = list(model.configure_optimizers(training, total))
            self.context = LoopContext(
                model.parameters(), self._optimizers, training, self.compute,
                torch.Generator().manual_seed(0), total,
            )  # fmt: skip
            model.on_epoch_start(self.context)
        self.batches = [batch.to(device) for batch in batches]

    def __enter__(self) -> Subject:
        self._whole.enter_context(self.compute.deterministic())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._whole.close()

    @property
    def parameters(self) -> int:
        """Return the number of parameters."""
        return sum(p.numel() for p in self.model.parameters())

    def step(self) -> None:
        """Train on every batch as the loop does, without its checks and its log."""
        for batch in self.batches:
            self.step_on(batch)

    def step_on(self, batch: Batch) -> None:
        """Train on one batch: zero_grad, forward, loss, backward, clipping, optimisers."""
        model, ctx = self.model, self.context
        model.on_step_start(ctx)
        if model.automatic_optimization:
            with ctx.autocast():
                loss = model.training_step(batch, ctx).loss
            ctx.zero_grad()
            ctx.backward(loss)
            if ctx.clips:
                ctx.clip()
            for index in range(len(self._optimizers)):
                ctx.step_optimizer(index)
        else:
            model.training_step(batch, ctx)
        ctx.step += 1

    def evaluate(self) -> None:
        """Predict every batch."""
        evaluate(self.model, self.batches, self.compute)


def spread(batches: list[Batch], count: int) -> list[Batch]:
    """Return batches that stand for all: the one of mean length in each ``count``-th by length."""

    def length(batch: Batch) -> int:
        return sum(m.shape[1] for m in batch.mask.values())

    by_length = sorted(batches, key=length)
    edges = [len(by_length) * k // count for k in range(count + 1)]
    found = []
    for start, stop in pairwise(edges):
        share = by_length[start:stop]
        middle = mean(map(length, share))
        found.append(min(share, key=lambda batch: abs(length(batch) - middle)))
    return found


def evaluate(model: ModelPlugin, batches: Iterable[Batch], compute: Compute) -> None:
    """Predict batches in evaluation mode; the model is left in training mode."""
    model.eval()
    with torch.no_grad():
        for batch in batches:
            with compute.autocast():
                model.predict_step(batch.without_labels())
    model.train()
