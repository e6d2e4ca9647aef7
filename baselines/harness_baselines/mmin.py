"""MMIN (Zhao, Li, Jin, ACL 2021): the missing modality imagination network.

Stage one trains a plain classifier of all modalities. Stage two freezes a copy of its encoders as a
teacher and hides modalities: a cascade of residual autoencoders imagines, from the embeddings of
what is left, the teacher's embeddings of what was hidden; a second cascade goes back; the
classifier reads the bottlenecks of the first. Equal to the authors' code to 1e-5
(``tests/parity/test_mmin.py``). The model hides modalities itself, for imagination needs the
content of what is hidden, and a batch never shows what the protocol dropped.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.errors import ConfigError
from harness.model import Encoded, FitData, ModelPlugin, StepContext, StepOutput
from harness.nn.dropout import Dropout
from harness.nn.hiding import draw_kept
from harness.nn.stages import second_stage
from harness.nn.standardize import FrameStandardizer
from harness.nn.task_loss import task_loss, task_scores
from harness.specs import ModalitySpec, TaskInfo, TrainingConfig, bounded

KERNELS = (3, 4, 5)
IMAGINES = 2
"""Value of the buffer ``stage`` from the second stage on."""


@dataclass(frozen=True)
class MminConfig:
    """Hyper-parameters; defaults are the authors' for IEMOCAP.

    Attributes:
        embedding: E, of each modality.
        channels: of the text encoder, per kernel size.
        encoders: ``lstm``, ``textcnn`` or ``mlp`` per modality key; others get ``mlp`` where a
            sample has one position, ``textcnn`` under the key ``t``, else ``lstm``. ``mlp`` reads
            the first position.
        cascade: widths of a block's encoder; its decoder has them in reverse.
        blocks: of a cascade.
        classifier: hidden widths.
        text_dropout: in the text encoder. pretrain_dropout: of stage one's classifier.
        share_weight: one cascade for both ways.
        keep_all: share of the samples from which nothing is hidden.
        pretrain_share: share of all steps before which an epoch must start to be of stage one.
        betas: Adam's first beta in each stage. clips: norm to which each network's gradient is
            clipped by itself in each stage.
        mse, cycle: weights of the imagination losses.
    """

    embedding: int = bounded(128, least=1)
    channels: int = bounded(128, least=1)
    encoders: dict[str, str] = field(default_factory=dict)
    cascade: list[int] = field(default_factory=lambda: [256, 128, 64])
    blocks: int = bounded(5, least=1)
    classifier: list[int] = field(default_factory=lambda: [128, 128])
    dropout: float = bounded(0.5, least=0, most=1)
    text_dropout: float = bounded(0.5, least=0, most=1)
    pretrain_dropout: float = bounded(0.3, least=0, most=1)
    share_weight: bool = False
    keep_all: float = bounded(0.0, least=0, most=1)
    pretrain_share: float = bounded(0.25, least=0, most=1)
    betas: list[float] = field(default_factory=lambda: [0.9, 0.5])
    clips: list[float] = field(default_factory=lambda: [0.5, 1.0])
    mse: float = bounded(4.0, least=0)
    cycle: float = bounded(2.0, least=0)


class LstmEncoder(nn.Module):
    """One LSTM layer; of each unit the largest state over valid steps."""

    def __init__(self, dim: int, config: MminConfig) -> None:
        super().__init__()
        self.rnn = nn.LSTM(dim, config.embedding, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return [B, E] of x [B, T, d] with at least one valid step, mask bool [B, T]."""
        states, _ = self.rnn(x)
        return states.masked_fill(~mask[..., None], -torch.inf).amax(1)


class TextEncoder(nn.Module):
    """Three convolutions over time, the maximum over windows, one layer (TextCNN).

    Short sequences get zero rows up to the largest kernel; other windows count only inside the
    sequence.
    """

    def __init__(self, dim: int, config: MminConfig) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv1d(dim, config.channels, k) for k in KERNELS)
        self.dropout = Dropout(config.text_dropout)
        self.output = nn.Linear(len(KERNELS) * config.channels, config.embedding)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return [B, E] of x [B, T, d], mask bool [B, T]."""
        steps = torch.arange(1, mask.shape[1] + 1, device=x.device)
        length = (mask * steps).amax(1).clamp(min=max(KERNELS))
        rows = F.pad(x.transpose(1, 2), (0, max(0, max(KERNELS) - x.shape[1])))
        found = []
        for size, convolution in zip(KERNELS, self.convolutions, strict=True):
            windows = convolution(rows).relu()
            start = torch.arange(windows.shape[2], device=x.device)
            outside = start + size > length[:, None]
            found.append(windows.masked_fill(outside[:, None], 0.0).amax(2))
        return self.output(self.dropout(torch.cat(found, dim=1))).relu()


class RowEncoder(nn.Module):
    """The first position through an MLP, for modalities of one position (the port in GCNet)."""

    def __init__(self, dim: int, config: MminConfig) -> None:
        super().__init__()
        width = config.embedding
        self.layers = nn.Sequential(
            *(nn.Linear(dim, width), nn.ReLU(), Dropout(config.text_dropout)),
            *(nn.Linear(width, width), nn.ReLU(), Dropout(config.text_dropout)),
            nn.Linear(width, width),
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return [B, E] of x [B, T, d]; ``mask`` is not read."""
        return self.layers(x[:, 0])


