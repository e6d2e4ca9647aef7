"""BiLSTM + tensor fusion network (Zadeh et al., EMNLP 2017), as table 1 of RAMer names it.

The outer product of all modalities' vectors, each with a constant 1 before it, holds every
uni-, bi- and trimodal product. Fusion and the public code's sub-networks are equal to that code to
1e-5 (``tests/parity/test_tfn.py``); the front end for grids is the benchmark's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from harness.errors import ConfigError
from harness.specs import TaskInfo, bounded
from harness_baselines.fusion_front import FrontConfig, FusionModel
from harness_baselines.tensor_fusion import fused_linear

# 33 x 33 x 33 x 9 numbers (personality as a mode) are 0.3 million.
LARGEST = 2_000_000


@dataclass(frozen=True)
class BilstmTfnConfig(FrontConfig):
    """Hyper-parameters beside the front end's.

    Attributes:
        post_fusion_dim: size of the two layers after the fusion.
    """

    post_fusion_dim: int = bounded(128, least=1)


class TensorFusionHead(nn.Module):
    """Tensor fusion, dropout, two layers with ReLU, logits.

    Args:
        dims: d_m of every modality.
        hidden: width of the two layers.
        outputs: L.
        dropout: rate on the fused tensor.
    """

    def __init__(self, dims: Sequence[int], hidden: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.post_fusion_layer_1 = nn.Linear(math.prod(d + 1 for d in dims), hidden)
        self.post_fusion_layer_2 = nn.Linear(hidden, hidden)
        self.post_fusion_layer_3 = nn.Linear(hidden, outputs)
        self.dropout = dropout

    def forward(self, vectors: Sequence[Tensor]) -> Tensor:
        """Return logits [B, L] of one vector [B, d_m] per modality."""
        first = self.post_fusion_layer_1
        fused = fused_linear(vectors, first.weight, first.bias, self.dropout, self.training)
        hidden = self.post_fusion_layer_2(fused.relu()).relu()
        logits: Tensor = self.post_fusion_layer_3(hidden)
        return logits


class BilstmTfn(FusionModel):
    """BiLSTM and tensor fusion for any modalities whose tensor fits.

    Raises:
        ConfigError: the tensor has more than `LARGEST` numbers.
    """

    Config: ClassVar[type] = BilstmTfnConfig
    config: BilstmTfnConfig

    def __init__(self, config: BilstmTfnConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        dims = self.front.dims
        if (size := math.prod(d + 1 for d in dims)) > LARGEST:
            raise ConfigError(
                f"model.fusion_dim={config.fusion_dim}: the outer product of {len(dims)} vectors "
                f"has {size} numbers a sample, more than {LARGEST}; lower it, or use bilstm-lmf."
            )
        self.head = TensorFusionHead(dims, config.post_fusion_dim, task.num_labels, config.dropout)

    def read(self, vectors: Sequence[Tensor]) -> Tensor:
        """Return label logits [B, L]."""
        logits: Tensor = self.head(vectors)
        return logits
