"""Features in units of the training split's deviations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.data.grid import Grid
from harness.specs import ModalitySpec

# A feature that varies less than this in training is constant: it is centred and not blown up.
_FLOOR = 1e-6


class _Moments:
    """Mean and deviation of weighted rows that come batch by batch (Chan et al. 1979)."""

    def __init__(self, dim: int) -> None:
        self.count = 0.0
        self.mean = torch.zeros(dim, dtype=torch.float64)
        self.squares = torch.zeros(dim, dtype=torch.float64)

    def add(self, rows: Tensor, weights: Tensor) -> None:
        """Take rows [K, d] with weights [K]; they may be none."""
        count = float(weights.sum())
        if count == 0.0:
            return
        rows, weights = rows.double(), weights.double()[:, None]
        mean = (weights * rows).sum(0) / count
        squares = (weights * (rows - mean).square()).sum(0)
        gap, total = mean - self.mean, self.count + count
        self.mean = self.mean + gap * (count / total)
        self.squares = self.squares + squares + gap.square() * (self.count * count / total)
        self.count = total

    def deviation(self) -> Tensor:
        """Return the deviation [d] (of the population), 1 where a feature is constant."""
        found = (self.squares / max(self.count, 1.0)).sqrt()
        return torch.where(found < _FLOOR, 1.0, found)


class _Standardizer(nn.Module):
    """Mean and deviation of K tables of features, as buffers, hence in the checkpoint.

    Args:
        sizes: features of each table.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        for k, size in enumerate(sizes):
            self.register_buffer(f"mean{k}", torch.zeros(size))
            self.register_buffer(f"deviation{k}", torch.ones(size))
        self._sizes = tuple(sizes)

    def _moments(self) -> list[_Moments]:
        return [_Moments(size) for size in self._sizes]

    def _take(self, moments: Sequence[_Moments]) -> None:
        for k, found in enumerate(moments):
            self.get_buffer(f"mean{k}").copy_(found.mean)
            self.get_buffer(f"deviation{k}").copy_(found.deviation())

    def _scaled(self, x: Tensor, k: int) -> Tensor:
        return (x - self.get_buffer(f"mean{k}")) / self.get_buffer(f"deviation{k}")


class FrameStandardizer(_Standardizer):
    """Subtracts mean and divides by deviation of the training split's positions, per feature.

    Before `fit` it changes nothing; masked positions stay zero.
    """

    def __init__(self, modalities: Sequence[ModalitySpec]) -> None:
        super().__init__([m.dim for m in modalities])
        self.names = tuple(m.name for m in modalities)

    def fit(self, batches: Iterable[Batch]) -> None:
        """Take the statistics of all positions that may be attended to, null positions not."""
        moments = self._moments()
        for batch in batches:
            for k, (name, found) in enumerate(zip(self.names, moments, strict=True)):
                rows = batch.features[name][batch.mask[name] & batch.present[:, k, None]]
                found.add(rows, torch.ones(len(rows)))
        self._take(moments)

    def forward(self, name: str, frames: Tensor, mask: Tensor) -> Tensor:
        """Return frames [B, T, d] of a modality in units of deviations.

        Args:
            name: of the modality.
            frames: [B, T, d].
            mask: bool [B, T]; other positions are zero.
        """
        return torch.where(mask[..., None], self._scaled(frames, self.names.index(name)), 0.0)


class GridStandardizer(_Standardizer):
    """Subtracts mean and divides by deviation of the valid training cells, per feature.

    Before `fit` it changes nothing. A missing cell stays missing; an unknown personality (a zero
    row) stays zero.
    """

    def __init__(self, modalities: Sequence[ModalitySpec], personality_dim: int) -> None:
        super().__init__([*(m.dim for m in modalities), personality_dim])
        self.names = tuple(m.name for m in modalities)
        self.personality_dim = personality_dim

    def fit(self, batches: Iterable[Batch]) -> None:
        """Take the statistics of all valid cells and of all persons of the training split."""
        moments = self._moments()
        for batch in batches:
            grid = batch.as_grid()
            for name, found in zip(self.names, moments, strict=False):
                rows, index = grid.rows[name], grid.index[name]
                found.add(rows, torch.bincount(index[index >= 0], minlength=len(rows)))
            if self.personality_dim:
                people = grid.personality[grid.persons]
                moments[-1].add(people, people.any(dim=-1))
        self._take(moments)

    def forward(self, grid: Grid) -> Grid:
        """Return the grid in units of deviations."""
        rows = {m: self._scaled(grid.rows[m], k) for k, m in enumerate(self.names)}
        people = grid.personality
        if self.personality_dim:
            known = people.any(dim=-1, keepdim=True)
            people = torch.where(known, self._scaled(people, len(self.names)), 0.0)
        return replace(grid, rows=rows, personality=people)
