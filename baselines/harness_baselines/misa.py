"""MISA (Hazarika et al., ACM MM 2020): modality-invariant and modality-specific representations.

Recurrent layers turn each modality into one vector; a shared and a private map split it, losses
pull the shared parts together, keep the private ones apart and rebuild the whole; a transformer
layer fuses the parts. Equal to the authors' code to 1e-5 (``tests/parity/test_misa.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.errors import ConfigError
from harness.model import Encoded, ModelPlugin, StepContext, StepOutput
from harness.nn.discrepancy import central_moment_discrepancy, difference_loss
from harness.nn.dropout import Dropout, dropout
from harness.nn.gradient_reversal import reverse_gradient
from harness.nn.pooling import cleared, masked_mean
from harness.nn.recurrent import RecurrentPair
from harness.nn.stacked_linear import StackedLinear
from harness.nn.task_loss import task_loss, task_scores
from harness.nn.windows import window_mean, window_size
from harness.specs import ModalitySpec, TaskInfo, bounded


@dataclass(frozen=True)
class MisaConfig:
    """Hyper-parameters; defaults are those of the authors' code.

    Attributes:
        hidden_size: h, a multiple of ``heads``.
        rnn_hidden: recurrent size per direction; null: the modality's own size, as published.
        cell: of the recurrent layers.
        pooled: names of modalities that are averaged over valid steps instead: the authors' way
            with BERT's vectors, for features that already know their context.
        heads, feed_forward, fusion_dropout: of the fusion's transformer layer.
        dropout: in the head and in the discriminator.
        similarity: what makes shared parts alike: central moment discrepancy, or a discriminator
            behind gradient reversal.
        reversal: the factor of the latter.
        difference, similar, reconstruct: weights of the three losses beside the task's.
        max_frames: frames are averaged to at most so many steps per modality before the recurrent
            layers; 0: never. Not published: an economy for long sequences without a GPU.
    """

    hidden_size: int = bounded(128, least=1)
    rnn_hidden: int | None = None
    cell: Literal["lstm", "gru"] = "lstm"
    pooled: tuple[str, ...] = ()
    heads: int = bounded(2, least=1, divides="hidden_size")
    feed_forward: int = bounded(2048, least=1)
    fusion_dropout: float = bounded(0.1, least=0, most=1)
    dropout: float = bounded(0.5, least=0, most=1)
    similarity: Literal["cmd", "adversarial"] = "cmd"
    reversal: float = 1.0
    difference: float = 0.3
    similar: float = 1.0
    reconstruct: float = 1.0
    max_frames: int = bounded(0, least=0)


@dataclass(frozen=True)
class Parts:
    """The representations of a forward pass, stacked over M modalities, each [M, B, h].

    ``vectors`` is u, ``rebuilt`` is r; ``valid``, bool [M, B], is false where a modality is
    missing.
    """

    vectors: Tensor
    private: Tensor
    shared: Tensor
    rebuilt: Tensor
    valid: Tensor


class Stream(nn.Module):
    """One modality: from its steps to a vector of the common size."""

    def __init__(self, config: MisaConfig, modality: ModalitySpec) -> None:
        super().__init__()
        self.name = modality.name
        self.recurrent: RecurrentPair | None = None
        self.window, width = 1, modality.dim
        if modality.name not in config.pooled:
            size = config.rnn_hidden or modality.dim
            self.recurrent = RecurrentPair(modality.dim, size, config.cell)
            self.window, width = window_size(modality.max_length, config.max_frames), 4 * size
        self.project = nn.Linear(width, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size)

    def inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return steps [B, T, d], zero where not valid, and their mask, bool [B, T]."""
        x, mask = window_mean(batch.features[self.name], batch.mask[self.name], self.window)
        return cleared(x, mask), mask

    def read(self, x: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
        """Return one vector per sample, [B, 4H] or pooled [B, d].

        Args:
            x: [B, T, d].
            mask: bool [B, T].
            lengths: int64 [B] on the CPU, each at least 1.
        """
        if self.recurrent is None:
            return masked_mean(x, mask)
        vector: Tensor = self.recurrent(x, lengths)
        return vector

    def forward(self, vector: Tensor) -> Tensor:
        """Return u [B, h] of what `read` gives."""
        u: Tensor = self.norm(self.project(vector).relu())
        return u


class Misa(ModelPlugin):
    """MISA for any number of modalities, under any names, aligned or not.

    A missing modality's vector is zero, and its rows enter none of the three losses beside the
    task's; so no null position is needed. A mask with holes counts up to its last valid step.
    With one modality there is nothing to make alike. Single-label data: softmax, cross entropy.
    """

    Config: ClassVar[type] = MisaConfig
    config: MisaConfig
    shares_encodings = True
    needs_nonempty_mask: ClassVar[bool] = False
    fused_optimizer: ClassVar[bool] = True

    def __init__(self, config: MisaConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        names = [m.name for m in task.modalities]
        if unknown := [n for n in config.pooled if n not in names]:
            raise ConfigError(
                f"model.pooled: {task.dataset} has no modality {unknown[0]!r}; it has "
                f"{', '.join(names)}."
            )
        h, count = config.hidden_size, len(names)
        self.stream_list = nn.ModuleList(Stream(config, m) for m in task.modalities)
        self.private = StackedLinear(count, h, h)
        self.shared = nn.Linear(h, h)
        self.rebuild = StackedLinear(count, h, h)
        self.fusion = nn.TransformerEncoderLayer(
            h, config.heads, config.feed_forward, config.fusion_dropout, batch_first=True
        )
        self.expand = nn.Linear(2 * count * h, count * h)
        self.output = nn.Linear(count * h, task.num_labels)
        self.discriminator: nn.Sequential | None = None
        if config.similarity == "adversarial":
            self.discriminator = nn.Sequential(
                nn.Linear(h, h), nn.ReLU(), Dropout(config.dropout), nn.Linear(h, count)
            )
        own = [(i, count + i) for i in range(count)]
        self.between = list(combinations(range(count), 2))
        self.apart = own + self.between

    @property
    def streams(self) -> list[Stream]:
        """Return the modalities' own layers, in the task's order."""
        return [s for s in self.stream_list if isinstance(s, Stream)]

    def utterances(self, batch: Batch) -> tuple[list[Tensor], Tensor]:
        """Return the vectors before projection, M tensors [B, 4H or d], and valid, bool [M, B]."""
        inputs = [stream.inputs(batch) for stream in self.streams]
        lengths = torch.stack([_lengths(mask) for _, mask in inputs])
        valid = (lengths > 0) & batch.present.t()
        # One transfer for all modalities: packing reads lengths on the CPU.
        packing = lengths.clamp(min=1).cpu()
        vectors = [
            torch.where(valid[i][:, None], stream.read(x, mask, packing[i]), 0.0)
            for i, (stream, (x, mask)) in enumerate(zip(self.streams, inputs, strict=True))
        ]
        return vectors, valid

    def split(self, batch: Batch) -> Parts:
        """Return the private, shared and rebuilt parts of a batch."""
        return self.parts(*self.utterances(batch))

    def parts(self, vectors: Sequence[Tensor], valid: Tensor) -> Parts:
        """Return the private, shared and rebuilt parts of what `utterances` gives."""
        u = torch.stack([s(v) for s, v in zip(self.streams, vectors, strict=True)])
        private, shared = self.private(u).sigmoid(), self.shared(u).sigmoid()
        return Parts(u, private, shared, self.rebuild(private + shared), valid)

    def logits(self, parts: Parts) -> Tensor:
        """Return label logits [B, L]."""
        fused = self.fusion(torch.cat([parts.private, parts.shared]).transpose(0, 1))
        hidden = dropout(self.expand(fused.flatten(1)), self.config.dropout, self.training)
        logits: Tensor = self.output(hidden.relu())
        return logits

    def losses(self, parts: Parts, labels: Tensor) -> dict[str, Tensor]:
        """Return the unweighted loss terms ``cls diff sim recon``."""
        both = torch.cat([parts.private, parts.shared])
        return {
            "cls": task_loss(self.logits(parts), labels, self.task.label_kind),
            "diff": difference_loss(both, torch.cat([parts.valid, parts.valid]), self.apart),
            "sim": self._similarity(parts),
            "recon": _reconstruction(parts),
        }

    def weigh(self, terms: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of `losses`."""
        c = self.config
        beside = c.difference * terms["diff"] + c.similar * terms["sim"]
        return terms["cls"] + beside + c.reconstruct * terms["recon"]

    def _similarity(self, parts: Parts) -> Tensor:
        if self.discriminator is None:
            return central_moment_discrepancy(parts.shared, parts.valid, self.between)
        guessed = self.discriminator(reverse_gradient(parts.shared, self.config.reversal))
        origin = torch.arange(len(guessed), device=guessed.device)[:, None].expand(
            parts.valid.shape
        )
        each = F.cross_entropy(guessed.flatten(0, 1), origin.flatten(), reduction="none")
        return _mean_of_valid(each, parts.valid.flatten())

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        """Return the weighted loss and its four terms."""
        terms = self.losses(self.split(batch), batch.targets)
        return StepOutput(self.weigh(terms), terms)

    def encode(self, batch: Batch) -> Encoded:
        """Return each modality's vector before projection, [B, 4H or d], and valid, bool [B]."""
        vectors, valid = self.utterances(batch)
        rows = zip(self.streams, vectors, valid, strict=True)
        return {stream.name: (vector, there) for stream, vector, there in rows}

    def fuse(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return scores [B, L]."""
        vectors, valid = zip(*encoded.values(), strict=True)
        parts = self.parts(vectors, torch.stack(valid))
        return task_scores(self.logits(parts), self.task.label_kind)


def _lengths(mask: Tensor) -> Tensor:
    """Return the last valid step of each row plus one, int64 [B]; 0 where there is none."""
    return (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).amax(1)


def _mean_of_valid(x: Tensor, valid: Tensor) -> Tensor:
    return torch.where(valid, x, 0.0).sum() / valid.sum().clamp(min=1)


def _reconstruction(parts: Parts) -> Tensor:
    """Return the mean over modalities of the mean squared error over their valid rows."""
    error = (parts.rebuilt - parts.vectors).float().square().mean(-1)
    counts = parts.valid.sum(1)
    means = torch.where(parts.valid, error, 0.0).sum(1) / counts.clamp(min=1)
    return _mean_of_valid(means, counts > 0)
