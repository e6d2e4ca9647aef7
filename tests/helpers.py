"""Made batches and training data that several unit tests share."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.specs import ModalitySpec

MODALITIES = (ModalitySpec("text", "t", 5, 6), ModalitySpec("audio", "a", 4, 6))
LABELS = ("happy", "sad", "anger", "fear")


def make_batch(
    size: int, seed: int = 0, rows: slice | None = None, vectors: Tensor | None = None
) -> Batch:
    """Return a prediction batch of two padded modalities (or of single vectors, split 5 + 4)."""
    generator = torch.Generator().manual_seed(seed)
    features, mask = {}, {}
    start = 0
    for m in MODALITIES:
        if vectors is not None:
            features[m.name] = vectors[:, None, start : start + m.dim]
            mask[m.name] = torch.ones(size, 1, dtype=torch.bool)
            start += m.dim
            continue
        x = torch.randn(size, m.max_length, m.dim, generator=generator)
        lengths = torch.randint(1, m.max_length + 1, (size, 1), generator=generator)
        mask[m.name] = torch.arange(m.max_length) < lengths
        features[m.name] = torch.where(mask[m.name][..., None], x + x[:, :1], 0.0)
    present = torch.ones(size, len(MODALITIES), dtype=torch.bool)
    batch = Batch(features, mask, present, present.clone(), tuple(str(i) for i in range(size)))
    if rows is None:
        return batch
    return Batch(
        {m: x[rows] for m, x in features.items()},
        {m: x[rows] for m, x in mask.items()},
        present[rows],
        present[rows].clone(),
        batch.ids[rows],
    )


def make_labels(batch: Batch, seed: int = 0) -> Tensor:
    """Return noisy, dependent labels float32 [B, 4] that the features explain in part."""
    generator = torch.Generator().manual_seed(seed + 1)
    text = batch.features["text"].mean(dim=1)
    noise = torch.randn(len(batch), len(LABELS), generator=generator)
    labels = (text[:, : len(LABELS)] + 0.5 * noise > 0.1).float()
    labels[:, 2] = torch.where(noise[:, 3] > 0, labels[:, 0], labels[:, 2])
    return labels


class TrainData:
    """A `harness.model.FitData` of 120 made samples."""

    def __init__(self) -> None:
        self._batch = make_batch(120, seed=3)
        self.labels = make_labels(self._batch)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yield the samples in order."""
        for start in range(0, len(self), batch_size):
            yield make_batch(120, seed=3, rows=slice(start, start + batch_size))

    def __len__(self) -> int:
        return 120
