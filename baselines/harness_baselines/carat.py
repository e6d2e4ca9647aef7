"""CARAT (Peng et al., AAAI 2024): contrastive feature reconstruction and aggregation.

Every modality is encoded and pooled to one vector per label (level S). Each is then rebuilt from
the other modalities and a label prototype (level X), and again from all X (level Y). Scores come
from label-wise scorers, max-pooled over modalities, and from an aggregator over all labels of Y.
Equal to the authors' code to 1e-5 (``tests/parity/test_carat.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.model import Diagnostics, Encoded, ModelPlugin, StepContext, StepOutput
from harness.nn.aligner import SoftAligner
from harness.nn.codec import Codec
from harness.nn.contrastive import EmbeddingQueue, supervised_contrastive
from harness.nn.encoder import BertEncoder, InputNorm
from harness.nn.init import label_weight, xavier_
from harness.nn.label_attention import LabelAttention
from harness.nn.prototypes import Prototypes
from harness.nn.task_loss import task_loss, task_scores
from harness.specs import TaskInfo, bounded

Shuffle = tuple[Tensor, Tensor]
"""Sample and modality index of every cell, both int64 [B, M, L]."""


@dataclass(frozen=True)
class CaratConfig:
    """Hyper-parameters; defaults are the authors', who give text 6 layers.

    Attributes:
        layers: encoder layers per modality name; others get ``default_layers``.
        max_positions: rows of the position tables; 0 fits each to its modality's length.
        aligner: output positions of a soft aligner for every modality but ``aligner_anchor``;
            0: none.
        momentum: of the prototypes.
        hard_prototypes: predict with the likelier prototype instead of a soft mix.
        lsr_clf, aug_clf, beta_clf, supcon, recon_mse, aug_mse, beta_mse, agg_clf, shuffle_clf:
            weights of the loss terms.
    """

    hidden_size: int = bounded(256, least=1)
    intermediate_size: int = bounded(256, least=1)
    heads: int = bounded(8, least=1, divides="hidden_size")
    dropout: float = bounded(0.3, least=0, most=1)
    layers: dict[str, int] = field(default_factory=dict)
    default_layers: int = bounded(4, least=0)
    max_positions: int = bounded(0, least=0)
    aligner: int = bounded(0, least=0)
    aligner_anchor: str = "text"
    projection: int = bounded(64, least=1)
    queue: int = bounded(8192, least=1)
    momentum: float = bounded(0.99, least=0, most=1)
    temperature: float = bounded(0.07, above=0)
    hard_prototypes: bool = True
    lsr_clf: float = 0.01
    aug_clf: float = 0.1
    beta_clf: float = 1.0
    supcon: float = 1.0
    recon_mse: float = 1.0
    aug_mse: float = 1.0
    beta_mse: float = 0.0
    agg_clf: float = 1.0
    shuffle_clf: float = 0.1


@dataclass(frozen=True)
class Levels:
    """The representations of a forward pass, stacked over M modalities.

    ``pooled`` (S), ``recon`` (r), ``first`` (X) and ``second`` (Y) are [B, M, L, H], ``latent``
    (z) is [B, M, L, P].
    """

    pooled: Tensor
    latent: Tensor
    recon: Tensor
    first: Tensor
    second: Tensor


def draw_shuffle(batch: int, slots: int, labels: int, generator: torch.Generator) -> Shuffle:
    """Draw for each label a permutation of the batch per slot, and of the slots per sample.

    Args:
        batch: B.
        slots: M.
        labels: L.
        generator: on the CPU.
    """
    samples = torch.rand(batch, slots, labels, generator=generator).argsort(0)
    modalities = torch.rand(batch, slots, labels, generator=generator).argsort(1)
    return samples, modalities


class Stream(nn.Module):
    """Everything that belongs to one modality, from its frames to its label-wise scorer."""

    def __init__(self, config: CaratConfig, task: TaskInfo, index: int) -> None:
        super().__init__()
        modality, hidden, labels = task.modalities[index], config.hidden_size, task.num_labels
        self.name = modality.name
        self.input_norm = InputNorm(modality.dim)
        aligned = config.aligner > 0 and modality.name != config.aligner_anchor
        self.aligner = SoftAligner(modality.dim, config.aligner) if aligned else None
        self.encoder = BertEncoder(
            modality.dim,
            hidden,
            layers=config.layers.get(modality.name, config.default_layers),
            heads=config.heads,
            intermediate=config.intermediate_size,
            max_positions=config.max_positions
            or (config.aligner if aligned else modality.max_length),
            dropout=config.dropout,
        )
        self.attention = LabelAttention(hidden, labels)
        self.codec = Codec(hidden, config.projection)
        self.prototypes = Prototypes(labels, config.projection, config.momentum)
        self.mixer = nn.Linear(len(task.modalities) * hidden, hidden)
        self.scorer = label_weight(labels, hidden)
        xavier_(self.mixer)

    def align(self, frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return normalised frames [B, T', d] and their mask bool [B, T'] of frames [B, T, d].

        After an aligner every one of its positions is attended to, as in the authors' loaders.
        """
        x = self.input_norm(frames)
        if self.aligner is None:
            return x, mask
        return self.aligner(x, mask), mask.new_ones(len(mask), self.aligner.out_length)

    def pool(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Return one vector per label [B, L, H] of frames [B, T, d] with mask bool [B, T]."""
        if self.aligner is None:
            encoded = self.encoder(frames, mask, padding=False, norm=self.input_norm)
        else:
            x, mask = self.align(frames, mask)
            encoded = self.encoder(x, mask)
        pooled: Tensor = self.attention(encoded, mask)[0]
        return pooled


class Carat(ModelPlugin):
    """CARAT for any number of modalities, under any names, aligned or not."""

    Config: ClassVar[type] = CaratConfig
    shares_encodings = True
    analysis_axes: ClassVar = dict.fromkeys(("pooled", "first", "second"), "BMLH")
    shared_parameters = tuple(
        f"stream_list.?.{part}.*" for part in ("input_norm", "aligner", "encoder", "attention")
    )
    config: CaratConfig

    def __init__(self, config: CaratConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        hidden, labels = config.hidden_size, task.num_labels
        self.stream_list = nn.ModuleList(
            Stream(config, task, i) for i in range(len(task.modalities))
        )
        self.aggregator = nn.Sequential(
            nn.Linear(labels * hidden, hidden), nn.ReLU(), nn.Linear(hidden, labels)
        )
        xavier_(self.aggregator)
        self.queue = EmbeddingQueue(config.queue, config.projection)

    @property
    def streams(self) -> list[Stream]:
        """Return the modalities' parts in the task's order."""
        return cast("list[Stream]", list(self.stream_list))

    def pool(self, batch: Batch) -> Tensor:
        """Return S, one vector per modality and label, [B, M, L, H]."""
        pooled = [s.pool(batch.features[s.name], batch.mask[s.name]) for s in self.streams]
        return torch.stack(pooled, dim=1)

    def reconstruct(self, pooled: Tensor, hard: bool) -> Levels:
        """Return all levels from S [B, M, L, H]; ``hard`` picks one prototype, else both mix."""
        streams = self.streams
        latent = self._encode(pooled)
        slots = list(zip(streams, latent.unbind(1), strict=True))
        recon = [s.codec.decode(z) for s, z in slots]
        stand_ins = [s.codec.decode(s.prototypes.read(z, hard)) for s, z in slots]
        first = torch.stack(
            [
                s.mixer(torch.cat([*recon[:i], stand_ins[i], *recon[i + 1 :]], dim=-1))
                for i, s in enumerate(streams)
            ],
            dim=1,
        )
        everything = first.transpose(1, 2).flatten(2)
        second = torch.stack([s.mixer(everything) for s in streams], dim=1)
        return Levels(pooled, latent, torch.stack(recon, dim=1), first, second)

    def _encode(self, level: Tensor) -> Tensor:
        codes = [s.codec.encode(x) for s, x in zip(self.streams, level.unbind(1), strict=True)]
        return torch.stack(codes, dim=1)

    def logits(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """Return label logits [B, L] of a level [B, M, L, H], and the winning modality [B, L]."""
        weight = torch.stack([s.scorer for s in self.streams])
        best = (level * weight).sum(-1).max(dim=1)
        return best.values, best.indices

    def aggregate(self, level: Tensor) -> Tensor:
        """Return the aggregator's logits [B, M, L] of a level [B, M, L, H]."""
        logits: Tensor = self.aggregator(level.flatten(2))
        return logits

    def scores(self, second: Tensor) -> Tensor:
        """Return scores [B, L]: half max-pooled scorers, half mean of the aggregator."""
        pooled, _ = self.logits(second)
        return 0.5 * (self._probability(self.aggregate(second)).mean(1) + self._probability(pooled))

    def _probability(self, logits: Tensor) -> Tensor:
        return task_scores(logits, self.task.label_kind)

    def _classify(self, logits: Tensor, targets: Tensor) -> Tensor:
        return task_loss(logits, targets, self.task.label_kind)

    def _contrast(self, levels: Levels, labels: Tensor) -> Tensor:
        """Return the contrastive term, then put this batch's embeddings into the queue."""
        _, slots, classes, _ = levels.pooled.shape
        views = [levels.latent, self._encode(levels.first), self._encode(levels.second)]
        rows = F.normalize(torch.cat(views, dim=1).float().flatten(0, 2), dim=-1)
        slot = torch.arange(slots, device=rows.device)[:, None]
        label = torch.arange(classes, device=rows.device)
        absent = (labels < 0.5).long()[:, None, :]
        codes = (2 * classes * slot + label + classes * absent).repeat(1, 3, 1).flatten().float()
        loss = supervised_contrastive(
            torch.cat([rows, self.queue.queue]),
            torch.cat([codes, self.queue.queue_label]),
            self.config.temperature,
            grad_rows=rows.shape[0],
        )
        self.queue.push(rows, codes)
        return loss

    def _shuffled(self, second: Tensor, labels: Tensor, shuffle: Shuffle) -> Tensor:
        """Return the aggregator's loss on rows whose labels come from different samples.

        Single-label data too is scored per label here: such a row is no longer one-hot.
        """
        samples, slots = shuffle
        label = torch.arange(labels.shape[1], device=labels.device)
        logits = self.aggregate(second[samples, slots, label])
        return F.binary_cross_entropy_with_logits(logits, labels[samples, label])

    def losses(self, batch: Batch, shuffle: Shuffle) -> tuple[dict[str, Tensor], Levels]:
        """Return the unweighted terms and the levels; moves queue and prototypes.

        Order as published: contrast with the old queue, queue write, prototypes, shuffle.
        """
        labels = batch.targets
        levels = self.reconstruct(self.pool(batch), hard=False)
        agg = self.aggregate(levels.second)
        terms = {
            "clf_lsr": self._classify(self.logits(levels.pooled)[0], labels),
            "clf_aug": self._classify(self.logits(levels.first)[0], labels),
            "clf_beta": self._classify(self.logits(levels.second)[0], labels),
            "supcon": self._contrast(levels, labels),
            "recon": self._distance(levels.recon, levels.pooled),
            "aug": self._distance(levels.first, levels.pooled),
            "beta": self._distance(levels.second, levels.pooled),
            "agg": self._classify(agg, labels[:, None, :].expand_as(agg)),
        }
        for stream, z in zip(self.streams, levels.latent.unbind(1), strict=True):
            stream.prototypes.update(z, labels)
        terms["shuffle"] = self._shuffled(levels.second, labels, shuffle)
        return terms, levels

    @staticmethod
    def _distance(level: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared error, summed over modalities; the target is not detached."""
        return (level - target).square().mean((0, 2, 3)).sum()

    def weighted(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the weighted terms."""
        c = self.config
        weights = {
            "clf_lsr": c.lsr_clf,
            "clf_aug": c.aug_clf,
            "clf_beta": c.beta_clf,
            "supcon": c.supcon,
            "recon": c.recon_mse,
            "aug": c.aug_mse,
            "beta": c.beta_mse,
            "agg": c.agg_clf,
            "shuffle": c.shuffle_clf,
        }
        return {name: weights[name] * value for name, value in terms.items()}

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        """Return the weighted loss and its terms."""
        terms = self._step_losses(batch, ctx)
        loss = torch.stack([*self.weighted(terms).values()]).sum()
        return StepOutput(loss, {k: v.detach() for k, v in terms.items()})

    def loss_terms(self, batch: Batch, ctx: StepContext) -> dict[str, Tensor]:
        """Return the weighted terms."""
        return self.weighted(self._step_losses(batch, ctx))

    def _step_losses(self, batch: Batch, ctx: StepContext) -> dict[str, Tensor]:
        shape = (len(batch), len(self.task.modalities), self.task.num_labels)
        samples, slots = draw_shuffle(*shape, ctx.generator)
        # A GPU is not waited for.
        shuffle = (
            samples.to(batch.device, non_blocking=True),
            slots.to(batch.device, non_blocking=True),
        )
        return self.losses(batch, shuffle)[0]

    def encode(self, batch: Batch) -> Encoded:
        """Return S of each modality, [B, L, H]."""
        pairs = zip(self.streams, self.pool(batch).unbind(1), strict=True)
        return {stream.name: (pooled,) for stream, pooled in pairs}

    def fuse(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return scores [B, L]."""
        pooled = torch.stack([x for (x,) in encoded.values()], dim=1)
        return self.scores(self.reconstruct(pooled, self.config.hard_prototypes).second)

    def diagnostics(self, batch: Batch) -> Diagnostics:
        """Return S, X, Y for the probe; r, X and Y as reconstructions of S."""
        levels = self.reconstruct(self.pool(batch), self.config.hard_prototypes)
        parts = {"S": levels.pooled, "X": levels.first, "Y": levels.second}
        made = {"r": levels.recon, "X": levels.first, "Y": levels.second}
        pairs = {name: (x, levels.pooled) for name, x in made.items()}
        return Diagnostics(batch.present, parts, pairs)

    def analysis(self, batch: Batch) -> dict[str, Tensor]:
        """Return the levels S, X, Y [B, M, L, H] and the winning modality per label [B, L]."""
        levels = self.reconstruct(self.pool(batch), self.config.hard_prototypes)
        return {
            "pooled": levels.pooled,
            "first": levels.first,
            "second": levels.second,
            "winning_modality": self.logits(levels.second)[1],
        }
