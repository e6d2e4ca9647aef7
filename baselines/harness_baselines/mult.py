"""MulT (Tsai et al., ACL 2019): multimodal transformer for unaligned sequences.

Every modality attends to every other through its own stack of cross-modal layers; per target the
results are joined and encoded again, one step of each is read, and a residual head scores the
labels. Equal to the authors' code to 1e-5 (``tests/parity/test_mult.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.nn.crossmodal import CrossModalSettings
from harness.nn.crossmodal_stack import CrossModalStack
from harness.nn.dropout import dropout
from harness.nn.pooling import cleared
from harness.nn.windows import window_mean, window_size
from harness.specs import ModalitySpec, TaskInfo, bounded
from harness_baselines.logits_model import LogitsModel


@dataclass(frozen=True)
class MultConfig:
    """Hyper-parameters; defaults are those of the authors' code.

    Attributes:
        size: d, common to all modalities; a multiple of ``heads``.
        layers: of every cross-modal encoder.
        memory_layers: of every memory encoder; 0: the larger of ``layers`` and 3, as published.
        causal: query i sees keys up to i + |T_q - T_k|, T the data set's padded lengths.
        input_dropout: on raw features, by modality name; others none.
        attention_dropout: by the name of the source modality; others none.
        memory_attention_dropout: of the memory encoders.
        output_dropout: inside the head's residual block.
        readout: ``last_step`` of the padded sequence, as published, or the ``last_valid`` one.
        key_padding: ``none``: padding is attended to, as published; ``mask``: only where the
            batch's mask allows. Both alternatives change nothing on full sequences; where batches
            are padded to their longest sample (mask options ``length``, ``nonzero``), they keep a
            sample's score independent of its neighbours.
        max_frames: longer streams are averaged over equal windows to at most this many steps;
            0: never, as published. For small machines.
    """

    size: int = bounded(30, least=1)
    heads: int = bounded(5, least=1, divides="size")
    layers: int = bounded(5, least=1)
    memory_layers: int = bounded(0, least=0)
    causal: bool = True
    input_dropout: dict[str, float] = field(default_factory=lambda: {"text": 0.25})
    embed_dropout: float = bounded(0.25, least=0, most=1)
    attention_dropout: dict[str, float] = field(default_factory=lambda: {"text": 0.1})
    memory_attention_dropout: float = bounded(0.1, least=0, most=1)
    relu_dropout: float = bounded(0.1, least=0, most=1)
    residual_dropout: float = bounded(0.1, least=0, most=1)
    output_dropout: float = bounded(0.0, least=0, most=1)
    readout: Literal["last_step", "last_valid"] = "last_step"
    key_padding: Literal["none", "mask"] = "none"
    max_frames: int = bounded(0, least=0)


def windowed(batch: Batch, modalities: Sequence[ModalitySpec], positions: int) -> Batch:
    """Return the batch with every stream averaged to at most ``positions`` steps; 0: as it is.

    Args:
        batch: of sequences.
        modalities: the streams.
        positions: the most steps of a stream; 0: no limit.
    """
    if positions == 0:
        return batch
    features, mask = dict(batch.features), dict(batch.mask)
    for m in modalities:
        size = window_size(m.max_length, positions)
        features[m.name], mask[m.name] = window_mean(features[m.name], mask[m.name], size)
    return replace(batch, features=features, mask=mask)


def window_counts(modalities: Sequence[ModalitySpec], positions: int) -> list[int]:
    """Return the nominal number of steps of each stream after `windowed`."""
    return [math.ceil(m.max_length / window_size(m.max_length, positions)) for m in modalities]


class Mult(LogitsModel):
    """MulT for any number of modalities, under any names, aligned or not.

    With M modalities the head reads M(M-1)d values (d with one modality, which has a memory
    encoder only). Single-label data: softmax and cross entropy.
    """

    Config: ClassVar[type] = MultConfig
    config: MultConfig
    fused_optimizer = True

    def __init__(self, config: MultConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        self.reads_padding = config.readout == "last_step"
        # Without bias, so that a zero step stays zero and is known as padding.
        self.inputs = nn.ModuleList(
            nn.Identity() if m.dim == config.size else nn.Linear(m.dim, config.size, bias=False)
            for m in task.modalities
        )
        self.stack = CrossModalStack(
            window_counts(task.modalities, config.max_frames),
            config.size,
            layers=config.layers,
            memory_layers=config.memory_layers or max(config.layers, 3),
            settings=CrossModalSettings(
                heads=config.heads,
                relu_dropout=config.relu_dropout,
                residual_dropout=config.residual_dropout,
                embed_dropout=config.embed_dropout,
                causal=config.causal,
            ),
            attention_dropout=[config.attention_dropout.get(m.name, 0.0) for m in task.modalities],
            memory_attention_dropout=config.memory_attention_dropout,
        )
        width = len(task.modalities) * self.stack.width
        self.expand = nn.Linear(width, width)
        self.contract = nn.Linear(width, width)
        self.output = nn.Linear(width, task.num_labels)

    def streams(self, batch: Batch) -> list[Tensor]:
        """Return the modalities at the common size, M tensors [B, T_m, d]."""
        streams = []
        for m, layer in zip(self.task.modalities, self.inputs, strict=True):
            x = batch.features[m.name]
            if self.config.key_padding == "mask":
                x = cleared(x, batch.mask[m.name])
            rate = self.config.input_dropout.get(m.name, 0.0)
            streams.append(layer(dropout(x, rate, self.training)))
        return streams

    def key_masks(self, batch: Batch) -> list[Tensor | None]:
        """Return M key masks bool [B, T_m]; None where every step may be attended to."""
        if self.config.key_padding == "none":
            return [None] * len(self.task.modalities)
        masks = [batch.mask[m.name] for m in self.task.modalities]
        # On a CPU looking is cheap, and attention without a mask much faster.
        return [None if k.device.type == "cpu" and bool(k.all()) else k for k in masks]

    def read_steps(self, batch: Batch) -> list[Tensor]:
        """Return the step of each sample that is read, M tensors int64 [B]."""
        masks = [batch.mask[m.name] for m in self.task.modalities]
        if self.config.readout == "last_step":
            return [k.new_full((k.shape[0],), k.shape[1] - 1, dtype=torch.long) for k in masks]
        return [(k * torch.arange(k.shape[1], device=k.device)).amax(1) for k in masks]

    def logits(self, batch: Batch) -> Tensor:
        """Return label logits [B, L]."""
        batch = windowed(batch, self.task.modalities, self.config.max_frames)
        read = self.stack(self.streams(batch), self.key_masks(batch), self.read_steps(batch))
        h = torch.cat(read, dim=-1).squeeze(1)
        hidden = dropout(self.expand(h).relu(), self.config.output_dropout, self.training)
        logits: Tensor = self.output(h + self.contract(hidden))
        return logits
