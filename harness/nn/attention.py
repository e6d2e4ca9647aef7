"""Scaled dot-product attention with dropout on a CPU, written out block by block.

torch's own kernel takes no dropout on a CPU: it falls to a form that keeps three tensors of
[B, heads, Tq, Tk] floats and draws a Bernoulli number a weight. Here scores live in blocks that a
cache holds, forward and backward. What is kept is the dropout mask (one byte a weight) and the
logarithm of each row's sum; the weights are computed again in the backward pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.nn.dropout import RandomWords, keep_mask, kept, masks_by_words

BLOCK = 1 << 18
"""Scores of a block: 1 MB of float32."""
# Below, the calls around a block cost more than torch's own form.
FEW = 1 << 14
# Exponentials of scores within this bound, and their sums, stay well inside float32.
SAFE_SCORE = 40.0


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None = None,
    *,
    dropout: float = 0.0,
    causal: bool = False,
) -> Tensor:
    """Return softmax(q k^T / sqrt(d) + bias) v with dropout on the weights, [B, heads, Tq, dv].

    As `F.scaled_dot_product_attention`, which computes it wherever this form has no advantage: on
    an accelerator, without dropout, under a compiler, in half precision, for few scores. The
    result lies in memory as [B, Tq, heads, dv]: ``out.transpose(1, 2).flatten(2)`` copies nothing.
    No gradient flows to ``bias``.

    Args:
        q: queries [B, heads, Tq, d], of any strides.
        k: keys [B, heads, Tk, d].
        v: values [B, heads, Tk, dv].
        bias: float, added to the scores, or bool, true where a query sees a key; broadcast over
            [B, heads, Tq, Tk]; None: nothing. A row of nothing but -inf or false gives NaN.
        dropout: rate on the weights; the caller passes 0 in evaluation.
        causal: query i sees keys up to i; instead of a bias.
    """
    if not written_out(q, k, dropout):
        return F.scaled_dot_product_attention(q, k, v, bias, dropout, causal)
    if causal:
        bias = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril()
    if bias is not None:
        bias = _additive(bias, q)
    out: Tensor = _Attention.apply(q, k, v, bias, dropout)  # type: ignore[no-untyped-call]
    return out.transpose(1, 2)


def written_out(q: Tensor, k: Tensor, rate: float) -> bool:
    """Return whether `attend` uses the form of this module."""
    many = q.shape[0] * q.shape[1] * q.shape[2] * k.shape[2] >= FEW
    full = q.device.type == "cpu" and q.dtype in (torch.float32, torch.float64)
    return many and full and masks_by_words(rate) and not torch.compiler.is_compiling()


def _additive(bias: Tensor, like: Tensor) -> Tensor:
    """Return a bias of four axes in the dtype of the scores."""
    if bias.dtype == torch.bool:
        bias = torch.zeros(bias.shape, dtype=like.dtype).masked_fill_(~bias, -torch.inf)
    return bias.to(like.dtype).reshape((1,) * (4 - bias.dim()) + bias.shape)


def blocks(samples: int, heads: int, scores: int) -> Iterator[tuple[slice, slice]]:
    """Yield slices of samples and of heads that have about `BLOCK` scores together.

    Args:
        samples: B.
        heads: heads a sample.
        scores: Tq Tk, scores a head.
    """
    together = BLOCK // max(heads * scores, 1)
    if together:
        for start in range(0, samples, together):
            yield slice(start, min(start + together, samples)), slice(0, heads)
        return
    step = max(1, BLOCK // scores)
    for sample in range(samples):
        for head in range(0, heads, step):
            yield slice(sample, sample + 1), slice(head, min(head + step, heads))


def bounded(q: Tensor, k: Tensor) -> bool:
    """Return whether no score q k^T exceeds `SAFE_SCORE`, by Cauchy and Schwarz.

    Then the softmax needs no row maximum. NaN is not bounded.
    """
    lengths = q.square().sum(-1).amax() * k.square().sum(-1).amax()
    return bool(lengths < SAFE_SCORE**2)


def forward_block(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the context [N, Tq, d] of a block, and the logarithm of its rows' sums [N, Tq, 1].

    Args:
        q: scaled queries [N, Tq, d].
        k: keys [N, Tk, d].
        v: values [N, Tk, d].
        bias: added to the scores, broadcast over [N, Tq, Tk], or None.
        mask: uint8 [N, Tq, Tk], 0 where a weight is dropped; the others are not scaled up. None:
            no dropout.
    """
    scores = torch.bmm(q, k.transpose(1, 2))
    if bias is None and bounded(q, k):
        total = scores.exp_().sum(-1, keepdim=True)
        log_sum = total.log()
    else:
        if bias is not None:
            scores += bias
        most = scores.amax(-1, keepdim=True)
        total = scores.sub_(most).exp_().sum(-1, keepdim=True)
        log_sum = total.log().add_(most)
    if mask is not None:
        scores.mul_(mask.to(scores.dtype))
    return torch.bmm(scores, v).div_(total), log_sum


