"""Encoders of grid cells: one feed-forward stack per modality, one for personality.

The tables of AMER (Shen et al., ACM MM 2020), which the other models of that data set share here,
so that they differ in fusion and context only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from harness.data.grid import Grid
from harness.specs import ModalitySpec

# Hidden widths in multiples of D, by a modality's key; the output is always 2 D.
HIDDEN: Mapping[str, tuple[int, ...]] = {"v": (4, 3), "a": (8, 4), "t": (4,)}
PERSONALITY_HIDDEN = (4,)
# Of other modalities: three layers where the features are many, two where they are few.
_WIDE = 2048


def hidden_multiples(modality: ModalitySpec) -> tuple[int, ...]:
    """Return the hidden widths of a modality's encoder, in multiples of D."""
    return HIDDEN.get(modality.key, (4, 3) if modality.dim >= _WIDE else (4,))


class RowEncoder(nn.Module):
    """Linear layers with ReLU between and none after the last; torch's default first values.

    Args:
        dim: d, the input size.
        widths: sizes of the layers' outputs, at least one; the last is h.
    """

    def __init__(self, dim: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.hidden = tuple(widths[:-1])
        sizes = [dim, *widths]
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(sizes))

    def forward(self, rows: Tensor) -> Tensor:
        """Return [..., h] of rows [..., d]."""
        return self._rest(self.layers[0](rows))

    def with_zero(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rows [K, d] encoded, [K, h], and the encoding of a zero row, [h].

        Of a zero row the first layer leaves its bias: it costs no product of the widest layer.
        """
        first = self.layers[0]
        hidden = first(rows)
        bias = first.bias
        assert isinstance(bias, Tensor)
        encoded = self._rest(torch.cat([hidden, bias.to(hidden.dtype)[None]]))
        return encoded[:-1], encoded[-1]

    def _rest(self, hidden: Tensor) -> Tensor:
        for layer in self.layers[1:]:
            hidden = layer(hidden.relu())
        return hidden


class CellEncoders(nn.Module):
    """Encodes a grid: each distinct valid row once, personality once per person.

    Args:
        modalities: any ordered set; `modality_list` holds one encoder each, in this order.
        personality_dim: d_p; 0: no personality encoder, and `personality` must not be called.
        width: D; everything is encoded to h = 2 D.
        hidden: hidden widths in multiples of D by modality name, over `hidden_multiples`.
    """

    def __init__(
        self,
        modalities: Sequence[ModalitySpec],
        personality_dim: int,
        width: int,
        hidden: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        self.names = tuple(m.name for m in modalities)
        self.size = 2 * width
        own = hidden or {}
        self.modality_list = nn.ModuleList(
            RowEncoder(m.dim, _widths(own.get(m.name, hidden_multiples(m)), width))
            for m in modalities
        )
        self.person: RowEncoder | None = None
        if personality_dim:
            self.person = RowEncoder(personality_dim, _widths(PERSONALITY_HIDDEN, width))

    @property
    def encoders(self) -> dict[str, RowEncoder]:
        """Return the modalities' encoders by name."""
        found = [e for e in self.modality_list if isinstance(e, RowEncoder)]
        return dict(zip(self.names, found, strict=True))

    def encode_rows(self, grid: Grid) -> dict[str, Tensor]:
        """Return the encoded distinct rows per modality, [K_m, 2D]; K_m may be 0."""
        return {m: encoder(grid.rows[m]) for m, encoder in self.encoders.items()}

    def cells(self, grid: Grid, missing: Literal["encode", "zero"] = "encode") -> dict[str, Tensor]:
        """Return the encoding of every cell per modality, [B, N, R, 2D].

        Args:
            grid: the samples.
            missing: what cells without the modality get, padding included: the encoding of a zero
                row, as in AMER's code, or zeros.
        """
        if missing == "zero":
            return {m: grid.cells(m, rows) for m, rows in self.encode_rows(grid).items()}
        found: dict[str, Tensor] = {}
        for m, encoder in self.encoders.items():
            rows, nothing = encoder.with_zero(grid.rows[m])
            found[m] = grid.cells(m, rows, nothing)
        return found

    def personality(self, grid: Grid) -> Tensor:
        """Return the encoded personality of every person, [B, N, 2D]; a constant for padding.

        Raises:
            ValueError: there is no personality encoder.
        """
        if self.person is None:
            raise ValueError("these encoders were built without personality")
        encoded: Tensor = self.person(grid.personality)
        return encoded


def _widths(hidden: Sequence[int], width: int) -> list[int]:
    return [k * width for k in hidden] + [2 * width]
