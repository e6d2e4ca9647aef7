"""Scores of samples that are a folder of arrays: features of one's own, without labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.api.trained import TrainedModel


@dataclass(frozen=True, eq=False)
class FolderScores:
    """Scores of the N samples of a folder, L labels.

    Attributes:
        ids: N names. groups: N names; the samples' own where the folder has none.
        labels: L names.
        scores: float32 [N, L] in [0, 1].
        missing: modalities of the model that the folder has no array of.
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    labels: tuple[str, ...]
    scores: NDArray[np.float32]
    missing: tuple[str, ...]


def score_folder(model: TrainedModel, folder: str | Path, batch_size: int = 64) -> FolderScores:
    """Return the scores of a folder of arrays, one sample or many.

    Args:
        model: a trained model.
        folder: npz archives or tables, as `harness.data.folder` says; groups, labels and splits
            are not needed. A modality that is not there is missing in every sample.
        batch_size: samples at a time.

    Raises:
        UsageError: there is no such folder, or its features do not fit the model.
        DataFormatError: the files are not as documented.
        RunFailedError: a score is NaN or infinite.
    """
    from harness.data.folder import files_of, read_samples

    place = Path(folder)
    if not place.is_dir():
        raise UsageError(f"{place}: there is no such folder.")
    samples = read_samples(files_of(place), labelled=False)
    names = [m.name for m in model.task.modalities]
    for name in samples.features:
        if name not in names:
            raise UnknownNameError(f"modality in {place}", name, names)
    parts = []
    for start in range(0, len(samples.ids), batch_size):
        chosen = slice(start, start + batch_size)
        traits = samples.personality if model.task.personality_dim else None
        parts.append(
            model.predict(
                {m: samples.features[m][chosen] if m in samples.features else None for m in names},
                lengths={m: n[chosen] for m, n in samples.lengths.items()},
                personality=None if traits is None else traits[chosen],
            )
        )
    return FolderScores(
        tuple(samples.ids),
        tuple(samples.groups),
        model.task.labels,
        np.concatenate(parts),
        tuple(m for m in names if m not in samples.features),
    )
