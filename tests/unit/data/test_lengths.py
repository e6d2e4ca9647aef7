"""Batches by length: nothing is lost or drawn twice, and no score depends on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.data.layouts.sequence import split as layout
from harness.data.lengths import batches_within, bucketed, uneven
from harness.data.prepare import prepare
from harness.data.store import Store
from harness.engine.patterns import predict_view
from harness.engine.splits import TRAIN, StoredTrainingData, views_of
from harness.protocols.dropout import parse
from harness.specs import TrainingConfig
from harness_corpora.mosei import MoseiAligned
from tests.gpu import made
from tests.unit.data.data_files import ALIGNED, aligned, write_aligned


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(1, 400), st.integers(1, 16), st.integers(0, 9))
def test_every_sample_comes_once_in_batches_of_similar_length(
    count: int, size: int, seed: int
) -> None:
    g = np.random.default_rng(seed)
    ends, order = g.integers(1, 61, (count, 2)), g.permutation(count)
    found = bucketed(order, ends, size, drawn(seed))
    assert sorted(found) == list(range(count))
    np.testing.assert_array_equal(found, bucketed(order, ends, size, drawn(seed)))
    full = count // size * size
    np.testing.assert_array_equal(found[full:], order[full:])


def test_padding_shrinks_and_samples_meet_others_in_each_epoch() -> None:
    g = np.random.default_rng(0)
    ends = np.clip(g.geometric(1 / 20, (4096, 1)), 1, 60)

    def padded(order: np.ndarray[Any, Any]) -> float:
        return float(ends[order].reshape(-1, 64).max(1).mean())

    plain = [g.permutation(4096) for _ in range(2)]
    first, second = (bucketed(o, ends, 64, drawn(k)) for k, o in enumerate(plain))
    assert padded(plain[0]) > 55 and padded(first) < 1.25 * ends.mean()
    groups = [{frozenset(b) for b in o.reshape(-1, 64).tolist()} for o in (first, second)]
    assert not groups[0] & groups[1]
    longest = ends[first].reshape(-1, 64).max(1)
    assert (np.diff(longest) < 0).sum() > 16  # the batches are in no order of length


def test_lengths_that_are_alike_leave_an_order_alone() -> None:
    assert not uneven(np.full((9, 2), 60))
    assert not uneven(np.array([[60]] * 9 + [[50]]))
    assert uneven(np.array([[60], [10]]))


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=90),
    st.integers(1, 4000),
    st.integers(1, 30),
)
def test_batches_hold_what_fits(lengths: list[int], values: int, most: int) -> None:
    ends = np.array(lengths)[:, None]
    rows = np.argsort(ends[:, 0], kind="stable")
    parts = batches_within(rows, ends, [5], values, most)
    np.testing.assert_array_equal(np.concatenate(parts), rows)
    for part, after in zip(parts, [*parts[1:], None], strict=True):
        size = len(part) * int(ends[part].max()) * 5
        assert len(part) <= most and (size <= values or len(part) == 1)
        if after is not None and len(part) < most:
            assert (len(part) + 1) * max(int(ends[part].max()), int(ends[after[0], 0])) * 5 > values


@pytest.fixture
def store(roots: Path) -> Store:
    write_aligned(roots, aligned(pad="end"))
    return prepare(MoseiAligned(ALIGNED), roots, "mosei-aligned")


@pytest.mark.parametrize("scanned", [1, 7, 1 << 16])
def test_ends_are_the_last_rows_that_are_filled(
    store: Store, monkeypatch: pytest.MonkeyPatch, scanned: int
) -> None:
    monkeypatch.setattr(layout, "SCANNED", scanned)
    split = store.split("train")
    raw = split.loader(batch_size=len(split), mask_option="ones").batch(np.arange(len(split)))
    ends = split.ends("nonzero", "sequence")
    assert ends is not None
    for column, name in enumerate(ALIGNED.modality_names):
        for i, rows in enumerate(raw.features[name].numpy()):
            filled = np.flatnonzero(rows.any(axis=1))
            assert ends[i, column] == max(1, 1 + filled.max(initial=-1))
    assert (split.ends("ones", "sequence") == [m.max_length for m in ALIGNED.modalities]).all()


def test_a_trimmed_batch_is_the_beginning_of_the_padded_one(store: Store) -> None:
    split = store.split("train")
    for size in (1, 3):
        options: dict[str, Any] = {"batch_size": size, "mask_option": "nonzero"}
        pairs = zip(split.loader(**options), split.loader(**options, trim=True), strict=True)
        for padded, trimmed in pairs:
            for name, mask in padded.mask.items():
                width = trimmed.mask[name].shape[1]
                assert not mask[:, width:].any() and bool(mask[:, width - 1].any())
                assert torch.equal(trimmed.mask[name], mask[:, :width])
                assert torch.equal(trimmed.features[name], padded.features[name][:, :width])
                assert not padded.features[name][:, width:].any()


def test_scores_come_back_in_the_order_of_the_split(store: Store) -> None:
    model = made.built("carat", "sequence")
    spec = store.spec
    model = type(model)(model.config, made.TaskInfo("made", spec.modalities, spec.labels))
    view = views_of(store, "nonzero", model, (TRAIN,))[TRAIN]
    assert view.ends is not None and uneven(view.ends)
    masks = view.masks(parse("frames-0.5"))
    wanted = np.concatenate(
        [
            predict_view(model, view, masks, made.CPU, batch_size=1, rows=np.array([i]))
            for i in range(len(view))
        ]
    )
    found = predict_view(model, view, masks, made.CPU, batch_size=2)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    assert np.abs(np.diff(found, axis=0)).max() > 1e-4  # the samples can be told apart


def test_an_epoch_is_a_function_of_seed_and_number(store: Store) -> None:
    """So a resumed run goes on as one that was never interrupted."""
    model = made.built("carat", "sequence")

    def ids(seed: int, epoch: int, mask: Any = "nonzero") -> list[tuple[str, ...]]:
        training = TrainingConfig(batch_size=2, drop_last=False)
        data = StoredTrainingData(store, mask, model, training, 0.5, seed)
        return [b.ids for b in data.epoch(epoch)]

    assert ids(0, 3) == ids(0, 3) != ids(0, 4)
    assert ids(0, 3) != ids(1, 3)
    for mask in ("ones", "nonzero"):
        every = [i for batch in ids(0, 3, mask) for i in batch]
        assert sorted(every) == sorted(store.split(TRAIN).ids)
    assert ids(0, 3) != ids(0, 3, "ones")
    model.reads_padding = True
    assert ids(0, 3) == ids(0, 3, "ones")
