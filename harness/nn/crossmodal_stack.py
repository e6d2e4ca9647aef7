"""The stack of MulT and HHMPN: every modality attends to every other, then to itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from harness.nn.crossmodal import CrossModalEncoder, CrossModalSettings


class CrossModalStack(nn.Module):
    """All pairs target <- source of M modalities, and one memory encoder per target.

    A target's M-1 encoders are concatenated in the modalities' order and go through its memory
    encoder. With one modality there are no pairs: its memory encoder reads the input itself.

    Args:
        lengths: nominal lengths of the M modalities, for the causal mask's offset.
        dim: d, the size of every input.
        layers: layers of a pair's encoder.
        memory_layers: layers of a memory encoder.
        settings: of every encoder.
        attention_dropout: M rates, chosen by the source modality.
        memory_attention_dropout: of the memory encoders.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        dim: int,
        *,
        layers: int,
        memory_layers: int,
        settings: CrossModalSettings,
        attention_dropout: Sequence[float],
        memory_attention_dropout: float,
    ) -> None:
        super().__init__()
        self.lengths = tuple(lengths)
        count = len(self.lengths)
        self.width = dim * max(1, count - 1)
        self.pairs = nn.ModuleDict(
            {
                f"{t}_{s}": CrossModalEncoder(dim, layers, settings, attention_dropout[s])
                for t in range(count)
                for s in range(count)
                if t != s
            }
        )
        self.memories = nn.ModuleList(
            CrossModalEncoder(self.width, memory_layers, settings, memory_attention_dropout)
            for _ in range(count)
        )

    def pair(self, target: int, source: int) -> CrossModalEncoder:
        """Return the encoder target <- source, by the modalities' indices."""
        return cast(CrossModalEncoder, self.pairs[f"{target}_{source}"])

    def cross(self, streams: Sequence[Tensor], masks: Sequence[Tensor | None]) -> list[Tensor]:
        """Return per target what its sources tell it, [B, T_m, width]."""
        count = len(streams)
        if count == 1:
            return list(streams)
        return [
            torch.cat(
                [
                    self.pair(t, s)(
                        streams[t],
                        streams[s],
                        offset=abs(self.lengths[t] - self.lengths[s]),
                        key_mask=masks[s],
                    )
                    for s in range(count)
                    if s != t
                ],
                dim=-1,
            )
            for t in range(count)
        ]

    def forward(
        self,
        streams: Sequence[Tensor],
        masks: Sequence[Tensor | None],
        reads: Sequence[Tensor | None] | None = None,
    ) -> list[Tensor]:
        """Return per target [B, T_m, width], or [B, 1, width] where ``reads`` names a step.

        Args:
            streams: M tensors [B, T_m, d].
            masks: M key masks bool [B, T_m], or None: every step may be attended to.
            reads: M tensors int64 [B], the step of each sample that is read; None: all steps.
        """
        return [
            memory(x, key_mask=mask, read=read)
            for memory, x, mask, read in zip(
                self.memories,
                self.cross(streams, masks),
                masks,
                reads or [None] * len(masks),
                strict=True,
            )
        ]
