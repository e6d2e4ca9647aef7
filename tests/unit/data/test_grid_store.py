"""Grids from arrays through the Arrow store to batches, whole and under dropout protocols."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data.batch import Batch
from harness.data.corpus import Corpus, GridArrays
from harness.data.describe import statistics
from harness.data.layouts.grid import writer as writing
from harness.data.layouts.grid.loader import GridLoader
from harness.data.layouts.grid.rows import RowTable
from harness.data.layouts.grid.split import GridSplit
from harness.data.layouts.grid.writer import write_rows
from harness.data.loader import BatchLoader, class_balanced_order
from harness.data.prepare import prepare
from harness.data.store import Store, open_store
from harness.errors import DataFormatError, UsageError
from harness.protocols.dropout import SplitMasks, Traits, expand, parse
from harness.specs import DatasetSpec, ModalitySpec

SPEC = DatasetSpec(
    name="party",
    corpus="unused:Unused",
    modalities=(
        ModalitySpec("text", "t", 3, 8),
        ModalitySpec("visual", "v", 4, 8),
        ModalitySpec("audio", "a", 2, 8),
    ),
    labels=("x", "y", "z"),
    label_kind="singlelabel",
    layout="grid",
    personality_dim=5,
    group_key="clip",
    mask_options=("nonzero",),
    default_mask="nonzero",
)
SPLITS = {"train": 9, "valid": 3, "test": 4}


class Party(Corpus):
    """Random clips of 1-3 persons and 1-5 segments, each shown in several samples."""

    broken: str = ""

    def read(self, root: Path, *, repair: bool = False) -> Iterator[GridArrays]:
        rng = np.random.default_rng(7)
        sizes = {m.name: m.dim for m in self.spec.modalities}
        rows = {m: rng.normal(size=(30, d)).astype(np.float32) for m, d in sizes.items()}
        traits = rng.normal(size=(8, self.spec.personality_dim)).astype(np.float32)
        if self.broken == "nan":
            rows["audio"][3, 1] = np.nan
        for name, n in SPLITS.items():
            people = [np.sort(rng.choice(8, rng.integers(1, 4), replace=False)) for _ in range(n)]
            shapes = [(len(p), int(rng.integers(1, 6))) for p in people]
            if name == "train":
                people[0], shapes[0] = np.array([6]), (1, 1)
            index = {m: [rng.integers(0, 30, s) for s in shapes] for m in sizes}
            for m in sizes:
                index[m] = [np.where(rng.random(x.shape) < 0.6, x, -1) for x in index[m]]
            limits = np.array(shapes)
            target = (rng.random((n, 2)) * limits).astype(np.int64)
            labels = np.eye(3, dtype=np.uint8)[rng.integers(0, 3, n)]
            if self.broken == "target":
                target[0] = limits[0]
            if self.broken == "index":
                index["text"][1][0, 0] = 30
            if self.broken == "labels":
                labels[0] = 1
            if self.broken == "rows":
                rows = {m: x.copy() for m, x in rows.items()}
            yield GridArrays(
                name,
                [f"{name}{i}" for i in range(n)],
                [f"clip{i // 2}" for i in range(n)],
                labels,
                rows,
                index,
                people,
                traits,
                target[:, 0],
                target[:, 1],
                np.arange(n) % 4 != 1,
                extras={"moment": [f"m{i}" for i in range(n)]},
                facts={"samples without a target cell": int((np.arange(n) % 4 == 1).sum())},
            )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return prepare(Party(SPEC), tmp_path, "party")


def whole(split: GridSplit, layout: str, protocol: str | None = None, **more: object) -> Batch:
    masks = None if protocol is None else parse(protocol).masks(split.mask_request())
    loader = split.loader(layout=layout, batch_size=99, mask_option="nonzero", masks=masks, **more)
    return next(iter(loader))


def arrays(name: str) -> GridArrays:
    return next(s for s in Party(SPEC).read(Path()) if s.name == name)


def test_a_batch_holds_what_was_read(store: Store) -> None:
    read, split = arrays("train"), store.split("train")
    batch = whole(split, "grid", labelled=True)
    grid = batch.grid
    assert grid is not None and not batch.features
    assert batch.ids == tuple(read.ids) and batch.targets.tolist() == read.labels.tolist()
    for i, people in enumerate(read.characters):
        persons, segments = len(people), read.index["text"][i].shape[1]
        assert grid.characters[i].tolist() == [*people, *[-1] * (3 - persons)]
        assert np.array_equal(grid.personality[i, :persons], read.personality[people])
        assert not grid.personality[i, persons:].any()
        assert int(grid.exists[i].sum()) == persons * segments
        assert grid.exists[i, :persons, :segments].all()
        for m, rows in read.rows.items():
            own = read.index[m][i]
            wanted = np.where((own >= 0)[..., None], rows[own], 0.0)
            assert np.array_equal(grid.dense(m)[i, :persons, :segments], wanted)
            assert not grid.valid(m)[i, persons:].any() and not grid.valid(m)[i, :, segments:].any()
    assert grid.target_person.tolist() == read.target_person.tolist()
    assert grid.target_segment.tolist() == read.target_segment.tolist()
    assert grid.has_target.tolist() == read.has_target.tolist()
    # Each row once, and no row that no cell asks for.
    for m, index in grid.index.items():
        assert sorted(set(index[index >= 0].tolist())) == list(range(len(grid.rows[m])))
        assert len(np.unique(grid.rows[m].numpy(), axis=0)) == len(grid.rows[m])


def test_the_sequence_view_is_the_targets_row_with_the_target_first(store: Store) -> None:
    split = store.split("train")
    batch, grid = whole(split, "sequence"), whole(split, "grid").grid
    assert grid is not None and batch.grid is None
    assert batch.focus is not None and not batch.focus.any()
    for i in range(len(batch)):
        person, segment = int(grid.target_person[i]), int(grid.target_segment[i])
        order = [segment, *(s for s in range(int(grid.num_segments[i])) if s != segment)]
        for j, m in enumerate(SPEC.modality_names):
            assert torch.equal(batch.features[m][i, : len(order)], grid.dense(m)[i, person, order])
            assert torch.equal(batch.mask[m][i, : len(order)], grid.valid(m)[i, person, order])
            assert not batch.mask[m][i, len(order) :].any()
            assert bool(batch.present[i, j]) == bool(batch.mask[m][i].any())
        assert batch.personality is not None
        assert torch.equal(batch.personality[i, 0], grid.personality[i, person])


def test_data_about_clips_shows_all_filled_cells_in_their_order(tmp_path: Path) -> None:
    spec = replace(SPEC, name="clips", grid_context="clip")
    split = prepare(Party(spec), tmp_path, "clips").split("train")
    view, grid = whole(split, "sequence"), whole(split, "grid").grid
    assert view.focus is None and grid is not None
    for i in range(len(view)):
        filled = torch.stack([grid.valid(m)[i] for m in SPEC.modality_names]).any(dim=0)
        count = min(int(filled.sum()), 8)
        expected = grid.dense("text")[i][filled][:count]
        assert torch.equal(view.features["text"][i, :count], expected)
        assert not view.mask["text"][i, count:].any()
    assert view.personality is not None and view.personality.shape[1] == grid.exists.shape[1]


@pytest.mark.parametrize("protocol", ["only-v", "random-0.5", "random-seg-0.5", "nonspeaker"])
def test_dropout_acts_on_cells(store: Store, protocol: str) -> None:
    split = store.split("train")
    masks: SplitMasks = parse(protocol).masks(split.mask_request())
    before, batch = whole(split, "grid").grid, whole(split, "grid", protocol)
    after, view = batch.grid, whole(split, "sequence", protocol)
    assert before is not None and after is not None
    dropped = 0
    for i in range(len(batch)):
        n, r = int(before.num_persons[i]), int(before.num_segments[i])
        for j, m in enumerate(SPEC.modalities):
            left = before.valid(m.name)[i, :n, :r] & bool(masks.keep[i, j])
            if masks.unit_keep is not None:
                left &= torch.from_numpy(masks.unit_keep[i][:, j].reshape(n, r))
            if protocol == "nonspeaker" and m.key in "at":
                expected = before.valid(m.name)[i, :n, :r].clone()
                expected[int(before.target_person[i])] = False
                assert torch.equal(left, expected)
            assert torch.equal(after.valid(m.name)[i, :n, :r], left)
            dropped += int((before.valid(m.name)[i, :n, :r] & ~left).sum())
            row = left[int(before.target_person[i])]
            assert bool(batch.present[i, j]) == bool(row.any()) == bool(view.present[i, j])
    assert dropped > 0
    rows = {m: x for m, x in after.rows.items()}
    assert all(len(x) <= len(before.rows[m]) for m, x in rows.items())


def test_frames_count_the_cells_that_have_the_modality(store: Store) -> None:
    split = store.split("train")
    masks = parse("frames-0.5").masks(split.mask_request())
    before, after = whole(split, "grid").grid, whole(split, "grid", "frames-0.5").grid
    assert before is not None and after is not None and masks.frames is not None
    for i in range(len(split)):
        own = before.valid("audio")[i]
        assert after.valid("audio")[i][own].tolist() == masks.frames["a"][i].tolist()


def test_positions_of_cells_are_not_shared_by_modalities(store: Store) -> None:
    for name, instead in (("frames-sync-0.3", "frames-0.3"), ("burst-sync-0.3", "burst-0.3")):
        with pytest.raises(UsageError, match=f"not aligned .*{instead}"):
            whole(store.split("train"), "grid", name)


def test_noise_is_the_same_in_both_views_and_any_batch(store: Store) -> None:
    split = store.split("train")
    noisy, clean = whole(split, "grid", "noise-0.5").grid, whole(split, "grid").grid
    view = whole(split, "sequence", "noise-0.5")
    assert noisy is not None and clean is not None
    assert torch.equal(noisy.target(noisy.dense("visual")), view.features["visual"][:, 0])
    changed = (noisy.dense("visual") != clean.dense("visual")).any(dim=-1)
    assert torch.equal(changed, clean.valid("visual"))
    masks = parse("noise-0.5").masks(split.mask_request())
    alone = GridLoader(
        split, layout="grid", batch_size=1, mask_option="nonzero", masks=masks, order=[5]
    )
    single = next(iter(alone)).grid
    assert single is not None
    n, r = single.exists.shape[1:]
    assert torch.equal(single.dense("visual")[0], noisy.dense("visual")[5, :n, :r])


def test_dropped_personality_is_zero_and_masked(store: Store) -> None:
    batch = whole(store.split("test"), "grid", "drop-p")
    assert batch.grid is not None and batch.personality_mask is not None
    assert not batch.grid.personality.any() and not batch.personality_mask.any()
    assert batch.personality is not None and not batch.personality.any()


def test_who_the_persons_are_is_dropped_with_their_personality(store: Store) -> None:
    split = store.split("train")
    known, dropped = whole(split, "grid").grid, whole(split, "grid", "drop-p").grid
    assert known is not None and dropped is not None
    numbers = torch.arange(known.characters.shape[1]).expand_as(known.characters)
    assert torch.equal(dropped.characters, torch.where(known.persons, numbers, -1))
    assert not torch.equal(dropped.characters, known.characters)


def test_every_protocol_of_the_suites_runs(store: Store) -> None:
    split = store.split("valid")
    for protocol in expand(["core@1", "party@1", "noise@1"], Traits.of(SPEC)):
        batch = whole(split, "sequence", protocol.id, null_positions=True)
        assert all(m.any(dim=1).all() for m in batch.mask.values())


def test_units_are_cells_named_by_person_and_segment(store: Store) -> None:
    read, request = arrays("test"), store.split("test").mask_request()
    assert request.units is not None and request.parties is not None
    for i, people in enumerate(read.characters):
        segments = read.index["text"][i].shape[1]
        assert request.units[i] == [f"{p}/{s}" for p in people for s in range(segments)]
        assert request.parties[i] == [str(p) for p in people for _ in range(segments)]
        assert request.targets is not None
        assert request.targets[i] == str(people[read.target_person[i]])


def test_slices_are_about_the_target_cell(store: Store) -> None:
    read, slices = arrays("train"), store.split("train").slices
    for i, (person, segment) in enumerate(
        zip(read.target_person, read.target_segment, strict=True)
    ):
        for m, yes, no in (("text", "speaker", "nonspeaker"), ("visual", "visible", "invisible")):
            there, known = read.index[m][i][person, segment] >= 0, read.has_target[i]
            assert slices[yes][i] == (there and known)
            assert slices[no][i] == (not there and known)


def test_null_positions_and_labels_for_prediction(store: Store) -> None:
    batch = whole(store.split("train"), "sequence", "only-v", null_positions=True)
    assert batch.labels is None
    assert batch.mask["text"].any(dim=1).all() and not batch.features["text"].any()


def test_store_facts_hash_and_statistics(store: Store, tmp_path: Path) -> None:
    assert store.recompute_hash() == store.content_hash
    again = open_store("party")
    assert again is not None and again.content_hash == store.content_hash
    found = statistics(store)
    assert found["facts"]["train"]["samples without a target cell"] == 2
    read = arrays("train")
    cells = np.concatenate([x.ravel() for x in read.index["audio"]])
    wanted = read.rows["audio"][cells[cells >= 0]].astype(np.float64).std(axis=0)
    assert np.allclose(store.split("train").feature_sd["audio"], wanted)
    assert store.split("train").extras["moment"] == list(read.extras["moment"])


def test_the_hash_is_about_content_not_about_the_order_of_rows(
    store: Store, tmp_path: Path
) -> None:
    class Turned(Party):
        def read(self, root: Path, *, repair: bool = False) -> Iterator[GridArrays]:
            tables: dict[str, np.ndarray] = {}
            for split in super().read(root):
                tables = tables or {m: x[::-1].copy() for m, x in split.rows.items()}
                turned = {
                    m: [np.where(x >= 0, 29 - x, -1) for x in parts]
                    for m, parts in split.index.items()
                }
                yield replace(split, rows=tables, index=turned)

    class Other(Party):
        def read(self, root: Path, *, repair: bool = False) -> Iterator[GridArrays]:
            for split in super().read(root):
                moved = np.asarray(split.has_target).copy()
                moved[0] = ~moved[0]
                yield replace(split, has_target=moved)

    assert prepare(Turned(SPEC), tmp_path, "turned").content_hash == store.content_hash
    assert prepare(Other(SPEC), tmp_path, "other").content_hash != store.content_hash


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("nan", "NaN or infinite"),
        ("target", "outside its grid"),
        ("index", "outside the row table"),
        ("labels", "single-label data"),
        ("rows", "all splits share one"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path: Path, broken: str, message: str) -> None:
    corpus = Party(SPEC)
    corpus.broken = broken
    with pytest.raises(DataFormatError, match=message):
        prepare(corpus, tmp_path, "party")
    assert open_store("party") is None


def test_row_tables_in_several_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "BLOCK_VALUES", 12)
    rows = np.arange(70, dtype=np.float32).reshape(10, 7)
    write_rows(tmp_path / "rows.arrow", rows)
    table = RowTable(tmp_path / "rows.arrow")
    assert len(table.blocks) == 10 and len(table) == 10
    wanted = np.array([9, 0, 4, 4])
    assert np.array_equal(table.take(wanted), rows[wanted])
    write_rows(tmp_path / "none.arrow", rows[:0])
    none = RowTable(tmp_path / "none.arrow")
    assert len(none) == 0 and none.take(np.zeros(0, dtype=np.int64)).shape == (0, 7)


def test_a_damaged_table_is_told(store: Store) -> None:
    path = store.path / "rows.audio.arrow"
    path.write_bytes(path.read_bytes()[:40])
    fresh = open_store("party")
    assert fresh is not None
    with pytest.raises(DataFormatError, match="damaged"):
        fresh.split("train")


def test_options_are_checked_as_for_sequences(store: Store) -> None:
    split = store.split("train")
    with pytest.raises(UsageError, match="mask option"):
        split.loader(batch_size=2, mask_option="ones")
    with pytest.raises(UsageError, match="dropout masks are for"):
        masks = parse("only-v").masks(store.split("test").mask_request())
        split.loader(batch_size=2, mask_option="nonzero", masks=masks)


def test_orders_and_lengths(store: Store) -> None:
    split = store.split("train")
    loader = GridLoader(
        split, batch_size=4, mask_option="nonzero", generator=torch.Generator().manual_seed(1)
    )
    assert isinstance(loader, BatchLoader) and len(loader) == 3
    assert sorted(i for b in loader for i in b.ids) == sorted(split.ids)


def test_the_balanced_order_counts_the_held_out_samples_but_draws_none() -> None:
    labels = np.eye(2, dtype=np.uint8)[[0] * 30 + [1] * 10]
    held_out = np.eye(2, dtype=np.uint8)[[1] * 20]
    order = class_balanced_order(labels, torch.Generator().manual_seed(0), held_out)
    assert len(order) == 60 and order.max() < 40
    many = [
        class_balanced_order(labels, torch.Generator().manual_seed(i), held_out) for i in range(40)
    ]
    # Weights 1/30 each: classes of training size 30 and 10 are drawn as 3 to 1.
    assert abs((np.concatenate(many) < 30).mean() - 0.75) < 0.02
