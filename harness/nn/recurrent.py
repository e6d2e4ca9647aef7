"""Two stacked bidirectional recurrent layers, read at their ends (MISA, ACM MM 2020, section 3.2).

Both directions see valid steps only: sequences are packed, or read padded where that is faster.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from harness.nn.padded_lstm import Lengths, both_ways, serves

Cell = Literal["lstm", "gru"]


class RecurrentPair(nn.Module):
    """d -> H in both directions, LayerNorm over 2H, then 2H -> H in both directions.

    Hidden-to-hidden matrices start orthogonal, all gates of a matrix at once.

    Args:
        input_dim: d.
        hidden: H, per direction.
        cell: ``lstm`` or ``gru``.
    """

    def __init__(self, input_dim: int, hidden: int, cell: Cell) -> None:
        super().__init__()
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        self.first = kind(input_dim, hidden, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(2 * hidden)
        self.second = kind(2 * hidden, hidden, batch_first=True, bidirectional=True)
        for name, parameter in self.named_parameters():
            if ".weight_hh_" in name:
                nn.init.orthogonal_(parameter)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the final states [B, 4H]: first and second layer forward, then backward.

        Args:
            x: [B, T, d].
            lengths: int64 [B] on the CPU, each at least 1; later steps are not read.
        """
        if serves(self.first, x, lengths):
            return self._padded(x[:, : int(lengths.max())], lengths)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        out, low = self.first(packed)
        # Normalising each step needs no unpacking.
        normed = PackedSequence(
            self.norm(out.data), out.batch_sizes, out.sorted_indices, out.unsorted_indices
        )
        _, high = self.second(normed)
        states = torch.cat([_hidden(low), _hidden(high)], dim=-1)
        return states.transpose(0, 1).flatten(1)

    def _padded(self, x: Tensor, lengths: Tensor) -> Tensor:
        where = Lengths(lengths, x.shape[1])
        ahead, back = both_ways(self.first, x, where.turned(x))
        normed = self.norm(torch.cat([ahead, where.turned(back)], dim=-1))
        high = both_ways(self.second, normed, where.turned(normed))
        ends = [where.ends(states) for states in (ahead, high[0], back, high[1])]
        return torch.cat(ends, dim=1)


def _hidden(state: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """Return the hidden part [2, B, H] of a recurrent layer's final state."""
    return state[0] if isinstance(state, tuple) else state