ENCODERS = {"lstm": LstmEncoder, "textcnn": TextEncoder, "mlp": RowEncoder}


def encoder_of(modality: ModalitySpec, config: MminConfig) -> nn.Module:
    """Return the encoder of a modality.

    Raises:
        ConfigError: the configuration names another kind.
    """
    usual = "mlp" if modality.max_length == 1 else "textcnn" if modality.key == "t" else "lstm"
    kind = config.encoders.get(modality.key, usual)
    if kind not in ENCODERS:
        known = ", ".join(ENCODERS)
        raise ConfigError(f"model.encoders.{modality.key}: {kind!r} is none of {known}.")
    return ENCODERS[kind](modality.dim, config)


def layered(sizes: Sequence[int], activation: nn.Module, dropout: float | None = None) -> nn.Module:
    """Return Linear layers of these sizes, with an activation (and dropout) between them."""
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes[:-1]):
        layers += [nn.Linear(a, b), activation]
        if dropout is not None:
            layers.append(Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


class Cascade(nn.Module):
    """Residual autoencoders one after the other, and a transition: f -> f' and all bottlenecks."""

    def __init__(self, size: int, config: MminConfig) -> None:
        super().__init__()
        widths = [size, *config.cascade]
        self.encoder_list = nn.ModuleList(
            layered(widths, nn.LeakyReLU()) for _ in range(config.blocks)
        )
        self.decoder_list = nn.ModuleList(
            layered(widths[::-1], nn.ReLU()) for _ in range(config.blocks)
        )
        self.transition = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size))

    def forward(self, f: Tensor) -> tuple[Tensor, Tensor]:
        """Return f' [B, M E] and the bottlenecks [B, blocks x narrowest] of f [B, M E]."""
        latent = []
        for encoder, decoder in zip(self.encoder_list, self.decoder_list, strict=True):
            latent.append(encoder(f))
            f = f + decoder(latent[-1])
        return self.transition(f), torch.cat(latent, dim=-1)


