"""Probabilities of label sequences and label sets (Qin et al., NAACL 2019).

p(Y | X) is the sum over the orders of Y of the sequence probabilities, the end symbol included.
Repeats are masked, so that the probabilities of all sets sum to 1.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness_baselines.mms2s.decoder import Decoder, Memory, next_log_probs
from harness_baselines.mms2s.rows import Rows, first_rows
from harness_baselines.mms2s.search import beam_search


@dataclass(frozen=True)
class Steps:
    """A teacher-forced pass over N sequences, S steps with the end symbol.

    Attributes:
        log_probs: float32 [N, S, L + 1].
        targets: int64 [N, S].
        valid: bool [N, S]; false after the end symbol.
        weights: modality weights [N, S, heads, M].
    """

    log_probs: Tensor
    targets: Tensor
    valid: Tensor
    weights: Tensor

    def sequence_log_probs(self) -> Tensor:
        """Return log p(sequence, end), float32 [N]."""
        chosen = self.log_probs.gather(-1, self.targets[..., None]).squeeze(-1)
        return torch.where(self.valid, chosen, 0.0).sum(1)

    def smoothed_loss(self, smoothing: float) -> Tensor:
        """Return each sequence's cross entropy, float32 [N].

        ``smoothing`` of the target's mass goes evenly to the symbols that may still be produced.
        """
        allowed = self.log_probs > -torch.inf
        even = torch.where(allowed, self.log_probs, 0.0).sum(-1) / allowed.sum(-1)
        spread = torch.where(self.valid, even, 0.0).sum(1)
        return -(1.0 - smoothing) * self.sequence_log_probs() - smoothing * spread


def follow(
    decoder: Decoder, memory: Memory, sample: Tensor, sequences: Tensor, lengths: Tensor
) -> Steps:
    """Decode given sequences with teacher forcing, all steps at once.

    Args:
        decoder: the model's decoder.
        memory: what it reads.
        sample: int64 [N], the sample of each sequence, non-decreasing.
        sequences: int64 [N, n], labels; what lies beyond a sequence's length is ignored.
        lengths: int64 [N], numbers of labels.
    """
    longest = int(lengths.max())
    step = torch.arange(longest + 1, device=sample.device)
    known = sequences[:, :longest].masked_fill(step[:-1] >= lengths[:, None], decoder.pad)
    symbols = F.pad(known, (1, 0), value=decoder.begin)
    targets = F.pad(known, (0, 1), value=decoder.pad)
    targets = torch.where(targets == decoder.pad, decoder.end, targets)
    produced = F.one_hot(symbols, decoder.labels + 3)[..., : decoder.labels].cumsum(1) > 0
    decoded = decoder(symbols, Rows.of(sample, memory.usable.shape[0]), memory)
    return Steps(
        next_log_probs(decoded.logits, produced),
        targets,
        step <= lengths[:, None],
        decoded.weights,
    )


def listed(sets: Tensor, order: Tensor | None = None) -> Tensor:
    """Return the labels of each set as a sequence, int64 [Q, L]; only the first |Y| count.

    Args:
        sets: bool [Q, L].
        order: int64 [L], the labels in the order to list them; None: by index.
    """
    if order is None:
        return sets.long().argsort(dim=1, descending=True, stable=True)
    return order[sets[:, order].long().argsort(dim=1, descending=True, stable=True)]


class SetLikelihood(nn.Module):
    """log p(Y | X), exact for sets of at most `exact` labels, else over the K best orders found.

    The orders of larger sets are chosen by a beam of width K under the current model, without
    gradient; gradients flow through their log-probabilities.

    Args:
        labels: L.
        sequences: K, at least 1.
    """

    orders: Tensor
    counts: Tensor

    def __init__(self, labels: int, sequences: int) -> None:
        super().__init__()
        self.sequences = sequences
        self.exact = max(n for n in range(labels + 1) if math.factorial(n) <= sequences)
        counts = [math.factorial(n) for n in range(self.exact + 1)]
        orders = torch.zeros(self.exact + 1, counts[-1], labels, dtype=torch.long)
        for n, count in enumerate(counts):
            table = torch.tensor(list(itertools.permutations(range(n))), dtype=torch.long)
            orders[n, :count, :n] = table.view(count, n)
        self.register_buffer("orders", orders, persistent=False)
        self.register_buffer("counts", torch.tensor(counts), persistent=False)

    def forward(self, decoder: Decoder, memory: Memory, sets: Tensor, owner: Tensor) -> Tensor:
        """Return log p(Y | X), float32 [Q].

        Args:
            decoder: the model's decoder.
            memory: what it reads.
            sets: bool [Q, L].
            owner: int64 [Q], the sample of each set, non-decreasing.
        """
        sizes = sets.sum(1)
        small = sizes.clamp(max=self.exact)
        large = sizes > self.exact
        counts = torch.where(large, self.sequences, self.counts[small])
        query = torch.arange(len(sets), device=sets.device).repeat_interleave(counts)
        slot = torch.arange(len(query), device=sets.device) - first_rows(counts)[query]
        table = self.orders[small[query], slot.clamp(max=self.orders.shape[1] - 1)]
        sequences = listed(sets)[query].gather(1, table)
        if bool(large.any()):
            found = beam_search(decoder, memory, owner[large], self.sequences, sets[large])
            chosen = found.sequences.flatten(0, 1)
            chosen = F.pad(chosen, (0, sequences.shape[1] - chosen.shape[1]))
            sequences = sequences.index_copy(0, large[query].nonzero().squeeze(1), chosen)
        steps = follow(decoder, memory, owner[query], sequences, sizes[query])
        shape = (len(sets), int(counts.max()))
        none = torch.full(shape, -torch.inf, device=sets.device)
        return none.index_put((query, slot), steps.sequence_log_probs()).logsumexp(1)
