"""Uni-modal embedding (paper 4.1): norm, transformer encoder, one vector per label."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.nn.aligner import SoftAligner
from harness.nn.encoder import BertEncoder, InputNorm
from harness.nn.label_attention import LabelAttention
from harness.specs import ModalitySpec, TaskInfo
from harness_ramer.config import SharedConfig


def frames_left(batch: Batch, names: Sequence[str]) -> Tensor:
    """Return which modalities of a sequence are there and have a frame left, bool [B, M]."""
    return batch.present & torch.stack([batch.mask[m].any(dim=1) for m in names], dim=1)


def encoder_of(config: SharedConfig, dim: int, layers: int, longest: int) -> BertEncoder:
    """Return an encoder of the configured width for sequences of at most ``longest``."""
    return BertEncoder(
        dim,
        config.hidden_size,
        layers=layers,
        heads=config.heads,
        intermediate=config.intermediate_size,
        max_positions=max(config.max_positions, longest),
        dropout=config.dropout,
    )


class ModalityEncoder(nn.Module):
    """LayerNorm over the features, optional resampling to a common length, encoder E_m."""

    def __init__(self, config: SharedConfig, modality: ModalitySpec) -> None:
        super().__init__()
        self.norm = InputNorm(modality.dim)
        longest = modality.max_length
        self.aligner: SoftAligner | None = None
        if 0 < config.align_to < longest:
            self.aligner = SoftAligner(modality.dim, config.align_to)
            longest = config.align_to
        layers = config.modality_layers.get(modality.name, config.layers)
        self.encoder = encoder_of(config, modality.dim, layers, longest)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens [B, T', d] and their mask [B, T'] of features [B, T, d_m]."""
        x = self.norm(x)
        if self.aligner is not None:
            x = self.aligner(torch.where(mask[:, :, None], x, torch.zeros_like(x)))
            mask = mask.any(dim=1, keepdim=True).expand(x.shape[:2])
        return self.encoder(x, mask), mask


class PersonalityEncoder(nn.Module):
    """The fourth encoder: personality tokens, shared by all modalities."""

    def __init__(self, config: SharedConfig, dim: int) -> None:
        super().__init__()
        self.norm = InputNorm(dim)
        self.encoder = encoder_of(config, dim, config.personality_layers, 0)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return encoded tokens [B, P, d] of tokens [B, P, d_p]."""
        encoded: Tensor = self.encoder(self.norm(x), mask)
        return encoded


class UniModalEmbedding(nn.Module):
    """X_alpha: every modality encoded on its own, then pooled by one learned query per label.

    With ``personality`` its encoded tokens are appended to each modality's along time, as the
    authors' code does.
    """

    def __init__(self, config: SharedConfig, task: TaskInfo, *, personality: bool) -> None:
        super().__init__()
        self.names = tuple(m.name for m in task.modalities)
        self.encoders = nn.ModuleList(ModalityEncoder(config, m) for m in task.modalities)
        self.attention = nn.ModuleList(
            LabelAttention(config.hidden_size, task.num_labels) for _ in task.modalities
        )
        self.personality = PersonalityEncoder(config, task.personality_dim) if personality else None

    def available(self, batch: Batch) -> Tensor:
        """Return which modalities a sample has, bool [B, M]."""
        return frames_left(batch, self.names)

    def forward(self, batch: Batch) -> Tensor:
        """Return X_alpha [B, M, L, d]; a row without any token is 0."""
        extra: tuple[Tensor, Tensor] | None = None
        if self.personality is not None and batch.personality is not None:
            mask = batch.personality_mask
            if mask is None:
                mask = torch.ones(
                    batch.personality.shape[:2], dtype=torch.bool, device=batch.device
                )
            extra = self.personality(batch.personality, mask), mask
        pooled = []
        for name, encoder, attention in zip(self.names, self.encoders, self.attention, strict=True):
            tokens, valid = encoder(batch.features[name], batch.mask[name])
            if extra is not None:
                tokens = torch.cat([tokens, extra[0]], dim=1)
                valid = torch.cat([valid, extra[1]], dim=1)
            pooled.append(attention(tokens, valid)[0])
        return torch.stack(pooled, dim=1)
