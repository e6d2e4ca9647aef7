"""Batches equal a naive loop, and nothing that a protocol removed reaches a model."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.data.layouts.sequence import loader as loading
from harness.data.loader import BatchLoader, class_balanced_order
from harness.data.prepare import prepare
from harness.data.store import Store
from harness.errors import DataFormatError, UsageError
from harness.protocols.dropout import SplitMasks, parse
from harness.specs import TaskInfo
from harness_corpora.m3ed import M3ed
from harness_corpora.mosei import MoseiAligned
from tests.unit.data.data_files import (
    ALIGNED,
    DIALOGUES,
    aligned,
    dialogues,
    write_aligned,
    write_dialogues,
)


@pytest.fixture
def mosei(roots: Path) -> Store:
    write_aligned(roots, aligned(pad="start"))
    return prepare(MoseiAligned(ALIGNED), roots, "mosei-aligned")


@pytest.fixture
def m3ed(roots: Path) -> Store:
    write_dialogues(roots, dialogues())
    return prepare(M3ed(DIALOGUES), roots, "m3ed")


def load(store: Store, split: str = "train", **options: Any) -> BatchLoader:
    chosen = {"batch_size": 3, "mask_option": "ones"} | options
    return store.split(split).loader(**chosen)


def masks(store: Store, keep: Any, frames: Any = None) -> SplitMasks:
    return SplitMasks(np.asarray(keep, dtype=bool), frames, None, 0.0, "")


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("option", ["ones", "length"])
def test_batches_equal_a_naive_loop(
    m3ed: Store, monkeypatch: pytest.MonkeyPatch, option: str, cached: bool
) -> None:
    monkeypatch.setattr(loading, "CACHE_BYTES", 1 << 30 if cached else 0)
    split = m3ed.split("train")
    batches = list(load(m3ed, batch_size=2, mask_option=option, labelled=True))
    assert [b.ids for b in batches] == [("d_0", "d_1"), ("d_2",)]
    start = 0
    for batch in batches:
        rows = range(start, start + len(batch))
        raw = split.gather(rows)
        for name, column in (("text", 0), ("visual", 1), ("audio", 2)):
            longest = max(len(x) for x in raw[name])
            width = 6 if option == "ones" else longest
            found = batch.features[name].numpy()
            assert found.shape[1] == width and found.dtype == np.float32
            for i, x in enumerate(raw[name]):
                np.testing.assert_array_equal(found[i, : len(x)], x)
                assert not found[i, len(x) :].any()
                wanted = np.arange(width) < (width if option == "ones" else len(x))
                np.testing.assert_array_equal(batch.mask[name][i].numpy(), wanted)
            assert batch.present[:, column].all() and batch.natural[:, column].all()
        np.testing.assert_array_equal(batch.targets.numpy(), split.labels[rows])
        start += len(batch)


@pytest.mark.parametrize("option", ["ones", "length"])
def test_batches_of_dialogues_say_who_speaks(m3ed: Store, mosei: Store, option: str) -> None:
    column = m3ed.split("train").extras["speakers"]
    lengths = m3ed.split("train").valid_lengths.max(axis=1)
    start = 0
    for batch in load(m3ed, batch_size=2, mask_option=option):
        assert batch.speakers is not None
        width = max(x.shape[1] for x in batch.mask.values())
        assert batch.speakers.shape == (len(batch), width)
        for row, text, n in zip(batch.speakers, column[start:], lengths[start:], strict=False):
            kept = text[: int(n)]
            names = sorted(set(kept))
            assert row.tolist() == [names.index(c) for c in kept] + [0] * (width - len(kept))
        assert batch.select([0]).speakers.tolist() == batch.speakers[:1].tolist()
        longest = max(int(e.max()) for e in batch.ends.values())
        assert batch.trimmed().speakers.shape[1] == longest
        start += len(batch)
    assert TaskInfo.of(m3ed.spec, 0.5).speakers and not TaskInfo.of(mosei.spec, 0.5).speakers
    assert all(b.speakers is None for b in load(mosei))


def test_batches_for_prediction_carry_no_labels(m3ed: Store) -> None:
    assert all(b.labels is None for b in load(m3ed))


def test_nonzero_mask_follows_padding_at_the_start(mosei: Store) -> None:
    (batch, *_) = load(mosei, mask_option="nonzero")
    real = batch.features["text"].numpy().any(axis=2)
    np.testing.assert_array_equal(batch.mask["text"].numpy(), real)
    assert not real.all() and real[:, -1].all()


def test_order_is_the_generators_and_covers_everything(mosei: Store) -> None:
    def ids(seed: int) -> list[str]:
        generator = torch.Generator().manual_seed(seed)
        return [i for b in load(mosei, generator=generator) for i in b.ids]

    assert ids(0) == ids(0) != ids(1)
    assert sorted(ids(0)) == sorted(mosei.split("train").ids)


def test_passes_differ_and_drop_last(mosei: Store) -> None:
    loader = load(mosei, generator=torch.Generator().manual_seed(0), drop_last=True)
    first, second = ([b.ids for b in loader] for _ in range(2))
    assert first != second
    assert len(loader) == 2 and [len(i) for i in first] == [3, 3]
    assert len(load(mosei)) == 3


def test_explicit_order_may_repeat(mosei: Store) -> None:
    batches = list(load(mosei, order=[5, 5, 0, 1]))
    assert [b.ids for b in batches] == [("train[5]", "train[5]", "train[0]"), ("train[1]",)]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bits=st.lists(st.booleans(), min_size=21, max_size=21))
def test_dropped_modalities_never_leak(mosei: Store, bits: list[bool]) -> None:
    keep = np.array(bits).reshape(7, 3)
    whole = next(iter(load(mosei, batch_size=7)))
    batch = next(iter(load(mosei, batch_size=7, masks=masks(mosei, keep))))
    np.testing.assert_array_equal(batch.present.numpy(), keep)
    assert batch.natural.all()
    for column, name in enumerate(ALIGNED.modality_names):
        gone = torch.from_numpy(~keep[:, column])
        assert not batch.features[name][gone].any() and not batch.mask[name][gone].any()
        assert torch.equal(batch.features[name][~gone], whole.features[name][~gone])


def test_selection_not_multiplication(mosei: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    split = mosei.split("train")
    padded = {
        m.name: np.full((7, m.max_length, m.dim), -np.inf, np.float32) for m in ALIGNED.modalities
    }
    monkeypatch.setattr(split, "padded_cache", lambda *_: padded)
    batch = split.loader(
        batch_size=7, mask_option="ones", masks=masks(mosei, np.zeros((7, 3)))
    ).batch(np.arange(7))
    assert all(not x.any() and not x.isnan().any() for x in batch.features.values())


def test_cache_is_not_written_to(mosei: Store) -> None:
    before = next(iter(load(mosei, batch_size=7))).features["text"].clone()
    list(load(mosei, masks=masks(mosei, np.zeros((7, 3)))))
    assert torch.equal(next(iter(load(mosei, batch_size=7))).features["text"], before)


def test_null_positions_on_request(mosei: Store) -> None:
    gone = masks(mosei, np.zeros((7, 3)))
    batch = next(iter(load(mosei, masks=gone, null_positions=True)))
    assert batch.mask["text"][:, 0].all() and not batch.mask["text"][:, 1:].any()
    assert not batch.present.any()


@pytest.mark.parametrize("option", ["ones", "nonzero"])
def test_frame_masks_fall_on_valid_positions(mosei: Store, option: str) -> None:
    split = mosei.split("train")
    lengths = split.valid_lengths
    rng = np.random.default_rng(0)
    frames = {
        m.key: [rng.random(int(n)) < 0.5 for n in lengths[:, c]]
        for c, m in enumerate(ALIGNED.modalities)
    }
    plan = masks(mosei, np.ones((7, 3)), frames)
    whole = next(iter(load(mosei, batch_size=7, mask_option=option)))
    batch = next(iter(load(mosei, batch_size=7, mask_option=option, masks=plan)))
    for m in ALIGNED.modalities:
        for i in range(7):
            before = whole.features[m.name][i].numpy()
            after, mask = batch.features[m.name][i].numpy(), batch.mask[m.name][i].numpy()
            left = iter(frames[m.key][i])
            for t in range(len(before)):
                valid = before[t].any()
                stays = bool(next(left)) if valid else True
                np.testing.assert_array_equal(after[t], before[t] if stays else 0 * before[t])
                assert mask[t] == (stays and (bool(valid) or option == "ones"))


def test_frames_protocol_end_to_end(mosei: Store) -> None:
    plan = parse("frames-0.5@1").masks(mosei.split("train").mask_request())
    batch = next(iter(load(mosei, batch_size=7, mask_option="nonzero", masks=plan)))
    wanted = plan.frames
    assert wanted is not None
    for m in ALIGNED.modalities:
        assert batch.mask[m.name].sum(dim=1).tolist() == [int(f.sum()) for f in wanted[m.key]]


def test_units_of_a_dialogue_drop_single_utterances(m3ed: Store) -> None:
    units = [np.ones((6, 3), bool), np.ones((3, 3), bool), np.ones((6, 3), bool)]
    units[0][2, 0] = units[1][0, 2] = False
    plan = SplitMasks(np.ones((3, 3), bool), None, None, 0.0, "", unit_keep=units)
    whole = next(iter(load(m3ed, mask_option="length")))
    batch = next(iter(load(m3ed, mask_option="length", masks=plan)))
    assert not batch.features["text"][0, 2].any() and not batch.mask["text"][0, 2]
    assert not batch.mask["audio"][1, 0] and batch.mask["visual"][0, 2]
    changed = (whole.features["text"] != batch.features["text"]).any(dim=2)
    assert changed.nonzero().tolist() == [[0, 2]]


def test_noise_leaves_padding_and_dropped_modalities_alone(mosei: Store) -> None:
    whole = next(iter(load(mosei, batch_size=7, mask_option="nonzero")))
    plan = parse("noise-0.5@1").masks(mosei.split("train").mask_request())
    batch = next(iter(load(mosei, batch_size=7, mask_option="nonzero", masks=plan)))
    moved = (batch.features["text"] != whole.features["text"]).any(dim=2)
    assert torch.equal(moved, whole.mask["text"])
    alone = load(mosei, batch_size=2, mask_option="nonzero", masks=plan)
    parts = torch.cat([b.features["text"] for b in alone])
    assert torch.equal(parts, batch.features["text"])


def test_class_balanced_order_evens_out_the_classes() -> None:
    labels = np.zeros((1000, 2), np.uint8)
    labels[:900, 0] = labels[900:, 1] = 1
    order = class_balanced_order(labels, torch.Generator().manual_seed(0))
    assert len(order) == 1000
    assert 0.45 < labels[order, 1].mean() < 0.55
    with pytest.raises(UsageError, match="single-label"):
        class_balanced_order(np.ones((3, 2), np.uint8), torch.Generator())


def test_what_does_not_fit_is_refused(mosei: Store) -> None:
    with pytest.raises(UsageError, match="no mask option 'length'"):
        load(mosei, mask_option="length")
    with pytest.raises(UsageError, match=r"masks are for \(3, 3\)"):
        load(mosei, masks=masks(mosei, np.ones((3, 3))))
    with pytest.raises(UsageError, match="batch size"):
        load(mosei, batch_size=0)
    with pytest.raises(UsageError, match="not both"):
        load(mosei, generator=torch.Generator(), order=[0])


def test_utterances_of_a_dialogue_are_units_and_their_speakers_parties(m3ed: Store) -> None:
    split = m3ed.split("train")
    request = split.mask_request()
    assert request.unit_per_position and request.parties is not None
    # d_0 has nine utterances, of which six are kept; its speakers take turns.
    assert [len(p) for p in request.parties] == [6, 3, 6] and request.parties[1] == list("ABA")
    for name in ("random-seg-0.5@1", "party-silent@1"):
        plan = parse(name).masks(request)
        assert plan.unit_keep is not None and plan.eta_hat > 0
        batch = next(iter(load(m3ed, mask_option="length", masks=plan)))
        for column, m in enumerate(DIALOGUES.modalities):
            found = [row[: len(u)].tolist() for row, u in zip(
                batch.mask[m.name], plan.unit_keep, strict=True)]  # fmt: skip
            assert found == [u[:, column].tolist() for u in plan.unit_keep]
    silent = parse("party-silent@1").masks(request)
    assert silent.unit_keep is not None
    for parties, kept in zip(request.parties, silent.unit_keep, strict=True):
        gone = {p for p, row in zip(parties, kept[:, 0], strict=True) if not row}
        assert len(gone) == 1 and kept[:, 1].all()


def test_mask_option_changes_neither_masks_nor_digest(m3ed: Store) -> None:
    plan = parse("frames-0.5@1").masks(m3ed.split("train").mask_request())
    loaders = [load(m3ed, mask_option=o, masks=plan) for o in ("ones", "length")]
    whole, short = (next(iter(one)) for one in loaders)
    for name, mask in short.mask.items():
        assert torch.equal(whole.features[name][:, : mask.shape[1]], short.features[name])
        # What is dropped is not attended under either; padding is under `ones` alone.
        valid = short.mask[name] | (whole.features[name][:, : mask.shape[1]] != 0).any(dim=2)
        assert (whole.mask[name][:, : mask.shape[1]] & valid == mask).all()
    assert whole.mask["text"][1, 3:].all()


def test_a_split_that_is_not_in_memory_is_read_ahead(
    mosei: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same batches in the same order; no thread is left, also of a pass left early."""
    resident = load(mosei, batch_size=2, generator=torch.Generator().manual_seed(1))
    wanted = list(resident)
    monkeypatch.setattr(loading, "CACHE_BYTES", 0)
    mapped = load(mosei, batch_size=2, generator=torch.Generator().manual_seed(1))
    assert resident.resident and not mapped.resident
    made: list[str] = []
    inputs = mapped._inputs

    def noted(indices: Any) -> Any:
        made.append(threading.current_thread().name)
        return inputs(indices)

    monkeypatch.setattr(mapped, "_inputs", noted)
    found = list(mapped)
    assert [b.ids for b in found] == [b.ids for b in wanted]
    for mine, theirs in zip(found, wanted, strict=True):
        assert torch.equal(mine.features["text"], theirs.features["text"])
    assert len(made) == 4 and all(name.startswith("batches") for name in made)
    passing = iter(mapped)
    next(passing)
    passing.close()  # type: ignore[attr-defined]
    assert len(made) <= 4 + 3
    assert not any(t.name.startswith("batches") for t in threading.enumerate())

    def broken(_: Any) -> Any:
        raise DataFormatError("the file was cut meanwhile")

    monkeypatch.setattr(mapped, "_inputs", broken)
    with pytest.raises(DataFormatError, match="cut meanwhile"):
        list(mapped)
