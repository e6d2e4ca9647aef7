"""Attention written out: equal to torch's, its dropout's law, its gradient, its repetition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from harness.nn import attention
from harness.nn.attention import attend, blocks, written_out
from harness.nn.dropout import kept

SHAPES = [
    ((5, 2, 7, 4), 9),  # several blocks of samples
    ((3, 8, 20, 4), 20),  # a sample is a block of its own
    ((2, 8, 50, 4), 30),  # a sample has several blocks of heads
]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "BLOCK", 3600)
    monkeypatch.setattr(attention, "FEW", 1)


def parts(shape: tuple[int, ...], keys: int, scale: float = 1.0) -> list[Tensor]:
    """Return q, k, v as views of [B, T, heads, d], as a projection leaves them."""
    g = torch.Generator().manual_seed(0)
    batch, heads, queries, width = shape
    sizes = [(batch, n, heads, width) for n in (queries, keys, keys)]
    made = [torch.randn(s, dtype=torch.float64, generator=g) * scale for s in sizes]
    return [x.transpose(1, 2).requires_grad_() for x in made]


def weights_kept(shape: tuple[int, ...], keys: int, rate: float) -> Tensor:
    """Return the mask [B, heads, Tq, Tk] that the current seed gives: values are unit vectors."""
    q, k, _ = parts(shape, keys)
    v = torch.eye(keys, dtype=q.dtype).expand(shape[0], shape[1], keys, keys)
    with torch.no_grad():
        return attend(q, k, v, dropout=rate) != 0


def literal(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, mask: Tensor) -> Tensor:
    scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
    if bias is not None:
        scores = scores + bias
    return (scores.softmax(-1) * mask / kept(0.3)) @ v


@pytest.mark.parametrize(("shape", "keys"), SHAPES)
@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("kind", ["none", "keys", "heads", "bool"])
def test_result_and_gradients_are_the_formula_s(
    shape: tuple[int, ...], keys: int, scale: float, kind: str
) -> None:
    torch.manual_seed(4)
    mask = weights_kept(shape, keys, 0.3)
    q, k, v = parts(shape, keys, scale)
    seen = torch.rand(shape[0], 1, 1, keys) > 0.4
    seen[..., 0] = True
    bias: dict[str, Tensor | None] = {
        "none": None,
        "keys": torch.zeros(seen.shape).masked_fill(~seen, -10000.0),
        "heads": torch.randn(shape[1], shape[2], keys),
        "bool": seen,
    }
    given = bias[kind]
    torch.manual_seed(4)
    got = attend(q, k, v, given, dropout=0.3)
    added = given
    if given is not None and given.dtype == torch.bool:
        added = torch.zeros(given.shape).masked_fill(~given, -torch.inf)
    want = literal(q, k, v, added, mask)
    torch.testing.assert_close(got, want)
    grad = torch.randn(want.shape, dtype=want.dtype)
    for a, b in zip(
        torch.autograd.grad(got, (q, k, v), grad),
        torch.autograd.grad(want, (q, k, v), grad),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_causal_queries_see_no_later_key() -> None:
    shape = (2, 8, 20, 4)
    q, k, v = parts(shape, 20)
    torch.manual_seed(1)
    got = attend(q, k, v, dropout=0.3, causal=True)
    torch.manual_seed(1)
    seen = torch.ones(20, 20, dtype=torch.bool).tril()
    torch.testing.assert_close(got, attend(q, k, v, seen, dropout=0.3))


def test_weights_are_dropped_at_the_rate_and_anew_each_time() -> None:
    shape = (6, 8, 60, 4)
    torch.manual_seed(2)
    first, second = weights_kept(shape, 60, 0.3), weights_kept(shape, 60, 0.3)
    share = float(first.float().mean())
    assert abs(share - 0.7) < 5 * (0.21 / first.numel()) ** 0.5
    both = float((first & second).float().mean())
    assert abs(both - 0.49) < 0.01
    torch.manual_seed(2)
    assert torch.equal(weights_kept(shape, 60, 0.3), first)


def test_a_row_that_sees_nothing_attends_evenly_under_a_finite_bias() -> None:
    q, k, _ = parts((2, 2, 20, 4), 20)
    v = torch.ones_like(k)
    bias = torch.full((2, 1, 1, 20), -10000.0)
    out = attend(q, k, v, bias, dropout=0.3)
    assert out.isfinite().all() and abs(float(out.detach().mean()) - 1.0) < 0.1


def test_without_dropout_torch_computes_it() -> None:
    q, k, v = parts((2, 2, 20, 4), 20)
    assert written_out(q, k, 0.3) and not written_out(q, k, 0.0)
    assert not written_out(q.bfloat16(), k, 0.3)
    assert torch.equal(attend(q, k, v), F.scaled_dot_product_attention(q, k, v))


def test_heads_are_merged_without_a_copy() -> None:
    q, k, v = parts((2, 8, 20, 4), 20)
    out = attend(q, k, v, dropout=0.3).detach()
    assert out.transpose(1, 2).flatten(2).data_ptr() == out.data_ptr()


@pytest.mark.parametrize(("samples", "heads", "scores"), [(5, 2, 63), (3, 8, 400), (2, 8, 5000)])
def test_blocks_cover_every_sample_and_head_once(samples: int, heads: int, scores: int) -> None:
    seen = torch.zeros(samples, heads)
    for one, other in blocks(samples, heads, scores):
        seen[one, other] += 1
        assert seen[one, other].numel() * scores <= max(attention.BLOCK, scores)
    assert torch.equal(seen, torch.ones(samples, heads))


def test_exponentials_of_what_is_hidden_are_exactly_zero() -> None:
    x = torch.tensor([-torch.inf, -200.0, -95.0, -85.0, -3.0, 0.0, torch.nan])
    found = attention.exp_(x.clone())
    assert found[:3].tolist() == [0.0, 0.0, 0.0]
    assert found[6].isnan()
    torch.testing.assert_close(found[3:6], x[3:6].exp(), rtol=1e-5, atol=0.0)


@pytest.mark.parametrize(
    ("row", "safe"),
    [
        ([0.0, -torch.inf], True),
        ([-3.0, -10000.0], True),
        ([-torch.inf, -torch.inf], False),
        ([-10000.0, -10000.0], False),
        ([60.0, 0.0], False),
        ([torch.nan, 0.0], False),
    ],
)
def test_a_bias_spares_the_row_maximum_only_where_each_row_has_a_moderate_one(
    row: list[float], safe: bool
) -> None:
    added = torch.tensor([[0.0, 0.0], row])[None, None]
    factor = attention.Bias.of(added).factor
    assert (factor is not None) == safe
    if factor is not None:
        torch.testing.assert_close(factor, added.exp())
