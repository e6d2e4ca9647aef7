"""Padded LSTMs equal packed ones: states, ends and gradients, whatever the padding holds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from harness.nn import packed_recurrent, recurrent
from harness.nn.packed_recurrent import PackedRecurrent
from harness.nn.padded_lstm import serves
from harness.nn.recurrent import RecurrentPair

LENGTHS = {"unequal": [7, 1, 5, 9, 4], "short": [6, 6, 3, 5, 6], "full": [9] * 5}


def results(module: nn.Module, x: Tensor, lengths: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    out = module(x, lengths)
    out.square().sum().backward()
    grads = [p.grad for p in (x, *module.parameters())]
    module.zero_grad()
    assert all(g is not None for g in grads)
    return [out.detach(), *(g for g in grads if g is not None)]


def compared(
    module: nn.Module, lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Tensor], list[Tensor]]:
    x, ends = torch.randn(5, 9, 3), torch.tensor(lengths)
    x[torch.arange(9) >= ends[:, None]] = 1e6
    padded = results(module, x, ends)
    for where in (recurrent, packed_recurrent):
        monkeypatch.setattr(where, "serves", lambda *_: False)
    return padded, results(module, x, ends)


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("kind", ["pair", "states"])
def test_padded_equals_packed(
    kind: str, lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    module = RecurrentPair(3, 4, "lstm") if kind == "pair" else PackedRecurrent(3, 4)
    for ours, packed in zip(*compared(module, lengths, monkeypatch), strict=True):
        torch.testing.assert_close(ours, packed)


def test_a_sequence_of_length_zero_has_zero_states(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    ours, packed = compared(PackedRecurrent(3, 4), [7, 0, 5, 9, 4], monkeypatch)
    assert not ours[0][1].any()
    for a, b in zip(ours, packed, strict=True):
        torch.testing.assert_close(a, b)


def test_padded_kernels_serve_lstms_in_float32_that_are_not_mostly_padding() -> None:
    lstm, gru = (kind(3, 4, batch_first=True, bidirectional=True) for kind in (nn.LSTM, nn.GRU))
    x, ends = torch.randn(5, 9, 3), torch.tensor([7, 1, 5, 9, 4])
    assert serves(lstm, x, ends)
    assert not serves(lstm, x, torch.tensor([9, 1, 1, 1, 1]))
    assert not serves(gru, x, ends)
    assert not serves(lstm, x.double(), ends)
    with torch.autocast("cpu", torch.bfloat16):
        assert not serves(lstm, x, ends)
