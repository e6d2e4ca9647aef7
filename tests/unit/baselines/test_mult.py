from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from harness.nn.crossmodal import (
    CrossModalEncoder,
    CrossModalSettings,
    position_codes,
    sinusoids,
    visible_keys,
)
from harness_baselines.mult import Mult, MultConfig
from tests.unit.baselines.crossmodal_made import batch_of, task_of, widened

PUBLISHED = MultConfig(size=8, heads=2, layers=2)


def test_position_codes_by_hand() -> None:
    table = sinusoids(300, 7)
    assert table.shape == (300, 7)
    slowest = math.exp(-math.log(10000.0))
    assert table[4, 0].item() == pytest.approx(math.sin(5))
    assert table[299, 2].item() == pytest.approx(math.sin(300 * slowest), rel=1e-4)
    assert table[299, 3].item() == pytest.approx(math.cos(300), abs=1e-4)
    assert (table[:, 6] == 0).all()
    x = torch.ones(1, 3, 6)
    x[0, 1, 0] = 0.0
    codes = position_codes(x)
    assert (codes[0, 1] == 0).all()
    torch.testing.assert_close(codes[0, 2], sinusoids(3, 6)[2])


def test_visible_keys_by_hand() -> None:
    mask = visible_keys(2, 4, offset=2)
    assert mask is not None
    assert mask[0, 0].tolist() == [[True, True, True, False], [True] * 4]
    assert visible_keys(2, 4, offset=3) is None
    # Key 0 is masked, so the first query would see nothing: it gets key 0 all the same.
    keys = torch.tensor([[False, True]])
    masked = visible_keys(2, 2, offset=0, key_mask=keys)
    assert masked is not None
    assert masked[0, 0].tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("masked", [True, False])
@torch.no_grad()
def test_reading_one_step_equals_reading_all(causal: bool, masked: bool) -> None:
    torch.manual_seed(0)
    settings = CrossModalSettings(heads=2, causal=causal)
    encoder = CrossModalEncoder(8, 3, settings, 0.1).eval()
    x, keys = torch.randn(4, 6, 8), torch.rand(4, 6) < 0.5
    read = torch.tensor([0, 5, 2, 3])
    for source in (None, torch.randn(4, 6, 8)):
        extra = {"key_mask": keys if masked else None}
        whole = encoder(x, source, **extra)[torch.arange(4), read]
        torch.testing.assert_close(encoder(x, source, read=read, **extra)[:, 0], whole)


def test_two_dropout_masks_on_the_source_in_training() -> None:
    torch.manual_seed(0)
    encoder = CrossModalEncoder(8, 1, CrossModalSettings(heads=2, embed_dropout=0.5), 0.0)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    encoder.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    encoder.train()(torch.randn(2, 5, 8), torch.randn(2, 5, 8))
    encoder.eval()(torch.randn(2, 5, 8), torch.randn(2, 5, 8))
    assert ((seen[0][0] == 0) != (seen[0][1] == 0)).any()
    assert seen[1][0] is seen[1][1]


@torch.no_grad()
def test_options_change_nothing_on_full_sequences_and_something_on_padded_ones() -> None:
    torch.manual_seed(0)
    task = task_of((5, 7, 3))
    published = Mult(PUBLISHED, task).eval()
    ours = Mult(replace(PUBLISHED, readout="last_valid", key_padding="mask"), task).eval()
    ours.load_state_dict(published.state_dict())
    full, padded = batch_of(task, 3), batch_of(task, 3, padded=True)
    torch.testing.assert_close(ours.predict_step(full), published.predict_step(full))
    assert not torch.allclose(ours.predict_step(padded), published.predict_step(padded))
    wider = published.predict_step(widened(padded, 2))
    assert not torch.allclose(wider, published.predict_step(padded))


def test_input_of_the_common_size_is_taken_as_it_is() -> None:
    task = task_of((4, 4, 4))
    model = Mult(replace(PUBLISHED, size=4, heads=2), task)
    assert [len(list(part.parameters())) for part in model.inputs] == [1, 0, 1]


def test_published_sizes() -> None:
    """The card's counts at MOSEI's dimensions with six labels."""
    task = task_of((50, 500, 500))
    streams = tuple(replace(m, dim=d) for m, d in zip(task.modalities, (300, 35, 74), strict=True))
    task = replace(task, modalities=streams, labels=tuple("abcdef"))
    for config, count in (
        (MultConfig(), 1_074_636),
        (MultConfig(size=40, heads=8, layers=4), 1_541_806),
    ):
        assert sum(p.numel() for p in Mult(config, task).parameters()) == count
