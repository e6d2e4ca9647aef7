"""LDDU (Huang et al., Findings of ACL 2025): latent emotional distributions and their uncertainty.

Every modality is encoded and pooled to one vector per label; each vector becomes a latent mean and
deviation. Three heads score a label: one from the pooled vectors (g), one from the means (a), one
from the deviations (u); the label's score is g a + (1 - g) u. Equal to the authors' code to 1e-5
(``tests/parity/test_lddu.py``); what the code leaves out of the paper stands in the card.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.model import Encoded, ModelPlugin, StepContext, StepOutput
from harness.nn.aligner import SoftAligner
from harness.nn.contrastive import EmbeddingQueue, supervised_contrastive
from harness.nn.dropout import Dropout
from harness.nn.encoder import BertEncoder, InputNorm
from harness.nn.init import xavier_
from harness.nn.stacked_linear import StackedLinear
from harness.specs import TaskInfo, bounded


@dataclass(frozen=True)
class LdduConfig:
    """Hyper-parameters; defaults are those of the authors' script.

    Attributes:
        layers: encoder layers per modality name; others get ``default_layers``.
        max_positions: rows of the position tables; 0 fits each to its modality's length.
        aligner: output positions of a soft aligner for every modality but ``aligner_anchor``;
            0: none, each modality keeps its own length.
        projection: width of the label attention.
        latent: size of mean and deviation.
        head_dropout: rate in the label attention and the heads.
        temperature: tau; similarities of the concatenated rows are divided by twice of it.
        mask_label_attention: padded positions are not read by the label attention; the authors'
            code reads them.
        direct, final, supcon, calibration: weights of the loss terms.
    """

    hidden_size: int = bounded(256, least=4)
    intermediate_size: int = bounded(256, least=1)
    heads: int = bounded(8, least=1, divides="hidden_size")
    dropout: float = bounded(0.3, least=0, most=1)
    layers: dict[str, int] = field(default_factory=dict)
    default_layers: int = bounded(3, least=0)
    max_positions: int = bounded(0, least=0)
    aligner: int = bounded(0, least=0)
    aligner_anchor: str = "text"
    projection: int = bounded(256, least=1)
    latent: int = bounded(128, least=1)
    head_dropout: float = bounded(0.1, least=0, most=1)
    queue: int = bounded(8192, least=1)
    temperature: float = bounded(0.07, least=0.015)
    mask_label_attention: bool = True
    direct: float = bounded(0.3, least=0)
    final: float = bounded(1.0, least=0)
    supcon: float = bounded(1.0, least=0)
    calibration: float = bounded(0.3, least=0)


@dataclass(frozen=True)
class Latent:
    """What the modalities say of each label, in the task's order of modalities.

    ``pooled`` (z) is [B, M, L, H]; ``mean`` (mu) and ``deviation`` (sigma) are [B, M, L, P].
    """

    pooled: Tensor
    mean: Tensor
    deviation: Tensor


@dataclass(frozen=True)
class Heads:
    """Logits of the three heads, [B, L] each: ``gate`` (g), ``mean`` (a), ``uncertainty`` (u)."""

    gate: Tensor
    mean: Tensor
    uncertainty: Tensor


class SharedKeyAttention(nn.Module):
    """Pool a sequence to one vector per label; keys are the values.

    Args:
        hidden: H.
        width: D, of queries and keys.
        dropout: rate on what was read.
    """

    def __init__(self, hidden: int, width: int, dropout: float) -> None:
        super().__init__()
        self.queries = nn.Linear(hidden, width)
        self.keys = nn.Linear(hidden, width)
        self.output = nn.Linear(width, hidden)
        self.dropout = Dropout(dropout)

    def forward(self, labels: Tensor, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Return z [B, L, H].

        Args:
            labels: label embeddings [L, H].
            tokens: [B, T, H].
            mask: bool [B, T], the positions that are read; None: all are.
        """
        keys = self.keys(tokens)
        scores = self.queries(labels) @ keys.transpose(1, 2) * keys.shape[-1] ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, :], torch.finfo(scores.dtype).min)
        read: Tensor = self.output(self.dropout(scores.softmax(-1) @ keys))
        return read


