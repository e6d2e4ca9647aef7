"""A stored split of grids: rows of features once per data set, samples as indices into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.data.layouts.grid.rows import RowTable, rows_path
from harness.data.layouts.stored import Person, Shown, StoredColumn, StoredSplit
from harness.protocols.dropout import SplitMasks
from harness.specs import DatasetSpec, Layout, MaskOption

if TYPE_CHECKING:
    from harness.data.layouts.grid.loader import GridLoader
    from harness.data.layouts.grid.writer import GridWriter

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


class GridSplit(StoredSplit):
    """One split of grids. N samples, S cells in all, person-major within each sample.

    Attributes (beyond those of `StoredSplit`):
        persons, segments: int64 [N], numbers of persons P_i and of segments R_i.
        offsets: int64 [N + 1], where each sample's cells begin in the flat arrays.
        index: per modality name, int64 [S], row of each cell, -1 where missing.
        tables: per modality name, its `RowTable`.
        characters: int64 [sum of P_i]; ``person_offsets``: int64 [N + 1].
        target_person, target_segment: int64 [N]. has_target: bool [N].

    ``natural``: the modality exists in some cell of the sample; ``available``: in some segment of
    the target person; ``valid_lengths`` counts the cells that have the modality.
    """

    def __init__(
        self, name: str, path: Path, spec: DatasetSpec, sd: Mapping[str, Sequence[float]]
    ) -> None:
        super().__init__(name, path, spec, sd)
        self.persons, self.segments = self._integers("persons"), self._integers("segments")
        self.target_person = self._integers("target_person")
        self.target_segment = self._integers("target_segment")
        self.has_target: BoolArray = self._integers("has_target") > 0
        self.offsets = _starts(self.persons * self.segments)
        self.person_offsets = _starts(self.persons)
        self.characters = self._flat("characters").astype(np.int64)
        names = spec.modality_names
        self.index = {m: self._flat(f"index:{m}").astype(np.int64) for m in names}
        self.row_tables = {m: rows_path(path.parent, m) for m in names}
        self.tables = {m: RowTable(file) for m, file in self.row_tables.items()}
        spans = np.stack([self.offsets[:-1], self.offsets[1:]])
        self.valid_lengths = self._count(spans)
        self.natural = self.valid_lengths > 0
        first = self.offsets[:-1] + self.target_person * self.segments
        self.available = self._count(np.stack([first, first + self.segments])) > 0
        self.longest = np.where(self.available, self.segments[:, None], 0).max(axis=0)

    def _count(self, spans: IntArray) -> IntArray:
        """Return how many cells have each modality, int64 [N, M], in half-open spans [2, N]."""
        totals = [_starts((self.index[m.name] >= 0).astype(np.int64)) for m in self.modalities]
        return np.stack([total[spans[1]] - total[spans[0]] for total in totals], axis=1)

    @classmethod
    def _described(cls, spec: DatasetSpec) -> list[StoredColumn]:
        found = [
            StoredColumn("persons", "int32", "number of persons P of the clip"),
            StoredColumn("segments", "int32", "number of segments R of the clip"),
            StoredColumn("target_person", "int32", "the person asked about, 0 to P - 1"),
            StoredColumn("target_segment", "int32", "the segment asked about, 0 to R - 1"),
            StoredColumn("has_target", "int32", "1 where a segment holds the moment asked about"),
            StoredColumn("characters", "int32", "row of each person's traits", (-1,)),
        ]
        for m in spec.modalities:
            cells = f"row of {m.name} of each of the P x R cells, persons first; -1: it is missing"
            rows = f"features of {m.name}, a row a cell, shared by samples"
            found += [
                StoredColumn(f"index:{m.name}", "int32", cells, (-1,), m.name),
                StoredColumn("row", "float32", rows, (m.dim,), m.name, table=m.name),
            ]
        traits = "traits, a row a person; zero where they are not known"
        shape = (spec.personality_dim,)
        return [*found, StoredColumn("row", "float32", traits, shape, table="personality")]

    @classmethod
    def writer(cls, folder: Path, spec: DatasetSpec) -> GridWriter:
        """Return the writer of splits of grids."""
        from harness.data.layouts.grid.writer import GridWriter

        return GridWriter(folder, spec)

    def loader(self, *, layout: Layout = "sequence", **options: Any) -> GridLoader:
        """Return the split's batches."""
        from harness.data.layouts.grid.loader import GridLoader

        return GridLoader(self, layout=layout, **options)

    def separable(self, layout: Layout) -> bool:
        """Return false for the sequence view of clips: it holds the cells that have anything."""
        return layout == "grid" or self.spec.grid_context == "row"

    def ends(self, mask_option: MaskOption, layout: Layout) -> IntArray | None:
        """Return the segments, or the cells of a clip, of the sequence view before dropout."""
        if layout == "grid":
            return None
        clip = self.spec.grid_context == "clip"
        held = self.persons * self.segments if clip else self.segments
        longest = max(m.max_length for m in self.modalities)
        columns = np.clip(held, 1, longest)[:, None]
        return np.repeat(columns, len(self.modalities), axis=1)

    @cached_property
    def traits(self) -> NDArray[np.float32]:
        """Return the personality by character id, float32 [C, d_p]."""
        table = RowTable(rows_path(self.path.parent, "personality"))
        return table.take(np.arange(len(table)))

    @property
    def slices(self) -> dict[str, BoolArray]:
        """Return which samples belong to a slice, bool [N] each, by what is naturally there.

        ``speaker``/``nonspeaker``: the target does or does not speak in the target segment (has
        the modality with key ``t``, or else ``a``); ``visible``/``invisible``: has ``v`` there.
        Samples without target cell belong to none; empty where no sample has one.
        """
        if not self.has_target.any():
            return {}
        targets = self.offsets[:-1] + self.target_person * self.segments + self.target_segment
        key_of = {m.key: m.name for m in self.modalities}
        found: dict[str, BoolArray] = {}
        for keys, yes, no in (
            (("t", "a"), "speaker", "nonspeaker"),
            (("v",), "visible", "invisible"),
        ):
            known = [key_of[k] for k in keys if k in key_of]
            if known:
                there = self.index[known[0]][targets] >= 0
                found[yes], found[no] = there & self.has_target, ~there & self.has_target
        return found

    def valid_positions(self, column: int) -> tuple[IntArray, IntArray]:
        """Return the rows of the cells that have the modality; cells may share rows."""
        index = self.index[self.modalities[column].name]
        return index[index >= 0], self.valid_lengths[:, column]

    def rows_at(self, column: int, numbers: IntArray) -> NDArray[np.float32]:
        """Return rows of the table of a modality."""
        return self.tables[self.modalities[column].name].take(numbers)

    def _units(self) -> dict[str, Any]:
        """Return units, parties and targets.

        A unit is a cell, named ``<character id>/<segment>``, person-major. Positions (``frames``,
        ``burst``) are counted over the cells that have the modality, so that a position is not the
        same cell in every modality, and protocols that need ``aligned`` data do not fit. Samples
        about whole clips (``grid_context`` ``clip``) have no target.
        """
        cells = np.stack([self.index[m.name] >= 0 for m in self.modalities], axis=1)
        people = np.split(self.characters.astype(str), self.person_offsets[1:-1])
        parties = [np.repeat(p, r) for p, r in zip(people, self.segments, strict=True)]
        units = [
            [f"{person}/{i % r}" for i, person in enumerate(own)]
            for own, r in zip(parties, self.segments.tolist(), strict=True)
        ]
        targets = [str(p[i]) for p, i in zip(people, self.target_person, strict=True)]
        return {
            "aligned": False,
            "units": units,
            "unit_natural": np.split(cells, self.offsets[1:-1]),
            "parties": [own.tolist() for own in parties],
            "targets": targets if self.spec.grid_context == "row" else None,
        }

    def cells_left(self, masks: SplitMasks | None) -> dict[str, BoolArray]:
        """Return which cells have a modality after dropout, bool [S], flat as ``index``.

        Args:
            masks: the masks of a dropout protocol for this split; None: no dropout.
        """
        left: dict[str, BoolArray] = {}
        counts = np.diff(self.offsets)
        for column, m in enumerate(self.modalities):
            valid = self.index[m.name] >= 0
            if masks is not None:
                there = np.flatnonzero(valid)
                valid &= np.repeat(masks.keep[:, column], counts)
                if masks.unit_keep is not None:
                    valid &= np.concatenate([u[:, column] for u in masks.unit_keep])
                if masks.frames is not None:
                    valid[there] &= np.concatenate(masks.frames[m.key])
            left[m.name] = valid
        return left

    def unpad(self, modality: str, padded: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the cells of padded values [N, P, R], flat, person by person."""
        sizes = zip(padded, self.persons, self.segments, strict=True)
        return [cells[:n, :r].reshape(n * r, *cells.shape[2:]) for cells, n, r in sizes]

    def shown(self, place: int) -> Shown:
        """Return the persons of a sample, and which modalities each of them has when."""
        persons, segments = int(self.persons[place]), int(self.segments[place])
        cells = slice(int(self.offsets[place]), int(self.offsets[place + 1]))
        there = np.stack([index[cells] >= 0 for index in self.index.values()], axis=1)
        there = there.reshape(persons, segments, -1)
        first = int(self.person_offsets[place])
        characters = self.characters[first : first + persons].tolist()
        known: BoolArray = np.asarray(self.traits.any(axis=1))
        aimed, target = bool(self.has_target[place]), int(self.target_person[place])
        return Shown(
            persons=tuple(
                Person(
                    character=c,
                    target=aimed and n == target,
                    personality=0 <= c < len(known) and bool(known[c]),
                    cells=tuple(tuple(cell) for cell in there[n].tolist()),
                )
                for n, c in enumerate(characters)
            ),
            segments=segments,
            segment=int(self.target_segment[place]) if aimed else None,
        )

    def digest(self, shared: dict[str, Any]) -> str:
        """Return the content hash of what is stored.

        What cells hold is hashed, not where their rows stand: the order of a table does not matter.
        """
        hasher = self._hasher()
        for name, rows in self.index.items():
            if name not in shared:
                shared[name] = self.tables[name].digests
            hasher.array(f"valid:{name}", np.packbits(rows >= 0))
            hasher.array(f"cells:{name}", shared[name][rows[rows >= 0]])
        for name in ("persons", "segments", "characters"):
            hasher.array(name, getattr(self, name))
        for name in ("target_person", "target_segment", "has_target"):
            hasher.array(name, getattr(self, name))
        hasher.array("personality", self.traits)
        return self._finished(hasher)


def _starts(counts: IntArray) -> IntArray:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
