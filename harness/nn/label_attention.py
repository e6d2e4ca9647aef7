"""Label-wise attention: one learned query per label pools a sequence (CARAT eq. 2, RAMer 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.nn.init import xavier_


class LabelAttention(nn.Module):
    """Pool tokens to one vector per label; scores are unscaled dot products with L queries."""

    def __init__(self, hidden: int, num_labels: int) -> None:
        super().__init__()
        self.queries = nn.Linear(hidden, num_labels, bias=False)
        xavier_(self)

    def forward(
        self, tokens: Tensor, mask: Tensor, bias: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return (pooled [B, L, H], weights [B, L, T]).

        Args:
            tokens: [B, T, H].
            mask: bool [B, T]; a sample without any valid position gets zero weights, not NaN.
            bias: [B, L, T], added to the scores; None: none.
        """
        scores = self.queries(tokens).transpose(1, 2)
        if bias is not None:
            scores = scores + bias
        valid = mask[:, None, :]
        filled = scores.masked_fill(~valid, torch.finfo(scores.dtype).min)
        weights = filled.softmax(-1).masked_fill(~valid, 0.0)
        return weights @ tokens, weights