class Distribution(nn.Module):
    """Mean and deviation of a label's latent distribution, which is never sampled.

    Args:
        hidden: H.
        latent: P.
    """

    def __init__(self, hidden: int, latent: int) -> None:
        super().__init__()
        wide, half = 3 * (hidden // 4), hidden // 2
        self.trunk = nn.Sequential(
            *(nn.Linear(hidden, wide), nn.ReLU()),
            *(nn.Linear(wide, half), nn.ReLU()),
            *(nn.Linear(half, half), nn.ReLU()),
        )
        self.mean = nn.Linear(half, latent)
        self.log_variance = nn.Linear(half, latent)
        xavier_(self)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and sigma, [B, L, P] each, of z [B, L, H]."""
        trunk = self.trunk(pooled)
        return self.mean(trunk), (0.5 * self.log_variance(trunk)).exp()


class Stream(nn.Module):
    """Everything that belongs to one modality, from its frames to its distributions."""

    def __init__(self, config: LdduConfig, task: TaskInfo, index: int) -> None:
        super().__init__()
        modality = task.modalities[index]
        self.name, self.masked = modality.name, config.mask_label_attention
        self.input_norm = InputNorm(modality.dim)
        aligned = config.aligner > 0 and modality.name != config.aligner_anchor
        self.aligner = SoftAligner(modality.dim, config.aligner) if aligned else None
        length = config.aligner if aligned else modality.max_length
        self.encoder = BertEncoder(
            modality.dim,
            config.hidden_size,
            layers=config.layers.get(modality.name, config.default_layers),
            heads=config.heads,
            intermediate=config.intermediate_size,
            max_positions=config.max_positions or length,
            dropout=config.dropout,
        )
        self.attention = SharedKeyAttention(
            config.hidden_size, config.projection, config.head_dropout
        )
        self.distribution = Distribution(config.hidden_size, config.latent)

    def tokens(self, frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the encoded sequence [B, T', H] and its mask of frames [B, T, d].

        After an aligner every one of its positions is attended to.
        """
        if self.aligner is None:
            encoded = self.encoder(frames, mask, padding=not self.masked, norm=self.input_norm)
            return encoded, mask
        x = self.aligner(self.input_norm(frames), mask)
        mask = mask.new_ones(x.shape[:2])
        return self.encoder(x, mask), mask

    def forward(self, labels: Tensor, frames: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Return z [B, L, H], mu and sigma [B, L, P].

        Args:
            labels: label embeddings [L, H].
            frames: [B, T, d].
            mask: bool [B, T].
        """
        tokens, mask = self.tokens(frames, mask)
        pooled = self.attention(labels, tokens, mask if self.masked else None)
        return (pooled, *self.distribution(pooled))


class LabelHeads(nn.Module):
    """A head of its own for each label: [B, L, inputs] -> logits [B, L]."""

    def __init__(self, labels: int, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.first = StackedLinear(labels, inputs, width)
        self.dropout = Dropout(dropout)
        self.second = StackedLinear(labels, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [B, L] of x [B, L, inputs]."""
        hidden = self.dropout(self.first(x.transpose(0, 1))).relu()
        logits: Tensor = self.second(hidden)[..., 0].t()
        return logits


class Lddu(ModelPlugin):
    """LDDU for any number of modalities from two, under any names, aligned or not."""

    Config: ClassVar[type] = LdduConfig
    shares_encodings = True
    analysis_axes: ClassVar = dict.fromkeys(("pooled", "mean", "deviation"), "BMLH")
    config: LdduConfig

    def __init__(self, config: LdduConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        self.reads_padding = not config.mask_label_attention
        slots, labels, half = len(task.modalities), task.num_labels, config.hidden_size // 2
        self.label_table = nn.Parameter(torch.empty(labels, config.hidden_size))
        nn.init.xavier_uniform_(self.label_table)
        self.stream_list = nn.ModuleList(Stream(config, task, i) for i in range(slots))
        self.gate = nn.Sequential(
            nn.Linear(slots * config.hidden_size, half),
            Dropout(config.head_dropout),
            nn.ReLU(),
            nn.Linear(half, 1),
        )
        own = (labels, slots * config.latent, half, config.head_dropout)
        self.mean_heads, self.uncertainty_heads = LabelHeads(*own), LabelHeads(*own)
        self.queue = EmbeddingQueue(config.queue, 2 * config.latent)

    @property
    def streams(self) -> list[Stream]:
        """Return the modalities' parts in the task's order."""
        return cast("list[Stream]", list(self.stream_list))

    def encode(self, batch: Batch) -> Encoded:
        """Return z [B, L, H], mu and sigma [B, L, P] of each modality."""
        features, mask = batch.features, batch.mask
        return {s.name: s(self.label_table, features[s.name], mask[s.name]) for s in self.streams}

    @staticmethod
    def latent(encoded: Encoded) -> Latent:
        """Return the encodings stacked over modalities."""
        return Latent(*(torch.stack(parts, 1) for parts in zip(*encoded.values(), strict=True)))

    def heads(self, latent: Latent) -> Heads:
        """Return the logits of the three heads."""

        def joined(level: Tensor) -> Tensor:
            return level.transpose(1, 2).flatten(2)

        return Heads(
            self.gate(joined(latent.pooled))[..., 0],
            self.mean_heads(joined(latent.mean)),
            self.uncertainty_heads(joined(latent.deviation)),
        )

    def log_scores(self, heads: Heads) -> tuple[Tensor, Tensor | None]:
        """Return ln s and, of multi-label data, ln(1 - s); [B, L] each.

        s = g a + (1 - g) u, of logits, so that nothing is clamped. Single labels: a and u are
        softmaxes over the labels, and s is divided by its sum.
        """
        gate, mean, unsure = (x.float() for x in (heads.gate, heads.mean, heads.uncertainty))
        yes, no = F.logsigmoid(gate), F.logsigmoid(-gate)
        if self.task.label_kind == "singlelabel":
            mixed = torch.logaddexp(yes + mean.log_softmax(-1), no + unsure.log_softmax(-1))
            return mixed.log_softmax(-1), None
        present = torch.logaddexp(yes + F.logsigmoid(mean), no + F.logsigmoid(unsure))
        absent = torch.logaddexp(yes + F.logsigmoid(-mean), no + F.logsigmoid(-unsure))
        return present, absent

    def fuse(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return scores [B, L]."""
        return self.log_scores(self.heads(self.latent(encoded)))[0].exp()

    def _final(self, heads: Heads, labels: Tensor) -> Tensor:
        present, absent = self.log_scores(heads)
        if absent is None:
            return -(labels * present).sum(-1).mean()
        return -(labels * present + (1.0 - labels) * absent).mean()

    def _contrast(self, latent: Latent, labels: Tensor, present: Tensor) -> Tensor:
        """Return the contrastive term, then put this batch's rows into the queue.

        A row is the unit mean beside the unit deviation of a modality and label; its class is the
        modality, the label, and whether the sample has the label. Rows of absent modalities take
        no part.
        """
        pair = (latent.mean.float(), latent.deviation.float())
        rows = torch.cat([F.normalize(part, dim=-1) for part in pair], dim=-1).flatten(0, 2)
        slots, classes = latent.mean.shape[1:3]
        slot = torch.arange(slots, device=rows.device)[:, None]
        label = torch.arange(classes, device=rows.device)
        absent = (labels < 0.5).long()[:, None, :]
        codes = (2 * classes * slot + label + classes * absent).flatten().float()
        valid = present[..., None].expand(-1, -1, classes).flatten()
        loss = supervised_contrastive(
            torch.cat([rows, self.queue.queue]),
            torch.cat([codes, self.queue.queue_label]),
            2.0 * self.config.temperature,
            valid=torch.cat([valid, torch.ones_like(self.queue.queue_label, dtype=torch.bool)]),
            grad_rows=len(rows),
        )
        self.queue.push(rows, codes, valid)
        return loss

    def _calibration(self, latent: Latent, gate: Tensor, present: Tensor) -> Tensor:
        """Return the divergence of the deviations' sizes from the gate's shares.

        Sizes are softmaxed over the whole batch, shares over a sample's labels, as in the authors'
        code: the least value is (B - 1) ln B / (2 B L), not 0. The size of a sample with absent
        modalities is scaled to M of them.
        """
        slots = present.shape[1]
        shown = latent.deviation.float() * present[:, :, None, None]
        share = slots / present.sum(1).clamp(min=1)
        size = shown.square().sum((1, 3)).sqrt() * share.sqrt()[:, None]
        log_p = size.flatten().log_softmax(0).view_as(size)
        log_q = F.logsigmoid(gate.float()).exp().log_softmax(-1)
        return ((log_q.exp() - log_p.exp()) * (log_q - log_p)).sum() / (2 * size.numel())

    def losses(self, batch: Batch) -> tuple[dict[str, Tensor], Latent, Heads]:
        """Return the unweighted terms, the encodings and the heads' logits; moves the queue."""
        labels, latent = batch.targets, self.latent(self.encode(batch))
        heads = self.heads(latent)
        terms = {
            "direct": F.binary_cross_entropy_with_logits(heads.gate, labels),
            "final": self._final(heads, labels),
            "supcon": self._contrast(latent, labels, batch.present),
            "calibration": self._calibration(latent, heads.gate, batch.present),
        }
        return terms, latent, heads

    def weigh(self, terms: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of the terms."""
        c = self.config
        weights = {
            "direct": c.direct,
            "final": c.final,
            "supcon": c.supcon,
            "calibration": c.calibration,
        }
        return torch.stack([weights[name] * value for name, value in terms.items()]).sum()

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        """Return the weighted loss and its terms."""
        terms, _, _ = self.losses(batch)
        return StepOutput(self.weigh(terms), {k: v.detach() for k, v in terms.items()})

    def analysis(self, batch: Batch) -> dict[str, Tensor]:
        """Return z [B, M, L, H], mu and sigma [B, M, L, P], and the gate g [B, L]."""
        latent = self.latent(self.encode(batch))
        return {
            "pooled": latent.pooled,
            "mean": latent.mean,
            "deviation": latent.deviation,
            "gate": self.heads(latent).gate.sigmoid(),
        }