def backward_block(
    grad: Tensor,
    row: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
    log_sum: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the scaled queries, the keys and the values of `forward_block`.

    Args:
        grad: gradient of the context [N, Tq, d].
        row: sum over d of gradient times context [N, Tq, 1].
        q: as in `forward_block`, like all below.
        k: keys.
        v: values.
        bias: added to the scores, or None.
        mask: of the weights, or None.
        log_sum: logarithm of the rows' sums [N, Tq, 1].
    """
    # The last column subtracts log_sum within the product.
    weights = torch.bmm(
        torch.cat([q, log_sum.neg()], -1),
        torch.cat([k, k.new_ones(*k.shape[:2], 1)], -1).transpose(1, 2),
    )
    if bias is not None:
        weights += bias
    weights.exp_()
    scores_grad = torch.bmm(grad, v.transpose(1, 2))
    masked = weights if mask is None else weights * mask.to(weights.dtype)
    v_grad = torch.bmm(masked.transpose(1, 2), grad)
    # d scores = weights * (mask * d weights - row), for row is the sum over the keys of
    # weights * mask * d weights.
    scores_grad.mul_(masked)
    scores_grad.addcmul_(weights, row, value=-1.0)
    return torch.bmm(scores_grad, k), torch.bmm(scores_grad.transpose(1, 2), q), v_grad


def _flat(x: Tensor, samples: slice, heads: slice) -> Tensor:
    """Return [b heads, T, d] of a block of [B, heads, T, d]."""
    return x[samples, heads].flatten(0, 1)


def _cut(bias: Tensor | None, samples: slice, heads: slice) -> Tensor | None:
    """Return the part of a bias that concerns a block, to be broadcast over [b heads, Tq, Tk]."""
    if bias is None:
        return None
    if bias.shape[0] > 1:
        bias = bias[samples]
    bias = bias[:, heads] if bias.shape[1] > 1 else bias
    rows, columns = samples.stop - samples.start, heads.stop - heads.start
    return bias.expand(rows, columns, -1, -1).flatten(0, 1)


def _store(values: Tensor, whole: Tensor, samples: slice, heads: slice) -> None:
    """Write a block [b heads, T, d] to its place in [B, T, heads, d]."""
    shape = (samples.stop - samples.start, -1, *values.shape[1:])
    whole[samples, :, heads] = values.view(shape).transpose(1, 2)


class _Attention(torch.autograd.Function):
    """Attention of [B, heads, T, d]; the result is [B, Tq, heads, d]."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, rate: float
    ) -> Tensor:
        batch, heads, queries, width = q.shape
        out = q.new_empty(batch, queries, heads, v.shape[3])
        words, masks, sums = RandomWords(), [], []
        factor = 1.0 / kept(rate)
        for samples, part in blocks(batch, heads, queries * k.shape[2]):
            qb, kb, vb = (_flat(x, samples, part) for x in (q, k, v))
            mask = keep_mask((len(qb), queries, k.shape[2]), rate, words)
            context, log_sum = forward_block(
                qb * width**-0.5, kb, vb * factor, _cut(bias, samples, part), mask
            )
            _store(context, out, samples, part)
            masks.append(mask)
            sums.append(log_sum)
        ctx.save_for_backward(q, k, v, bias, out, *masks, *sums)
        ctx.factor = factor
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, bias, out, *kept_blocks = ctx.saved_tensors
        batch, heads, queries, width = q.shape
        grads = [x.new_empty(batch, x.shape[2], heads, x.shape[3]) for x in (q, k, v)]
        half = len(kept_blocks) // 2
        masks, sums = kept_blocks[:half], kept_blocks[half:]
        scale, factor = width**-0.5, ctx.factor
        places = blocks(batch, heads, queries * k.shape[2])
        for (samples, part), mask, log_sum in zip(places, masks, sums, strict=True):
            qb, kb, vb = (_flat(x, samples, part) for x in (q, k, v))
            gb, ob = (_flat(x.transpose(1, 2), samples, part) for x in (grad, out))
            row = (gb * ob).sum(-1, keepdim=True)
            found = backward_block(
                gb, row, qb * scale, kb, vb * factor, _cut(bias, samples, part), mask, log_sum
            )
            for whole, value, by in zip(grads, found, (scale, 1.0, factor), strict=True):
                _store(value.mul_(by), whole, samples, part)
        dq, dk, dv = (x.transpose(1, 2) for x in grads)
        return dq, dk, dv, None, None
