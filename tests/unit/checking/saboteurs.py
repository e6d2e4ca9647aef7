"""Models that each break one check of `harness check`, and one that keeps the contract."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

import harness
from harness.nn.pooling import masked_mean
from harness.nn.task_loss import task_loss, task_scores
from harness.specs import ExpectedFailure

CALLS = itertools.count()


@dataclass(frozen=True)
class Config:
    """One option."""

    dropout: float = 0.0


class Good(harness.ModelPlugin):
    """A linear model over means."""

    Config = Config

    def __init__(self, config: Any, task: harness.TaskInfo) -> None:
        super().__init__(config, task)
        self.net = nn.Linear(sum(m.dim for m in task.modalities), task.num_labels)

    def logits(self, batch: harness.Batch) -> torch.Tensor:
        return self.net(
            torch.cat([masked_mean(batch.features[m], x) for m, x in batch.mask.items()], 1)
        )

    def training_step(self, batch: harness.Batch, ctx: harness.StepContext) -> harness.StepOutput:
        loss = task_loss(self.logits(batch), batch.targets, self.task.label_kind)
        return harness.StepOutput(loss, {})

    def predict_step(self, batch: harness.Batch) -> torch.Tensor:
        return task_scores(self.logits(batch), self.task.label_kind)


class Outputs(Good):
    def predict_step(self, batch):
        loud = torch.stack([x.abs().amax() for x in batch.features.values()]).amax() > 30
        return super().predict_step(batch) + loud


class BatchSizes(Good):
    def predict_step(self, batch):
        scores = super().predict_step(batch)
        return scores * (0.5 if len(batch) in (1, 3) else 1.0)


class Padding(Good):
    def logits(self, batch):
        return self.net(torch.cat([x.mean(1) for x in batch.features.values()], 1))


class PurePrediction(Good):
    def __init__(self, config, task):
        super().__init__(config, task)
        self.register_buffer("calls", torch.zeros(()))

    def predict_step(self, batch):
        self.calls += 1
        return super().predict_step(batch)


class MissingModalities(Good):
    def predict_step(self, batch):
        scores = super().predict_step(batch)
        gone = ~batch.present.any(0).all()
        return scores / torch.where(gone, 0.0, 1.0)


class LabelKind(Good):
    def predict_step(self, batch):
        return self.logits(batch).sigmoid()


class Parameters(Good):
    def __init__(self, config, task):
        super().__init__(config, task)
        self.unused = nn.Linear(2, 2)


class Warnings(Good):
    def training_step(self, batch, ctx):
        torch.manual_seed(3)
        return super().training_step(batch, ctx)


class LossFalls(Good):
    def training_step(self, batch, ctx):
        output = super().training_step(batch, ctx)
        return harness.StepOutput(2 * output.loss.detach() - output.loss + ctx.epoch, {})


class BeatsPrior(Good):
    def predict_step(self, batch):
        scores = super().predict_step(batch)
        return (1 - scores) / (self.task.num_labels - 1)


class Access(Good):
    def training_step(self, batch, ctx):
        Path(__file__).read_text("utf-8")
        return super().training_step(batch, ctx)


class Growth(Good):
    def __init__(self, config, task):
        super().__init__(config, task)
        self.kept = []

    def training_step(self, batch, ctx):
        output = super().training_step(batch, ctx)
        self.kept.append(output.loss)
        return output


class DataSets(Good):
    def __init__(self, config, task):
        super().__init__(config, task)
        if len(task.labels) == 9:
            raise KeyError("neutral")


class Time(Good):
    def training_step(self, batch, ctx):
        started = time.process_time()
        while time.process_time() < started + 2.5:
            pass
        return super().training_step(batch, ctx)


class Seeds(Good):
    def __init__(self, config, task):
        super().__init__(config, task)
        with torch.no_grad():
            self.net.bias.fill_(0.01 * next(CALLS))


class Resumption(Good):
    carried = 0.0

    def training_step(self, batch, ctx):
        self.carried += 0.1
        output = super().training_step(batch, ctx)
        return harness.StepOutput(output.loss * (1 + self.carried), {})


class Checkpoint(Good):
    offset = 0.0

    def on_epoch_start(self, ctx):
        self.offset = 1.0

    def logits(self, batch):
        return super().logits(batch) + self.offset


class SharedEncodings(Good):
    shares_encodings = True

    def encode(self, batch):
        return {m: (masked_mean(batch.features[m], x),) for m, x in batch.mask.items()}

    def fuse(self, encoded, batch):
        logits = self.net(torch.cat([e[0] for e in encoded.values()], 1))
        return task_scores(2 * logits, self.task.label_kind)


class Facts(Good):
    def describe(self):
        return {"odd": object()}


class Precision(Good):
    def predict_step(self, batch):
        scores = super().predict_step(batch)
        if torch.is_autocast_enabled("cpu"):
            return (
                (scores + 1) / (scores + 1).sum(-1, keepdim=True)
                if scores.shape[1] > 9
                else scores.flip(1)
            )
        return scores


@dataclass(frozen=True)
class OddConfig:
    """Not what its own JSON form makes of it."""

    sizes: dict[str, int] = field(default_factory=dict)


BROKEN = {
    c.__name__: "".join("-" + x.lower() if x.isupper() else x for x in c.__name__).lstrip("-")
    for c in (
        BatchSizes, Padding, PurePrediction, MissingModalities, LabelKind, Parameters, Warnings,
        LossFalls, Seeds, Resumption, Checkpoint, SharedEncodings, Facts, Precision, Outputs,
        BeatsPrior, Access, Growth, DataSets, Time,
    )
}  # fmt: skip


@harness.hookimpl
def harness_models():
    own = [harness.ModelSpec("good", "saboteurs:Good", "keeps the contract", "")]
    excuse = (ExpectedFailure("label-kind", "scores are made so on purpose"),)
    own.append(
        harness.ModelSpec(
            "excused", "saboteurs:LabelKind", "excused", "", expected_failed_checks=excuse
        )
    )
    stale = (ExpectedFailure("facts", "long mended"),)
    own.append(
        harness.ModelSpec("stale", "saboteurs:Good", "stale", "", expected_failed_checks=stale)
    )
    own.append(harness.ModelSpec("card", "saboteurs:Good", " ", ""))
    return own + [
        harness.ModelSpec(check, f"saboteurs:{name}", "breaks one check", "")
        for name, check in BROKEN.items()
    ]
