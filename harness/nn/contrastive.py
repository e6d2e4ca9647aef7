"""Supervised contrast over a batch and a queue of past embeddings (CARAT; RAMer eq. 11).

With N rows the literal form needs several N x N matrices (543 MB each at the published size).
Here the positive part comes from sums per class, and the denominators from blocks of rows that
are computed again in the backward pass, so that one block x N matrix is all that is ever held.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

MIN_TEMPERATURE = 0.03


def _similarities(rows: Tensor, columns: Tensor, buffer: Tensor, diagonal: int) -> Tensor:
    """Return exp(rows . columns), self-pairs 0, written into the one buffer."""
    shape = (rows.shape[0], columns.shape[0])
    out = buffer[: shape[0] * shape[1]].view(shape)
    torch.mm(rows, columns.t(), out=out).exp_()
    out.diagonal(diagonal).zero_()
    return out


class _LogDenominators(torch.autograd.Function):
    """sum_i w_i log sum_{r != i} v_r exp(z_i . z_r / temperature)."""

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        weight: Tensor,
        valid: Tensor,
        temperature: float,
        block: int,
        grad_rows: int,
    ) -> Tensor:
        n = z.shape[0]
        sums = z.new_zeros(n)
        buffer = z.new_empty(min(block, n) * n)
        with torch.autocast(z.device.type, enabled=False):
            for start in range(0, n, block):
                rows = z[start : start + block]
                stop = start + rows.shape[0]
                # The matrix is symmetric: columns left of the block were done with their rows.
                part = _similarities(rows / temperature, z[start:], buffer, 0)
                sums[start:stop] += part @ valid[start:]
                sums[stop:] += valid[start:stop] @ part[:, stop - start :]
        used = weight > 0
        sums = torch.where(used, sums, 1.0)
        ctx.save_for_backward(z, valid, weight / sums)
        ctx.temperature, ctx.block, ctx.grad_rows = temperature, block, grad_rows
        return (weight * sums.log()).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        z, valid, share = ctx.saved_tensors
        n, width = z.shape
        result = torch.zeros_like(z)
        targets = torch.cat([valid[:, None] * z, share[:, None] * z], dim=1)
        buffer = z.new_empty(min(ctx.block, n) * n)
        with torch.autocast(z.device.type, enabled=False):
            for start in range(0, ctx.grad_rows, ctx.block):
                stop = min(start + ctx.block, ctx.grad_rows)
                part = _similarities(z[start:stop] / ctx.temperature, z, buffer, start) @ targets
                as_anchor = share[start:stop, None] * part[:, :width]
                as_other = valid[start:stop, None] * part[:, width:]
                result[start:stop] = as_anchor + as_other
        return result * (grad / ctx.temperature), None, None, None, None, None


def _groups(codes: Tensor) -> Tensor:
    """Return for each row the index, int64 [N], of its class among the sorted codes."""
    values, order = codes.sort()
    starts = F.pad((values[1:] != values[:-1]).long(), (1, 0))
    return torch.empty_like(order).scatter_(0, order, starts.cumsum(0))


def supervised_contrastive(
    z: Tensor,
    codes: Tensor,
    temperature: float,
    block: int = 1024,
    *,
    valid: Tensor | None = None,
    grad_rows: int | None = None,
) -> Tensor:
    """Return the supervised contrastive loss, a scalar: its mean over all rows as anchors.

    Row i contributes ``-1/|P(i)| sum_{p in P(i)} [z_i.z_p/t - log sum_{r != i} exp(z_i.z_r/t)]``
    with P(i) the other rows of its code; a row without any contributes 0 and counts in the mean.

    Args:
        z: rows of about unit length [N, P]; computed in float32 at least.
        codes: class code of each row [N], integers or floats.
        temperature: t.
        block: rows at a time; memory is block x N floats.
        valid: bool [N]; a row that is not valid is no anchor, no positive, no negative, and does
            not count in the mean. None: all are.
        grad_rows: only the first so many rows need a gradient (queue rows come last and are
            constants); None: all. Their gradient is then zero, and costs nothing.

    Raises:
        ValueError: the temperature is too small for unshifted exponentials in float32.
    """
    if temperature < MIN_TEMPERATURE:
        raise ValueError(f"temperature {temperature} is below {MIN_TEMPERATURE}")
    if z.dtype in (torch.float16, torch.bfloat16):
        z = z.float()
    n = z.shape[0]
    wanted = n if grad_rows is None else grad_rows
    z = torch.cat([z[:wanted], z[wanted:].detach()]) if wanted < n else z
    if valid is None:
        valid = torch.ones(n, dtype=torch.bool, device=z.device)
    z = torch.where(valid[:, None], z, 0.0)
    ones = valid.to(z.dtype)
    group = _groups(codes)
    size = ones.new_zeros(n).index_add(0, group, ones)[group]
    total = torch.zeros_like(z).index_add(0, group, z)[group]
    weight = torch.where(valid & (size > 1.5), 1.0 / ones.sum().clamp(min=1.0), 0.0).to(z.dtype)
    pulled = ((z * (total - z)).sum(1) / (size - 1.0).clamp(min=1.0) * weight).sum() / temperature
    blocks = (temperature, block, wanted)
    denominators: Tensor = _LogDenominators.apply(z, weight, ones, *blocks)  # type: ignore[no-untyped-call]
    return denominators - pulled


class EmbeddingQueue(nn.Module):
    """A ring of past embeddings and their class codes.

    Buffers: ``queue`` float32 [Q, P], ``queue_label`` float32 [Q], ``queue_ptr`` int64 [1]. The
    first state is the published one: columns (not rows) of unit length, random codes that match
    nothing.
    """

    queue: Tensor
    queue_label: Tensor
    queue_ptr: Tensor

    def __init__(self, size: int, projection: int) -> None:
        super().__init__()
        self.register_buffer("queue", F.normalize(torch.randn(size, projection), dim=0))
        self.register_buffer("queue_label", torch.randn(size))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.int64))

    @torch.no_grad()
    def push(self, z: Tensor, codes: Tensor, valid: Tensor | None = None) -> None:
        """Write rows at the pointer and move it; of more than Q rows the last Q remain.

        Args:
            z: normalised rows [N, P].
            codes: class codes [N].
            valid: bool [N]; rows that are not valid are left out.
        """
        if valid is not None:
            z, codes = z[valid], codes[valid]
        size, count = self.queue.shape[0], z.shape[0]
        kept = min(size, count)
        steps = torch.arange(count - kept, count, device=self.queue.device)
        positions = (self.queue_ptr + steps) % size
        self.queue[positions] = z[count - kept :].detach().to(self.queue.dtype)
        self.queue_label[positions] = codes[count - kept :].to(self.queue_label.dtype)
        self.queue_ptr.copy_((self.queue_ptr + count) % size)


class LabelContrast(nn.Module):
    """L_scl (RAMer eq. 11) over a batch and a queue of past embeddings: the mean over all rows.

    The class of an embedding is its modality, its label, and whether the sample has the label.

    Args:
        projection: P.
        queue_size: embeddings kept, Q.
        temperature: t of `supervised_contrastive`.
        block: rows at a time.
    """

    def __init__(
        self, projection: int, queue_size: int, temperature: float, block: int = 1024
    ) -> None:
        super().__init__()
        self.queue = EmbeddingQueue(queue_size, projection)
        self.temperature, self.block = temperature, block

    def forward(self, levels: Sequence[Tensor], labels: Tensor, keep: Sequence[Tensor]) -> Tensor:
        """Return the loss against the queue as it was; then write the batch into the queue.

        Args:
            levels: Z_sigma for each sigma in use, each [B, M, L, P].
            labels: [B, L] in {0, 1}.
            keep: bool [B, M] for each level; other rows take no part.
        """
        z = torch.stack([*levels], dim=1)
        shape, count = z.shape[:-1], labels.shape[1]
        # Under autocast z is bfloat16, too coarse for exp(z.z / 0.07).
        rows = F.normalize(z.flatten(0, 3).to(self.queue.queue.dtype), dim=-1)
        m = torch.arange(shape[2], device=z.device)[:, None]
        label = torch.arange(count, device=z.device)
        codes = 2 * count * m + count * (labels != 1).long()[:, None, None, :] + label
        codes = codes.expand(shape).flatten().to(labels.dtype)
        valid = torch.stack([*keep], dim=1)[..., None].expand(shape).flatten()
        past = torch.ones_like(self.queue.queue_label, dtype=torch.bool)
        loss = supervised_contrastive(
            torch.cat([rows, self.queue.queue]),
            torch.cat([codes, self.queue.queue_label]),
            self.temperature,
            self.block,
            valid=torch.cat([valid, past]),
            grad_rows=len(rows),
        )
        self.queue.push(rows, codes, valid)
        return loss
