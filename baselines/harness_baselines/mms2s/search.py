"""Beam search over sequences of distinct labels, for all samples in one tensor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness_baselines.mms2s.decoder import Decoder, Memory, Past, next_log_probs
from harness_baselines.mms2s.rows import Rows


@dataclass(frozen=True)
class Beams:
    """The W best sequences found for each of Q queries, best first.

    Attributes:
        sequences: int64 [Q, W, S], filled up with the end symbol.
        members: bool [Q, W, L], the labels of each sequence.
        log_probs: float32 [Q, W]; -inf: there were fewer sequences than that.
    """

    sequences: Tensor
    members: Tensor
    log_probs: Tensor


@torch.no_grad()
def beam_search(
    decoder: Decoder,
    memory: Memory,
    owner: Tensor,
    width: int,
    within: Tensor | None = None,
) -> Beams:
    """Return the best label sequences, without a length penalty.

    A search without ``within`` runs until the end symbol, at the latest after all labels. One with
    it looks for orders of that set: it uses the set's labels only and stops when they are used
    up, before the end symbol, whose probability cannot reorder a set's sequences that are kept.
    Dropout is off. A finished sequence keeps its place in the beam and is not extended.

    Args:
        decoder: the model's decoder.
        memory: what it reads.
        owner: int64 [Q], the sample of each query, non-decreasing.
        width: W, the most sequences kept per query.
        within: bool [Q, L], the set of each query, or None.
    """
    training = decoder.training
    decoder.eval()
    try:
        return _search(decoder, memory, owner, width, within)
    finally:
        decoder.train(training)


def _search(
    decoder: Decoder, memory: Memory, owner: Tensor, width: int, within: Tensor | None
) -> Beams:
    queries, labels, device = len(owner), decoder.labels, owner.device
    steps = labels + 1 if within is None else int(within.sum(1).max())
    sequences = torch.empty(queries, 1, 0, dtype=torch.long, device=device)
    members = torch.zeros(queries, 1, labels, dtype=torch.bool, device=device)
    scores = torch.zeros(queries, 1, device=device)
    done = torch.zeros(queries, 1, dtype=torch.bool, device=device)
    last = torch.full((queries, 1), decoder.begin, device=device)
    past: Past = []
    for _ in range(steps):
        beams = scores.shape[1]
        rows = Rows.of(owner.repeat_interleave(beams), memory.usable.shape[0])
        decoded = decoder(last.flatten()[:, None], rows, memory, past)
        logits = decoded.logits.view(queries, beams, labels + 1)
        step = _restrict(next_log_probs(logits, members), members, done, within)
        candidates = (scores[..., None] + step).flatten(1)
        scores, best = candidates.topk(min(width, candidates.shape[1]), dim=1)
        parent, last = best // (labels + 1), best % (labels + 1)
        sequences = torch.cat([_follow(sequences, parent), last[..., None]], dim=2)
        members = _follow(members, parent)
        members = members | (last[..., None] == torch.arange(labels, device=device))
        ended = last == decoder.end if within is None else (members == within[:, None]).all(-1)
        done = done.gather(1, parent) | ended
        flat = (parent + beams * torch.arange(queries, device=device)[:, None]).flatten()
        past = [
            [(k.index_select(0, flat), v.index_select(0, flat)) for k, v in branch]
            for branch in decoded.past
        ]
        if within is None and bool(done.all()):
            break
    return Beams(sequences, members, scores)


def _restrict(log_probs: Tensor, members: Tensor, done: Tensor, within: Tensor | None) -> Tensor:
    """Return log-probabilities [Q, W, L + 1] of the steps a search may take, others -inf."""
    if within is not None:
        outside = torch.cat([~within, torch.ones_like(within[:, :1])], dim=-1)
        log_probs = log_probs.masked_fill(outside[:, None], -torch.inf)
    # A finished sequence has one continuation, at no cost.
    stay = torch.full_like(log_probs, -torch.inf)
    stay[..., -1] = 0.0
    return torch.where(done[..., None], stay, log_probs)


def _follow(x: Tensor, parent: Tensor) -> Tensor:
    """Return x [Q, W, n] of each new sequence's parent, int64 [Q, W']."""
    return x.gather(1, parent[..., None].expand(-1, -1, x.shape[2]))
