"""MoMKE (Xu et al., ACM MM 2024): a mixture of modality knowledge experts for missing modalities.

Stage 1 trains one transformer expert a modality, on its own modality. Stage 2 sends every available
modality through all experts; a router a modality mixes what they return, and a joint head reads the
mixtures. Nothing is generated: what is missing is a zero vector. Equal to the authors' code to 1e-5
(``tests/parity/test_momke.py``), whose training and testing on one pattern a run stays away: here
one model meets all patterns that the dropout protocol gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.model import Encoded, FitData, ModelPlugin, StepContext, StepOutput
from harness.nn.attention import attend
from harness.nn.dropout import Dropout
from harness.nn.encoder import key_bias
from harness.nn.pooling import cleared, masked_mean
from harness.nn.stacked_linear import StackedLinear
from harness.nn.stages import second_stage
from harness.nn.standardize import FrameStandardizer
from harness.nn.task_loss import task_scores
from harness.specs import TaskInfo, bounded

JOINT = 2
"""Value of the buffer ``stage`` from the second stage on."""


@dataclass(frozen=True)
class MomkeConfig:
    """Hyper-parameters; defaults are those of the authors' scripts.

    Attributes:
        layers: of each expert.
        stage_share: share of all steps before which an epoch must start to train experts alone.
        readout: ``position`` joins modalities at each position and averages; ``pooled`` averages
            each modality first; ``auto``: by position where modalities are aligned.
        standardize: features in units of the training split's deviations; not published, but the
            experts have no norm, and the authors' features are of moderate size.
    """

    hidden_size: int = bounded(256, least=1)
    heads: int = bounded(2, least=1, divides="hidden_size")
    layers: int = bounded(4, least=1)
    dropout: float = bounded(0.5, least=0, most=1)
    stage_share: float = bounded(0.5, least=0, most=1)
    readout: Literal["auto", "position", "pooled"] = "auto"
    standardize: bool = True


class ExpertLayer(nn.Module):
    """One layer of all M experts: attention without output projection, feed-forward, one residual.

    No norm and no positions: an expert does not see the order of what it reads.

    Args:
        experts: M.
        hidden: H.
        heads: they divide H.
        dropout: rate in the feed-forward block.
    """

    def __init__(self, experts: int, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (
            StackedLinear(experts, hidden, hidden) for _ in range(3)
        )
        self.expand, self.contract = (StackedLinear(experts, hidden, hidden) for _ in range(2))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, keys: Tensor, which: slice) -> Tensor:
        """Return [K, B, T, H] of x [K, B, T, H].

        Args:
            x: what experts ``which`` read.
            keys: bool [B, T], positions that are attended to; without any the attention gives 0.
            which: K of the experts.
        """
        count, size, length, hidden = x.shape
        flat = x.view(count, -1, hidden)

        def split(linear: StackedLinear) -> Tensor:
            shape = (count * size, length, self.heads, hidden // self.heads)
            return linear(flat, which).view(shape).transpose(1, 2)

        none = ~keys.any(1)
        bias = key_bias(keys | none[:, None], x.dtype).repeat(count, 1, 1, 1)
        read = attend(split(self.query), split(self.key), split(self.value), bias)
        read = read.transpose(1, 2).reshape(count, size, length, hidden)
        read = read.masked_fill(none[:, None, None], 0.0).view(count, -1, hidden)
        inner = self.dropout(F.gelu(self.expand(read, which)))
        return x + (read + self.dropout(self.contract(inner, which))).view_as(x)


class Experts(nn.Module):
    """The M experts, their layers stacked."""

    def __init__(self, experts: int, config: MomkeConfig) -> None:
        super().__init__()
        self.count = experts
        self.layers = nn.ModuleList(
            ExpertLayer(experts, config.hidden_size, config.heads, config.dropout)
            for _ in range(config.layers)
        )

    def forward(self, x: Tensor, keys: Tensor, which: slice = slice(None)) -> Tensor:
        """Return what experts ``which`` make of one modality, [K, B, T, H] of x [B, T, H].

        Args:
            x: [B, T, H].
            keys: bool [B, T].
            which: K of the experts.
        """
        count = len(range(self.count)[which])
        states = x.expand(count, *x.shape).contiguous()
        for layer in self.layers:
            states = layer(states, keys, which)
        return states


class Stream(nn.Module):
    """What belongs to one modality beside its expert: input map, router and unimodal head."""

    def __init__(self, config: MomkeConfig, task: TaskInfo, index: int) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.name, self.index = task.modalities[index].name, index
        self.input = nn.Linear(task.modalities[index].dim, hidden)
        self.dropout = Dropout(config.dropout)
        self.router = nn.Sequential(
            nn.Linear(hidden, hidden),
            nn.GELU(),
            Dropout(config.dropout),
            nn.Linear(hidden, len(task.modalities)),
            Dropout(config.dropout),
        )
        self.head = nn.Linear(hidden, task.num_labels)

    def embed(self, frames: Tensor) -> Tensor:
        """Return u [B, T, H] of frames [B, T, d]."""
        embedded: Tensor = self.dropout(self.input(frames))
        return embedded

    def route(self, embedded: Tensor) -> Tensor:
        """Return the weights of the experts, [B, T, M], of u [B, T, H]."""
        return self.router(embedded).softmax(-1)


class Momke(ModelPlugin):
    """MoMKE for any number of modalities from two; one label vector a sample."""

    Config: ClassVar[type] = MomkeConfig
    needs_nonempty_mask: ClassVar[bool] = False
    shares_encodings = True
    config: MomkeConfig
    stage: Tensor

    def __init__(self, config: MomkeConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        slots, joint = len(task.modalities), len(task.modalities) * config.hidden_size
        self.by_position = config.readout == "position" or (
            config.readout == "auto" and task.aligned
        )
        self.standardizer = FrameStandardizer(task.modalities) if config.standardize else None
        self.streams: Sequence[Stream] = nn.ModuleList(  # type: ignore[assignment]
            Stream(config, task, i) for i in range(slots)
        )
        self.experts = Experts(slots, config)
        self.mix = nn.Linear(joint, joint)
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(joint, task.num_labels)
        self.register_buffer("stage", torch.tensor(1))

    def setup_fit(self, data: FitData) -> None:
        """Take the statistics of the training split's features."""
        if self.standardizer is not None:
            self.standardizer.fit(data.batches(256))

    def on_epoch_start(self, ctx: StepContext) -> None:
        """Start the second stage with the first epoch that starts at or behind ``stage_share``."""
        joint, self.selects_from = second_stage(
            ctx.epoch, ctx.step, ctx.total_steps, self.config.stage_share
        )
        self.stage.fill_(JOINT if joint else 1)

    def kept(self, batch: Batch, stream: Stream) -> Tensor:
        """Return the positions of a modality that count, bool [B, T]."""
        return batch.mask[stream.name] & batch.present[:, stream.index, None]

    def embed(self, batch: Batch, stream: Stream) -> tuple[Tensor, Tensor]:
        """Return u [B, T, H] of a modality, and the positions that count, bool [B, T]."""
        kept, frames = self.kept(batch, stream), batch.features[stream.name]
        if self.standardizer is not None:
            frames = self.standardizer(stream.name, frames, kept)
        return stream.embed(frames), kept

    def alone(self, batch: Batch, stream: Stream) -> tuple[Tensor, Tensor]:
        """Return y = expert(u) [B, T, H] of a modality through its own expert, and what counts."""
        embedded, kept = self.embed(batch, stream)
        own = slice(stream.index, stream.index + 1)
        return self.experts(embedded, kept, own)[0], kept

    def mixed(self, batch: Batch, stream: Stream) -> tuple[Tensor, Tensor]:
        """Return z [B, T, H], the routed mixture of all experts, 0 where nothing counts."""
        embedded, kept = self.embed(batch, stream)
        views = self.experts(embedded, kept)
        return cleared(torch.einsum("btm,mbth->bth", stream.route(embedded), views), kept), kept

    def joint(self, mixtures: Sequence[Tensor]) -> Tensor:
        """Return h [..., M H] of the modalities' z, each [..., H]."""
        z = torch.cat([*mixtures], dim=-1)
        return z + self.dropout(self.mix(z).relu())

    def encode(self, batch: Batch) -> Encoded:
        """Return z [B, T, H] and what counts, bool [B, T], of each modality; in stage 1 its logits.

        Stage 1: logits [B, L] of each modality, and whether it is there, bool [B, 1].
        """
        if self.stage == JOINT:
            return {s.name: self.mixed(batch, s) for s in self.streams}
        found = {}
        for stream in self.streams:
            y, kept = self.alone(batch, stream)
            found[stream.name] = (stream.head(masked_mean(y, kept)), kept.any(1, keepdim=True))
        return found

    def fuse(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return scores [B, L]; in stage 1 the mean over the modalities that are there."""
        if self.stage == JOINT:
            return task_scores(self.joint_logits(encoded), self.task.label_kind)
        logits, there = (torch.stack(parts, 1) for parts in zip(*encoded.values(), strict=True))
        weight = (there | ~there.any(1, keepdim=True)).float()
        scores = task_scores(logits, self.task.label_kind)
        return (weight * scores).sum(1) / weight.sum(1)

    def joint_logits(self, encoded: Encoded) -> Tensor:
        """Return the joint head's logits [B, L] of the modalities' z and what counts of them."""
        mixtures, kept = zip(*encoded.values(), strict=True)
        if not self.by_position:
            pooled = [masked_mean(z, own) for z, own in zip(mixtures, kept, strict=True)]
            return self.head(self.joint(pooled))
        length = max(own.shape[1] for own in kept)
        h = self.joint([F.pad(z, (0, 0, 0, length - z.shape[1])) for z in mixtures])
        padded = [F.pad(own, (0, length - own.shape[1])) for own in kept]
        counts = torch.stack(padded).any(0)
        # Without anything a position gives what follows from z = 0: a constant.
        counts = counts | ~counts.any(1, keepdim=True)
        return self.head(masked_mean(h, counts))

    def classify(self, logits: Tensor, labels: Tensor, there: Tensor | None = None) -> Tensor:
        """Return the mean loss of logits [B, L] over the samples that are there.

        Args:
            logits: [B, L].
            labels: [B, L].
            there: bool [B]; None: all. Without any the loss is 0.
        """
        if self.task.label_kind == "singlelabel":
            loss = F.cross_entropy(logits, labels, reduction="none")
        else:
            loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(1)
        if there is None:
            return loss.mean()
        return torch.where(there, loss, 0.0).sum() / there.sum().clamp(min=1)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the stage: one a modality, or the joint one."""
        encoded, labels = self.encode(batch), batch.targets
        if self.stage == JOINT:
            return {"joint": self.classify(self.joint_logits(encoded), labels)}
        return {
            name: self.classify(logits, labels, there[:, 0])
            for name, (logits, there) in encoded.items()
        }

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        """Return the sum of the stage's terms, and the terms."""
        terms = self.losses(batch)
        loss = torch.stack([*terms.values()]).sum()
        return StepOutput(loss, {k: v.detach() for k, v in terms.items()})
