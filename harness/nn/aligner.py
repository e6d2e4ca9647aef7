"""A soft aligner: any number of frames to a fixed number (MulT's CTC module), and its loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SoftAligner(nn.Module):
    """Spread frames over ``out_length`` positions by a softmax each frame computes for itself.

    A two-layer LSTM with one hidden unit per position and one for "blank"; its outputs are the
    logits. Learns through the task's loss only, unless a model adds a loss on `align`'s logits.
    """

    def __init__(self, input_dim: int, out_length: int) -> None:
        super().__init__()
        self.out_length = out_length
        self.lstm = nn.LSTM(input_dim, out_length + 1, num_layers=2, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the aligned sequence [B, out_length, d] of frames [B, T, d], see `align`."""
        return self.align(x, mask)[0]

    def align(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the aligned sequence [B, out_length, d] and the logits [B, T, out_length + 1].

        Args:
            x: frames [B, T, d].
            mask: bool [B, T]; frames that are not valid contribute nothing. None: all are.
        """
        if mask is not None:
            x = torch.where(mask[..., None], x, 0.0)
        logits, _ = self.lstm(x)
        share: Tensor = logits.softmax(-1)[..., 1:]
        return share.transpose(1, 2) @ x, logits


def monotone_ctc(logits: Tensor) -> Tensor:
    """Return TAILOR's published loss of aligner logits [B, T, P + 1], summed over the batch.

    The authors call CTC with the targets 1 .. P and an input length of P as well, read after the
    frames were aligned. Then a single path exists, which maps frame t to position t, and CTC is
    the cross entropy of that path over the first P frames.
    """
    length = min(logits.shape[1], logits.shape[2] - 1)
    path = logits[:, :length].float().log_softmax(-1)
    return -path[..., 1:].diagonal(dim1=1, dim2=2).sum()
