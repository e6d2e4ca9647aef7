"""The label side of HHMPN: label graph, label decoder layers, fusion of the modalities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.nn.dropout import Dropout, dropout
from harness.nn.heads import split_heads


def label_graph(labels: Tensor, threshold: float) -> Tensor:
    """Return which labels exchange messages, bool [L, L], from training labels [N, L] in {0, 1}.

    S_ij = N_ij / sqrt(N_i N_j) >= threshold. The diagonal always holds; a label that never occurs
    has nothing else.
    """
    y = labels.double()
    together = y.T @ y
    counts = together.diagonal()
    norm = (counts[:, None] * counts).sqrt()
    edges = (together >= threshold * norm) & (norm > 0)
    return edges | torch.eye(len(counts), dtype=torch.bool, device=labels.device)


@dataclass(frozen=True)
class Steps:
    """Which steps of a memory label decoders attend to: ``mask`` bool [B, T], never an empty row.

    ``even``, bool [B]: samples without any filled step, whose allowed steps weigh alike.
    """

    mask: Tensor
    even: Tensor


class Messages(nn.Module):
    """Post-norm multi-head attention without biases: LN(z + Drop(W MHA(z; x))).

    Args:
        size: d.
        heads: they divide d.
        dropout: rate on weights and output.
    """

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(size, size, bias=False)
        self.key = nn.Linear(size, size, bias=False)
        self.value = nn.Linear(size, size, bias=False)
        self.output = nn.Linear(size, size, bias=False)
        self.norm = nn.LayerNorm(size)

    def forward(self, z: Tensor, x: Tensor, mask: Tensor, even: Tensor | None = None) -> Tensor:
        """Return [B, L, d].

        Args:
            z: receivers [B or 1, L, d]; one row serves all samples and is projected once.
            x: senders [B or 1, T, d].
            mask: bool, broadcast over [B, heads, L, T]; no row may be empty.
            even: bool [B], samples that weigh all their senders alike; None: no sample.
        """
        projected = self.query(z), self.key(x), self.value(x)
        q, k, v = (split_heads(part, self.heads) for part in projected)
        batch = max(len(q), len(k))
        if even is not None:
            q = torch.where(even[:, None, None, None], 0.0, q)
        heads = F.scaled_dot_product_attention(
            q.expand(batch, -1, -1, -1),
            k.expand(batch, -1, -1, -1),
            v.expand(batch, -1, -1, -1),
            mask,
            self.dropout if self.training else 0.0,
        )
        out = self.output(heads.transpose(1, 2).flatten(2))
        return self.norm(z + dropout(out, self.dropout, self.training))


class FeedForward(nn.Module):
    """Post-norm position-wise block: LN(z + Drop(W_2 ReLU(W_1 z))).

    Args:
        size: d.
        inner: size of the hidden layer.
        dropout: rate on the output.
    """

    def __init__(self, size: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.expand = nn.Linear(size, inner)
        self.contract = nn.Linear(inner, size)
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(size)

    def forward(self, z: Tensor) -> Tensor:
        """Return [B, L, d]."""
        return self.norm(z + self.dropout(self.contract(self.expand(z).relu())))


class LabelLayer(nn.Module):
    """Messages from features to labels, then between labels, each followed by a feed-forward.

    Args:
        size: d.
        heads: they divide d.
        inner: width of the feed-forward blocks.
        dropout: rate of every part.
        label_to_label: whether labels send messages to labels.
    """

    def __init__(
        self, size: int, heads: int, inner: int, dropout: float, *, label_to_label: bool
    ) -> None:
        super().__init__()
        self.from_features = Messages(size, heads, dropout)
        self.first = FeedForward(size, inner, dropout)
        self.from_labels = Messages(size, heads, dropout) if label_to_label else None
        self.second = FeedForward(size, inner, dropout)

    def forward(self, z: Tensor, memory: Tensor, steps: Steps, graph: Tensor) -> Tensor:
        """Return label states [B, L, d].

        Args:
            z: label states [B or 1, L, d].
            memory: [B, T, d].
            steps: which steps of the memory send.
            graph: bool [L, L].
        """
        z = self.first(self.from_features(z, memory, steps.mask[:, None, None], steps.even))
        if self.from_labels is not None:
            z = self.from_labels(z, z, graph)
        return self.second(z)


class Fusion(nn.Module):
    """Modality-to-label messages: one map per modality, a linear score, a weighted sum.

    Args:
        modalities: M.
        size: d.
        over: what the weights sum to 1 over.
    """

    def __init__(self, modalities: int, size: int, over: Literal["modalities", "labels"]) -> None:
        super().__init__()
        self.axis = 1 if over == "modalities" else 2
        self.maps = nn.ModuleList(nn.Linear(size, size) for _ in range(modalities))
        self.score = nn.Sequential(nn.Linear(size, 32), nn.Linear(32, 1))
        self.output = nn.Linear(size, size)

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """Return fused label states [B, L, d] of M states [B, L, d]."""
        angles = torch.stack([f(z) for f, z in zip(self.maps, states, strict=True)], dim=1)
        weights = self.score(angles).softmax(self.axis)
        fused: Tensor = self.output((weights * angles).sum(1))
        return fused
