"""Evaluation under many protocols computes each thing once, and gives the scores it gave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harness.conformance import check_encodings
from harness.data.batch import Batch
from harness.engine.patterns import Patterns, predict_whole
from harness.engine.predict import predict
from harness.model import ModelPlugin, SharedEncodings
from harness.nn.cell_encoder import RowEncoder
from harness.nn.encoder import BertEncoder
from harness.nn.packed_recurrent import PackedRecurrent
from harness.nn.recurrent import RecurrentPair
from harness.protocols.dropout import MaskRequest, SplitMasks, suite
from harness_baselines.mmin import LstmEncoder
from harness_baselines.momke import Experts
from harness_ramer.grid import PersonMixing
from tests.gpu import made
from tests.unit.baselines.sequences import made_batch as full_batch

# What encodes one modality in each of them.
ENCODERS: dict[tuple[str, str], type[nn.Module] | tuple[type[nn.Module], ...]] = {
    ("carat", "sequence"): BertEncoder,
    ("ramer", "sequence"): BertEncoder,
    ("ramer-public", "sequence"): BertEncoder,
    ("lddu", "sequence"): BertEncoder,
    ("momke", "sequence"): Experts,
    ("mmin", "sequence"): LstmEncoder,
    ("imder", "sequence"): nn.Conv1d,
    ("misa", "sequence"): RecurrentPair,
    ("bilstm-tfn", "sequence"): RowEncoder,
    ("bilstm-lmf", "sequence"): RowEncoder,
    ("bilstm-tfn", "grid"): (RowEncoder, PackedRecurrent),
    ("bilstm-lmf", "grid"): (RowEncoder, PackedRecurrent),
    ("amer", "grid"): RowEncoder,
    ("ramer", "grid"): PersonMixing,
}
PROTOCOLS = 14
MOST = 6.0


class OneBatchView:
    """The part of `SplitView` that evaluation under whole-modality protocols needs."""

    separable = True

    def __init__(self, model: ModelPlugin, batch: Batch) -> None:
        self.model, self.batch = model, batch

    def __len__(self) -> int:
        return len(self.batch)

    def parts(self, batch_size: int, rows: Any = None) -> list[Any]:
        rows = np.arange(len(self)) if rows is None else rows
        return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]

    def batches(
        self, batch_size: int, masks: SplitMasks | None = None, parts: Any = None
    ) -> Iterator[Batch]:
        for rows in self.parts(batch_size) if parts is None else parts:
            chosen = rows.tolist()
            batch = self.batch.select(chosen)
            if masks is not None:
                batch = batch.keeping(torch.from_numpy(masks.keep[chosen]))
            yield batch.with_null_positions() if self.model.needs_nonempty_mask else batch


def core(batch: Batch, model: ModelPlugin) -> list[SplitMasks]:
    keys = tuple(m.key for m in model.task.modalities)
    natural = batch.natural.numpy()
    request = MaskRequest("test", batch.ids, keys, natural, natural.astype(np.int64), aligned=True)
    return [p.masks(request) for p in suite("core@1", request.traits)]


def complete(layout: str) -> Batch:
    """Return samples of which every one has every modality somewhere."""
    if layout == "grid":
        batch = made.made_batch(layout)
        assert batch.grid is not None
        there = torch.stack([batch.grid.valid(m).any((1, 2)) for m in batch.grid.index], 1)
        return replace(batch, present=there, natural=there)
    return full_batch(made.made_task(layout), 9, lengths=True, longest=12)


@pytest.mark.parametrize(
    ("name", "layout"),
    [pytest.param(*case, marks=() if case in made.ALWAYS else pytest.mark.full)
     for case in ENCODERS],
)  # fmt: skip
def test_core_takes_at_most_six_times_the_encoder_calls_of_one_evaluation(
    name: str, layout: str
) -> None:
    model, batch = made.built(name, layout), complete(layout)
    assert model.shares_encodings
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    for path, module in model.named_modules():
        if isinstance(module, ENCODERS[name, layout]) and "person" not in path:
            # `RowEncoder.with_zero` goes past forward.
            called: Any = module.layers[0] if isinstance(module, RowEncoder) else module
            called.register_forward_hook(count)
    view = OneBatchView(model, batch)
    masks = core(batch, model)
    assert len(masks) == PROTOCOLS
    predict(model, view.batches(4), made.CPU)
    one, calls = calls, 0
    shared = predict_whole(model, view, masks, made.CPU, batch_size=4)
    assert 0 < calls <= 2 * one < MOST * one
    for own, scores in zip(masks, shared, strict=True):
        alone = predict(model, view.batches(4, own), made.CPU)
        np.testing.assert_allclose(scores, alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "layout"), made.pairs())
def test_every_model_is_scored_once_a_set_of_modalities(name: str, layout: str) -> None:
    """Without shared encodings too: at most 7 passes of 14 on three modalities."""
    model, batch = made.built(name, layout), made.made_batch(layout)
    if not model.iterative:
        pytest.skip("scores nothing before it is fitted")
    model.setup_fit(made.OneBatch(batch, made.made_task(layout)))
    view, masks = OneBatchView(model, batch), core(batch, model)
    assert len(Patterns.of([m.keep for m in masks])) <= 7
    shared = predict_whole(model, view, masks, made.CPU, batch_size=4)
    for own, scores in zip(masks, shared, strict=True):
        np.testing.assert_allclose(
            scores, predict(model, view.batches(4, own), made.CPU), rtol=0, atol=1e-5
        )


@pytest.mark.parametrize(
    ("name", "layout"),
    [pytest.param(*case, marks=() if case in ENCODERS else pytest.mark.full)
     for case in made.cases()],
)  # fmt: skip
def test_split_predictions_keep_the_contract(name: str, layout: str) -> None:
    model = made.built(name, layout).eval()
    assert model.shares_encodings or (name, layout) not in ENCODERS
    if model.shares_encodings:
        check_encodings(
            model,
            made.made_batch(layout).without_labels(),
            lambda batch, step: predict(model, [batch], made.CPU, step),
        )


@given(st.lists(st.lists(st.integers(0, 7), min_size=5, max_size=5), min_size=1, max_size=9))
def test_patterns_hold_every_set_once(rows: list[list[int]]) -> None:
    codes = np.array(rows)
    keeps = [(row[:, None] >> np.arange(3) & 1).astype(bool) for row in codes]
    patterns = Patterns.of(keeps)
    for sample, own in enumerate(codes.T):
        assert patterns.used[:, sample].sum() == len(set(own))
    for row, keep in enumerate(keeps):
        place = patterns.place[row]
        assert patterns.used[place, np.arange(5)].all()
        np.testing.assert_array_equal(patterns.keep[place, np.arange(5)], keep)
    assert patterns.used[0].all() and len(patterns) == max(len(set(own)) for own in codes.T)
    np.testing.assert_array_equal(patterns.keep[0], keeps[0])


def test_a_single_protocol_is_predicted_as_it_always_was() -> None:
    model, batch = made.built("carat", "sequence"), made.made_batch("sequence")
    view, masks = OneBatchView(model, batch), core(batch, model)
    (scores,) = predict_whole(model, view, masks[-1:], made.CPU, batch_size=3)
    np.testing.assert_array_equal(scores, predict(model, view.batches(3, masks[-1]), made.CPU))


def test_some_samples_of_shared_encodings() -> None:
    model, batch = made.built("misa", "sequence").eval(), full_batch(made.made_task("sequence"), 6)
    kept = torch.tensor([[True, False, True], [False, True, False]])
    with torch.no_grad():
        found = SharedEncodings(model, batch).scores(kept, [4, 1])
        alone = model.predict_step(batch.select([4, 1]).keeping(kept))
    torch.testing.assert_close(found, alone, rtol=0, atol=1e-6)
