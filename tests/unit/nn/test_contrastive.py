from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from harness.nn.contrastive import EmbeddingQueue, supervised_contrastive


def literal_loss(z: Tensor, codes: Tensor, temperature: float) -> Tensor:
    """The formula of CARAT's card, anchor by anchor."""
    terms = []
    for i in range(len(z)):
        others = [r for r in range(len(z)) if r != i]
        same = [p for p in others if codes[p] == codes[i]]
        if not same:
            terms.append(z.new_zeros(()))
            continue
        logits = torch.stack([z[i] @ z[r] / temperature for r in others])
        pulls = torch.stack([z[i] @ z[p] / temperature for p in same])
        terms.append((logits.logsumexp(0) - pulls).mean())
    return torch.stack(terms).mean()


def made(n: int = 23, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    z = F.normalize(torch.randn(n, 5, generator=generator, dtype=dtype), dim=1)
    codes = torch.randint(0, 4, (n,), generator=generator).float()
    codes[-2:] = torch.tensor([0.123, -7.5])
    return z.requires_grad_(), codes


@pytest.mark.parametrize("block", [1, 7, 64])
def test_equals_the_literal_loop(block: int) -> None:
    z, codes = made()
    want, got = literal_loss(z, codes, 0.07), supervised_contrastive(z, codes, 0.07, block)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=0)
    torch.testing.assert_close(*torch.autograd.grad(got, z), *torch.autograd.grad(want, z))


def test_gradcheck() -> None:
    z, codes = made(9)
    valid = torch.arange(9) != 4
    assert torch.autograd.gradcheck(
        lambda x: supervised_contrastive(x, codes, 0.2, 4, valid=valid), (z,)
    )


def test_invalid_rows_are_as_if_absent_even_when_nan() -> None:
    z, codes = made()
    valid = torch.arange(len(z)) % 3 != 0
    broken = torch.where(valid[:, None], z.detach(), torch.nan).requires_grad_()
    got = supervised_contrastive(broken, codes, 0.07, 8, valid=valid)
    want = literal_loss(z[valid], codes[valid], 0.07)
    torch.testing.assert_close(got, want)
    (grad,) = torch.autograd.grad(got, broken)
    torch.testing.assert_close(grad, *torch.autograd.grad(want, z))


def test_constant_rows_get_no_gradient_and_change_none() -> None:
    z, codes = made()
    (full,) = torch.autograd.grad(supervised_contrastive(z, codes, 0.07), z)
    (part,) = torch.autograd.grad(supervised_contrastive(z, codes, 0.07, 4, grad_rows=10), z)
    torch.testing.assert_close(part[:10], full[:10])
    assert part[10:].abs().max() == 0


@pytest.mark.parametrize("n", [1, 2])
def test_too_few_rows_give_zero_and_a_finite_gradient(n: int) -> None:
    z = F.normalize(torch.randn(n, 4), dim=1).requires_grad_()
    loss = supervised_contrastive(z, torch.arange(n).float(), 0.07)
    (grad,) = torch.autograd.grad(loss, z)
    assert loss == 0
    assert grad.abs().max() == 0


def test_all_rows_invalid_is_zero() -> None:
    z, codes = made()
    loss = supervised_contrastive(z, codes, 0.07, valid=torch.zeros(len(z), dtype=torch.bool))
    assert loss == 0


def test_tiny_temperature_is_refused() -> None:
    z, codes = made()
    with pytest.raises(ValueError, match="temperature"):
        supervised_contrastive(z, codes, 0.001)


def test_queue_starts_as_published() -> None:
    torch.manual_seed(0)
    ring = EmbeddingQueue(50, 8)
    torch.testing.assert_close(ring.queue.norm(dim=0), torch.ones(8))
    assert ring.queue_label.unique().numel() == 50


@pytest.mark.parametrize("counts", [(3, 4, 5), (7,), (8, 20), (0, 2)])
def test_queue_writes_as_a_loop_would(counts: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    ring = EmbeddingQueue(7, 2)
    rows, labels, pointer = ring.queue.clone(), ring.queue_label.clone(), 0
    for count in counts:
        z, codes = torch.randn(count, 2), torch.arange(count).float()
        valid = torch.rand(count) > 0.3
        ring.push(z, codes, valid)
        for i in range(count):
            if valid[i]:
                rows[pointer], labels[pointer] = z[i], codes[i]
                pointer = (pointer + 1) % 7
    assert torch.equal(ring.queue, rows)
    assert torch.equal(ring.queue_label, labels)
    assert ring.queue_ptr.tolist() == [pointer]
