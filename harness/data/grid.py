"""`Grid`: samples that are persons x segments with one target cell; only rows that exist are held.

Most cells of a clip lack audio and text (one person speaks at a time) and several samples show the
same clip. So a batch holds each distinct valid row once, and an index per cell: a model encodes
`rows` and spreads the result with `cells`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Grid:
    """A batch of B grids, padded to N persons and R segments.

    Attributes:
        rows: per modality name, float32 [K_m, d_m], the distinct valid rows of the batch after
            dropout; K_m may be 0.
        index: per modality name, int64 [B, N, R], the row of each cell; -1 where the modality is
            missing there (by nature or dropout) or the cell is padding.
        exists: bool [B, N, R], true for real cells: n < num_persons and r < num_segments.
        characters: int64 [B, N], character id of each person, -1 for padding; 0 where the data
            has no persons. Where a protocol drops personality they are numbered 0, 1, ... in the
            order of their ids instead: persons stay distinct but anonymous.
        personality: float32 [B, N, d_p]; zero for padding and where a protocol drops it. d_p is 0
            where the data has none.
        target_person: int64 [B], the person asked about, as an index into N.
        target_segment: int64 [B], the segment asked about, as an index into R.
        num_persons: int64 [B]. num_segments: int64 [B].
        has_target: bool [B]; false where the moment lies in no segment, and the target cell is
            the last person's last segment, as in the reference (Shen et al. 2020).
    """

    rows: dict[str, Tensor]
    index: dict[str, Tensor]
    exists: Tensor
    characters: Tensor
    personality: Tensor
    target_person: Tensor
    target_segment: Tensor
    num_persons: Tensor
    num_segments: Tensor
    has_target: Tensor

    def __len__(self) -> int:
        return len(self.exists)

    @property
    def persons(self) -> Tensor:
        """Return which persons are real, bool [B, N]."""
        return self._below(self.num_persons, self.exists.shape[1])

    @property
    def segments(self) -> Tensor:
        """Return which segments are real, bool [B, R]."""
        return self._below(self.num_segments, self.exists.shape[2])

    def valid(self, modality: str) -> Tensor:
        """Return where a modality is there, bool [B, N, R]."""
        return self.index[modality] >= 0

    def cells(self, modality: str, encoded: Tensor, missing: Tensor | float = 0.0) -> Tensor:
        """Return the encoded row of every cell, [B, N, R, h].

        Args:
            modality: its name.
            encoded: [K_m, h], the encoded rows, in the order of ``rows[modality]``.
            missing: what cells without the modality get, padding included: [h], or one number.
        """
        if not isinstance(missing, Tensor):
            missing = encoded.new_full(encoded.shape[1:], missing)
        table = torch.cat([encoded, missing.to(encoded.dtype)[None]])
        index = self.index[modality]
        chosen = torch.where(index < 0, len(encoded), index)
        return table.index_select(0, chosen.flatten()).view(*index.shape, -1)

    def dense(self, modality: str) -> Tensor:
        """Return the features of every cell, float32 [B, N, R, d_m], zero where missing."""
        return self.cells(modality, self.rows[modality])

    def target_row(self, x: Tensor) -> Tensor:
        """Return the target person's part [B, R, ...] of x [B, N, R, ...] (or [B, ...])."""
        return x[torch.arange(len(x), device=x.device), self.target_person]

    def target(self, x: Tensor) -> Tensor:
        """Return the target cell's part [B, ...] of [B, N, R, ...]."""
        samples = torch.arange(len(x), device=x.device)
        return x[samples, self.target_person, self.target_segment]

    def select(self, places: Tensor) -> Grid:
        """Return the grids at these places, int64 [B'], over the same rows."""
        return replace(
            self,
            index={m: x[places] for m, x in self.index.items()},
            exists=self.exists[places],
            characters=self.characters[places],
            personality=self.personality[places],
            target_person=self.target_person[places],
            target_segment=self.target_segment[places],
            num_persons=self.num_persons[places],
            num_segments=self.num_segments[places],
            has_target=self.has_target[places],
        )

    def keeping(self, kept: Tensor) -> Grid:
        """Return the grid without some modalities, bool [B, M]; nobody has them then."""
        columns = zip(self.index.items(), kept.unbind(1), strict=True)
        index = {m: torch.where(keep[:, None, None], x, -1) for (m, x), keep in columns}
        return self.indexed(index)

    def indexed(self, index: Mapping[str, Tensor]) -> Grid:
        """Return the grid with another index, without the rows that no cell has any more."""
        rows: dict[str, Tensor] = {}
        places: dict[str, Tensor] = {}
        for name, chosen in index.items():
            valid = chosen >= 0
            used, renumbered = torch.unique(chosen[valid], return_inverse=True)
            rows[name] = self.rows[name][used]
            places[name] = torch.full_like(chosen, -1).masked_scatter(valid, renumbered)
        return replace(self, rows=rows, index=places)

    def to(self, device: torch.device | str) -> Grid:
        """Return the grid on another device."""

        return moved(self, device)

    @staticmethod
    def _below(counts: Tensor, width: int) -> Tensor:
        return torch.arange(width, device=counts.device) < counts[:, None]


Held = TypeVar("Held")


def moved(value: Held, device: torch.device | str) -> Held:
    """Return a tensor, or a dataclass or mapping with tensors in it, on another device.

    Copies to a GPU do not wait for what it is doing; those to the CPU do, to be whole.
    """
    found: Any = value
    if isinstance(value, Tensor):
        found = value.to(device, non_blocking=torch.device(device).type != "cpu")
    elif isinstance(value, Mapping):
        found = {name: moved(inner, device) for name, inner in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: moved(getattr(value, f.name), device) for f in fields(value)}
        found = replace(value, **parts)
    return cast("Held", found)


def grid_of_sequence(
    features: Mapping[str, Tensor],
    mask: Mapping[str, Tensor],
    personality: Tensor | None = None,
) -> Grid:
    """Return sequences as grids of one person: N = 1, a segment is a position.

    The target segment is the last position any modality may be attended at. Unaligned sequences
    are laid side by side from position 0, so their segments are positions, not moments.

    Args:
        features: per modality, [B, T_m, d_m]. mask: per modality, bool [B, T_m].
        personality: [B, P, d_p] tokens, of which the first is the person's, or None.
    """
    first = next(iter(mask.values()))
    size, width = len(first), max(m.shape[1] for m in mask.values())
    positions = torch.arange(width, device=first.device)
    rows: dict[str, Tensor] = {}
    index: dict[str, Tensor] = {}
    length = torch.ones(size, dtype=torch.int64, device=first.device)
    for name, valid in mask.items():
        rows[name] = features[name][valid]
        place = torch.where(valid, valid.flatten().cumsum(0).view_as(valid) - 1, -1)
        wide = place.new_full((size, width), -1)
        wide[:, : valid.shape[1]] = place
        index[name] = wide[:, None]
        last = torch.where(wide >= 0, positions + 1, 0).amax(dim=1)
        length = torch.maximum(length, last)
    some = next(iter(features.values()))
    one = torch.ones_like(length)
    return Grid(
        rows=rows,
        index=index,
        exists=(positions < length[:, None])[:, None],
        characters=torch.zeros_like(length)[:, None],
        personality=some.new_zeros(size, 1, 0) if personality is None else personality[:, :1],
        target_person=torch.zeros_like(length),
        target_segment=length - 1,
        num_persons=one,
        num_segments=length,
        has_target=torch.ones_like(length, dtype=torch.bool),
    )
