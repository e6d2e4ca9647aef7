"""BiLSTM + low-rank multimodal fusion (Liu et al., ACL 2018), as table 1 of RAMer names it.

Tensor fusion read by a linear map of low rank, without ever forming the tensor. Fusion and the
public code's sub-networks are equal to that code to 1e-5 (``tests/parity/test_lmf.py``); the front
end for grids is the benchmark's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from harness.nn.dropout import dropout
from harness.specs import TaskInfo, bounded
from harness_baselines.fusion_front import FrontConfig, FusionModel
from harness_baselines.tensor_fusion import with_one


@dataclass(frozen=True)
class BilstmLmfConfig(FrontConfig):
    """Hyper-parameters beside the front end's.

    Attributes:
        rank: of the map from the tensor to a logit.
    """

    rank: int = bounded(4, least=1)


class LowRankFusion(nn.Module):
    """Σ_r w_r Π_m ([1; h_m] F_m[r]) + b: logits.

    Factors [rank, d_m + 1, L] and weights [1, rank] start Xavier-normal, as 3-D and 2-D tensors.
    (The paper sums over the rank with weights of 1; both public codes learn them.)

    Args:
        dims: d_m of every modality.
        rank: number of factors.
        outputs: L.
    """

    def __init__(self, dims: Sequence[int], rank: int, outputs: int) -> None:
        super().__init__()
        self.factors = nn.ParameterList(
            nn.init.xavier_normal_(torch.empty(rank, d + 1, outputs)) for d in dims
        )
        self.weights = nn.Parameter(nn.init.xavier_normal_(torch.empty(1, rank)))
        self.bias = nn.Parameter(torch.zeros(1, outputs))

    def product(self, vectors: Sequence[Tensor]) -> Tensor:
        """Return the product over modalities of their projections, [B, rank, L]."""
        total: Tensor | None = None
        for h, factor in zip(vectors, self.factors, strict=True):
            rank, dim, outputs = factor.shape
            # One matrix product for all ranks.
            flat = factor.transpose(0, 1).reshape(dim, rank * outputs)
            part = (with_one(h) @ flat).view(len(h), rank, outputs)
            total = part if total is None else total * part
        assert total is not None
        return total

    def forward(self, vectors: Sequence[Tensor]) -> Tensor:
        """Return logits [B, L] of one vector [B, d_m] per modality."""
        read = torch.einsum("or,brl->bl", self.weights, self.product(vectors))
        return read + self.bias


class BilstmLmf(FusionModel):
    """BiLSTM and low-rank fusion for any number of modalities.

    A missing modality's zeros leave its constant rows: a learned scale per rank and label.
    """

    Config: ClassVar[type] = BilstmLmfConfig
    config: BilstmLmfConfig

    def __init__(self, config: BilstmLmfConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        self.head = LowRankFusion(self.front.dims, config.rank, task.num_labels)

    def read(self, vectors: Sequence[Tensor]) -> Tensor:
        """Return label logits [B, L]."""
        # The reference's sub-networks have dropout inside, and none after.
        rate = self.config.dropout if self.config.subnets == "context" else 0.0
        logits: Tensor = self.head([dropout(h, rate, self.training) for h in vectors])
        return logits
