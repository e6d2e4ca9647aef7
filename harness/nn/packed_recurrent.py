"""A recurrent network over padded sequences that reads valid steps only."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from harness.nn.padded_lstm import Lengths, both_ways, serves

Cell = Literal["lstm", "gru"]


class PackedRecurrent(nn.Module):
    """Bidirectional LSTM or GRU, d -> 2 H, with torch's first values.

    Args:
        input_dim: d.
        hidden: H, per direction.
        layers: stacked layers.
        dropout: between layers.
        cell: ``lstm`` or ``gru``.
        packed: true: a sequence ends where it ends. False: the padded batch is read as it is, so
            that backward states start in the padding and depend on the batch; as several
            published codes do.
    """

    def __init__(
        self,
        input_dim: int,
        hidden: int,
        layers: int = 1,
        dropout: float = 0.0,
        cell: Cell = "lstm",
        *,
        packed: bool = True,
    ) -> None:
        super().__init__()
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        self.rnn = kind(
            input_dim,
            hidden,
            layers,
            batch_first=True,
            bidirectional=True,
            # torch warns of dropout that has no layer to act between.
            dropout=dropout if layers > 1 else 0.0,
        )
        self.packed = packed

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return states [B, T, 2H], forward then backward; packed: zero after a sequence's end.

        Args:
            x: [B, T, d].
            lengths: int64 [B] on the CPU; 0 is allowed.
        """
        if not self.packed:
            out: Tensor = self.rnn(x)[0]
            return out
        if serves(self.rnn, x, lengths):
            where = Lengths(lengths, x.shape[1])
            ahead, back = both_ways(self.rnn, x, where.turned(x))
            return where.cleared(torch.cat([ahead, where.turned(back)], dim=-1))
        filled = lengths.nonzero().squeeze(1)
        if len(filled) == len(lengths):
            return self._run(x, lengths)
        states = x.new_zeros(len(x), x.shape[1], 2 * self.rnn.hidden_size)
        if len(filled) == 0:
            return states
        found = self._run(x[filled.to(x.device)], lengths[filled])
        return states.to(found.dtype).index_copy(0, filled.to(x.device), found)

    def _run(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(
            self.rnn(packed)[0], batch_first=True, total_length=x.shape[1]
        )
        return torch.as_tensor(states)
