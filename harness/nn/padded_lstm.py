"""Bidirectional LSTMs over sequences of unequal length by the kernel for padded batches.

On a CPU a packed sequence leaves torch's fast LSTM kernel: a training step takes two to four times
as long as on the padded batch. A forward direction may read padding after its end, for no valid
state depends on it. A backward direction is a forward one over the sequence reversed within its
length. So both run padded, and agree with a packed sequence but for rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# Padding is computed and packing is not: where valid steps are fewer than this share, packing wins.
LEAST_SHARE = 1 / 3


def serves(rnn: nn.RNNBase, x: Tensor, lengths: Tensor) -> bool:
    """Return whether padded kernels are the faster way: float32 on a CPU, one layer, not compiled.

    Args:
        rnn: bidirectional, batch first.
        x: [B, T, d].
        lengths: int64 [B] on the CPU.
    """
    kernel = x.device.type == "cpu" and x.dtype == torch.float32 and isinstance(rnn, nn.LSTM)
    if not kernel or rnn.num_layers != 1 or x.numel() == 0 or torch.compiler.is_compiling():
        return False
    if torch.is_autocast_enabled("cpu") or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return int(lengths.sum()) >= LEAST_SHARE * len(x) * int(lengths.max())


class Lengths:
    """Where the steps of a padded batch [B, T, ...] are.

    Args:
        lengths: int64 [B] on the CPU.
        steps: T.
    """

    def __init__(self, lengths: Tensor, steps: int) -> None:
        step, rows = torch.arange(steps), torch.arange(len(lengths))[:, None] * steps
        ends = lengths[:, None]
        self.full = int(lengths.min()) == steps
        """Whether no row has padding."""
        self.order = (rows + torch.where(step < ends, ends - 1 - step, step)).flatten()
        """Rows of [B T, ...] in the order in which the backward direction reads them."""
        self.last = rows[:, 0] + lengths - 1
        """The row of [B T, ...] of each sequence's last step; lengths of 0 have none."""
        self.empty = (step >= ends).flatten().nonzero().squeeze(1)
        """Rows of [B T, ...] that are padding."""

    def turned(self, x: Tensor) -> Tensor:
        """Return x [B, T, d] with each sequence reversed within its length; twice gives x."""
        out: Tensor = _Turned.apply(x, self.order)  # type: ignore[no-untyped-call]
        return out

    def ends(self, x: Tensor) -> Tensor:
        """Return the last step of each sequence, [B, d], of x [B, T, d]."""
        return x.flatten(0, 1).index_select(0, self.last)

    def cleared(self, x: Tensor) -> Tensor:
        """Return x [B, T, d] with zeros after each sequence's end."""
        if self.full:
            return x
        return x.flatten(0, 1).index_fill(0, self.empty, 0.0).view(x.shape)


class _Turned(torch.autograd.Function):
    """Rows in an order that is its own inverse."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor) -> Tensor:
        ctx.order = order
        return x.flatten(0, 1).index_select(0, order).view(x.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad.flatten(0, 1).index_select(0, ctx.order).view(grad.shape), None


def both_ways(rnn: nn.RNNBase, x: Tensor, turned: Tensor) -> tuple[Tensor, Tensor]:
    """Return the states of both directions, each [B, T, H], in the order in which they arise.

    Args:
        rnn: one bidirectional LSTM layer, batch first.
        x: [B, T, d].
        turned: x as the backward direction reads it (`Lengths.turned`).
    """
    return _direction(rnn, x, ""), _direction(rnn, turned, "_reverse")


def _direction(rnn: nn.RNNBase, x: Tensor, suffix: str) -> Tensor:
    names = ["weight_ih_l0", "weight_hh_l0"]
    if rnn.bias:
        names += ["bias_ih_l0", "bias_hh_l0"]
    start = x.new_zeros(1, len(x), rnn.hidden_size)
    weights = [getattr(rnn, name + suffix) for name in names]
    # One layer, no dropout, one direction, batch first.
    found = torch.lstm(x, (start, start), weights, rnn.bias, 1, 0.0, rnn.training, False, True)
    return found[0]
