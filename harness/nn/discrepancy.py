"""How alike and how different stacks of representations are (MISA, ACM MM 2020, eqs. 12-16).

``x`` is [K, B, h]: K representations of a batch. ``valid``, bool [K, B], says which rows exist;
a row that does not exist enters no batch statistic.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.nn.pooling import masked_mean

Pairs = Sequence[tuple[int, int]]


def difference_loss(x: Tensor, valid: Tensor, pairs: Pairs) -> Tensor:
    """Return the sum over ``pairs`` of mean((X^T Y)^2), a scalar (MISA eq. 15 over h squared).

    Columns are centred over the batch, rows divided by their norm, which is a constant to the
    gradient. A batch of one gives 0.

    Args:
        x: float [K, B, h].
        valid: bool [K, B], which rows exist.
        pairs: indices into K, two each.
    """
    with torch.autocast(x.device.type, enabled=False):
        centred = _centred(x.float(), valid)
        norms = torch.linalg.vector_norm(centred.detach(), dim=-1, keepdim=True)
        unit = centred / (norms + 1e-6)
        left, right = _sides(unit, pairs)
        loss: Tensor = (left.transpose(1, 2) @ right).square().mean((1, 2)).sum()
        return loss


def central_moment_discrepancy(x: Tensor, valid: Tensor, pairs: Pairs, order: int = 5) -> Tensor:
    """Return the mean over ``pairs`` of the central moment discrepancy, a scalar (MISA eq. 13).

    ``||E X - E Y|| + sum_{k=2..order} ||E (X - E X)^k - E (Y - E Y)^k||`` without interval
    factors: entries lie in [0, 1]. A norm of 0 has gradient 0. A pair with a side that has no
    valid row is left out; without any pair the result is 0.

    Args:
        x: float [K, B, h], entries in [0, 1].
        valid: bool [K, B], which rows exist.
        pairs: indices into K, two each.
        order: the highest moment.
    """
    if not pairs:
        return x.new_zeros((), dtype=torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        x = x.float()
        count = valid.sum(1).clamp(min=1)[:, None].to(x.dtype)
        centred = _centred(x, valid)
        power, moments = centred, [_mean(x, valid)[:, 0]]
        for _ in range(2, order + 1):
            power = power * centred
            moments.append(power.sum(1) / count)
        stacked = torch.stack(moments, dim=1)
        left, right = _sides(stacked, pairs)
        gaps = torch.linalg.vector_norm(left - right, dim=-1).sum(1)
        one, other = _sides(valid.any(1), pairs)
        counted = (one & other).to(x.dtype)
        loss: Tensor = (gaps * counted).sum() / counted.sum().clamp(min=1)
        return loss


def _mean(x: Tensor, valid: Tensor) -> Tensor:
    """Return the mean over valid rows, [K, 1, h]."""
    return masked_mean(x, valid)[:, None]


def _centred(x: Tensor, valid: Tensor) -> Tensor:
    """Return x without its mean over valid rows, zero in the others."""
    return torch.where(valid[..., None], x - _mean(x, valid), 0.0)


def _sides(x: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Return the first and the second members of the pairs, each [len(pairs), ...].

    An index list would be copied to a GPU, which waits for it.
    """
    left, right = (torch.stack([x[k] for k in side]) for side in zip(*pairs, strict=True))
    return left, right
