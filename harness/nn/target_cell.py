"""What a batch shows of the cell it asks about: one vector per modality, where it is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.grid import Grid


@dataclass(frozen=True)
class TargetCells:
    """The target cells of B samples.

    Attributes:
        rows: per modality name, [V_m, d_m], the cells that have the modality, in the batch's
            order; V_m may be 0.
        valid: bool [B, M], which cells those are; modalities in the order asked for.
        personality: [B, d_p], the target person's; d_p may be 0.
    """

    rows: dict[str, Tensor]
    valid: Tensor
    personality: Tensor

    def place(self, modality: int, encoded: Tensor) -> Tensor:
        """Return the encoded rows [V_m, h] at their samples, [B, h]; zeros elsewhere."""
        where = self.valid[:, modality].nonzero().squeeze(1)
        return encoded.new_zeros(len(self.valid), encoded.shape[1]).index_copy(0, where, encoded)


def target_cells(grid: Grid, names: Sequence[str], *, mean: bool) -> TargetCells:
    """Return the target cells of a grid.

    Args:
        grid: the samples.
        names: modalities, in order.
        mean: take the mean over the target person's valid segments instead of the target segment:
            for sequences, which ask about no position in particular.
    """
    rows: dict[str, Tensor] = {}
    valid: list[Tensor] = []
    for name in names:
        index = (
            grid.target_row(grid.index[name]) if mean else grid.target(grid.index[name])[:, None]
        )
        there = index >= 0
        counts = there.sum(1)
        chosen = grid.rows[name].index_select(0, index[there])
        valid.append(counts > 0)
        if mean:
            # The sample of every chosen row, counting only samples that have any.
            owner = torch.repeat_interleave((counts > 0).cumsum(0) - 1, counts)
            kept = counts[counts > 0]
            sums = chosen.new_zeros(len(kept), chosen.shape[1]).index_add(0, owner, chosen)
            chosen = sums / kept[:, None].to(chosen.dtype)
        rows[name] = chosen
    return TargetCells(rows, torch.stack(valid, 1), grid.target_row(grid.personality))
