"""The stack shuffle of RAMer (paper section 4.3), as one index tensor and without any loop.

One pass of "k stacks, tops popped in turn and appended" is a fixed permutation. Alone it cannot
augment: with one order for all labels the rows are merely renamed. Each column is therefore
entered at its own random offset, so that the cells of one row come from different samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def pass_order(n: int, stacks: int) -> Tensor:
    """Return which item each output position takes after one pass, int64 [n].

    The items are cut into ``stacks`` contiguous stacks, the first ``n mod stacks`` one longer;
    visited cyclically, each gives its top, empty ones are skipped. Closed form:
    pi(p) = (p mod k) * floor(n/k) + min(p mod k, n mod k) + floor(p/k).
    """
    p = torch.arange(n)
    column = p % stacks
    return column * (n // stacks) + column.clamp(max=n % stacks) + p // stacks


def stack_order(n: int, stacks: int, passes: int) -> Tensor:
    """Return sigma = pi o ... o pi (``passes`` times), int64 [n]."""
    order = torch.arange(n)
    step = pass_order(n, stacks)
    for _ in range(passes):
        order = order[step]
    return order


@dataclass(frozen=True)
class Offsets:
    """Where each column is entered.

    Attributes:
        sample: int64 [M', L] in 0..B-1, one offset a slot and label.
        slot: int64 [B, L] in 0..M'-1, one offset a sample and label.
    """

    sample: Tensor
    slot: Tensor

    @classmethod
    def draw(cls, batch: int, slots: int, labels: int, generator: torch.Generator) -> Offsets:
        """Draw uniform offsets from the training generator (CPU)."""
        return cls(
            torch.randint(batch, (slots, labels), generator=generator),
            torch.randint(slots, (batch, labels), generator=generator),
        )

    @classmethod
    def zero(cls, batch: int, slots: int, labels: int) -> Offsets:
        """Return the offsets under which every label moves alike: rows are only renamed."""
        return cls(
            torch.zeros(slots, labels, dtype=torch.long),
            torch.zeros(batch, labels, dtype=torch.long),
        )


@dataclass(frozen=True)
class StackShuffle:
    """Sizes of the two passes: stacks over the samples, stacks over the slots, repetitions."""

    sample_stacks: int = 4
    slot_stacks: int = 3
    passes: int = 2

    def indices(self, offsets: Offsets) -> tuple[Tensor, Tensor, Tensor]:
        """Return which sample, slot and cell J each place takes, each int64 [B, M', L].

        With s[b,m,c] = sigma_B((b + o[m,c]) mod B): slot q[b,m,c] = sigma_M'((m + r[b,c]) mod M'),
        sample s[b, q[b,m,c], c], J[b,m,c] = s[b, q[b,m,c], c] * M' + q[b,m,c]. For each label J
        is a permutation of all B * M' cells.
        """
        batch, slots = offsets.slot.shape[0], offsets.sample.shape[0]
        over_samples = stack_order(batch, self.sample_stacks, self.passes)
        over_slots = stack_order(slots, self.slot_stacks, self.passes)
        b = torch.arange(batch)[:, None, None]
        m = torch.arange(slots)[None, :, None]
        slot = over_slots[(m + offsets.slot[:, None, :]) % slots]
        sample = over_samples[(b + offsets.sample) % batch].gather(1, slot)
        return sample, slot, sample * slots + slot

    def apply(self, stack: Tensor, labels: Tensor, offsets: Offsets) -> tuple[Tensor, Tensor]:
        """Shuffle a stack V and its labels (eq. 12's V^m and Y^m).

        Args:
            stack: V, float [B, M', L, d].
            labels: Y, float [B, L].
            offsets: where each column is entered.

        Returns:
            V' [B, M', L, d] and Y' [B, M', L]; every cell keeps its own label.
        """
        slots = stack.shape[1]
        flat = self.indices(offsets)[2].to(stack.device)
        column = torch.arange(stack.shape[2], device=stack.device)
        return stack.flatten(0, 1)[flat, column], labels[flat // slots, column]
