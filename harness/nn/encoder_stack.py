"""The layers of a BERT encoder as one autograd function on a CPU: few activations, none padded.

A layer of `harness.nn.encoder` is two thirds matrix products; the rest is memory traffic. Here
groups of samples pass through all layers while their values are in the cache, forward and
backward. Kept for the backward pass are, a token and layer: queries, keys, values, context, the
sums before both norms, the hidden values before the GELU, and the dropout masks as bytes. Outputs
of norms and GELU, and attention weights, are computed again.

Samples lie one after the other without padding, `Tokens`; scales of dropout and attention are
folded into the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.nn.attention import Bias, backward_block, blocks, forward_block
from harness.nn.dropout import RandomWords, keep_mask, kept, masks_by_words
from harness.nn.token_groups import Group

if TYPE_CHECKING:
    from harness.nn.encoder import BertLayer

PARAMETERS = 16


@dataclass(frozen=True)
class Rates:
    """Dropout rates of a layer: attention weights, attention output, feed-forward output."""

    weights: float
    attention: float
    output: float

    @classmethod
    def of(cls, layer: BertLayer) -> Rates:
        """Return the rates that act, 0 in evaluation."""
        if not layer.training:
            return cls(0.0, 0.0, 0.0)
        attention = layer.attention.dropout
        return cls(attention, attention, layer.dropout.p)

    @property
    def values(self) -> tuple[float, float, float]:
        """Return the three rates."""
        return self.weights, self.attention, self.output


def parameters(layer: BertLayer) -> list[Tensor]:
    """Return the `PARAMETERS` tensors of a layer in the order of `Weights.of`."""
    a = layer.attention
    parts = (a.query, a.key, a.value, a.output, a.norm, layer.expand, layer.contract, layer.norm)
    return [t for part in parts for t in (part.weight, part.bias)]


@dataclass(frozen=True)
class Weights:
    """A layer's parameters with all scales folded in: of attention and of the three dropouts."""

    qkv: Tensor
    qkv_bias: Tensor
    output: Tensor
    output_bias: Tensor
    norm: tuple[Tensor, Tensor]
    expand: Tensor
    expand_bias: Tensor
    contract: Tensor
    contract_bias: Tensor
    last_norm: tuple[Tensor, Tensor]
    scales: tuple[float, float, float, float]

    @classmethod
    def of(cls, tensors: Sequence[Tensor], heads: int, rates: Rates) -> Weights:
        """Return the folded form of `parameters`."""
        q, qb, k, kb, v, vb, o, ob, g1, b1, e, eb, c, cb, g2, b2 = tensors
        scale = (q.shape[0] // heads) ** -0.5
        weights, attention, output = (1.0 / kept(r) for r in rates.values)
        return cls(
            torch.cat([q * scale, k, v * weights]),
            torch.cat([qb * scale, kb, vb * weights]),
            o * attention,
            ob * attention,
            (g1, b1),
            e,
            eb,
            c * output,
            cb * output,
            (g2, b2),
            (scale, weights, attention, output),
        )


def _norm(x: Tensor, weights: tuple[Tensor, Tensor], eps: float) -> tuple[Tensor, Tensor, Tensor]:
    return torch.native_layer_norm(x, x.shape[-1:], *weights, eps)


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask.to(x.dtype)


def _residual(x: Tensor, update: Tensor, mask: Tensor | None) -> Tensor:
    """Return x + mask * update."""
    if mask is None:
        return x + update
    return torch.addcmul(x, update, mask.to(x.dtype))


def _drawn(shape: Sequence[int], rate: float, words: RandomWords | None) -> Tensor | None:
    return None if rate == 0 or words is None else keep_mask(tuple(shape), rate, words)


@dataclass
class Kept:
    """What a layer keeps of a group for the backward pass."""

    qkv: Tensor
    context: Tensor
    first: Tensor
    hidden: Tensor
    second: Tensor
    statistics: tuple[Tensor, Tensor, Tensor, Tensor]
    masks: tuple[Tensor | None, Tensor | None]
    weights: list[tuple[Tensor | None, Tensor, Tensor | None]]

    def flat(self) -> list[Tensor | None]:
        """Return the tensors in a row, as `rebuilt` reads them."""
        own = [self.qkv, self.context, self.first, self.hidden, self.second]
        return [*own, *self.statistics, *self.masks, *(t for part in self.weights for t in part)]

    @classmethod
    def rebuilt(cls, tensors: Iterator[Any], parts: int) -> Kept:
        """Return what was made `flat`, with so many blocks of scores."""
        first = [next(tensors) for _ in range(5)]
        rest = [next(tensors) for _ in range(6)]
        weights = [(next(tensors), next(tensors), next(tensors)) for _ in range(parts)]
        mean, deviation, last_mean, last_deviation, mask, last_mask = rest
        statistics = (mean, deviation, last_mean, last_deviation)
        qkv, context, once, hidden, twice = first
        return cls(qkv, context, once, hidden, twice, statistics, (mask, last_mask), weights)


class Layer:
    """One layer on one group.

    Args:
        weights: folded parameters.
        rates: dropout rates.
        heads: they divide H.
        eps: of the norms.
    """

    def __init__(self, weights: Weights, rates: Rates, heads: int, eps: float) -> None:
        self.w, self.rates, self.heads, self.eps = weights, rates, heads, eps

    def _parts(self, group: Group) -> Iterator[tuple[slice, slice, Bias | None]]:
        """Yield the group's blocks of scores: samples, heads, bias [b heads, 1, L] or None."""
        for samples, heads in blocks(group.samples, self.heads, group.longest**2):
            bias = None if group.bias is None else group.bias.cut(samples, heads)
            yield samples, heads, bias

    def _by_head(self, x: Tensor, group: Group, bias: Tensor | None = None) -> Tensor:
        """Return [k, b, heads, L, d] of padded [b L, k H], contiguous, plus a bias [k H]."""
        shape = (group.samples, group.longest, -1, self.heads, self.w.output.shape[0] // self.heads)
        split = x.view(shape).permute(2, 0, 3, 1, 4)
        if bias is None:
            return split.contiguous()
        added = bias.view(len(split), 1, self.heads, 1, -1)
        return torch.add(split, added, out=x.new_empty(split.shape))

    def _by_token(self, x: Tensor) -> Tensor:
        """Return padded [b L, k H] of [k, b, heads, L, d]."""
        return x.permute(1, 3, 0, 2, 4).flatten(0, 1).flatten(1)

    def forward(self, x: Tensor, group: Group, words: RandomWords | None) -> tuple[Tensor, Kept]:
        """Return the group's new tokens [n, H] and what the backward pass needs.

        Args:
            x: tokens [n, H].
            group: where they belong.
            words: source of the dropout masks; None: no dropout.
        """
        w = self.w
        qkv = self._by_head(group.padded(x @ w.qkv.t()), group, w.qkv_bias)
        heads = torch.empty_like(qkv[:1])
        weights: list[tuple[Tensor | None, Tensor, Tensor | None]] = []
        for samples, part, bias in self._parts(group):
            q, k, v = qkv[:, samples, part].flatten(1, 2)
            mask = _drawn((len(q), *[group.longest] * 2), self.rates.weights, words)
            place = heads[0, samples, part].flatten(0, 1)
            _, total, most = forward_block(q, k, v, bias, mask, place)
            weights.append((mask, total, most))
        context = group.packed(self._by_token(heads))
        update = torch.addmm(w.output_bias, context, w.output.t())
        mask = _drawn(update.shape, self.rates.attention, words)
        first = _residual(x, update, mask)
        y, mean, deviation = _norm(first, w.norm, self.eps)
        hidden = torch.addmm(w.expand_bias, y, w.expand.t())
        update = torch.addmm(w.contract_bias, F.gelu(hidden), w.contract.t())
        last_mask = _drawn(update.shape, self.rates.output, words)
        second = _residual(y, update, last_mask)
        out, last_mean, last_deviation = _norm(second, w.last_norm, self.eps)
        statistics = (mean, deviation, last_mean, last_deviation)
        masks = (mask, last_mask)
        return out, Kept(qkv, context, first, hidden, second, statistics, masks, weights)

    def output(self, kept: Kept) -> Tensor:
        """Return the layer's output again."""
        return _norm(kept.second, self.w.last_norm, self.eps)[0]

    def backward(
        self, grad: Tensor, x: Tensor, group: Group, kept: Kept, sums: list[Tensor]
    ) -> Tensor:
        """Return the gradient of the layer's input, and add those of its parameters to ``sums``.

        Args:
            grad: gradient of the output [n, H].
            x: the input [n, H].
            group: where the tokens belong.
            kept: of the forward pass.
            sums: gradients of the folded weights in the order of `Weights`.
        """
        w = self.w
        dqkv, dqkv_bias, do, do_bias, dg1, db1, de, de_bias, dc, dc_bias, dg2, db2 = sums
        mean, deviation, last_mean, last_deviation = kept.statistics
        mask, last_mask = kept.masks

        grad = _norm_backward(grad, kept.second, (last_mean, last_deviation), w.last_norm, dg2, db2)
        update = _masked(grad, last_mask)
        dc.addmm_(update.t(), F.gelu(kept.hidden))
        dc_bias += update.sum(0)
        hidden = torch.ops.aten.gelu_backward(update @ w.contract, kept.hidden)
        y = _norm(kept.first, w.norm, self.eps)[0]
        de.addmm_(hidden.t(), y)
        de_bias += hidden.sum(0)
        grad.addmm_(hidden, w.expand)

        grad = _norm_backward(grad, kept.first, (mean, deviation), w.norm, dg1, db1)
        update = _masked(grad, mask)
        do.addmm_(update.t(), kept.context)
        do_bias += update.sum(0)
        found = self._attention_backward(update @ w.output, group, kept)
        dqkv.addmm_(found.t(), x)
        dqkv_bias += found.sum(0)
        return grad.addmm_(found, w.qkv)

    def _attention_backward(self, grad: Tensor, group: Group, kept: Kept) -> Tensor:
        """Return the gradient [n, 3 H] of queries, keys and values, given the context's."""
        row = (grad * kept.context).view(len(grad), self.heads, -1).sum(-1)
        row = group.spread(row).view(group.samples, group.longest, self.heads, 1).transpose(1, 2)
        heads = self._by_head(group.spread(grad), group)[0]
        out = torch.empty_like(kept.qkv)
        for (samples, part, bias), memory in zip(self._parts(group), kept.weights, strict=True):
            q, k, v = kept.qkv[:, samples, part].flatten(1, 2)
            given, rows = (t[samples, part].flatten(0, 1) for t in (heads, row))
            places = list(out[:, samples, part].flatten(1, 2))
            backward_block(given, rows, (q, k, v, bias), *memory, places)
        return group.packed(self._by_token(out))


def _norm_backward(
    grad: Tensor,
    x: Tensor,
    statistics: tuple[Tensor, Tensor],
    weights: tuple[Tensor, Tensor],
    gain: Tensor,
    shift: Tensor,
) -> Tensor:
    """Return the gradient of a norm's input, and add those of its gain and shift."""
    dx, dg, db = torch.ops.aten.native_layer_norm_backward(
        grad, x, x.shape[-1:], *statistics, *weights, [True, True, True]
    )
    gain += dg
    shift += db
    found: Tensor = dx
    return found


class _Stack(torch.autograd.Function):
    """All layers on all groups; inputs are the tokens [N, H] and the layers' parameters."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        groups: list[Group],
        settings: Sequence[tuple[Rates, int, float]],
        *tensors: Tensor,
    ) -> Tensor:
        layers = _layers(settings, tensors)
        words = RandomWords() if any(any(r.values) for r, _, _ in settings) else None
        out = torch.empty_like(x)
        memory: list[Tensor | None] = []
        for group in groups:
            values = x[group.tokens]
            for layer in layers:
                values, own = layer.forward(values, group, words)
                memory += own.flat()
            out[group.tokens] = values
        ctx.save_for_backward(x, *tensors, *memory)
        ctx.groups, ctx.settings = groups, settings
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        saved = iter(ctx.saved_tensors)
        x = next(saved)
        count = len(ctx.settings)
        layers = _layers(ctx.settings, [next(saved) for _ in range(PARAMETERS * count)])
        sums = [_zeros(layer.w) for layer in layers]
        dx = torch.empty_like(x)
        for group in ctx.groups:
            parts = sum(1 for _ in blocks(group.samples, layers[0].heads, group.longest**2))
            kept = [Kept.rebuilt(saved, parts) for _ in layers]
            values = grad[group.tokens]
            for place in reversed(range(count)):
                given = layers[place - 1].output(kept[place - 1]) if place else x[group.tokens]
                values = layers[place].backward(values, given, group, kept[place], sums[place])
            dx[group.tokens] = values
        grads = [
            g for layer, found in zip(layers, sums, strict=True) for g in _unfold(layer, found)
        ]
        return dx, None, None, *grads


def _layers(settings: Sequence[tuple[Rates, int, float]], tensors: Sequence[Tensor]) -> list[Layer]:
    layers = []
    for number, (rates, heads, eps) in enumerate(settings):
        own = tensors[number * PARAMETERS : (number + 1) * PARAMETERS]
        layers.append(Layer(Weights.of(own, heads, rates), rates, heads, eps))
    return layers


def _zeros(w: Weights) -> list[Tensor]:
    """Return zeros for the gradients of a layer's folded weights."""
    like = (
        *(w.qkv, w.qkv_bias, w.output, w.output_bias, *w.norm),
        *(w.expand, w.expand_bias, w.contract, w.contract_bias, *w.last_norm),
    )
    return [torch.zeros_like(t) for t in like]


def _unfold(layer: Layer, sums: list[Tensor]) -> list[Tensor]:
    """Return the gradients of `parameters` from those of the folded weights."""
    qkv, qkv_bias, o, ob, g1, b1, e, eb, c, cb, g2, b2 = sums
    scale, weights, attention, output = layer.w.scales
    (q, k, v), (qb, kb, vb) = qkv.chunk(3), qkv_bias.chunk(3)
    q, qb, v, vb = q * scale, qb * scale, v * weights, vb * weights
    first = [q, qb, k, kb, v, vb, o * attention, ob * attention, g1, b1]
    return [*first, e, eb, c * output, cb * output, g2, b2]


def stackable(layers: Sequence[BertLayer], x: Tensor) -> bool:
    """Return whether `run` may replace the layers one by one.

    On a CPU, in the parameters' own precision, not under a compiler.
    """
    if not layers or x.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    if torch.is_autocast_enabled("cpu") or x.dtype not in (torch.float32, torch.float64):
        return False
    rates = {r for layer in layers for r in Rates.of(layer).values}
    same = all(t.dtype == x.dtype for layer in layers for t in parameters(layer))
    return same and all(r == 0 or masks_by_words(r) for r in rates)


def run(layers: Sequence[BertLayer], x: Tensor, groups: list[Group]) -> Tensor:
    """Return what the layers make of tokens [N, H], like calling one after the other.

    Args:
        layers: at least one, `stackable`.
        x: tokens [N, H], the samples of the groups one after the other.
        groups: of `grouped`.
    """
    settings = [(Rates.of(y), y.attention.heads, y.norm.eps) for y in layers]
    tensors = [t for layer in layers for t in parameters(layer)]
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *tensors)):
        out: Tensor = _Stack.apply(x, groups, settings, *tensors)  # type: ignore[no-untyped-call]
        return out
    words = RandomWords() if any(any(r.values) for r, _, _ in settings) else None
    parts = []
    made = _layers(settings, tensors)
    for group in groups:
        values = x[group.tokens]
        for layer in made:
            values, _ = layer.forward(values, group, words)
        parts.append(values)
    return torch.cat(parts)
