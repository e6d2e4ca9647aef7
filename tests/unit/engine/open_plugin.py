"""A plugin file: a model whose mechanisms are known, on the toy data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.hookspecs import hookimpl
from harness.model import Diagnostics, ModelPlugin, StepContext, StepOutput
from harness.specs import ModelSpec


@dataclass(frozen=True)
class OpenConfig:
    """``fault``: how the contract is broken."""

    fault: str = ""


class Open(ModelPlugin):
    """Two terms with known gradients on ``shared``, and one that does not reach it."""

    Config = OpenConfig
    shared_parameters = ("shared.*",)

    def __init__(self, config: OpenConfig, task: object) -> None:
        super().__init__(config, task)
        self.shared = nn.Linear(1, 2, bias=False)
        self.head = nn.Linear(3, self.task.num_labels)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def logits(self, batch: Batch) -> Tensor:
        return self.head(batch.features["text"].mean(1))

    def terms(self, batch: Batch, ctx: StepContext) -> dict[str, Tensor]:
        # Random numbers and state: both must be as the training step finds them.
        self.steps += 1
        first, second = self.shared.weight[:, 0].unbind()
        noise = torch.randn((), generator=ctx.generator) + torch.rand(()) + self.steps
        bce = nn.functional.binary_cross_entropy_with_logits(self.logits(batch), batch.targets)
        return {"three": 3 * first + noise, "four": -4 * second, "apart": bce}

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        terms = self.terms(batch, ctx)
        return StepOutput(torch.stack([*terms.values()]).sum(), dict(terms))

    def loss_terms(self, batch: Batch, ctx: StepContext) -> dict[str, Tensor]:
        terms = self.terms(batch, ctx)
        if self.config.fault == "terms":
            del terms["apart"]
        return terms

    def predict_step(self, batch: Batch) -> Tensor:
        return self.logits(batch).sigmoid()

    def diagnostics(self, batch: Batch) -> Any:
        assert batch.labels is None and not self.training
        text, audio = batch.features["text"].mean(1)[:, :2], batch.features["audio"].mean(1)
        x = torch.stack([text, audio], 1)[:, :, None].expand(-1, -1, 3, -1) + 1.0
        told = x + torch.tensor([9.0, 0.0])[:, None, None]
        if self.config.fault == "shape":
            return Diagnostics(batch.present, {"told": told[:, :1]})
        levels = {"exact": (x, x), "half": (0.5 * x, x)}
        return Diagnostics(batch.present, {"told": told, "hidden": x * 0.0 + x[:, :1]}, levels)


class Half(Open):
    """Lays its vectors open, not its losses."""

    loss_terms = ModelPlugin.loss_terms


@hookimpl
def harness_models() -> list[ModelSpec]:
    return [
        ModelSpec("open", "open_plugin:Open", "open", ""),
        ModelSpec("half-open", "open_plugin:Half", "half open", ""),
    ]
