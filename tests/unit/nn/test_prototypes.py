from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from harness.nn.prototypes import Prototypes


@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 9), seed=st.integers(0, 10_000), masked=st.booleans())
def test_update_equals_the_loop_over_samples(size: int, seed: int, masked: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(size, 3, 4, generator=generator)
    labels = torch.randint(0, 2, (size, 3), generator=generator).float()
    valid = torch.rand(size, generator=generator) > 0.4 if masked else None
    block = Prototypes(3, 4, 0.9)
    block.positive.copy_(torch.randn(3, 4, generator=generator))
    block.negative.copy_(torch.randn(3, 4, generator=generator))
    tables = {1: block.positive.clone(), 0: block.negative.clone()}
    for i in range(size):
        if valid is not None and not valid[i]:
            continue
        for c in range(3):
            row = tables[int(labels[i, c])]
            row[c] = 0.9 * row[c] + 0.1 * F.normalize(z[i, c], dim=0)
    block.update(z, labels, valid)
    torch.testing.assert_close(block.positive, tables[1])
    torch.testing.assert_close(block.negative, tables[0])


def test_nan_of_an_invalid_sample_does_not_spread() -> None:
    block = Prototypes(2, 3, 0.9)
    z = torch.full((2, 2, 3), torch.nan)
    z[1] = 1.0
    block.update(z, torch.ones(2, 2), torch.tensor([False, True]))
    assert block.positive.isfinite().all()
    assert block.positive.abs().sum() > 0


def test_hard_read_picks_one_and_the_negative_on_a_tie() -> None:
    block = Prototypes(1, 2, 0.9)
    block.positive.copy_(torch.tensor([[1.0, 0.0]]))
    block.negative.copy_(torch.tensor([[0.0, 1.0]]))
    z = torch.tensor([[[3.0, 1.0]], [[1.0, 3.0]], [[1.0, 1.0]]])
    assert block.read(z, hard=True).tolist() == [[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 1.0]]]
    soft = block.read(z, hard=False)
    torch.testing.assert_close(soft.sum(-1), torch.ones(3, 1))
    assert 0.5 < soft[0, 0, 0] < 1.0


def test_read_keeps_its_gradient_when_an_update_follows() -> None:
    block = Prototypes(2, 3, 0.5)
    block.positive.copy_(torch.randn(2, 3))
    z = torch.randn(4, 2, 3, requires_grad=True)
    (want,) = torch.autograd.grad(block.read(z, hard=False).square().sum(), z)
    loss = block.read(z, hard=False).square().sum()
    block.update(z, torch.ones(4, 2))
    (got,) = torch.autograd.grad(loss, z)
    assert torch.equal(got, want)
