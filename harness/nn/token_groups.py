"""Samples of different lengths, one after the other, in groups that a cache holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.nn.attention import Bias

GROUP = 1024
"""Tokens of a group, if a sample is not longer."""


@dataclass(frozen=True)
class Group:
    """Samples that pass through the layers together.

    Attributes:
        tokens: their places among all tokens.
        samples: b.
        longest: L, tokens of the longest sample.
        places: int64 [b L], the token (within the group) at each padded position, any where there
            is none; None: all samples have L tokens.
        real: int64 [n], the padded position of each token; None like ``places``.
        bias: [b, 1, 1, L] or None, added to the scores.
    """

    tokens: slice
    samples: int
    longest: int
    places: Tensor | None
    real: Tensor | None
    bias: Bias | None

    def padded(self, x: Tensor) -> Tensor:
        """Return padded positions [b L, k] of tokens [n, k], any token where there is none."""
        return x if self.places is None else x.index_select(0, self.places)

    def packed(self, x: Tensor) -> Tensor:
        """Return the tokens [n, k] of padded positions [b L, k]."""
        return x if self.real is None else x.index_select(0, self.real)

    def spread(self, x: Tensor) -> Tensor:
        """Return padded positions [b L, k] of tokens [n, k], zero where there is no token."""
        if self.real is None:
            return x
        return x.new_zeros(self.samples * self.longest, x.shape[1]).index_copy_(0, self.real, x)


@dataclass(frozen=True)
class Packing:
    """The positions of a batch that are computed, the longest sample first.

    Attributes:
        shape: (B, T).
        index: int64 [N], the places of the tokens among the B T positions.
        groups: of the tokens.
    """

    shape: tuple[int, int]
    index: Tensor
    groups: list[Group]

    @classmethod
    def of(cls, mask: Tensor) -> Packing:
        """Return the packing of the positions whose mask, bool [B, T], is true.

        A sample without any has all of its positions, which attend to each other evenly, as under
        a finite bias on every key.
        """
        batch, length = mask.shape
        valid = mask | ~mask.any(1, keepdim=True)
        counts = valid.sum(1)
        order = counts.argsort(descending=True, stable=True)
        sample, position = valid[order].nonzero(as_tuple=True)
        index = order[sample] * length + position
        return cls((batch, length), index, grouped(counts[order].tolist(), None))

    def take(self, x: Tensor) -> Tensor:
        """Return the tokens [N, H] of x [B, T, H]."""
        return x.flatten(0, 1).index_select(0, self.index)

    def put(self, tokens: Tensor) -> Tensor:
        """Return [B, T, H], zero at positions without a token."""
        batch, length = self.shape
        whole = tokens.new_zeros(batch * length, tokens.shape[1])
        return whole.index_copy(0, self.index, tokens).view(batch, length, -1)


def grouped(lengths: Sequence[int], bias: Tensor | None) -> list[Group]:
    """Return groups of consecutive samples with up to `GROUP` tokens.

    Args:
        lengths: tokens of each sample, at least one.
        bias: added to the scores of each key, one a token [N]; None: nothing.
    """
    groups, first, start = [], 0, 0
    while first < len(lengths):
        last, count = first + 1, lengths[first]
        while last < len(lengths) and count + lengths[last] <= GROUP:
            count += lengths[last]
            last += 1
        groups.append(_group(lengths[first:last], start, bias))
        first, start = last, start + count
    return groups


def _group(lengths: Sequence[int], start: int, bias: Tensor | None) -> Group:
    """Return the group of samples with these lengths, whose first token is ``start``."""
    longest, count = max(lengths), sum(lengths)
    tokens = slice(start, start + count)
    added = None if bias is None else bias[tokens]
    if added is not None and not added.any():
        added = None
    if count == longest * len(lengths):
        given = None if added is None else Bias.of(added.view(len(lengths), 1, 1, longest))
        return Group(tokens, len(lengths), longest, None, None, given)
    sizes = torch.tensor(lengths)
    position = torch.arange(longest)
    valid = position < sizes[:, None]
    first = (sizes.cumsum(0) - sizes)[:, None]
    places = torch.where(valid, first + position, first).flatten()
    real = valid.flatten().nonzero().flatten()
    padding = torch.zeros(valid.shape, dtype=torch.float32 if bias is None else bias.dtype)
    if added is not None:
        padding += added[places].view(valid.shape)
    padding.masked_fill_(~valid, -torch.inf)
    given = Bias.of(padding[:, None, None])
    return Group(tokens, len(lengths), longest, places, real, given)
