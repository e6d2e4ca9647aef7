from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from harness.nn.encoder import Attention, BertEncoder, BertLayer, InputNorm, key_bias
from harness.nn.label_attention import LabelAttention


def encoder(layers: int = 2, dropout: float = 0.0) -> BertEncoder:
    return BertEncoder(
        5, 8, layers=layers, heads=2, intermediate=12, max_positions=9, dropout=dropout
    )


def literal_attention(block: Attention, x: Tensor, mask: Tensor) -> Tensor:
    """Scaled dot product attention head by head, as the card writes it."""
    out, width = [], x.shape[-1] // block.heads
    for head in range(block.heads):
        part = slice(head * width, (head + 1) * width)
        q, k, v = (f(x)[..., part] for f in (block.query, block.key, block.value))
        scores = q @ k.transpose(1, 2) / math.sqrt(width) + (1.0 - mask.float())[:, None] * -1e4
        out.append(scores.softmax(-1) @ v)
    return F.layer_norm(
        block.output(torch.cat(out, -1)) + x,
        x.shape[-1:],
        block.norm.weight,
        block.norm.bias,
        1e-12,
    )


def test_attention_is_the_formula() -> None:
    torch.manual_seed(0)
    block, x = Attention(8, 2, 0.0), torch.randn(3, 4, 8)
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1]]).bool()
    got = block(x, x, key_bias(mask, x.dtype))
    torch.testing.assert_close(got, literal_attention(block, x, mask), rtol=0, atol=1e-6)


def test_masked_frames_do_not_matter() -> None:
    torch.manual_seed(0)
    model, mask = encoder(), torch.tensor([[True, True, False, False]])
    x = torch.randn(1, 4, 5)
    y = torch.where(mask[..., None], x, 100.0)
    torch.testing.assert_close(model(x, mask)[:, :2], model(y, mask)[:, :2])


def test_row_without_any_position_stays_finite() -> None:
    x, mask = torch.randn(2, 4, 5), torch.tensor([[True] * 4, [False] * 4])
    model = encoder()
    tokens = model(x, mask)
    pooled, weights = LabelAttention(8, 3)(tokens, mask)
    pooled.sum().backward()
    assert tokens.isfinite().all()
    assert weights[1].abs().max() == 0
    assert pooled[1].abs().max() == 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    torch.testing.assert_close(weights[0].sum(-1), torch.ones(3))


def test_cross_attention_takes_its_length_from_the_queries() -> None:
    layer = BertLayer(8, heads=2, intermediate=8, dropout=0.0)
    assert layer(torch.randn(2, 3, 8), None, torch.randn(2, 7, 8)).shape == (2, 3, 8)


@pytest.mark.parametrize("queries", [3, 6])
def test_few_queries_read_tokens_as_many_do(queries: int) -> None:
    """Below H / heads queries project what they read, not every token."""
    torch.manual_seed(0)
    block = Attention(8, 2, 0.0).double()
    for p in block.parameters():
        torch.nn.init.normal_(p)
    x, tokens = torch.randn(3, queries, 8).double(), torch.randn(3, 5, 8).double()
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 1, 0]]).bool()
    bias = key_bias(mask, x.dtype)
    got = block(x, tokens, bias)
    q, k, v = (
        f(t).view(3, -1, 2, 4).transpose(1, 2)
        for f, t in ((block.query, x), (block.key, tokens), (block.value, tokens))
    )
    read = F.scaled_dot_product_attention(q, k, v, bias).transpose(1, 2).flatten(2)
    want = block.norm(block.output(read) + x)
    torch.testing.assert_close(got, want)
    wanted = [p for n, p in block.named_parameters() if n != "key.bias"]
    grad = torch.randn_like(want)
    for a, b in zip(
        torch.autograd.grad(got, wanted, grad, retain_graph=True),
        torch.autograd.grad(want, wanted, grad, retain_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(a, b)
    (bias_grad,) = torch.autograd.grad(got, block.key.bias, grad)
    assert bias_grad.abs().max() < 1e-10


def test_batch_of_one_equals_its_row() -> None:
    torch.manual_seed(0)
    model, x, mask = encoder(), torch.randn(3, 6, 5), torch.ones(3, 6, dtype=torch.bool)
    torch.testing.assert_close(model(x[1:2], mask[1:2]), model(x, mask)[1:2])


def test_initial_values() -> None:
    torch.manual_seed(0)
    model = BertEncoder(64, 64, layers=1, heads=2, intermediate=64, max_positions=64, dropout=0.0)
    assert model.positions.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert model.embed.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert model.embed.bias.abs().max() == 0


def test_input_norm_turns_a_zero_row_into_the_bias() -> None:
    norm = InputNorm(3)
    torch.nn.init.constant_(norm.bias, 0.5)
    assert norm(torch.zeros(1, 2, 3)).eq(0.5).all()


def test_too_long_a_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match="10 positions"):
        encoder()(torch.randn(1, 10, 5), torch.ones(1, 10, dtype=torch.bool))


def test_heads_must_divide() -> None:
    with pytest.raises(ValueError, match="3 heads"):
        Attention(8, 3, 0.0)
