"""Scaled dot-product attention with dropout on a CPU, written out block by block.

torch's own kernel takes no dropout on a CPU: it falls to a form that keeps three tensors of
[B, heads, Tq, Tk] floats and draws a Bernoulli number a weight. Here scores live in blocks that a
cache holds, forward and backward. What is kept is the dropout mask (one byte a weight) and each
row's sum; the weights are computed again in the backward pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.nn.dropout import RandomWords, keep_mask, kept, masks_by_words

BLOCK = 1 << 19
"""Scores of a block: 2 MB of float32."""
# Below, the calls around a block cost more than torch's own form.
FEW = 1 << 14
# Exponentials of scores within this bound, and their sums, stay well inside float32.
SAFE_SCORE = 40.0
# As far may a row's largest bias be from 0 on top of that.
SAFE_BIAS = 10.0
# exp(-86) is a normal float32, 4.5e-38; whatever is not above 1e-37 counts as 0.
LEAST_EXPONENT, LEAST_VALUE = -86.0, 1e-37


class Bias(NamedTuple):
    """What is added to scores, and its exponentials.

    Attributes:
        added: [b, h, Tq, Tk] or broadcast to it.
        factor: exp(added); None where a row's largest entry is not within `SAFE_BIAS`: the row may
            see nothing, and only its maximum tells.
    """

    added: Tensor
    factor: Tensor | None

    @classmethod
    def of(cls, added: Tensor) -> Bias:
        """Return a bias of four axes with its factor."""
        safe = bool((added.amax(-1).abs() <= SAFE_BIAS).all())
        return cls(added, exp_(added.clone()) if safe else None)

    def cut(self, samples: slice, heads: slice) -> Bias:
        """Return the part that concerns a block, broadcast over [b heads, Tq, Tk]."""
        factor = None if self.factor is None else _cut(self.factor, samples, heads)
        return Bias(_cut(self.added, samples, heads), factor)


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
    added, factor = (None, None) if bias is None else Bias.of(_additive(bias, q))
    out: Tensor = _Attention.apply(q, k, v, added, factor, dropout)  # type: ignore[no-untyped-call]
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
    longest = (
        torch.linalg.vector_norm(q, dim=-1).amax() * torch.linalg.vector_norm(k, dim=-1).amax()
    )
    return bool(longest < SAFE_SCORE)


def exp_(x: Tensor) -> Tensor:
    """Return the exponentials of x in its place, 0 below `LEAST_EXPONENT`.

    The library's own takes twelve times as long where x is -inf, and over a hundred times where
    the result is no normal number.
    """
    return torch.threshold_(x.clamp_(min=LEAST_EXPONENT).exp_(), LEAST_VALUE, 0.0)


def forward_block(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Bias | None,
    mask: Tensor | None,
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the context [N, Tq, d] of a block, sums and maxima of its rows [N, Tq, 1].

    The sums are of exponentials of scores less their maximum, None where none was taken.

    Args:
        q: scaled queries [N, Tq, d].
        k: keys [N, Tk, d].
        v: values [N, Tk, d].
        bias: broadcast over [N, Tq, Tk], or None.
        mask: uint8 [N, Tq, Tk], 0 where a weight is dropped; the others are not scaled up. None:
            no dropout.
        out: contiguous, where the context is written; None: a new tensor.
    """
    scores = torch.bmm(q, k.transpose(1, 2))
    most = None
    if (bias is None or bias.factor is not None) and bounded(q, k):
        _exponentials_(scores, bias, None)
    else:
        if bias is not None:
            scores += bias.added
        most = scores.amax(-1, keepdim=True)
        exp_(scores.sub_(most))
    total = scores.sum(-1, keepdim=True)
    if mask is not None:
        scores *= mask.to(scores.dtype)
    return torch.bmm(scores, v, out=out).div_(total), total, most


def _exponentials_(scores: Tensor, bias: Bias | None, most: Tensor | None) -> None:
    """Replace scores by the weights before division, given the rows' maxima or None."""
    if most is not None:
        if bias is not None:
            scores += bias.added
        exp_(scores.sub_(most))
        return
    scores.exp_()
    if bias is not None and bias.factor is not None:
        scores *= bias.factor


