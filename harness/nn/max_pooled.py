"""Two convolutions over time, then the maximum over valid steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.nn.dropout import dropout


class MaxPooledConvolutions(nn.Module):
    """Kernel 3, padding 1, ReLU, twice; d -> hidden -> D; dropout before each.

    Steps that are not valid are zero before each convolution, so that padding changes nothing.

    Args:
        input_dim: d.
        hidden: channels of the first convolution.
        output: D.
        dropout: rate before each convolution.
    """

    def __init__(self, input_dim: int, hidden: int, output: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Conv1d(input_dim, hidden, 3, padding=1)
        self.second = nn.Conv1d(hidden, output, 3, padding=1)
        self.dropout = dropout

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return [B, D], zeros for a sample without a valid step.

        Args:
            x: [B, T, d].
            mask: bool [B, T].
        """
        keep, h = mask[:, None, :], x.transpose(1, 2)
        for layer in (self.first, self.second):
            h = dropout(torch.where(keep, h, 0.0), self.dropout, self.training)
            h = layer(h).relu()
        # Nothing is negative after ReLU: a zero never wins over a valid step.
        return torch.where(keep, h, 0.0).amax(-1)
