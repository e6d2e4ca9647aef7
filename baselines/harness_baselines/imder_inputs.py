"""IMDer's hyper-parameters, its frames where modalities are not aligned, its random numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

import torch
from torch import Tensor

from harness.errors import ConfigError
from harness.nn.pooling import cleared
from harness.specs import bounded

Noise = Callable[[int, Tensor], Tensor]
"""Noise [2N, R, d, T] of a modality, by its index, for rows int64 [R] of the batch."""


@dataclass(frozen=True)
class ImderConfig:
    """Hyper-parameters; defaults are those of the authors' code for MOSI.

    Attributes:
        size: d, common to all modalities. heads: of every attention.
        layers: of the fusion's cross-modal encoders.
        memory_layers: of its memory encoders; 0: the larger of ``layers`` and 3, as published.
        kernel: of the projections, odd; padded, so that the length stays.
        attention_dropout: in the fusion, by the name of the source modality; others none.
        growth: channels of a score network's four levels in units of d; the first is 1.
        embedding: size of the time's embedding, even.
        score_layers: of a score network's encoders.
        first_groups, groups: of the GroupNorms, in its first level and elsewhere.
        blocks, reduction: of the refinement.
        sampler_steps: N, in training and prediction alike.
        hide: share of the samples with several modalities from which some are hidden in training.
        condition_noise: in training ``same`` as the target's, as published, or ``independent``, as
            the sampler's is.
        noise: in prediction of each ``sample``, from its id, or one ``shared`` by all.
        draws: sets of noise whose scores are averaged, from ``noise_seed`` on.
        sampler_every: stage two generates, and trains fusion and refinement, in one of so many
            steps, the score networks in every one; published is 1.
        score, rec: weights of the losses.
        complete_share: share of all steps before which an epoch must start to be of stage one.
        selects_share: share of all steps from which an epoch may be selected: validation is
            complete and does not see what is generated.
        generation_rate: stage two's learning rate in units of the recipe's.
        clip_value: to which stage two's gradients are clipped, each value by itself.
        bins: T where modalities are not aligned: each is averaged over so many equal parts.
        max_frames: aligned sequences are averaged over equal windows to at most this many steps;
            0: never, as published.
        readout, key_padding: see `harness_baselines.mult.MultConfig`.
        standardize: features in units of the training split's deviations; not published.
    """

    size: int = bounded(32, least=1)
    heads: int = bounded(8, least=1, divides="size")
    layers: int = bounded(4, least=1)
    memory_layers: int = bounded(0, least=0)
    kernel: int = bounded(3, least=1)
    embed_dropout: float = bounded(0.2, least=0, most=1)
    attention_dropout: dict[str, float] = field(default_factory=lambda: {"audio": 0.2})
    relu_dropout: float = bounded(0.0, least=0, most=1)
    residual_dropout: float = bounded(0.0, least=0, most=1)
    output_dropout: float = bounded(0.0, least=0, most=1)
    growth: list[int] = field(default_factory=lambda: [1, 2, 4, 8])
    embedding: int = bounded(256, least=2)
    score_layers: int = bounded(2, least=1)
    first_groups: int = bounded(4, least=1, divides="size")
    groups: int = bounded(32, least=1, divides="size")
    blocks: int = bounded(20, least=1)
    reduction: int = bounded(16, least=1)
    sampler_steps: int = bounded(100, least=2)
    hide: float = bounded(0.5, least=0, most=1)
    condition_noise: Literal["same", "independent"] = "same"
    noise: Literal["sample", "shared"] = "sample"
    noise_seed: int = bounded(0, least=0)
    draws: int = bounded(1, least=1)
    sampler_every: int = bounded(1, least=1)
    score: float = bounded(0.1, least=0)
    rec: float = bounded(0.1, least=0)
    complete_share: float = bounded(0.5, least=0, most=1)
    selects_share: float = bounded(0.85, least=0, most=1)
    generation_rate: float = bounded(2.0, least=0)
    clip_value: float = bounded(1.0, least=0)
    bins: int = bounded(48, least=1)
    max_frames: int = bounded(0, least=0)
    readout: Literal["last_step", "last_valid"] = "last_step"
    key_padding: Literal["none", "mask"] = "none"
    standardize: bool = True

    def __post_init__(self) -> None:
        if len(self.growth) != 4 or self.growth[0] != 1 or min(self.growth) < 1:
            raise ConfigError(
                f"model.growth: {self.growth} must be four whole numbers, the first of them 1."
            )
        if self.kernel % 2 == 0:
            raise ConfigError(f"model.kernel: {self.kernel} must be odd.")
        if self.embedding % 2:
            raise ConfigError(f"model.embedding: {self.embedding} must be even.")


def binned(x: Tensor, kept: Tensor, bins: int) -> Tensor:
    """Average the kept frames of each sample over equal parts, as adaptive average pooling does.

    Part k of L kept frames is made of floor(kL / K) ... ceil((k + 1) L / K) - 1.

    Args:
        x: [B, T, d].
        kept: bool [B, T]; a sample without any gives zeros.
        bins: K.

    Returns:
        [B, K, d].
    """
    count = kept.sum(1)[:, None]
    part = torch.arange(bins, device=x.device)
    start, end = part * count // bins, -(-(part + 1) * count // bins)
    place = kept.cumsum(1)[:, None] - 1
    inside = (place >= start[..., None]) & (place < end[..., None]) & kept[:, None]
    weight = inside.to(x.dtype) / inside.sum(2, keepdim=True).clamp(min=1)
    return weight @ cleared(x, kept)


def noise_of(seed: int, modality: str, identity: str, shape: Sequence[int]) -> Tensor:
    """Return normal noise that follows from names alone, float32 of a shape, on the CPU.

    Args:
        seed: of all noise.
        modality: name of the modality that is generated.
        identity: the sample's id.
        shape: of the noise.
    """
    key = "\x1f".join(("imder", "1", str(seed), modality, identity)).encode()
    number = int.from_bytes(blake2b(key, digest_size=8).digest(), "big") & (2**63 - 1)
    return torch.randn(*shape, generator=torch.Generator().manual_seed(number))


@dataclass(frozen=True)
class TrainingDraws:
    """Random numbers of a training step, from its CPU generator.

    Args:
        config: of the model.
        length: T.
        device: where they are wanted.
        generator: on the CPU.
    """

    config: ImderConfig
    length: int
    device: torch.device
    generator: torch.Generator

    def normal(self, *shape: int) -> Tensor:
        """Return normal values [..., d, T]."""
        shape = (*shape, self.config.size, self.length)
        return torch.randn(*shape, generator=self.generator).to(self.device, non_blocking=True)

    def noise(self, modality: int, rows: Tensor) -> Tensor:
        """Return noise of the sampler, [2N, R, d, T]; the same law for every modality."""
        return self.normal(2 * self.config.sampler_steps, len(rows))

    def matching(self, modality: int, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return u [R] and the noise of target and condition, [R, d, T], for score matching."""
        u = torch.rand(len(rows), generator=self.generator).to(self.device, non_blocking=True)
        z = self.normal(len(rows))
        return u, z, z if self.config.condition_noise == "same" else self.normal(len(rows))
