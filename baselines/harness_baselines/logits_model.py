"""Models that are trained and scored by their label logits alone."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from harness.data.batch import Batch
from harness.model import ModelPlugin, StepContext, StepOutput
from harness.nn.task_loss import task_loss, task_scores


class LogitsModel(ModelPlugin):
    """Trained by the mean cross entropy of its logits: one softmax over single labels, else one
    sigmoid each.
    """

    @abstractmethod
    def logits(self, batch: Batch) -> Tensor:
        """Return label logits [B, L]."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of logits under labels, both [B, L]."""
        return task_loss(logits, labels, self.task.label_kind)

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        """Return the loss of a labelled batch."""
        loss = self.loss(self.logits(batch), batch.targets)
        return StepOutput(loss, {"cls": loss})

    def predict_step(self, batch: Batch) -> Tensor:
        """Return scores [B, L]."""
        return task_scores(self.logits(batch), self.task.label_kind)
