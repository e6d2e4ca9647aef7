"""AMP (Ge et al., WWW 2023): adversarial masking and perturbation.

Modalities are embedded and encoded one by one, joined along time, encoded together, and read by
one learned query per label. Training adds two adversaries: a scorer behind a gradient reversal
masks positions softly, and the weights of the joint encoder move one unit along their gradient.
Three backward passes make a step. Equal to the authors' code (``tests/parity/test_amp.py``).

There are no positions in time: a sequence is a set. The authors have no masks either and attend to
padding. Here positions outside the batch's mask are left out, which under the mask option ``ones``
is the same; a missing modality is one null position.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.model import ModelPlugin, StepContext, StepOutput
from harness.nn.dropout import Dropout
from harness.nn.gradient_reversal import reverse_gradient
from harness.nn.task_loss import task_scores
from harness.nn.windows import window_mean, window_size
from harness.specs import TaskInfo, TrainingConfig, bounded
from harness_baselines.amp_mask import soft_lowest_k

JOINT = "tri_modal_encoder"
"""Parameters with this in their name are perturbed."""


@dataclass(frozen=True)
class AmpConfig:
    """Hyper-parameters; defaults are those of the authors' parser.

    Attributes:
        encoder_layers: of every uni-modal encoder and of the joint one.
        masked_positions: k, how many positions of a modality the mask hides.
        masking_epsilon, masking_iterations: of the optimal transport behind the mask.
        reversal: factor of the gradient reversal before the mask.
        negative_focus, positive_focus, margin, scale: of the asymmetric loss.
        masked_weight, consistency_weight: weights of the masked loss and of the divergence.
        radius: length of the perturbation of each weight tensor.
        warmup_lr, warmup_epochs: the rate starts at ``warmup_lr`` and rises epoch by epoch.
        max_frames: frames are averaged to at most so many positions per modality; 0: never.
    """

    hidden_size: int = bounded(512, least=1)
    heads: int = bounded(8, least=1, divides="hidden_size")
    feedforward: int = bounded(1024, least=1)
    encoder_layers: int = bounded(3, least=0)
    decoder_layers: int = bounded(1, least=0)
    dropout: float = bounded(0.1, least=0, most=1)
    masked_positions: int = bounded(24, least=0)
    masking_epsilon: float = 0.1
    masking_iterations: int = bounded(100, least=0)
    reversal: float = 0.1
    negative_focus: float = 2.0
    positive_focus: float = 1.0
    margin: float = 0.05
    scale: float = 1000.0
    masked_weight: float = 0.1
    consistency_weight: float = 1.0
    radius: float = 1.0
    warmup_lr: float = 5e-6
    warmup_epochs: int = bounded(10, least=0)
    max_frames: int = bounded(0, least=0)


class Stream(nn.Module):
    """One modality: embedding, encoder and the scorer of its positions."""

    def __init__(self, config: AmpConfig, task: TaskInfo, index: int) -> None:
        super().__init__()
        modality, hidden = task.modalities[index], config.hidden_size
        self.name = modality.name
        self.window = window_size(modality.max_length, config.max_frames)
        self.embed = nn.Sequential(
            nn.Linear(modality.dim, hidden), nn.LayerNorm(hidden), Dropout(config.dropout)
        )
        self.encoder = encoder(config)
        self.scorer = nn.Linear(hidden, 1)

    def inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return embedded positions [B, T, H] and their mask, bool [B, T]."""
        x, mask = window_mean(batch.features[self.name], batch.mask[self.name], self.window)
        return self.embed(x), mask


