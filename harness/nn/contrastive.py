"""Supervised contrast over a batch and a queue of past embeddings (CARAT; RAMer eq. 11).

With N rows the literal form needs several N x N matrices (543 MB each at the published size), in
the forward and in the backward pass. Here the positive part comes from sums per class, and every
block of the symmetric matrix of exponentials is computed once, for loss and gradient together:

* constants with constants (the queue with itself), one triangle: only row sums are wanted;
* rows that need a gradient with constants, in strips of constants: at the end of its strip the
  sum of a constant is complete, so that the strip gives its part of the gradient at once;
* rows that need a gradient with themselves, one triangle: kept until all sums are complete, or
  computed again where that would take more than `KEPT_BYTES`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

MIN_TEMPERATURE = 0.03
KEPT_BYTES = 128 << 20
# Rows at a time on a CPU, so that a block stays in its cache while it is read several times.
CACHED_ROWS = 256


def _spans(start: int, stop: int, step: int) -> Iterator[slice]:
    """Yield the slices of [start, stop) that are ``step`` long, the last one maybe shorter."""
    for first in range(start, stop, step):
        yield slice(first, min(first + step, stop))


def _triangle(stop: int, side: int, start: int = 0) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns of blocks that cover each pair in [start, stop) once.

    Blocks on the diagonal are square and have both orders of a pair.
    """
    for rows in _spans(start, stop, side):
        yield rows, rows
        for columns in _spans(rows.stop, stop, 4 * side):
            yield rows, columns


class _Exponentials:
    """Blocks of E[i, r] = exp(z_i . z_r / temperature), E[i, i] = 0, and their weighted sums.

    Attributes:
        sums: sum_r v_r E[i, r] over the blocks added so far, [N].
    """

    def __init__(self, z: Tensor, valid: Tensor, temperature: float) -> None:
        self._scaled: Tensor = z * temperature**-0.5
        self._valid = valid
        self._buffer = z.new_empty(0)
        self.sums = torch.zeros_like(valid)

    def block(self, rows: slice, columns: slice, *, keep: bool = False) -> Tensor:
        """Return E[rows, columns], in the one buffer unless it is to be kept."""
        left, right = self._scaled[rows], self._scaled[columns]
        size = len(left) * len(right)
        if keep:
            out = left.new_empty(size)
        else:
            if self._buffer.numel() < size:
                self._buffer = left.new_empty(size)
            out = self._buffer[:size]
        out = out.view(len(left), len(right))
        torch.mm(left, right.t(), out=out).exp_()
        if rows == columns:
            out.diagonal().zero_()  # which a compiler takes, unlike fill_diagonal_
        return out

    def add(self, block: Tensor, rows: slice, columns: slice) -> None:
        """Add a block to the sums of its rows and, off the diagonal, of its columns."""
        self.sums[rows] += block @ self._valid[columns]
        if rows != columns:
            self.sums[columns] += self._valid[rows] @ block


def _groups(codes: Tensor) -> Tensor:
    """Return for each row the index, int64 [N], of its class among the sorted codes."""
    values, order = codes.sort()
    starts = F.pad((values[1:] != values[:-1]).long(), (1, 0))
    return torch.empty_like(order).scatter_(0, order, starts.cumsum(0))


class _Contrast(torch.autograd.Function):
    """The loss of `supervised_contrastive`, and its gradient computed with it.

    With weights w_i (0 without positives), s_i = w_i / sum_r v_r E[i, r] and T_a the sum over the
    class of a, the gradient of row a is
    [sum_r (s_a + s_r) E[a, r] z_r - 2 w_a (T_a - z_a) / |P(a)|] / temperature.
    """

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        codes: Tensor,
        valid: Tensor,
        temperature: float,
        block: int,
        grad_rows: int,
    ) -> Tensor:
        # Without a gradient all rows are constants.
        head = grad_rows if ctx.needs_input_grad[0] else 0
        with torch.autocast(z.device.type, enabled=False):
            z = torch.where(valid[:, None], z, 0.0)
            ones, group = valid.to(z.dtype), _groups(codes)
            size = torch.zeros_like(ones).index_add_(0, group, ones)[group]
            others = torch.zeros_like(z).index_add_(0, group, z)[group].sub_(z)
            used = valid & (size > 1.5)
            weight = used.to(z.dtype) / ones.sum().clamp(min=1.0)
            pull = weight / (size - 1.0).clamp(min=1.0) / temperature
            exponentials = _Exponentials(z, ones, temperature)
            result = _pushed(exponentials, z, weight, block, head)
            result.div_(temperature).addcmul_(others[:head], pull[:head, None], value=-2.0)
            logs = exponentials.sums.where(used, 1.0).log_()
            loss = weight @ logs - pull @ (z * others).sum(1)
        ctx.save_for_backward(torch.where(valid[:head, None], result, 0.0))
        ctx.rows = len(z)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (result,) = ctx.saved_tensors
        padding = (0, 0, 0, ctx.rows - len(result))
        return F.pad(result * grad, padding), None, None, None, None, None


