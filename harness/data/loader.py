"""Stored samples -> CPU batches, under a mask option and the masks of a dropout protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from harness.data.batch import Batch
from harness.data.grid_masks import grid_request
from harness.data.grid_store import StoredGridSplit
from harness.data.store import StoredSplit
from harness.errors import UsageError
from harness.protocols.dataset import check_mask_option, position_mask
from harness.protocols.dropout import DropoutProtocol, MaskRequest, SplitMasks
from harness.specs import DatasetSpec

# Splits whose padded features are smaller than this are padded once and kept.
CACHE_BYTES = 1 << 30

BoolArray = NDArray[np.bool_]


def mask_request(
    split: StoredSplit, spec: DatasetSpec, *, seed: int = 0, stream_prefix: str = ""
) -> MaskRequest:
    """Return a split as dropout protocols see it.

    Positions are counted the same under every mask option (`StoredSplit.valid_lengths`: the
    recorded length, else the rows that are not all zero), so masks and digests of two options
    agree. Under ``ones`` a model attends to padding as well: no protocol drops padding, because it
    holds nothing to drop, and what is dropped of the valid positions is neither seen nor attended.

    Raises:
        DataFormatError: a sample has fewer parties than utterances.
    """
    if isinstance(split, StoredGridSplit):
        return grid_request(split, spec, seed=seed, stream_prefix=stream_prefix)
    parties = None
    if spec.party_column:
        counts = split.valid_lengths.max(axis=1, initial=0)
        column = split.extras[spec.party_column]
        parties = [list(str(p)[: int(n)]) for p, n in zip(column, counts, strict=True)]
    return MaskRequest(
        split=split.name,
        ids=split.ids,
        modalities=tuple(m.key for m in spec.modalities),
        natural=split.natural,
        lengths=split.valid_lengths,
        aligned=spec.aligned,
        seed=seed,
        stream_prefix=stream_prefix,
        unit_per_position=spec.position_unit == "utterance",
        parties=parties,
        personality=spec.personality_dim > 0,
    )


def class_balanced_order(
    labels: NDArray[np.uint8],
    generator: torch.Generator,
    held_out: NDArray[np.uint8] | None = None,
) -> NDArray[np.int64]:
    """Draw N + V sample indices with replacement, each with weight 1 / (size of its class).

    As MEmoR's reference does, the validation samples count in the sizes of the classes and in the
    number of draws; none of them is drawn.

    Args:
        labels: uint8 [N, L], one-hot: single-label data.
        generator: the CPU generator of the order.
        held_out: uint8 [V, L], labels of the validation samples, or None: V = 0.

    Raises:
        UsageError: the data is not single-label.
    """
    if not (labels.sum(axis=1) == 1).all():
        raise UsageError("the class-balanced sampler needs single-label data; use sampler=shuffle.")
    every = labels if held_out is None else np.concatenate([labels, held_out])
    weights = 1.0 / every.sum(axis=0, dtype=np.int64)[labels.argmax(axis=1)]
    drawn = torch.multinomial(
        torch.from_numpy(weights), len(every), replacement=True, generator=generator
    )
    order: NDArray[np.int64] = drawn.numpy()
    return order


class BatchLoader:
    """Batches of one split; each iteration is one pass.

    Args:
        split: the stored split, N samples.
        spec: its data set (modalities in column order).
        batch_size: samples per batch.
        mask_option: ``ones`` pads to each modality's ``max_length``, the others to the longest
            sample of the batch.
        dropout: a dropout protocol to apply; or give its ``masks`` for this split. Neither: all
            that is naturally there.
        generator: CPU generator that draws a new order for each pass; None: stored order.
        order: int [*], explicit sample indices instead (repeats allowed).
        drop_last: leave out a last batch that is not full.
        labelled: whether batches carry labels.
        null_positions: give modalities without positions one null position (rule 4 of dropout).

    Raises:
        UsageError: the data set lacks the mask option, masks are of another split, or both
            ``dropout`` and ``masks`` (or both ``generator`` and ``order``) are given.
    """

    def __init__(
        self,
        split: StoredSplit,
        spec: DatasetSpec,
        *,
        batch_size: int,
        mask_option: str,
        dropout: DropoutProtocol | None = None,
        masks: SplitMasks | None = None,
        generator: torch.Generator | None = None,
        order: Sequence[int] | NDArray[np.int64] | None = None,
        drop_last: bool = False,
        labelled: bool = False,
        null_positions: bool = False,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch size must be at least 1, not {batch_size}.")
        if dropout is not None and masks is not None:
            raise UsageError("a loader takes a dropout protocol or its masks, not both.")
        if generator is not None and order is not None:
            raise UsageError("a loader takes a generator or an explicit order, not both.")
        self.split, self.spec = split, spec
        self.mask_option = check_mask_option(mask_option, spec.mask_options, spec.name)
        self.masks = masks if dropout is None else dropout.masks(mask_request(split, spec))
        if self.masks is not None and self.masks.keep.shape != split.natural.shape:
            raise UsageError(
                f"dropout masks are for {self.masks.keep.shape} samples and modalities, split "
                f"{split.name!r} has {split.natural.shape}."
            )
        self.batch_size, self.drop_last = batch_size, drop_last
        self.labelled, self.null_positions = labelled, null_positions
        self._generator = generator
        self._order = None if order is None else np.asarray(order, dtype=np.int64)
        self._ids = np.array(split.ids, dtype=object)
        self._prepare()

    def _prepare(self) -> None:
        """Set up what every batch needs: position masks, widths, the padded cache."""
        split, spec = self.split, self.spec
        self._frames = self._position_masks()
        self._fixed = {m.name: m.max_length for m in spec.modalities}
        longest = split.stored_lengths.max(axis=0)
        if self.mask_option != "ones":
            self._fixed = {
                m.name: max(1, int(n)) for m, n in zip(spec.modalities, longest, strict=True)
            }
        self._cache = split.padded_cache(self._fixed, CACHE_BYTES)

    def __len__(self) -> int:
        count = len(self.split) if self._order is None else len(self._order)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = self._order
        if self._generator is not None:
            order = torch.randperm(len(self.split), generator=self._generator).numpy()
        elif order is None:
            order = np.arange(len(self.split))
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield self.batch(order[start : start + self.batch_size])

    def batch(self, indices: NDArray[np.int64]) -> Batch:
        """Return the samples at these indices as one batch."""
        split = self.split
        natural = split.natural[indices]
        present = natural if self.masks is None else natural & self.masks.keep[indices]
        padded = self._padded(indices)
        features: dict[str, torch.Tensor] = {}
        mask: dict[str, torch.Tensor] = {}
        for column, m in enumerate(self.spec.modalities):
            values, attendable = self._modality(indices, column, padded[m.name], present[:, column])
            features[m.name] = torch.from_numpy(values)
            mask[m.name] = torch.from_numpy(attendable)
        labels = None
        if self.labelled:
            labels = torch.from_numpy(split.labels[indices].astype(np.float32))
        tokens, known = split.personality, split.personality_known[indices]
        if tokens is not None:
            known = known & (self.masks is None or self.masks.personality)
            tokens = np.where(known[:, None], tokens[indices], np.float32(0.0))
        batch = Batch(
            features=features,
            mask=mask,
            present=torch.from_numpy(present),
            natural=torch.from_numpy(natural),
            ids=tuple(self._ids[indices]),
            labels=labels,
            personality=None if tokens is None else torch.from_numpy(tokens[:, None]),
            personality_mask=None if tokens is None else torch.from_numpy(known[:, None]),
        )
        return batch.with_null_positions() if self.null_positions else batch

    def _padded(self, indices: NDArray[np.int64]) -> Mapping[str, NDArray[np.float32]]:
        """Return fresh arrays [B, T_m, d_m], zero beyond each sample's rows."""
        widths = self._fixed
        if self.mask_option != "ones":
            longest = self.split.stored_lengths[indices].max(axis=0)
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