class Amp(ModelPlugin):
    """AMP for any number of modalities, under any names and lengths."""

    Config: ClassVar[type] = AmpConfig
    config: AmpConfig
    automatic_optimization = False

    def __init__(self, config: AmpConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        hidden = config.hidden_size
        self.stream_list = nn.ModuleList(
            Stream(config, task, i) for i in range(len(task.modalities))
        )
        self.tri_modal_encoder = encoder(config)
        self.queries = nn.Embedding(task.num_labels, hidden)
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(
                hidden, config.heads, config.feedforward, config.dropout, batch_first=True
            ),
            config.decoder_layers,
            nn.LayerNorm(hidden),
        )
        self.classifier = nn.Sequential(nn.Linear(hidden, 1), Dropout(config.dropout))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        self._schedule = (0.0, 0)

    @property
    def streams(self) -> list[Stream]:
        """Return the modalities' parts in the task's order."""
        return cast("list[Stream]", list(self.stream_list))

    def decode(self, encoded: Sequence[Tensor], masks: Sequence[Tensor]) -> Tensor:
        """Return logits [B, L] of encoded modalities [B, T_m, H] with masks bool [B, T_m]."""
        hidden_keys = ~torch.cat(list(masks), dim=1)
        memory = self.tri_modal_encoder(
            torch.cat(list(encoded), dim=1), src_key_padding_mask=hidden_keys
        )
        queries = self.queries.weight.expand(memory.shape[0], -1, -1)
        read = self.decoder(queries, memory, memory_key_padding_mask=hidden_keys)
        return self.classifier(read).squeeze(-1)

    def clean(self, batch: Batch) -> Tensor:
        """Return logits [B, L] without any masking: the branch that predicts."""
        inputs = [s.inputs(batch) for s in self.streams]
        encoded = [
            s.encoder(x, src_key_padding_mask=~mask)
            for s, (x, mask) in zip(self.streams, inputs, strict=True)
        ]
        return self.decode(encoded, [mask for _, mask in inputs])

    def both(self, batch: Batch) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Return clean and masked logits [B, L], and the soft mask [B, T_m] per modality."""
        config = self.config
        encoded, again, masks, hidden = [], [], [], []
        for stream in self.streams:
            x, mask = stream.inputs(batch)
            codes = stream.encoder(x, src_key_padding_mask=~mask)
            scores = stream.scorer(codes).squeeze(-1).float().sigmoid()
            soft = soft_lowest_k(
                reverse_gradient(scores, config.reversal),
                mask,
                config.masked_positions,
                epsilon=config.masking_epsilon,
                iterations=config.masking_iterations,
            )
            kept = x * (1.0 - soft)[..., None].to(x.dtype)
            again.append(stream.encoder(kept, src_key_padding_mask=~mask))
            encoded.append(codes)
            masks.append(mask)
            hidden.append(soft)
        return self.decode(encoded, masks), self.decode(again, masks), tuple(hidden)

    def probability(self, logits: Tensor) -> Tensor:
        """Return scores [B, L] of logits."""
        return task_scores(logits, self.task.label_kind)

    def classification(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the asymmetric loss of logits [B, L]; single-label data: cross entropy."""
        c = self.config
        if self.task.label_kind == "singlelabel":
            return c.scale * F.cross_entropy(logits.float(), targets)
        present = logits.float().sigmoid()
        absent = (1.0 - present + c.margin).clamp(max=1.0)
        positive = targets > 0.5
        likelihood = torch.where(positive, present, absent)
        focus = torch.where(positive, c.positive_focus, c.negative_focus)
        terms = likelihood.clamp(min=1e-5).log() * (1.0 - likelihood).pow(focus)
        return -c.scale * terms.mean()

    def divergence(self, logits: Tensor, perturbed: Tensor) -> Tensor:
        """Return KL(softmax p, softmax p') over the labels' scores, a mean over B·L; p detached."""
        old = self.probability(logits).detach().log_softmax(-1)
        new = self.probability(perturbed).log_softmax(-1)
        return (old.exp() * (old - new)).mean()

    @torch.no_grad()
    def perturb(self) -> dict[str, Tensor]:
        """Move each weight of the joint encoder along its gradient; return their old values."""
        old: dict[str, Tensor] = {}
        for name, parameter in self.named_parameters():
            if JOINT not in name or parameter.grad is None:
                continue
            length = parameter.grad.norm()
            # A norm that is 0 or NaN leaves the tensor alone; chosen without asking the device.
            usable = length > 0
            step = parameter.grad / torch.where(usable, length, 1.0)
            old[name] = parameter.clone()
            parameter.add_(torch.where(usable, step, 0.0), alpha=self.config.radius)
        return old

    @torch.no_grad()
    def restore(self, old: dict[str, Tensor]) -> None:
        """Put perturbed weights back, to the bit."""
        parameters = dict(self.named_parameters())
        for name, value in old.items():
            parameters[name].copy_(value)

    def gradients(self, batch: Batch, ctx: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        """Accumulate the gradients of a step; return its loss and unweighted terms, detached."""
        c, targets = self.config, batch.targets
        with ctx.autocast():
            logits, masked, _ = self.both(batch)
            plain = self.classification(logits, targets)
            hidden = self.classification(masked, targets)
        ctx.backward(plain, retain_graph=True)
        ctx.backward(c.masked_weight * hidden)
        old = self.perturb()
        with ctx.autocast():
            drift = self.divergence(logits, self.clean(batch))
        ctx.backward(c.consistency_weight * drift)
        self.restore(old)
        terms = {"asl": plain, "asl_masked": hidden, "kl": drift}
        terms = {k: v.detach() for k, v in terms.items()}
        weights = {"asl": 1.0, "asl_masked": c.masked_weight, "kl": c.consistency_weight}
        return torch.stack([weights[k] * v for k, v in terms.items()]).sum(), terms

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        """Do a whole step, the optimiser's included; return the loss and its terms."""
        ctx.zero_grad()
        loss, terms = self.gradients(batch, ctx)
        ctx.clip()
        ctx.step_optimizer()
        return StepOutput(loss, terms)

    def predict_step(self, batch: Batch) -> Tensor:
        """Return scores [B, L]; the masked branch would not change them and is left out."""
        return self.probability(self.clean(batch))

    def configure_optimizers(
        self, training: TrainingConfig, total_steps: int
    ) -> Sequence[torch.optim.Optimizer]:
        """Return the recipe's optimiser; its rate is set epoch by epoch."""
        self._schedule = (training.lr, training.epochs)
        return super().configure_optimizers(training, total_steps)

    def on_epoch_start(self, ctx: StepContext) -> None:
        """Set the epoch's learning rate."""
        for optimizer in ctx.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.rate(ctx.epoch)

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0.

        The authors step timm's cosine schedule with the epoch's index after the epoch, so that
        epochs 0 and 1 share a rate; with their 10 warm-up epochs of 10 the cosine never starts.
        """
        peak, epochs = self._schedule
        start, warmup, t = self.config.warmup_lr, self.config.warmup_epochs, max(epoch - 1, 0)
        if t < warmup:
            return start + t * (peak - start) / warmup
        return 0.5 * peak * (1.0 + math.cos(math.pi * min(t / epochs, 1.0)))


def encoder(config: AmpConfig) -> nn.TransformerEncoder:
    """Return a stack of post-norm layers with ReLU, and a final LayerNorm."""
    layer = nn.TransformerEncoderLayer(
        config.hidden_size, config.heads, config.feedforward, config.dropout, batch_first=True
    )
    return nn.TransformerEncoder(
        layer,
        config.encoder_layers,
        nn.LayerNorm(config.hidden_size),
        enable_nested_tensor=False,
    )
