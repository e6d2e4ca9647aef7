"""Stored grids -> CPU batches: as grids, or as the sequence that other models see of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.data.grid import Grid
from harness.data.loader import BatchLoader, tensors

if TYPE_CHECKING:
    from harness.data.layouts.grid.split import GridSplit

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

# Rank of a cell in the sequence view: the target, after it, not in the view.
_FOCUS, _OWN, _OUT = range(3)


class GridLoader(BatchLoader):
    """Batches of a split of grids; arguments as of `BatchLoader`.

    With the layout ``grid`` a batch has `Batch.grid`, and no features. With ``sequence`` it has
    the target person's row: position 0 is the target segment, the others follow in their order
    (so that a model can recognise the target by its position; `Batch.focus` is 0), masked where the
    modality is missing. Where labels are about whole clips (``grid_context`` ``clip``), all
    cells of a clip that have any modality follow in their order, there is no focus, and
    everybody's personality is given. Longer views are cut at the data set's ``max_length``; grids
    never are.

    Masks and digests of dropout protocols do not depend on the layout.
    """

    split: GridSplit

    def _prepare(self) -> None:
        self._left = self.split.cells_left(self.masks)
        self._personality = self.masks is None or self.masks.personality

    def _inputs(self, indices: IntArray) -> dict[str, Any]:
        split, names = self.split, self.spec.modality_names
        cells, exists = self._cells(indices)
        raw = {m: np.where(exists & self._left[m][cells], split.index[m][cells], -1) for m in names}
        if self.spec.grid_context == "clip":
            present = np.stack([(raw[m] >= 0).any(axis=(1, 2)) for m in names], axis=1)
            natural = split.natural[indices]
        else:
            own = np.arange(len(indices)), split.target_person[indices]
            present = np.stack([(raw[m][own] >= 0).any(axis=1) for m in names], axis=1)
            natural = split.available[indices]
        characters, traits = self._people(indices, exists.shape[1])
        tokens, known = self._tokens(indices, traits, characters)
        if self.layout == "grid":
            grid = self._grid(indices, raw, exists, characters, traits)
            given: dict[str, Any] = {"features": {}, "mask": {}, "grid": grid}
        else:
            given = self._sequence(indices, raw, exists)
        return given | {
            "present": present,
            "natural": natural,
            "personality": tokens,
            "personality_mask": known,
        }

    def _cells(self, indices: IntArray) -> tuple[IntArray, BoolArray]:
        """Return the flat cell of each place of the padded grids [B, N, R], and which exist."""
        persons, segments = self.split.persons[indices], self.split.segments[indices]
        n, r = np.arange(persons.max())[:, None], np.arange(segments.max())
        exists = (n < persons[:, None, None]) & (r < segments[:, None, None])
        cells = self.split.offsets[indices][:, None, None] + n * segments[:, None, None] + r
        return np.where(exists, cells, 0), exists

    def _people(self, indices: IntArray, width: int) -> tuple[IntArray, NDArray[np.float32]]:
        """Return character ids [B, N], -1 for padding, and traits float32 [B, N, d_p].

        Traits are a function of the id: where they are dropped, persons are numbered instead.
        """
        split = self.split
        real = np.arange(width) < split.persons[indices][:, None]
        places = split.person_offsets[indices][:, None] + np.arange(width)
        characters = np.where(real, split.characters[np.where(real, places, 0)], -1)
        traits = split.traits[characters]
        traits[~real] = 0.0
        if not self._personality:
            traits[:] = 0.0
            characters = np.where(real, np.arange(width), -1)
        return characters, traits

    def _tokens(
        self, indices: IntArray, traits: NDArray[np.float32], characters: IntArray
    ) -> tuple[NDArray[np.float32] | None, BoolArray | None]:
        """Return personality tokens [B, P, d_p] and which are known: the target's, or all."""
        if not self.spec.personality_dim:
            return None, None
        if self.spec.grid_context == "row":
            chosen = self.split.target_person[indices][:, None]
            traits = np.take_along_axis(traits, chosen[:, :, None], axis=1)
            characters = np.take_along_axis(characters, chosen, axis=1)
        return traits, (characters >= 0) & self._personality

    def _grid(
        self,
        indices: IntArray,
        raw: dict[str, IntArray],
        exists: BoolArray,
        characters: IntArray,
        traits: NDArray[np.float32],
    ) -> Grid:
        split = self.split
        rows, index = self._rows(indices, raw)
        arrays = {
            "rows": rows,
            "index": index,
            "exists": exists,
            "characters": characters,
            "personality": traits,
            "target_person": split.target_person[indices],
            "target_segment": split.target_segment[indices],
            "num_persons": split.persons[indices],
            "num_segments": split.segments[indices],
            "has_target": split.has_target[indices],
        }
        return Grid(**tensors(arrays))

    def _rows(
        self, indices: IntArray, raw: dict[str, IntArray]
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, IntArray]]:
        """Return the batch's distinct rows and the index into them, after noise.

        Noise is a sample's own, so under it no two cells share a row.
        """
        noise = None if self.masks is None else self.masks.noise
        rows: dict[str, NDArray[np.float32]] = {}
        index: dict[str, IntArray] = {}
        for m in self.spec.modalities:
            valid = raw[m.name] >= 0
            places = np.full(valid.shape, -1, dtype=np.int64)
            wanted = raw[m.name][valid]
            table = self.split.tables[m.name]
            if noise is None:
                distinct, places[valid] = np.unique(wanted, return_inverse=True)
                rows[m.name] = table.take(distinct)
            else:
                flat = valid.reshape(len(indices), -1)
                dense = np.zeros((*flat.shape, m.dim), dtype=np.float32)
                dense[flat] = table.take(wanted)
                sd = self.split.feature_sd.get(m.name)
                noisy = noise.apply(dense, m.key, list(self._ids[indices]), flat, sd)
                rows[m.name], places[valid] = noisy[flat], np.arange(len(wanted))
            index[m.name] = places
        return rows, index

    def _sequence(
        self, indices: IntArray, raw: dict[str, IntArray], exists: BoolArray
    ) -> dict[str, Any]:
        """Return features [B, T, d_m], masks [B, T] and the focus [B] of the sequence view."""
        order, inside = self._order_of_view(indices, raw, exists)

        def view(index: IntArray) -> IntArray:
            flat = np.take_along_axis(index.reshape(len(indices), -1), order, axis=1)
            return np.where(inside, flat, -1)

        # The sequence draws the same noise as the grid: it is a view of the same cells.
        noisy = self.masks is not None and self.masks.noise is not None
        if not noisy:
            raw = {m: view(index) for m, index in raw.items()}
        rows, index = self._rows(indices, raw)
        features: dict[str, NDArray[np.float32]] = {}
        mask: dict[str, BoolArray] = {}
        for m in self.spec.modalities:
            places = view(index[m.name]) if noisy else index[m.name]
            valid = places >= 0
            values = np.zeros((*places.shape, m.dim), dtype=np.float32)
            values[valid] = rows[m.name][places[valid]]
            features[m.name], mask[m.name] = values, valid
        clip = self.spec.grid_context == "clip"
        focus = None if clip else np.zeros(len(indices), dtype=np.int64)
        return {"features": features, "mask": mask, "focus": focus}

    def _order_of_view(
        self, indices: IntArray, raw: dict[str, IntArray], exists: BoolArray
    ) -> tuple[IntArray, BoolArray]:
        """Return which place of the flat grid is where in the view [B, T], and which are real."""
        filled = np.logical_or.reduce([index >= 0 for index in raw.values()])
        samples = np.arange(len(indices))
        rank = np.full(exists.shape, _OUT)
        if self.spec.grid_context == "clip":
            rank[filled] = _OWN
        else:
            person = self.split.target_person[indices]
            rank[samples, person] = np.where(exists[samples, person], _OWN, _OUT)
            rank[samples, person, self.split.target_segment[indices]] = _FOCUS
        flat = rank.reshape(len(indices), -1)
        longest = max(m.max_length for m in self.spec.modalities)
        width = max(1, min(int((flat < _OUT).sum(axis=1).max()), longest))
        order = np.argsort(flat, axis=1, kind="stable")[:, :width]
        return order, np.take_along_axis(flat, order, axis=1) < _OUT
