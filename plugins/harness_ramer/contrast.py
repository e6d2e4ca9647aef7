"""Supervised contrast over all embeddings of a batch and a queue of past ones (eq. 11)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.nn.contrastive import EmbeddingQueue, supervised_contrastive


def class_codes(labels: Tensor, modalities: int) -> Tensor:
    """Return the class of each embedding, int64 [B, M, L]: modality, label, has it or not.

    2L*m + c where label c is present, 2L*m + L + c where it is not.
    """
    count = labels.shape[1]
    m = torch.arange(modalities, device=labels.device)[None, :, None]
    c = torch.arange(count, device=labels.device)[None, None, :]
    absent = (labels[:, None, :] != 1).long()
    return 2 * count * m + count * absent + c


class Contrast(nn.Module):
    """L_scl: the mean over all rows, queue rows included, with this batch written afterwards."""

    def __init__(self, projection: int, queue_size: int, temperature: float, block: int) -> None:
        super().__init__()
        self.queue = EmbeddingQueue(queue_size, projection)
        self.temperature = temperature
        self.block = block

    def forward(
        self, levels: Sequence[Tensor], labels: Tensor, keep: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Return the loss against the queue as it was; then write the batch into the queue.

        Args:
            levels: Z_sigma for each sigma in use, each [B, M, L, p].
            labels: [B, L] in {0, 1}.
            keep: bool [B, M] for each level; other rows are no part of the loss and of the
                queue. None: all are.
        """
        z = torch.stack(list(levels), dim=1)
        shape = z.shape[:-1]
        # Under autocast z is bfloat16, too coarse for exp(z.z / 0.07).
        rows = F.normalize(z.flatten(0, 3).to(self.queue.queue.dtype), dim=-1)
        codes = class_codes(labels, shape[2])[:, None].expand(shape).flatten().to(labels.dtype)
        valid = everything = None
        if keep is not None:
            valid = torch.stack(list(keep), dim=1)[..., None].expand(shape).flatten()
            past = torch.ones_like(self.queue.queue_label, dtype=torch.bool)
            everything = torch.cat([valid, past])
        loss = supervised_contrastive(
            torch.cat([rows, self.queue.queue]),
            torch.cat([codes, self.queue.queue_label]),
            self.temperature,
            self.block,
            valid=everything,
            grad_rows=rows.shape[0],
        )
        self.queue.push(rows, codes, valid)
        return loss
