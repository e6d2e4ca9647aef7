"""Late fusion. B samples, T positions, H hidden, L labels."""

from dataclasses import dataclass

import torch
from harness import Batch, FitData, ModelPlugin, StepContext, StepOutput, TaskInfo
from harness.nn.pooling import masked_mean
from harness.nn.standardize import FrameStandardizer
from harness.nn.task_loss import task_loss, task_scores
from harness.nn.transformer import PreNormEncoder
from harness.specs import bounded
from torch import Tensor, nn


@dataclass(frozen=True)
class WearableFusionConfig:
    """Every hyper-parameter; ``hidden`` is H."""

    hidden: int = bounded(64, least=1)
    layers: int = bounded(2, least=1)
    heads: int = bounded(4, least=1, divides="hidden")
    dropout: float = bounded(0.2, least=0, below=1)


class WearableFusion(ModelPlugin):
    """A transformer and a classifier a modality; the logits of those present are averaged."""

    Config = WearableFusionConfig

    def __init__(self, config: WearableFusionConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        h, sizes = config.hidden, {"layers": config.layers, "heads": config.heads}
        self.scale = FrameStandardizer(task.modalities)
        self.encoders, self.heads = nn.ModuleList(), nn.ModuleList()
        for m in task.modalities:
            self.encoders.append(PreNormEncoder(m.dim, h, **sizes, inner=h, dropout=config.dropout))
            self.heads.append(nn.Linear(h, task.num_labels))

    def setup_fit(self, data: FitData) -> None:
        """Take the mean and deviation of each feature from the training split."""
        self.scale.fit(data.batches(256))

    def logits(self, batch: Batch) -> Tensor:
        """Return [B, L]."""
        total = torch.zeros(len(batch), self.task.num_labels, device=batch.device)
        for i, (m, mask) in enumerate(batch.mask.items()):  # bool [B, T]
            x = self.scale(m, batch.features[m], mask)  # [B, T, d]
            pooled = masked_mean(self.encoders[i](x, mask[:, None, None]), mask)  # [B, H]
            total = total + batch.present[:, i, None] * self.heads[i](pooled)
        return total / batch.present.sum(1, keepdim=True).clamp(min=1)

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        """Return the loss of a labelled batch."""
        return StepOutput(task_loss(self.logits(batch), batch.targets, self.task.label_kind))

    def predict_step(self, batch: Batch) -> Tensor:
        """Return scores [B, L] in [0, 1]."""
        return task_scores(self.logits(batch), self.task.label_kind)
