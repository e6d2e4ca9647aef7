"""Label sequences as decoder rows: several rows of a sample share its memory without a copy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """N rows that belong to B samples.

    Attributes:
        sample: int64 [N], non-decreasing.
        batch: B.
        width: R, the most rows of one sample.
        place: int64 [N], where a row lies among B x R.
    """

    sample: Tensor
    batch: int
    width: int
    place: Tensor

    @classmethod
    def of(cls, sample: Tensor, batch: int) -> Rows:
        """Return the layout of rows whose samples are ``sample``, int64 [N], non-decreasing."""
        counts = torch.bincount(sample, minlength=batch)
        width = int(counts.max())
        slot = torch.arange(len(sample), device=sample.device) - first_rows(counts)[sample]
        return cls(sample, batch, width, sample * width + slot)

    @property
    def full(self) -> bool:
        """Return whether every sample has the same number of rows."""
        return len(self.sample) == self.batch * self.width

    def spread(self, x: Tensor) -> Tensor:
        """Return x [N, S, d] as one longer query per sample, [B, R S, d], zeros in empty rows."""
        if not self.full:
            empty = x.new_zeros(self.batch * self.width, *x.shape[1:])
            x = empty.index_copy(0, self.place, x)
        return x.reshape(self.batch, -1, x.shape[-1])

    def collect(self, y: Tensor) -> Tensor:
        """Return y [B, R S, d] as rows again, [N, S, d]."""
        rows = y.reshape(self.batch * self.width, -1, y.shape[-1])
        return rows if self.full else rows.index_select(0, self.place)


def first_rows(counts: Tensor) -> Tensor:
    """Return the index of the first row of each owner, from their row counts int64 [Q]."""
    return counts.cumsum(0) - counts
