"""Grids and dropout protocols: what a protocol is told of a split, and which cells it leaves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.data.grid_store import StoredGridSplit
from harness.protocols.dropout import MaskRequest, SplitMasks
from harness.specs import DatasetSpec

BoolArray = NDArray[np.bool_]


def grid_request(
    split: StoredGridSplit, spec: DatasetSpec, *, seed: int = 0, stream_prefix: str = ""
) -> MaskRequest:
    """Return a split of grids as dropout protocols see it.

    A unit is a cell, named ``<character id>/<segment>``, person-major. Whole modalities are
    dropped for all persons, so ``natural`` is what is there for anybody; positions (``frames``,
    ``burst``) are counted over the cells that have the modality, so that a position is not the same
    cell in every modality: what must be ``aligned`` does not fit. A sample that asks about nobody
    in particular (``grid_context`` ``clip``) has no target.
    """
    cells = np.stack([split.index[m.name] >= 0 for m in split.modalities], axis=1)
    people = np.split(split.characters.astype(str), split.person_offsets[1:-1])
    parties = [np.repeat(p, r) for p, r in zip(people, split.segments, strict=True)]
    units = [
        [f"{person}/{i % r}" for i, person in enumerate(own)]
        for own, r in zip(parties, split.segments.tolist(), strict=True)
    ]
    targets = [str(p[i]) for p, i in zip(people, split.target_person, strict=True)]
    return MaskRequest(
        split=split.name,
        ids=split.ids,
        modalities=tuple(m.key for m in spec.modalities),
        natural=split.natural,
        lengths=split.valid_lengths,
        aligned=False,
        seed=seed,
        stream_prefix=stream_prefix,
        units=units,
        unit_natural=np.split(cells, split.offsets[1:-1]),
        parties=[own.tolist() for own in parties],
        targets=targets if spec.grid_context == "row" else None,
        personality=spec.personality_dim > 0,
    )


def cells_left(split: StoredGridSplit, masks: SplitMasks | None) -> dict[str, BoolArray]:
    """Return per modality name which cells of a split are left, bool [S], flat as its index."""
    left: dict[str, BoolArray] = {}
    counts = np.diff(split.offsets)
    for column, m in enumerate(split.modalities):
        valid = split.index[m.name] >= 0
        if masks is not None:
            there = np.flatnonzero(valid)
            valid &= np.repeat(masks.keep[:, column], counts)
            if masks.unit_keep is not None:
                valid &= np.concatenate([u[:, column] for u in masks.unit_keep])
            if masks.frames is not None:
                valid[there] &= np.concatenate(masks.frames[m.key])
        left[m.name] = valid
    return left
