"""Progressive fusion of the slots in the fusion order (paper table 4, rows 9 and 10)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from harness.errors import ConfigError
from harness.specs import ModalitySpec

COMMONALITY = "C"
PAPER_ORDER = ("v", "a", "t")


class ProgressiveFusion(nn.Module):
    """h <- first slot; h <- Fuse(h, next slot) for each following one.

    Fuse is one cross-attention block over the label axis, shared by all steps: the labels of h
    ask, those of the next slot answer; residual and LayerNorm.
    """

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(hidden, heads, dropout=dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.LayerNorm = nn.LayerNorm(hidden, eps=1e-12)

    def forward(self, slots: Tensor) -> Tensor:
        """Return the fused slot [B, L, d] of V [B, M', L, d], taken in the order given."""
        fused = slots[:, 0]
        for slot in slots.unbind(1)[1:]:
            attended, _ = self.attention(fused, slot, slot, need_weights=False)
            fused = self.LayerNorm(fused + self.dropout(attended))
        return fused


def fusion_order(
    requested: Sequence[str], modalities: Sequence[ModalitySpec]
) -> tuple[tuple[int, ...], int]:
    """Return the modality indices in fusion order and the commonality's place among the slots.

    Args:
        requested: modality keys and ``C``, each once; empty: the paper's ``v, a, t, C``, with
            other modalities after these in the data set's order.
        modalities: the task's modalities.

    Raises:
        ConfigError: the order does not name each modality and ``C`` exactly once.
    """
    keys = [m.key for m in modalities]
    if not requested:
        known = [k for k in PAPER_ORDER if k in keys]
        requested = [*known, *(k for k in keys if k not in known), COMMONALITY]
    if sorted(requested) != sorted([*keys, COMMONALITY]):
        raise ConfigError(
            f"fusion order {', '.join(requested)!r} does not fit this data set: it must name "
            f"{', '.join([*keys, COMMONALITY])} once each."
        )
    order = tuple(keys.index(k) for k in requested if k != COMMONALITY)
    return order, list(requested).index(COMMONALITY)