def backward_block(
    grad: Tensor,
    row: Tensor,
    block: tuple[Tensor, Tensor, Tensor, Bias | None],
    mask: Tensor | None,
    total: Tensor,
    most: Tensor | None,
    out: Sequence[Tensor | None] = (None, None, None),
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the scaled queries, the keys and the values of `forward_block`.

    Args:
        grad: gradient of the context [N, Tq, d].
        row: sum over d of gradient times context [N, Tq, 1].
        block: q, k, v and bias as in `forward_block`.
        mask: of the weights, or None.
        total: sums of the rows.
        most: maxima of the rows, or None.
        out: contiguous, where the three gradients are written; None: new tensors.
    """
    q, k, v, bias = block
    # All that follows is linear in the gradient: it is divided by the sums, the weights are not.
    grad, row = grad / total, row / total
    weights = torch.bmm(q, k.transpose(1, 2))
    _exponentials_(weights, bias, most)
    scores_grad = torch.bmm(grad, v.transpose(1, 2))
    masked = weights
    # d scores = weights * (mask * d weights - row), for row is the sum over the keys of
    # weights * mask * d weights.
    if mask is not None:
        masked = mask.to(weights.dtype)
        scores_grad *= masked
        masked *= weights
    scores_grad.sub_(row).mul_(weights)
    v_grad = torch.bmm(masked.transpose(1, 2), grad, out=out[2])
    q_grad = torch.bmm(scores_grad, k, out=out[0])
    return q_grad, torch.bmm(scores_grad.transpose(1, 2), q, out=out[1]), v_grad


def _flat(x: Tensor, samples: slice, heads: slice) -> Tensor:
    """Return [b heads, T, d] of a block of [B, heads, T, d]."""
    return x[samples, heads].flatten(0, 1)


def _cut(whole: Tensor, samples: slice, heads: slice) -> Tensor:
    """Return a block's part of a tensor [B or 1, heads or 1, Tq or 1, Tk] as [b heads, ., .]."""
    if whole.shape[0] == whole.shape[1] == 1:
        return whole[0]
    if whole.shape[0] > 1:
        whole = whole[samples]
    whole = whole[:, heads] if whole.shape[1] > 1 else whole
    rows, columns = samples.stop - samples.start, heads.stop - heads.start
    return whole.expand(rows, columns, -1, -1).flatten(0, 1)


def _store(values: Tensor, whole: Tensor, samples: slice, heads: slice) -> None:
    """Write a block [b heads, T, d] to its place in [B, T, heads, d]."""
    shape = (samples.stop - samples.start, -1, *values.shape[1:])
    whole[samples, :, heads] = values.view(shape).transpose(1, 2)


class _Attention(torch.autograd.Function):
    """Attention of [B, heads, T, d]; the result is [B, Tq, heads, d]."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        added: Tensor | None,
        exponentials: Tensor | None,
        rate: float,
    ) -> Tensor:
        batch, heads, queries, width = q.shape
        out = q.new_empty(batch, queries, heads, v.shape[3])
        bias = None if added is None else Bias(added, exponentials)
        words, memory = RandomWords(), []
        factor = 1.0 / kept(rate)
        for samples, part in blocks(batch, heads, queries * k.shape[2]):
            qb, kb, vb = (_flat(x, samples, part) for x in (q, k, v))
            mask = keep_mask((len(qb), queries, k.shape[2]), rate, words)
            near = None if bias is None else bias.cut(samples, part)
            context, total, most = forward_block(qb * width**-0.5, kb, vb * factor, near, mask)
            _store(context, out, samples, part)
            memory += [mask, total, most]
        ctx.save_for_backward(q, k, v, added, exponentials, out, *memory)
        ctx.factor = factor
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, added, exponentials, out, *memory = ctx.saved_tensors
        bias = None if added is None else Bias(added, exponentials)
        batch, heads, queries, width = q.shape
        grads = [x.new_empty(batch, x.shape[2], heads, x.shape[3]) for x in (q, k, v)]
        scale, factor = width**-0.5, ctx.factor
        own = iter(memory)
        for samples, part in blocks(batch, heads, queries * k.shape[2]):
            qb, kb, vb = (_flat(x, samples, part) for x in (q, k, v))
            gb, ob = (_flat(x.transpose(1, 2), samples, part) for x in (grad, out))
            row = (gb * ob).sum(-1, keepdim=True)
            near = None if bias is None else bias.cut(samples, part)
            block = (qb * scale, kb, vb * factor, near)
            found = backward_block(gb, row, block, next(own), next(own), next(own))
            for whole, value, by in zip(grads, found, (scale, 1.0, factor), strict=True):
                _store(value.mul_(by), whole, samples, part)
        dq, dk, dv = (x.transpose(1, 2) for x in grads)
        return dq, dk, dv, None, None, None
