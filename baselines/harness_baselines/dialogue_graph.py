"""The graph of DialogueGCN: edge weights, relations, and its two convolutions, batched.

The convolutions are those of PyTorch Geometric 1.3 to 1.4, which both public implementations use:
sums over weighted edges, neither normalised nor activated. No edge is ever a loop's turn: a
dialogue is its T x T matrices.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from harness_baselines.dialogue import Dialogue


def window(dialogue: Dialogue, past: int, future: int) -> Tensor:
    """Return bool [B, T, T]: k is a neighbour of vertex j. A vertex is its own neighbour.

    Args:
        dialogue: B dialogues.
        past: how many segments before j; -1: all. future: how many after.
    """
    distance = dialogue.segment[:, None, :] - dialogue.segment[:, :, None]
    near = dialogue.real[:, :, None] & dialogue.real[:, None, :]
    if past >= 0:
        near = near & (distance >= -past)
    if future >= 0:
        near = near & (distance <= future)
    return near


def relations(dialogue: Dialogue, speakers: int) -> Tensor:
    """Return the relation of each edge (j, k), int64 [B, T, T], in [0, 2 speakers²).

    2 (s_j speakers + s_k), and 1 more where j is not before k. Ids beyond count as the last one.
    """
    speaker = dialogue.speaker.clamp(max=speakers - 1)
    pair = speaker[:, :, None] * speakers + speaker[:, None, :]
    later = dialogue.segment[:, :, None] >= dialogue.segment[:, None, :]
    return 2 * pair + later.long()


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Return a softmax over the last axis where mask is true, zeros elsewhere and in empty rows."""
    filled = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return filled.softmax(-1).masked_fill(~mask, 0.0)


class BilinearEdges(nn.Module):
    """α[j, k] = softmax over the window of h_j^T W h_k (equation 1)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        # The public code passes the variance formula 2 / (d + d) as the deviation.
        self.weight = nn.Parameter(torch.empty(dim, dim).normal_(std=1.0 / dim))

    def forward(self, h: Tensor, near: Tensor) -> Tensor:
        """Return edge weights [B, T, T], each row summing to 1, of h [B, T, d]."""
        return masked_softmax(h @ self.weight @ h.transpose(1, 2), near)


class PositionalEdges(nn.Module):
    """α[j, k] = softmax over the window of w_j · h_k: the authors' code.

    Row j of the weight belongs to the position j, not to what is said there.
    """

    def __init__(self, dim: int, max_length: int) -> None:
        super().__init__()
        self.scalar = nn.Linear(dim, max_length, bias=False)

    def forward(self, h: Tensor, near: Tensor) -> Tensor:
        """Return edge weights [B, T, T], each row summing to 1, of h [B, T, d].

        Raises:
            ValueError: T is larger than ``max_length``.
        """
        rows = self.scalar.weight
        if h.shape[1] > len(rows):
            raise ValueError(
                f"a dialogue has {h.shape[1]} utterances, edge_attention=positional takes "
                f"max_utterances={len(rows)}; raise model.max_utterances, or use bilinear"
            )
        return masked_softmax(rows[: h.shape[1]] @ h.transpose(1, 2), near)


class RelationalConvolution(nn.Module):
    """c_k = Σ_j w[j, k] h_j W_{r(j, k)} + h_k root + bias, with W_r = Σ_b att[r, b] basis[b].

    Args:
        inputs: d. outputs: H. relations: number of relations. bases: b.
    """

    def __init__(self, inputs: int, outputs: int, relations: int, bases: int = 30) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(bases * inputs)
        self.basis = nn.Parameter(torch.empty(bases, inputs, outputs).uniform_(-bound, bound))
        self.att = nn.Parameter(torch.empty(relations, bases).uniform_(-bound, bound))
        self.root = nn.Parameter(torch.empty(inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))

    def forward(self, h: Tensor, weights: Tensor, relation: Tensor) -> Tensor:
        """Return [B, T, H].

        Args:
            h: [B, T, d].
            weights: [B, T, T], from the row's vertex to the column's.
            relation: int64 [B, T, T].
        """
        batch, length, _ = h.shape
        bases, inputs, outputs = self.basis.shape
        # Projected once per basis, not once per edge.
        flat = self.basis.transpose(0, 1).reshape(inputs, bases * outputs)
        projected = (h @ flat).view(batch, length * bases, outputs)
        share = weights[..., None] * nn.functional.embedding(relation, self.att)
        into = share.permute(0, 2, 1, 3).reshape(batch, length, length * bases)
        return into.to(projected.dtype) @ projected + h @ self.root + self.bias


class GraphConvolution(nn.Module):
    """g_k = Σ_j w[j, k] c_j weight + lin(c_k)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(size)
        self.weight = nn.Parameter(torch.empty(size, size).uniform_(-bound, bound))
        self.lin = nn.Linear(size, size)

    def forward(self, c: Tensor, weights: Tensor) -> Tensor:
        """Return [B, T, H] of c [B, T, H] and weights [B, T, T] from row to column."""
        gathered = weights.transpose(1, 2).to(c.dtype) @ (c @ self.weight)
        out: Tensor = gathered + self.lin(c)
        return out
