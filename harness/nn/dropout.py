"""Dropout whose masks come from packed random bits: the same law, a fraction of the time on a CPU.

A Bernoulli draw a value costs more than the matrix products around it: 8 to 20 ns a value. Here
one 64-bit word gives the masks of four values, 16 bits each, so that a rate is met to 1/65536, and
a mask is kept as one byte a value instead of four.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 1 << 16
# Below, the draw is cheap and the calls around it are not.
FEW = 1 << 13


class RandomWords:
    """A stream of random 64-bit words, SFC64 seeded by one draw of torch's CPU generator.

    It takes half the time of torch's own generator; one stream serves several masks.
    """

    def __init__(self) -> None:
        seed = torch.empty((), dtype=torch.int64).random_()
        self._generator = np.random.Generator(np.random.SFC64(int(seed)))

    def draw(self, count: int) -> Tensor:
        """Return int64 [count], uniform over all words."""
        words = self._generator.integers(0, 2**64 - 1, size=count, dtype=np.uint64, endpoint=True)
        return torch.from_numpy(words.view(np.int64))


def keep_mask(
    shape: torch.Size | tuple[int, ...], rate: float, words: RandomWords | None = None
) -> Tensor:
    """Return which values stay, uint8 of 0 and 1 on the CPU, from torch's generator.

    Args:
        shape: of the mask.
        rate: probability of a 0, met to 1/65536 (`kept`).
        words: stream to draw from; None: one of its own.
    """
    count = 1
    for size in shape:
        count *= size
    drawn = (words or RandomWords()).draw(-(-count // 4)).numpy().view(np.int16)[:count]
    dropped = round(rate * LEVELS)
    # NumPy compares integers of 16 bits ten times as fast as torch does.
    stays = drawn >= np.int16(dropped - LEVELS // 2)
    return torch.from_numpy(stays.view(np.uint8)).view(shape)


def kept(rate: float) -> float:
    """Return the probability that a value of `keep_mask` is 1."""
    return 1.0 - round(rate * LEVELS) / LEVELS


class _Masked(torch.autograd.Function):
    """x * mask * scale, with the mask kept as bytes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.scale = scale
        return (x * mask).mul_(scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (mask,) = ctx.saved_tensors
        return grad * mask * ctx.scale, None, None


def quick(x: Tensor, rate: float) -> bool:
    """Return whether packed bits serve this tensor: a large one on the CPU, not compiled."""
    large = x.device.type == "cpu" and x.numel() >= FEW
    return large and masks_by_words(rate) and not torch.compiler.is_compiling()


def masks_by_words(rate: float) -> bool:
    """Return whether words of 16 bits can meet a rate: it is neither 0 nor 1 after rounding."""
    return 0 < round(rate * LEVELS) < LEVELS


def dropout(x: Tensor, rate: float, training: bool = True) -> Tensor:
    """Return x with each value 0 at ``rate`` and else x / (1 - rate), as `F.dropout` does.

    Which values are dropped follows from torch's generator, but by another draw than `F.dropout`'s
    on a CPU. On an accelerator, under a compiler and for small tensors it is `F.dropout`.

    Args:
        x: float tensor.
        rate: in [0, 1].
        training: False returns x itself.
    """
    if not training or rate == 0.0:
        return x
    if not quick(x, rate):
        return F.dropout(x, rate, True)
    out: Tensor = _Masked.apply(x, keep_mask(x.shape, rate), 1.0 / kept(rate))  # type: ignore[no-untyped-call]
    return out


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` by `dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the tensor with values dropped in training, of the same shape."""
        return dropout(input, self.p, self.training)
