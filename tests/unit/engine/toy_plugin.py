"""A plugin file for the engine's tests: a made data set and models that end in milliseconds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.data.corpus import Corpus, SplitArrays
from harness.hookspecs import hookimpl
from harness.model import FitData, ModelPlugin, StepContext, StepOutput
from harness.specs import CompatSpec, DatasetSpec, ModalitySpec, ModelSpec

COMPAT = {
    "plain": CompatSpec(acc_round=17),
    "first": CompatSpec(select="val_acc_first"),
    "last": CompatSpec(select="last", swap_pr=True, val_drop_last=16, test_drop_last=16),
    "metric": CompatSpec(select="per_metric_val"),
    "exchange": CompatSpec(exchange=(("toy", "text", "audio"),)),
}
SIZES = {"train": 70, "valid": 30, "test": 40}


class ToyCorpus(Corpus):
    """Labels are signs of the first features of two modalities; no files are needed."""

    reader_version = 1

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        for number, name in enumerate(self.spec.splits):
            n, rng = SIZES[name], np.random.default_rng(number)
            text = rng.standard_normal((n, 4, 3)).astype(np.float32)
            audio = rng.standard_normal((n, 4, 2)).astype(np.float32)
            score = np.concatenate([text.mean(1), audio.mean(1)[:, :1]], axis=1)
            labels = (score > 0).astype(np.uint8)
            if self.spec.label_kind == "singlelabel":
                labels = np.eye(score.shape[1], dtype=np.uint8)[score.argmax(1)]
            yield SplitArrays(
                name=name,
                ids=[f"{name}{i}" for i in range(n)],
                groups=[f"g{i // 5}" for i in range(n)],
                labels=labels,
                features={"text": list(text), "audio": list(audio)},
            )


class UnknownCeiling(ToyCorpus):
    """A twin whose best score cannot be computed."""

    def write_twin(self, root: Path, seed: int, size: str) -> None:
        root.mkdir(parents=True, exist_ok=True)

    def ceiling_scores(self, split: object, keep: object, seed: int) -> np.ndarray:
        raise ZeroDivisionError("made to fail in ceiling_scores")


@dataclass(frozen=True)
class ToyConfig:
    """Options of the toy models."""

    width: int = 8
    blow_up_at: int = -1
    die_at_epoch: int = -1
    fault: str = ""
    selects_from: int = 0
    taps: tuple[int, ...] = (1, 2)


class Toy(ModelPlugin):
    """Mean pooling, a hidden layer with dropout, a sigmoid a label."""

    Config = ToyConfig

    def __init__(self, config: ToyConfig, task: object) -> None:
        super().__init__(config, task)
        self.selects_from = config.selects_from
        self.stumble("build")
        width = sum(m.dim for m in self.task.modalities)
        self.net = nn.Sequential(
            nn.Linear(width, config.width),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(config.width, self.task.num_labels),
        )
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def stumble(self, where: str) -> None:
        if self.config.fault == where:
            raise ZeroDivisionError(f"made to fail in {where}")

    def logits(self, batch: Batch) -> Tensor:
        pooled = [batch.features[m.name].mean(dim=1) for m in self.task.modalities]
        return self.net(torch.cat(pooled, dim=1))

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        self.stumble("training_step")
        self.steps += 1
        noise = 0.01 * torch.randn(len(batch), 1, generator=ctx.generator)
        loss = nn.functional.binary_cross_entropy_with_logits(
            self.logits(batch) + noise, batch.targets
        )
        if ctx.step == self.config.blow_up_at:
            loss = loss * float("nan")
        return StepOutput(loss, {"bce": loss, "noise": noise.mean()})

    def on_epoch_start(self, ctx: StepContext) -> None:
        if ctx.epoch == self.config.die_at_epoch and os.environ.get("TOY_DIES"):
            os.kill(os.getpid(), 9)

    def predict_step(self, batch: Batch) -> Tensor:
        assert batch.labels is None
        self.stumble("predict_step")
        if self.config.fault == "range":
            return self.logits(batch).sigmoid() + 5.0
        logits = self.logits(batch)
        single = self.task.label_kind == "singlelabel"
        return logits.softmax(dim=1) if single else logits.sigmoid()


class ManualToy(Toy):
    """The same steps, taken by the model itself."""

    automatic_optimization = False

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        with ctx.autocast():
            output = super().training_step(batch, ctx)
        ctx.zero_grad()
        ctx.backward(output.loss)
        ctx.step_optimizer()
        return StepOutput(output.loss.detach(), {k: v.detach() for k, v in output.terms.items()})


class Prior(ModelPlugin):
    """Label frequencies, in a buffer that is empty until ``fit``."""

    Config = ToyConfig
    iterative = False

    def __init__(self, config: ToyConfig, task: object) -> None:
        super().__init__(config, task)
        self.register_buffer("prior", None)
        self.register_buffer("seen", torch.zeros(0))
        self.register_buffer("missing", torch.zeros(2, dtype=torch.int64))

    def setup_fit(self, data: FitData) -> None:
        self.missing[0] = sum(int((~b.present).sum()) for b in data.batches(32))

    def fit(self, data: FitData, ctx: StepContext) -> None:
        if self.config.fault == "fit":
            raise ZeroDivisionError("made to fail in fit")
        self.prior = data.labels.mean(dim=0)
        self.seen = torch.tensor([float(len(b)) for b in data.batches(32)])
        self.missing[1] = sum(int((~b.present).sum()) for b in data.batches(32))

    def predict_step(self, batch: Batch) -> Tensor:
        return self.prior.expand(len(batch), -1)

    def describe(self) -> dict[str, object]:
        return {"seen": self.seen.tolist(), "missing": self.missing.tolist()}


MODALITIES = (ModalitySpec("text", "t", 3, 4), ModalitySpec("audio", "a", 2, 4))


@hookimpl
def harness_datasets() -> list[DatasetSpec]:
    def spec(name: str, **options: object) -> DatasetSpec:
        options |= {"redistribute": True}
        return DatasetSpec(
            name, "toy_plugin:ToyCorpus", MODALITIES, ("a", "b", "c", "d"), **options
        )

    return [
        spec("toy"),
        spec("toy-single", label_kind="singlelabel", selection_metric="macro_f1"),
        spec("toy-two-splits", splits=("train", "test")),
        DatasetSpec(
            "toy-unknown", "toy_plugin:UnknownCeiling", MODALITIES, ("a", "b", "c", "d"),
            has_twin=True,
        ),
    ]  # fmt: skip


@hookimpl
def harness_models() -> list[ModelSpec]:
    return [
        ModelSpec("toy", "toy_plugin:Toy", "toy", ""),
        ModelSpec("toy-manual", "toy_plugin:ManualToy", "manual toy", ""),
        ModelSpec("toy-prior", "toy_plugin:Prior", "prior", "", role="trivial"),
        *(
            ModelSpec(f"toy-{name}", "toy_plugin:Toy", "compat", "", compat=compat)
            for name, compat in COMPAT.items()
        ),
        ModelSpec("toy-grid", "toy_plugin:Toy", "for grids", "", layouts=("grid",)),
    ]
