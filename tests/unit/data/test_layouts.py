"""Every layout keeps the promises of `StoredSplit`, and nothing else depends on which it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from harness.data.corpus import Corpus, GridArrays, SplitArrays
from harness.data.layouts import SPLITS
from harness.data.layouts.stored import open_table
from harness.data.prepare import prepare
from harness.data.store import Store
from harness.errors import DataFormatError
from harness.protocols.dropout import Traits, expand, parse
from harness.specs import LAYOUTS, DatasetSpec
from tests.unit.data.data_files import ALIGNED
from tests.unit.data.test_data_store import Ragged
from tests.unit.data.test_grid_store import SPEC, Party

ROOT = Path(__file__).parents[3]


@pytest.fixture(params=[Ragged(ALIGNED), Party(SPEC)], ids=list(SPLITS))
def store(request: pytest.FixtureRequest, roots: Path) -> Store:
    return prepare(request.param, roots, "made")


def test_both_tables_name_the_same_layouts() -> None:
    assert SPLITS.keys() == LAYOUTS.keys()
    assert all(name in traits.views for name, traits in LAYOUTS.items())


def test_every_split_means_the_same_by_the_same_name(store: Store) -> None:
    spec = store.spec
    shared: dict[str, Any] = {}
    for name in spec.splits:
        split = store.split(name)
        shape = (len(split.ids), len(spec.modalities))
        assert len(split) == len(split.groups) == len(split.labels) == shape[0]
        assert split.natural.shape == split.available.shape == split.valid_lengths.shape == shape
        assert not (split.available & ~split.natural).any()
        assert not split.valid_lengths[~split.natural].any() and split.longest.shape == shape[1:]
        request = split.mask_request()
        assert request.ids == split.ids and np.array_equal(request.lengths, split.valid_lengths)
        assert split.digest(shared) == store.card["split_hashes"][name]
        for view in spec.layouts:
            batches = split.loader(layout=view, batch_size=4, mask_option=spec.default_mask)
            assert [i for b in batches for i in b.ids] == split.ids
            assert all((b.grid is not None) == LAYOUTS[view].cells for b in batches)
            assert torch.cat([b.present for b in batches]).tolist() == split.available.tolist()


def test_described_columns_are_those_of_the_files(store: Store) -> None:
    spec, described = store.spec, SPLITS[store.spec.layout].described(store.spec)
    for split in spec.splits:
        files = {"": store.path / f"{split}.arrow"}
        files |= {c.table: store.path / f"rows.{c.table}.arrow" for c in described if c.table}
        for table, path in files.items():
            schema = open_table(path)[0].schema
            own = [c for c in described if c.table == table]
            further = {*schema.names} - {c.name for c in own}
            assert all(name.startswith(("length:", "extra:")) for name in further), further
            for column in own:
                kind = schema.field(column.name).type
                kind = getattr(kind, "storage_type", kind)
                sizes = []
                while isinstance(kind, pa.ListType | pa.FixedSizeListType):
                    sizes.append(getattr(kind, "list_size", -1))
                    kind = kind.value_type
                known = {"float": "float32"}.get(str(kind), str(kind))
                assert (known, len(sizes)) == (column.kind, len(column.shape)), column
                fixed = [n for n, size in zip(column.shape, sizes, strict=True) if size >= 0]
                assert fixed == [size for size in sizes if size >= 0], column


def _valid_rows(store: Store, split: str, column: int) -> list[np.ndarray]:
    """Return the valid positions of each sample of a modality, [n, d], from its batches."""
    spec, name = store.spec, store.spec.modality_names[column]
    options = {"batch_size": 99, "mask_option": "nonzero"}
    layout = next(x for x in spec.layouts if LAYOUTS[x].cells == spec.cells)
    (batch,) = store.split(split).loader(layout=layout, **options)
    if batch.grid is not None:
        index = batch.grid.index[name]
        return [batch.grid.rows[name][cells[cells >= 0]].numpy() for cells in index]
    pairs = zip(batch.features[name], batch.mask[name], strict=True)
    return [x[there].numpy() for x, there in pairs]


def test_statistics_are_those_of_the_features(store: Store) -> None:
    """In plain integers, from what models are given."""
    for column in range(len(store.spec.modalities)):
        by_split = {n: _valid_rows(store, n, column) for n in store.spec.splits}
        flat = [row for rows in by_split["train"] for row in rows]
        steps = [[_step(x) for x in row] for row in flat]
        scale = [max(1, sum(q * q for q in own) // len(flat)) for own in zip(*steps, strict=True)]
        assert store.split("train").mean_squares[column].tolist() == scale
        for name, samples in by_split.items():
            split = store.split(name)
            energy = [
                sum(
                    256 * _step(x) ** 2 // s
                    for row in rows
                    for x, s in zip(row, scale, strict=True)
                )
                // max(1, len(rows))
                for rows in samples
            ]
            assert split.statistics["energy"][:, column].tolist() == energy
            assert split.statistics["length"][:, column].tolist() == [len(r) for r in samples]
            assert split.ranks is not None
            known = store.split("train").statistics["energy"][:, column]
            there = store.split("train").natural[:, column]
            r, n = split.ranks["energy"]
            assert n[column] == there.sum()
            for i, value in enumerate(energy):
                own = 2 * (known[there] < value).sum() + (known[there] == value).sum()
                assert r[i, column] == (own if split.natural[i, column] else 0)


def _step(x: float) -> int:
    return max(-65536, min(65536, round(1024 * float(x))))


def test_protocols_that_are_not_at_random_follow_the_store(store: Store) -> None:
    for protocol in map(parse, ["mnar-high-0.5", "mnar-long-0.5"]):
        request = store.split("valid").mask_request()
        masks = protocol.masks(request)
        assert len(masks.rank_digest) == 64
        assert masks.digest == protocol.masks(store.split("valid").mask_request()).digest


def test_every_protocol_of_the_suites_leaves_what_its_masks_say(store: Store) -> None:
    spec, split = store.spec, store.split("valid")
    for protocol in expand(["core@1"], Traits.of(spec)):
        masks = protocol.masks(split.mask_request())
        options = {"batch_size": 99, "mask_option": spec.default_mask, "masks": masks}
        for view in spec.layouts:
            (batch,) = split.loader(layout=view, **options)
            kept = torch.from_numpy(masks.keep & split.available)
            assert not (batch.present & ~kept).any(), protocol.id


def test_samples_are_displayed_and_unpadded_as_stored(store: Store) -> None:
    split, mask = store.split("train"), store.spec.default_mask
    batch = next(iter(split.loader(layout=store.spec.layout, batch_size=99, mask_option=mask)))
    for place in range(len(split)):
        shown = split.shown(place)
        assert bool(shown.persons) != bool(shown.streams)
        there = [s.present for s in shown.streams] or np.any(
            [cell for person in shown.persons for cell in person.cells], axis=0
        )
        assert list(there) == split.natural[place].tolist()
    for column, m in enumerate(store.spec.modality_names):
        padded = batch.mask[m].numpy() if batch.grid is None else batch.grid.valid(m).numpy()
        flat = split.unpad(m, padded)
        if batch.grid is None:
            shown = [split.shown(i).streams[column].stored for i in range(len(split))]
            assert [len(x) for x in flat] == shown
        else:
            assert [int(x.sum()) for x in flat] == split.valid_lengths[:, column].tolist()


class Swapped(Corpus):
    """Reads arrays of the other layout."""

    def __init__(self, inner: Corpus, spec: DatasetSpec) -> None:
        super().__init__(spec)
        self.inner = inner

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays | GridArrays]:  # type: ignore[override]
        yield from self.inner.read(root)


@pytest.mark.parametrize(
    ("corpus", "spec", "message"),
    [
        (Ragged(ALIGNED), SPEC, "'grid' must be read as GridArrays, found a SplitArrays"),
        (Party(SPEC), ALIGNED, "'sequence' must be read as SplitArrays, found a GridArrays"),
    ],
)
def test_arrays_of_the_other_layout_are_refused(
    roots: Path, corpus: Corpus, spec: DatasetSpec, message: str
) -> None:
    with pytest.raises(DataFormatError, match=message):
        prepare(Swapped(corpus, replace(spec, files=())), roots, "swapped")


def test_labels_are_checked_whatever_the_layout(roots: Path) -> None:
    class Twos(Ragged):
        def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
            for split in super().read(root):
                yield replace(split, labels=split.labels + np.uint8(1))

    with pytest.raises(DataFormatError, match="label 'happy': expected 0 or 1, found 2"):
        prepare(Twos(ALIGNED), roots, "twos")
    one = replace(ALIGNED, label_kind="singlelabel")
    with pytest.raises(
        DataFormatError, match="sample 'train-0': single-label data has one label a sample, found"
    ):
        prepare(Ragged(one), roots, "several")


def test_nothing_outside_data_compares_the_name_of_a_layout_or_the_class_of_a_split() -> None:
    found = []
    for source in ("harness", "plugins", "baselines"):
        for path in (ROOT / source).rglob("*.py"):
            if (ROOT / "harness/data") in path.parents or "build" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                words = {c.value for c in ast.walk(node) if isinstance(c, ast.Constant)}
                if isinstance(node, ast.Compare) and words & SPLITS.keys():
                    found.append(f"{path.name}: {ast.unparse(node)}")
                text = ast.unparse(node) if isinstance(node, ast.Call) else ""
                if re.match(r"isinstance\(.*(Grid|Sequence)Split\b", text):
                    found.append(f"{path.name}: {text}")
    assert found == []
