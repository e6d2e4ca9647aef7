"""Initial values that several of the published models share."""

from __future__ import annotations

import math

import torch
from torch import nn


def normal_(module: nn.Module, std: float = 0.02) -> None:
    """Draw every Linear and Embedding weight below ``module`` from N(0, std²), biases 0 (BERT).

    LayerNorms keep gain 1 and bias 0.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, mean=0.0, std=std)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)


def xavier_(module: nn.Module) -> None:
    """Draw every Linear weight below ``module`` Xavier-uniform; biases keep torch's default."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)


def label_weight(num_labels: int, hidden: int) -> nn.Parameter:
    """Return a weight [L, H] of a label-wise linear scorer, U(±1/√H)."""
    bound = 1.0 / math.sqrt(hidden)
    return nn.Parameter(torch.empty(num_labels, hidden).uniform_(-bound, bound))


def xavier_linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a Linear with a Xavier-uniform weight and torch's default bias."""
    linear = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(linear.weight)
    return linear