def _pushed(e: _Exponentials, z: Tensor, weight: Tensor, block: int, head: int) -> Tensor:
    """Complete the sums; return sum_r (s_a + s_r) E[a, r] z_r of the first ``head`` rows a.

    Args:
        e: exponentials of z, nothing added yet.
        z: [N, P].
        weight: w [N]; s is w / sum, and 0 where w is.
        block: rows at a time.
        head: rows that need a gradient.
    """
    n, width = z.shape

    def share(rows: slice) -> Tensor:
        return weight[rows] / e.sums[rows].where(weight[rows] > 0, 1.0)

    for pair in _triangle(n, block, head):
        e.add(e.block(*pair), *pair)
    # E z and E (s z): the rows' own s comes last.
    both, all_rows = z.new_zeros(head, 2 * width), slice(0, head)
    for strip in _spans(head, n, -(-block // 2)) if head else ():
        part = e.block(all_rows, strip)
        e.add(part, all_rows, strip)
        both.addmm_(part, torch.cat([z[strip], share(strip)[:, None] * z[strip]], dim=1))
    pairs = [*_triangle(head, block)]
    keep = head * head // 2 * z.element_size() <= KEPT_BYTES
    kept = []
    for pair in pairs:
        part = e.block(*pair, keep=keep)
        e.add(part, *pair)
        kept.append(part if keep else None)
    s = share(all_rows)
    result = both[:, :width].mul_(s[:, None]).add_(both[:, width:])
    for (rows, columns), known in zip(pairs, kept, strict=True):
        part = e.block(rows, columns) if known is None else known
        part.mul_(s[rows, None] + s[columns])
        result[rows].addmm_(part, z[columns])
        if rows != columns:
            result[columns].addmm_(part.t(), z[rows])
    return result


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
        block: rows at a time, on a CPU at most `CACHED_ROWS`; memory is about block x N floats.
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
    head = len(z) if grad_rows is None else grad_rows
    if z.device.type == "cpu":
        block = min(block, CACHED_ROWS)
        if valid is not None and not valid.all():
            # An accelerator would have to be waited for: there such rows are zeroed.
            head = int(valid[:head].sum())
            z, codes, valid = z[valid], codes[valid], None
    if valid is None:
        valid = torch.ones(len(z), dtype=torch.bool, device=z.device)
    loss: Tensor = _Contrast.apply(z, codes, valid, temperature, block, head)  # type: ignore[no-untyped-call]
    return loss


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

        No shape depends on the data, so that an accelerator is not waited for.

        Args:
            z: normalised rows [N, P].
            codes: class codes [N].
            valid: bool [N]; rows that are not valid are left out.
        """
        if not len(z):
            return
        size, device = len(self.queue), z.device
        if valid is None:
            valid = torch.ones(len(z), dtype=torch.bool, device=device)
        # Rows up to and including each that are valid: the k-th valid row is where it reaches k.
        reached = valid.cumsum(0)
        count = reached[-1:]
        # The last row written to a place is the last of those that lie a whole number of rounds
        # apart; places from ``count`` on are not reached.
        place = (torch.arange(size, device=device) - self.queue_ptr) % size
        written = place < count
        last = place + (count - 1 - place).clamp(min=0) // size * size
        row = torch.searchsorted(reached, last + 1).clamp(max=len(z) - 1)
        self.queue.copy_(torch.where(written[:, None], z.detach()[row], self.queue))
        self.queue_label.copy_(torch.where(written, codes[row], self.queue_label))
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
