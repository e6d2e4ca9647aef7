from __future__ import annotations

import torch
from torch import nn

from harness.nn.encoder import InputNorm


def test_a_folded_norm_and_linear_give_values_and_gradients_of_the_two() -> None:
    torch.manual_seed(0)
    norm, linear = InputNorm(5).double(), nn.Linear(5, 3).double()
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2.0)
        norm.bias.normal_()
    x = torch.randn(4, 6, 5, dtype=torch.float64)
    x[1, 2] = 0.0
    x.requires_grad_()
    inputs = [x, *norm.parameters(), *linear.parameters()]
    grad = torch.randn(4, 6, 3, dtype=torch.float64)
    got, want = norm.project(x, linear), linear(norm(x))
    torch.testing.assert_close(got, want)
    pairs = zip(
        torch.autograd.grad(got, inputs, grad), torch.autograd.grad(want, inputs, grad), strict=True
    )
    for one, other in pairs:
        torch.testing.assert_close(one, other)
