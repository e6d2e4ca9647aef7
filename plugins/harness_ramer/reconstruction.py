"""Multi-modal feature reconstruction (paper 4.2, eq. 6, 9, 10), with or without every modality."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.nn.codec import Codec
from harness.nn.prototypes import Prototypes


class IdentityCodec(nn.Module):
    """The ablation w/o-codec: no encoder, no decoder; the latent space is X itself."""

    def encode(self, x: Tensor) -> Tensor:
        """Return ``x``."""
        return x

    def decode(self, z: Tensor) -> Tensor:
        """Return ``z``."""
        return z


@dataclass(frozen=True)
class Reconstruction:
    """What the network makes of X_alpha; every tensor [B, M, L, d] but the latent ones.

    Attributes:
        latent: Z_alpha [B, M, L, p].
        decoded: X~_alpha.
        mixed: delta [B, M, L, p] (eq. 9).
        intrinsic: D~ (eq. 10).
        beta: X_beta, or None where ablated.
        gamma: X_gamma, or None where ablated.
    """

    latent: Tensor
    decoded: Tensor
    mixed: Tensor
    intrinsic: Tensor
    beta: Tensor | None
    gamma: Tensor | None


class ReconstructionNetwork(nn.Module):
    """Codecs, prototypes and the two levels g_m.

    Level 1: X_beta^m = g_m([D~^m at m's slot; X~^{m'} for every other m']).
    Level 2: X_gamma^m = g_m([X_beta^1..M]) with the SAME g_m, one Linear without activation.
    Without level 1, level 2 is fed with level 1's input; without level 2, gamma is None.
    """

    def __init__(
        self,
        modalities: int,
        labels: int,
        hidden: int,
        projection: int,
        momentum: float,
        *,
        codec: bool = True,
        level1: bool = True,
        level2: bool = True,
    ) -> None:
        super().__init__()
        width = projection if codec else hidden
        self.projection = width
        self.level1, self.level2 = level1, level2
        self.codecs = nn.ModuleList(
            Codec(hidden, projection) if codec else IdentityCodec() for _ in range(modalities)
        )
        self.prototypes = nn.ModuleList(
            Prototypes(labels, width, momentum) for _ in range(modalities)
        )
        self.combiners = nn.ModuleList()
        if level1 or level2:
            for _ in range(modalities):
                combiner = nn.Linear(modalities * hidden, hidden)
                nn.init.xavier_uniform_(combiner.weight)
                self.combiners.append(combiner)

    def encode(self, x: Tensor) -> Tensor:
        """Return Z [B, M, L, p] of X [B, M, L, d], each modality by its own encoder."""
        pairs = zip(self.codecs, x.unbind(1), strict=True)
        return torch.stack([codec.encode(part) for codec, part in pairs], dim=1)  # type: ignore[operator]

    def decode(self, z: Tensor) -> Tensor:
        """Return X [B, M, L, d] of Z [B, M, L, p], each modality by its own decoder."""
        pairs = zip(self.codecs, z.unbind(1), strict=True)
        return torch.stack([codec.decode(part) for codec, part in pairs], dim=1)  # type: ignore[operator]

    def forward(self, alpha: Tensor, available: Tensor | None, *, hard: bool) -> Reconstruction:
        """Reconstruct.

        Args:
            alpha: X_alpha, float [B, M, L, d].
            available: bool [B, M]; where false the modality has no X~ of its own: D~ stands in
                its slots, read by the polarities that the sample's other modalities show. None:
                nothing is missing.
            hard: arg-max prototypes instead of the mix of eq. 9.
        """
        latent = self.encode(alpha)
        decoded = self.decode(latent)
        mixed = self.read(latent, available, hard=hard)
        intrinsic = self.decode(mixed)
        known = decoded
        if available is not None:
            known = torch.where(available[:, :, None, None], decoded, intrinsic)
        beta = gamma = None
        if self.combiners:
            first = self._first_level_input(known, intrinsic)
            beta = self._combine(first) if self.level1 else None
        if self.level2:
            gamma = self._combine(first if beta is None else [beta] * alpha.shape[1])
        return Reconstruction(latent, decoded, mixed, intrinsic, beta, gamma)

    def read(self, latent: Tensor, available: Tensor | None, *, hard: bool) -> Tensor:
        """Return delta [B, M, L, p] (eq. 9) of Z_alpha [B, M, L, p].

        A missing modality has no z to ask with. Its polarity of label j is the mean of o_{j,pos}
        over the modalities the sample has (one half if it has none); its prototypes are its own.
        """
        pairs = zip(self.prototypes, latent.unbind(1), strict=True)
        own = torch.stack([p.read(z, hard) for p, z in pairs], dim=1)  # type: ignore[operator]
        if available is None:
            return own
        positive = torch.stack([p.positive for p in self.prototypes])  # type: ignore[misc]
        negative = torch.stack([p.negative for p in self.prototypes])  # type: ignore[misc]
        share = (F.normalize(latent, dim=-1) * (positive - negative)).sum(-1).sigmoid()
        seen = available[:, :, None]
        count = seen.sum(dim=1).clamp(min=1)
        polarity = torch.where(seen, share - 0.5, 0.0).sum(dim=1) / count + 0.5
        if hard:
            polarity = (polarity > 0.5).to(polarity.dtype)
        polarity = polarity[:, None, :, None]
        borrowed = polarity * positive + (1.0 - polarity) * negative
        return torch.where(seen[..., None], own, borrowed)

    def update(self, latent: Tensor, labels: Tensor, available: Tensor | None) -> None:
        """Move the prototypes towards a batch's Z_alpha; missing modalities move nothing."""
        for m, prototypes in enumerate(self.prototypes):
            valid = None if available is None else available[:, m]
            # The backward pass still needs this step's prototypes: leave them as they are.
            prototypes.positive = prototypes.positive.clone()  # type: ignore[operator]
            prototypes.negative = prototypes.negative.clone()  # type: ignore[operator]
            prototypes.update(latent[:, m], labels, valid)  # type: ignore[operator]

    def _first_level_input(self, known: Tensor, intrinsic: Tensor) -> list[Tensor]:
        own = torch.eye(known.shape[1], dtype=torch.bool, device=known.device)
        return [torch.where(row[None, :, None, None], intrinsic, known) for row in own]

    def _combine(self, slots: list[Tensor]) -> Tensor:
        joined = [part.transpose(1, 2).flatten(2) for part in slots]
        pairs = zip(self.combiners, joined, strict=True)
        return torch.stack([combiner(part) for combiner, part in pairs], dim=1)