class Mmin(ModelPlugin):
    """MMIN for any number of modalities from two, under any names, sequences or single vectors."""

    Config: ClassVar[type] = MminConfig
    automatic_optimization: ClassVar[bool] = False
    shares_encodings = True
    config: MminConfig
    stage: Tensor

    def __init__(self, config: MminConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        size, labels = config.embedding * len(task.modalities), task.num_labels
        self.standardizer = FrameStandardizer(task.modalities)
        self.encoder_list = nn.ModuleList(encoder_of(m, config) for m in task.modalities)
        self.pretrained = layered(
            [size, *config.classifier, labels], nn.ReLU(), config.pretrain_dropout
        )
        self.forth = Cascade(size, config)
        self.back = self.forth if config.share_weight else Cascade(size, config)
        narrow = config.blocks * config.cascade[-1]
        self.classifier = layered([narrow, *config.classifier, labels], nn.ReLU(), config.dropout)
        for part in self.modules():
            if isinstance(part, nn.Linear | nn.Conv1d):
                nn.init.kaiming_normal_(part.weight)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
        self.teacher = copy.deepcopy(self.encoder_list).requires_grad_(False)
        self.register_buffer("stage", torch.tensor(1))

    def train(self, mode: bool = True) -> Mmin:
        """Set training mode; the teacher stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def setup_fit(self, data: FitData) -> None:
        """Take the statistics of the training split's features."""
        self.standardizer.fit(data.batches(256))

    def networks(self, stage: int) -> list[nn.Module]:
        """Return the networks that a stage trains; each is clipped by itself."""
        encoders = [*self.encoder_list]
        if stage != IMAGINES:
            return [*encoders, self.pretrained]
        own = [] if self.config.share_weight else [self.back]
        return [*encoders, self.classifier, self.forth, *own]

    def configure_optimizers(
        self, training: TrainingConfig, total_steps: int
    ) -> Sequence[torch.optim.Optimizer]:
        """Return an Adam a stage: the second starts with moments of its own."""
        return [
            torch.optim.Adam(
                [p for network in self.networks(stage) for p in network.parameters()],
                lr=training.lr,
                betas=(beta, 0.999),
            )
            for stage, beta in zip((1, IMAGINES), self.config.betas, strict=True)
        ]

    def on_epoch_start(self, ctx: StepContext) -> None:
        """Start the second stage when its first epoch starts: the encoders become the teacher."""
        begun, self.selects_from = second_stage(
            ctx.epoch, ctx.step, ctx.total_steps, self.config.pretrain_share
        )
        if begun and self.stage != IMAGINES:
            self.teacher.load_state_dict(self.encoder_list.state_dict())
            self.stage.fill_(IMAGINES)

    def on_step_start(self, ctx: StepContext) -> None:
        """Set the rate: constant in the first half of a stage, then falling to 0 in line."""
        share = self.config.pretrain_share
        start, end = (share, 1.0) if self.stage == IMAGINES else (0.0, share)
        done = (ctx.step / ctx.total_steps - start) / max(end - start, 1e-9)
        for optimizer in ctx.optimizers:
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])
                group["lr"] = group["initial_lr"] * max(0.0, min(1.0, 2.0 * (1.0 - done)))

    def inputs(self, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield standardised frames [B, T, d] and mask bool [B, T] of each modality."""
        for k, m in enumerate(self.task.modalities):
            mask = batch.mask[m.name]
            content = mask & batch.present[:, k, None]
            yield self.standardizer(m.name, batch.features[m.name], content), mask

    def nulls(self, encoders: nn.ModuleList) -> Tensor:
        """Return what encoders make of a modality that is not there, [M, E]: one step of zeros."""
        like = self.stage
        steps = [torch.zeros(1, 1, m.dim, device=like.device) for m in self.task.modalities]
        there = torch.ones(1, 1, dtype=torch.bool, device=like.device)
        return torch.cat([e(x, there) for e, x in zip(encoders, steps, strict=True)])

    @staticmethod
    def embed(encoders: nn.ModuleList, inputs: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Return the embeddings [B, M, E] of all modalities."""
        return torch.stack([e(*x) for e, x in zip(encoders, inputs, strict=True)], dim=1)

    def imagination(
        self, f: Tensor, target: Tensor, known: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Return the unweighted losses of stage two.

        Args:
            f: embeddings of what is left, [B, M, E].
            target: what is to be imagined, [B, M, E].
            known: bool [B, M]; elsewhere there is no target.
            labels: [B, L].
        """
        joined = f.flatten(1)
        imagined, latent = self.forth(joined)
        back, _ = self.back(imagined)
        apart = (imagined.view_as(target) - target).square().mean(2)
        return {
            "cls": task_loss(self.classifier(latent), labels, self.task.label_kind),
            "mse": torch.where(known, apart, 0.0).sum() / known.sum().clamp(min=1),
            "cycle": F.mse_loss(back, joined.detach()),
        }

    def losses(self, batch: Batch, kept: Tensor) -> dict[str, Tensor]:
        """Return the unweighted losses of stage two with only some modalities kept, bool [B, M]."""
        inputs = list(self.inputs(batch))
        with torch.no_grad():
            taught = self.embed(self.teacher, inputs)
            hidden = (batch.present & ~kept)[..., None]
            target = torch.where(hidden, taught, self.nulls(self.teacher))
        seen = self.embed(self.encoder_list, inputs)
        f = torch.where(kept[..., None], seen, self.nulls(self.encoder_list))
        return self.imagination(f, target, batch.present, batch.targets)

    def weigh(self, terms: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of stage two's losses."""
        return terms["cls"] + self.config.mse * terms["mse"] + self.config.cycle * terms["cycle"]

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        """Take one step of the stage, each network's gradient clipped by itself."""
        second = bool(self.stage == IMAGINES)
        with ctx.autocast():
            if second:
                kept = draw_kept(batch.present, self.config.keep_all, ctx.generator, proper=True)
                terms = self.losses(batch, kept)
                loss = self.weigh(terms)
            else:
                f = self.embed(self.encoder_list, list(self.inputs(batch))).flatten(1)
                loss = task_loss(self.pretrained(f), batch.targets, self.task.label_kind)
                terms = {"cls": loss}
        ctx.zero_grad()
        ctx.backward(loss)
        for network in self.networks(IMAGINES if second else 1):
            nn.utils.clip_grad_norm_(network.parameters(), self.config.clips[second])
        ctx.step_optimizer(int(second))
        return StepOutput(loss.detach(), {k: v.detach() for k, v in terms.items()})

    def encode(self, batch: Batch) -> Encoded:
        """Return the embedding [B, E] of each modality."""
        parts = zip(self.task.modalities, self.encoder_list, self.inputs(batch), strict=True)
        return {m.name: (encoder(*x),) for m, encoder, x in parts}

    def fuse(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return scores [B, L]: of the bottlenecks; in stage one of the embeddings."""
        f = torch.cat([x for (x,) in encoded.values()], dim=-1)
        second = bool(self.stage == IMAGINES)
        logits = self.classifier(self.forth(f)[1]) if second else self.pretrained(f)
        return task_scores(logits, self.task.label_kind)

    def analysis(self, batch: Batch) -> dict[str, Any]:
        """Return the embeddings f and the imagined f', [B, M, E] each."""
        f = torch.stack([x for (x,) in self.encode(batch).values()], dim=1)
        return {"seen": f, "imagined": self.forth(f.flatten(1))[0].view_as(f)}
