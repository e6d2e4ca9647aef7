"""The sub-networks of the public code of TFN and LMF (thuiar/MMSA), for sequences.

Equal to it to 1e-5 (``tests/parity/test_tfn.py``, ``tests/parity/test_lmf.py``).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.errors import ConfigError
from harness.nn.dropout import dropout
from harness.nn.pooling import cleared, masked_mean
from harness.specs import TaskInfo

TEXT_KEY = "t"


class VectorSubnet(nn.Module):
    """One vector per sample: batch normalisation, dropout, three linear layers with ReLU.

    Args:
        dim: d.
        hidden: size of all layers.
        dropout: rate after the normalisation.
    """

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dim)
        self.linears = nn.ModuleList(nn.Linear(i, hidden) for i in (dim, hidden, hidden))
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, hidden] of x [B, d].

        Fewer than two samples have no variance: they are normalised with the running statistics.
        """
        if len(x) > 1 or not self.training:
            h = self.norm(x)
        else:
            norm = self.norm
            h = F.batch_norm(
                x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
            )
        h = dropout(h, self.dropout, self.training)
        for linear in self.linears:
            h = linear(h).relu()
        return h


class TextSubnet(nn.Module):
    """A one-layer LSTM's last state, dropout, one linear layer.

    Args:
        dim: d.
        hidden: of the LSTM.
        out: size of the result.
        dropout: rate before the linear layer.
    """

    def __init__(self, dim: int, hidden: int, out: int, dropout: float) -> None:
        super().__init__()
        self.rnn = nn.LSTM(dim, hidden, batch_first=True)
        self.linear_1 = nn.Linear(hidden, out)
        self.dropout = dropout

    def forward(self, x: Tensor, last: Tensor) -> Tensor:
        """Return [B, out] of x [B, T, d], read at step ``last``, int64 [B]."""
        states = self.rnn(x)[0]
        read = states[torch.arange(len(x), device=x.device), last]
        out: Tensor = self.linear_1(dropout(read, self.dropout, self.training))
        return out


class ReferenceFront(nn.Module):
    """Text (the modality with the key ``t``) through `TextSubnet`, the mean of others' valid
    steps through `VectorSubnet`; zeros where one is missing. ``dims`` are the sizes.

    Raises:
        ConfigError: the task is one of grids.
    """

    def __init__(
        self, task: TaskInfo, text_hidden: int, dims: list[int], dropout: float, padded: bool
    ) -> None:
        super().__init__()
        if task.cells:
            raise ConfigError(
                f"model.subnets: reference reads sequences, and {task.dataset} has grids; "
                f"use subnets=context."
            )
        self.names = [m.name for m in task.modalities]
        self.dims = list(dims)
        self.padded = padded
        # With one layer the public code's text dropout is 0.
        self.subnets = nn.ModuleList(
            TextSubnet(m.dim, text_hidden, out, 0.0)
            if m.key == TEXT_KEY
            else VectorSubnet(m.dim, out, dropout)
            for m, out in zip(task.modalities, dims, strict=True)
        )

    def forward(self, batch: Batch) -> list[Tensor]:
        """Return h_m [B, d_m] per modality."""
        vectors: list[Tensor] = []
        for i, (name, subnet) in enumerate(zip(self.names, self.subnets, strict=True)):
            x, mask = batch.features[name], batch.mask[name]
            there = mask.any(dim=1) & batch.present[:, i]
            if isinstance(subnet, TextSubnet):
                steps = torch.arange(mask.shape[1], device=mask.device)
                last = torch.where(mask, steps, 0).amax(dim=1)
                if self.padded:
                    last = torch.full_like(last, mask.shape[1] - 1)
                kept = cleared(x, mask)
                vectors.append(torch.where(there[:, None], subnet(kept, last), 0.0))
            else:
                # Missing rows would enter the batch's statistics.
                found = subnet(masked_mean(x, mask)[there])
                empty = found.new_zeros(len(x), found.shape[1])
                vectors.append(empty.masked_scatter(there[:, None], found))
        return vectors

    def encode(self, batch: Batch) -> list[tuple[Tensor, ...]]:
        """Return h_m [B, d_m] per modality, for `fuse`."""
        return [(h,) for h in self(batch)]

    def fuse(self, encoded: Iterable[tuple[Tensor, ...]], batch: Batch) -> list[Tensor]:
        """Return what `forward` returns of what `encode` gives."""
        return [h for (h,) in encoded]
