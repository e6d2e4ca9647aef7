"""Stored sequences -> CPU batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.data.loader import BatchLoader
from harness.protocols.dataset import position_mask

if TYPE_CHECKING:
    from harness.data.layouts.sequence.split import SequenceSplit

# Splits whose padded features are smaller than this are padded once and kept.
CACHE_BYTES = 1 << 30

BoolArray = NDArray[np.bool_]


class SequenceLoader(BatchLoader):
    """Padded batches of a split of sequences; arguments as of `BatchLoader`."""

    split: SequenceSplit

    def _prepare(self) -> None:
        """Set up position masks, widths and the padded cache."""
        split, spec = self.split, self.spec
        self._frames = self._position_masks()
        self._fixed = {m.name: m.max_length for m in spec.modalities}
        if self.mask_option != "ones":
            self._fixed = {
                m.name: max(1, int(n)) for m, n in zip(spec.modalities, split.longest, strict=True)
            }
        self._cache = split.padded_cache(self._fixed, CACHE_BYTES)

    @property
    def resident(self) -> bool:
        """Return whether the padded split is kept in memory."""
        return self._cache is not None

    def _inputs(self, indices: NDArray[np.int64]) -> dict[str, Any]:
        split = self.split
        natural = split.natural[indices]
        present = natural if self.masks is None else natural & self.masks.keep[indices]
        padded = self._padded(indices)
        features: dict[str, NDArray[np.float32]] = {}
        mask: dict[str, BoolArray] = {}
        for column, m in enumerate(self.spec.modalities):
            features[m.name], mask[m.name] = self._modality(
                indices, column, padded[m.name], present[:, column]
            )
        tokens, known = split.personality, split.personality_known[indices]
        if tokens is not None:
            known = known & (self.masks is None or self.masks.personality)
            tokens = np.where(known[:, None], tokens[indices], np.float32(0.0))
        return {
            "features": features,
            "mask": mask,
            "present": present,
            "natural": natural,
            "personality": None if tokens is None else tokens[:, None],
            "personality_mask": None if tokens is None else known[:, None],
            "speakers": self._speakers(indices, max(x.shape[1] for x in mask.values())),
        }

    def _speakers(self, indices: NDArray[np.int64], width: int) -> NDArray[np.int64] | None:
        """Return who speaks at each position, int64 [B, width]; None: the data does not say."""
        known = self.split.speakers
        if known is None:
            return None
        found = np.zeros((len(indices), width), dtype=np.int64)
        shown = known[indices, :width]
        found[:, : shown.shape[1]] = shown
        return found

    def _padded(self, indices: NDArray[np.int64]) -> Mapping[str, NDArray[np.float32]]:
        """Return fresh arrays [B, T_m, d_m], zero beyond each sample's rows."""
        widths = self._fixed
        if self.mask_option != "ones":
            ends = self.split.stored_lengths
            if self.trim:
                ends = self.split.ends(self.mask_option, self.layout)
            longest = ends[indices].max(axis=0)
            names = self.spec.modality_names
            widths = {n: max(1, int(w)) for n, w in zip(names, longest, strict=True)}
        if self._cache is None:
            return self.split.padded(indices, widths)
        return {n: x[indices, : widths[n]] for n, x in self._cache.items()}

    def _modality(
        self,
        indices: NDArray[np.int64],
        column: int,
        values: NDArray[np.float32],
        present: BoolArray,
    ) -> tuple[NDArray[np.float32], BoolArray]:
        """Return one modality's features [B, T, d] and mask [B, T] after dropout and noise."""
        m = self.spec.modalities[column]
        stored = self.split.stored_lengths[indices, column]
        true = self.split.true_lengths.get(m.name)
        true = None if true is None else true[indices]
        attendable = position_mask(self.mask_option, values, stored, true)
        attendable &= present[:, None]
        noise = None if self.masks is None else self.masks.noise
        frames = self._frames.get(m.name)
        if frames is not None or noise is not None:
            rule = "nonzero" if true is None else "length"
            valid = position_mask(rule, values, stored, true)
            if frames is not None:
                # Protocols count valid positions from 0: left- and right-padded data agree.
                rank = np.clip(valid.cumsum(axis=1) - 1, 0, frames.shape[1] - 1)
                left = np.take_along_axis(frames[indices], rank, axis=1)
                values[valid & ~left] = 0.0
                attendable &= left | ~valid
            if noise is not None:
                ids = list(self._ids[indices])
                values = noise.apply(
                    values, m.key, ids, valid & attendable, self.split.feature_sd.get(m.name)
                )
        if not present.all():
            values[~present] = 0.0
        return values, attendable

    def _position_masks(self) -> dict[str, BoolArray]:
        """Return per modality bool [N, longest]: which valid positions the protocol leaves."""
        masks = self.masks
        found: dict[str, BoolArray] = {}
        if masks is None or (masks.frames is None and masks.unit_keep is None):
            return found
        for column, m in enumerate(self.spec.modalities):
            rows: list[BoolArray] = []
            if masks.frames is not None:
                rows = masks.frames[m.key]
                found[m.name] = _stacked(rows)
            if masks.unit_keep is not None:
                units = _stacked([u[:, column] for u in masks.unit_keep])
                width = max(units.shape[1], found[m.name].shape[1] if rows else 0)
                both = _widened(units, width)
                found[m.name] = both & _widened(found[m.name], width) if rows else both
        return found


def _stacked(rows: Sequence[BoolArray]) -> BoolArray:
    """Return ragged bool rows as [N, longest], at least one wide, filled with true."""
    lengths = np.array([len(r) for r in rows])
    out = np.ones((len(rows), max(1, int(lengths.max(initial=0)))), dtype=np.bool_)
    out[np.arange(out.shape[1]) < lengths[:, None]] = np.concatenate([*rows])
    return out


def _widened(mask: BoolArray, width: int) -> BoolArray:
    return np.pad(mask, ((0, 0), (0, width - mask.shape[1])), constant_values=True)
