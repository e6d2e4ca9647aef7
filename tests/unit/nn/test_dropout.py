"""Dropout by packed random bits: its law, its gradient, its repetition, its limits."""

import pytest
import torch

from harness.nn.dropout import FEW, Dropout, dropout, keep_mask, kept

LARGE = (64, 64, 40)


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.3, 0.5, 0.999])
def test_values_are_dropped_at_the_rate_and_the_rest_scaled(rate: float) -> None:
    torch.manual_seed(3)
    x = torch.full(LARGE, 2.0)
    out = dropout(x, rate)
    share = float((out == 0).float().mean())
    assert abs(share - rate) < 5 * (rate * (1 - rate) / x.numel()) ** 0.5
    assert torch.allclose(out[out != 0], torch.tensor(2.0 / kept(rate)))
    assert abs(kept(rate) - (1 - rate)) <= 0.5 / 65536


def test_every_position_of_a_word_is_drawn_alike_and_independently() -> None:
    torch.manual_seed(5)
    columns = keep_mask((1 << 16, 4), 0.5).float()
    assert torch.all((columns.mean(0) - 0.5).abs() < 0.01)
    assert torch.all((torch.corrcoef(columns.T) - torch.eye(4)).abs() < 0.02)


def test_the_gradient_passes_where_the_value_did() -> None:
    x = torch.randn(LARGE, requires_grad=True)
    out = dropout(x, 0.3)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad == 0, out == 0)
    assert torch.allclose(x.grad[out != 0], torch.tensor(1.0 / kept(0.3)))


def test_one_seed_gives_one_mask_and_the_next_draw_another() -> None:
    x = torch.ones(LARGE)
    torch.manual_seed(1)
    first, second = dropout(x, 0.4), dropout(x, 0.4)
    torch.manual_seed(1)
    assert torch.equal(dropout(x, 0.4), first) and not torch.equal(first, second)


def test_evaluation_and_rate_0_return_the_tensor_itself_and_rate_1_zeros() -> None:
    x = torch.randn(LARGE)
    module = Dropout(0.3).eval()
    assert module(x) is x and dropout(x, 0.0) is x and dropout(x, 0.3, training=False) is x
    assert not dropout(x, 1.0).any()


def test_a_rate_below_the_levels_still_drops() -> None:
    torch.manual_seed(0)
    assert 0 < int((dropout(torch.ones(2**22), 5e-6) == 0).sum()) < 80


def test_half_precision_stays_half_precision() -> None:
    x = torch.randn(LARGE, dtype=torch.bfloat16)
    assert dropout(x, 0.3).dtype == torch.bfloat16 and x.numel() >= FEW
