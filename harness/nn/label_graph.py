"""The label graph of ML-GCN (Chen et al., CVPR 2019, eqs. 6-8), and classifiers made from it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def label_graph(labels: Tensor, threshold: float, share: float) -> Tensor:
    """Return the weighted graph A [L, L] of training labels [N, L] in {0, 1}.

    Label i points at label j where the estimate of P(j | i) is at least ``threshold``; the labels
    that point at j share the weight ``share``, and every label points at itself with weight 1. A
    label that never occurs points at no other.

    Args:
        labels: [N, L] in {0, 1}.
        threshold: least P(j | i) of an edge.
        share: sum of the weights of the edges into a label.
    """
    y = labels.float()
    together = y.t() @ y
    counts = together.diagonal().clone()
    together.fill_diagonal_(0.0)
    edges = (together / counts.clamp(min=1.0)[:, None] >= threshold).float()
    edges.fill_diagonal_(0.0)
    return share * edges / (edges.sum(0) + 1e-6) + torch.eye(len(counts), device=y.device)


def propagation(graph: Tensor) -> Tensor:
    """Return D^(-1/2) A^T D^(-1/2) with D the row sums of A, [L, L].

    The transpose is the authors': row j mixes into label j the labels that make j likely.
    """
    scale = graph.sum(1).rsqrt()
    return scale[:, None] * graph.t() * scale


class LabelClassifiers(nn.Module):
    """A linear classifier per label, generated from label vectors by two graph convolutions.

    Buffers, constant in training: ``graph`` A and ``mixing`` (its propagation), both [L, L],
    ``vectors`` Z [L, E] and ``mixed``, their product [L, E].

    Args:
        labels: L.
        vector_dim: E.
        hidden: width of the first convolution.
        output: D.
    """

    graph: Tensor
    mixing: Tensor
    vectors: Tensor
    mixed: Tensor

    def __init__(self, labels: int, vector_dim: int, hidden: int, output: int) -> None:
        super().__init__()
        self.first = _uniform(vector_dim, hidden)
        self.second = _uniform(hidden, output)
        for name, width in (("graph", labels), ("mixing", labels)):
            self.register_buffer(name, torch.eye(labels, width))
        for name in ("vectors", "mixed"):
            self.register_buffer(name, torch.eye(labels, vector_dim))

    def set_graph(self, graph: Tensor, vectors: Tensor) -> None:
        """Take a weighted graph [L, L] and label vectors [L, E]."""
        self.graph.copy_(graph)
        self.mixing.copy_(propagation(graph))
        self.vectors.copy_(vectors)
        self.mixed.copy_(self.mixing @ self.vectors)

    def hidden(self) -> Tensor:
        """Return the activations after the first convolution, [L, hidden]."""
        return F.leaky_relu(self.mixed @ self.first, 0.2)

    def forward(self) -> Tensor:
        """Return the classifiers' weights [L, D]; logits are x W^T for x [B, D]."""
        return self.mixing @ (self.hidden() @ self.second)


def _uniform(inputs: int, outputs: int) -> nn.Parameter:
    """Return a matrix U(+-1/sqrt(outputs)): the authors count columns, not inputs."""
    bound = 1.0 / math.sqrt(outputs)
    return nn.Parameter(torch.empty(inputs, outputs).uniform_(-bound, bound))
