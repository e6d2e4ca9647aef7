"""The outer product of all modalities, read by a linear map (Zadeh et al., EMNLP 2017, eq. 2).

The product has hundreds of thousands of values a sample, and a linear map of a few outputs reads
them: writing them to memory costs more than the map. Without dropout they are never formed; with
dropout on a CPU they are formed block by block in the cache, forward and backward.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.nn.dropout import RandomWords, dropout, keep_mask, kept, masks_by_words

BLOCK = 1 << 18
"""Values of a block: 1 MB of float32."""
# Below, the calls around a block cost more than they spare.
FEW = 1 << 18


def with_one(h: Tensor) -> Tensor:
    """Return [B, d + 1]: a constant 1 before h [B, d]."""
    return torch.cat([h.new_ones(len(h), 1), h], dim=1)


def tensor_fusion(vectors: Sequence[Tensor]) -> Tensor:
    """Return the flattened outer product of [1; h_m], [B, Π (d_m + 1)] (equation 2).

    The first modality's index is the slowest, the last one's the fastest. Zeros for a modality
    leave the tensor of the others.
    """
    z = with_one(vectors[0])
    for h in vectors[1:]:
        z = torch.bmm(z[:, :, None], with_one(h)[:, None]).flatten(1)
    return z


def fused_linear(
    vectors: Sequence[Tensor], weight: Tensor, bias: Tensor, rate: float, training: bool
) -> Tensor:
    """Return linear(dropout(`tensor_fusion` (vectors))), [B, O].

    Args:
        vectors: one [B, d_m] per modality.
        weight: [O, Π (d_m + 1)].
        bias: [O].
        rate: dropout's, on the tensor.
        training: False: no dropout.
    """
    first, *others = vectors
    first = with_one(first)
    rest = tensor_fusion(others) if others else first.new_ones(len(first), 1)
    if not training or rate == 0.0:
        # Σ_ij w_oij a_i r_j: the sum over j first leaves [B, O, d_1 + 1] in memory.
        outputs, size = len(weight), first.shape[1]
        read = rest @ weight.view(outputs * size, rest.shape[1]).t()
        return (read.view(-1, outputs, size) @ first[:, :, None]).squeeze(2) + bias
    if _blockwise(first, rest, rate):
        read = _FusedLinear.apply(first, rest, weight, rate)  # type: ignore[no-untyped-call]
        return read + bias
    return F.linear(dropout(tensor_fusion(vectors), rate), weight, bias)


def _blockwise(first: Tensor, rest: Tensor, rate: float) -> bool:
    """Return whether blocks serve: a large tensor in full precision on the CPU, not compiled."""
    full = first.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    many = first.numel() * rest.shape[1] >= FEW
    return full and many and masks_by_words(rate) and not torch.compiler.is_compiling()


def _blocks(first: Tensor, rest: Tensor) -> Iterator[slice]:
    """Yield slices of first's entries whose part of the tensor has about `BLOCK` values."""
    step = max(1, BLOCK // rest.numel())
    for start in range(0, first.shape[1], step):
        yield slice(start, min(start + step, first.shape[1]))


class _FusedLinear(torch.autograd.Function):
    """Σ_ij w_oij mask_ij a_i r_j / (1 - rate); the masks are kept as bytes."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, rest: Tensor, weight: Tensor, rate: float) -> Tensor:
        batch, size = rest.shape
        words, masks = RandomWords(), []
        out = first.new_zeros(batch, len(weight))
        for part in _blocks(first, rest):
            mask = keep_mask((batch, part.stop - part.start, size), rate, words)
            z = _masked_block(first[:, part], rest, mask.to(first.dtype))
            out.addmm_(z, weight[:, part.start * size : part.stop * size].t())
            masks.append(mask)
        ctx.save_for_backward(first, rest, weight, *masks)
        ctx.scale = 1.0 / kept(rate)
        return out.mul_(ctx.scale)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        first, rest, weight, *masks = ctx.saved_tensors
        size = rest.shape[1]
        grad = grad * ctx.scale
        first_grad, rest_grad = torch.empty_like(first), torch.zeros_like(rest)
        weight_grad = torch.empty_like(weight)
        for part, mask in zip(_blocks(first, rest), masks, strict=True):
            columns = slice(part.start * size, part.stop * size)
            factors = mask.to(first.dtype)
            z = _masked_block(first[:, part], rest, factors)
            torch.mm(grad.t(), z, out=weight_grad[:, columns])
            z_grad = torch.mm(grad, weight[:, columns]).view_as(factors).mul_(factors)
            first_grad[:, part] = torch.bmm(z_grad, rest[:, :, None]).squeeze(2)
            rest_grad += torch.bmm(first[:, None, part], z_grad).squeeze(1)
        return first_grad, rest_grad, weight_grad, None


def _masked_block(first: Tensor, rest: Tensor, factors: Tensor) -> Tensor:
    """Return the masked outer product [B, k q] of first [B, k] and rest [B, q].

    Args:
        first: [B, k].
        rest: [B, q].
        factors: 0 or 1, [B, k, q].
    """
    return torch.mul(first[:, :, None], rest[:, None]).mul_(factors).flatten(1)
