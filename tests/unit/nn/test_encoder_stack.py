"""The layers as one function: equal to the layers one by one, padded or packed, with dropout."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from harness.nn import attention, token_groups
from harness.nn.encoder import BertLayer, encode, key_bias
from harness.nn.encoder_stack import parameters, run, stackable
from harness.nn.token_groups import grouped

LENGTHS = [9, 9, 8, 5, 5, 5, 2, 1]


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several groups, and several blocks of scores in each."""
    monkeypatch.setattr(token_groups, "GROUP", 20)
    monkeypatch.setattr(attention, "BLOCK", 200)


def layers(dropout: float = 0.0, count: int = 3) -> torch.nn.ModuleList:
    torch.manual_seed(1)
    made = torch.nn.ModuleList(
        BertLayer(8, heads=4, intermediate=12, dropout=dropout) for _ in range(count)
    ).double()
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.5)
    return made


def one_by_one(stack: torch.nn.ModuleList, x: Tensor, mask: Tensor) -> Tensor:
    bias = key_bias(mask, x.dtype)
    for layer in stack:
        x = layer(x, bias)
    return x


def gradients(out: Tensor, x: Tensor, stack: torch.nn.ModuleList, grad: Tensor) -> list[Tensor]:
    wanted = [x, *(t for layer in stack for t in parameters(layer))]  # type: ignore[arg-type]
    return list(torch.autograd.grad(out, wanted, grad))


@pytest.mark.parametrize("kind", ["whole", "ends", "holes", "nothing"])
def test_padded_samples_and_their_gradients_equal_the_layers(kind: str) -> None:
    stack = layers()
    x = torch.randn(8, 9, 8, dtype=torch.float64, requires_grad=True)
    mask = {
        "whole": torch.ones(8, 9, dtype=torch.bool),
        "ends": torch.arange(9) < torch.tensor(LENGTHS)[:, None],
        "holes": torch.rand(8, 9) > 0.5,
        "nothing": torch.zeros(8, 9, dtype=torch.bool),
    }[kind]
    got, want = encode(stack, x, mask), one_by_one(stack, x, mask)
    torch.testing.assert_close(got, want)
    grad = torch.randn_like(want)
    for a, b in zip(gradients(got, x, stack, grad), gradients(want, x, stack, grad), strict=True):
        torch.testing.assert_close(a, b)


def test_packed_samples_and_their_gradients_equal_the_padded() -> None:
    stack = layers()
    x = torch.randn(8, 9, 8, dtype=torch.float64, requires_grad=True)
    mask = torch.arange(9) < torch.tensor(LENGTHS)[:, None]
    got = run(list(stack), x[mask], grouped(LENGTHS, None))
    want = one_by_one(stack, x, mask)[mask]
    torch.testing.assert_close(got, want)
    grad = torch.randn_like(want)
    for a, b in zip(gradients(got, x, stack, grad), gradients(want, x, stack, grad), strict=True):
        torch.testing.assert_close(a, b)


def test_positions_that_nobody_reads_are_not_computed() -> None:
    stack = layers()
    x = torch.randn(8, 9, 8, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(8, 9) > 0.5
    mask[3] = False
    mask[4] = True
    got, want = encode(stack, x, mask, padding=False), one_by_one(stack, x, mask)
    read = mask | ~mask.any(1, keepdim=True)
    torch.testing.assert_close(got[read], want[read])
    assert not got[~read].any()
    grad = torch.randn_like(want) * read[..., None]
    for a, b in zip(gradients(got, x, stack, grad), gradients(want, x, stack, grad), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("packed", [False, True])
def test_gradient_under_dropout_is_that_of_the_drawn_masks(packed: bool) -> None:
    """By finite differences, each with the same seed."""
    stack = layers(0.3, count=2)
    lengths = LENGTHS if packed else [5] * 8
    x = torch.randn(sum(lengths), 8, dtype=torch.float64, requires_grad=True)

    def value(tokens: Tensor) -> Tensor:
        torch.manual_seed(3)
        return run(list(stack), tokens, grouped(lengths, None)).square().sum()

    direction = torch.randn_like(x)
    (grad,) = torch.autograd.grad(value(x), x)
    step = 1e-6
    with torch.no_grad():
        slope = (value(x + step * direction) - value(x - step * direction)) / (2 * step)
    torch.testing.assert_close((grad * direction).sum(), slope, rtol=1e-5, atol=1e-5)
    for p in (stack[0].attention.value.weight, stack[1].contract.bias):
        (grad,) = torch.autograd.grad(value(x), p)
        bump = torch.randn_like(p) * step
        with torch.no_grad():
            p += bump
            high = value(x)
            p -= 2 * bump
            low = value(x)
            p += bump
        torch.testing.assert_close((grad * bump).sum(), (high - low) / 2, rtol=1e-4, atol=1e-9)


def test_without_gradients_the_values_are_the_same() -> None:
    stack, x = layers(0.3), torch.randn(sum(LENGTHS), 8, dtype=torch.float64)
    torch.manual_seed(0)
    with torch.no_grad():
        quick = run(list(stack), x, grouped(LENGTHS, None))
    torch.manual_seed(0)
    assert torch.equal(quick, run(list(stack), x, grouped(LENGTHS, None)).detach())
    stack.eval()
    first = run(list(stack), x, grouped(LENGTHS, None))
    assert torch.equal(first, run(list(stack), x, grouped(LENGTHS, None)))


def test_a_second_backward_pass_is_possible_and_saved_tensors_go_with_the_first() -> None:
    stack, x = layers(), torch.randn(4, 5, 8, dtype=torch.float64, requires_grad=True)
    mask = torch.ones(4, 5, dtype=torch.bool)
    loss = encode(stack, x, mask).sum()
    loss.backward(retain_graph=True)
    once = x.grad.clone()  # type: ignore[union-attr]
    loss.backward()
    torch.testing.assert_close(x.grad, 2 * once)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_groups_hold_every_token_once() -> None:
    groups = grouped(LENGTHS, None)
    assert [t for g in groups for t in range(g.tokens.start, g.tokens.stop)] == list(range(44))
    assert len(groups) > 2 and all(g.tokens.stop - g.tokens.start <= 20 for g in groups)


def test_where_the_layers_run_one_by_one() -> None:
    stack, x = list(layers(0.3)), torch.randn(2, 3, 8, dtype=torch.float64)
    assert stackable(stack, x)  # type: ignore[arg-type]
    assert not stackable(stack, x.float())  # type: ignore[arg-type]
    assert not stackable([], x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not stackable(stack, x)  # type: ignore[arg-type]
    assert not stackable(list(layers(1.0)), x)  # type: ignore[arg-type]
