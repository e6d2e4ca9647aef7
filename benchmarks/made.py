"""Made data: single batches, and a prepared store of clips of the published sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness import paths
from harness.data.batch import Batch
from harness.data.corpus import Corpus, SplitArrays
from harness.data.grid import Grid
from harness.data.prepare import prepare
from harness.data.store import Store
from harness.specs import DatasetSpec, TaskInfo
from harness_corpora.twins.plan import MOSEI_ALIGNED
from harness_corpora.twins.sample import draw

PERSONS, SEGMENTS = 3, 8
# MEmoR's shares of cells that have a modality.
SHARES = {"visual": 0.54, "audio": 0.19, "text": 0.25}
LABEL_RATE = 0.25


def batch_of(size: int, task: TaskInfo, lengths: tuple[int, int] | None = None) -> Batch:
    """Return a labelled batch in the layout that a model takes; see the functions below."""
    return grid_batch(size, task) if task.cells else sequence_batch(size, task, lengths)


def grid_batch(size: int, task: TaskInfo) -> Batch:
    """Return labelled grids of `PERSONS` x `SEGMENTS` whose share of valid cells is the data's.

    No row is shared between samples, which real batches do: the slow case.
    """
    g = torch.Generator().manual_seed(0)
    shape = (size, PERSONS, SEGMENTS)
    rows, index = {}, {}
    for m in task.modalities:
        valid = torch.rand(shape, generator=g) < SHARES[m.name]
        rows[m.name] = torch.randn(int(valid.sum()), m.dim, generator=g)
        index[m.name] = torch.where(valid, valid.flatten().cumsum(0).view(shape) - 1, -1)
    draw = torch.randint(0, PERSONS * SEGMENTS, (size,), generator=g)
    grid = Grid(
        rows=rows,
        index=index,
        exists=torch.ones(shape, dtype=torch.bool),
        characters=torch.randint(0, 8, (size, PERSONS), generator=g),
        personality=torch.randn(size, PERSONS, task.personality_dim, generator=g),
        target_person=draw // SEGMENTS,
        target_segment=draw % SEGMENTS,
        num_persons=torch.full((size,), PERSONS),
        num_segments=torch.full((size,), SEGMENTS),
        has_target=torch.ones(size, dtype=torch.bool),
    )
    present = torch.ones(size, len(task.modalities), dtype=torch.bool)
    labels = _labels(size, task, g)
    return Batch({}, {}, present, present, tuple(map(str, range(size))), labels, grid=grid)


def sequence_batch(size: int, task: TaskInfo, lengths: tuple[int, int] | None = None) -> Batch:
    """Return labelled sequences, each label set for about a quarter of them.

    Args:
        size: B.
        task: the modalities and labels.
        lengths: least and largest valid length, drawn uniformly; None: full length.
    """
    g = torch.Generator().manual_seed(0)
    features, mask = {}, {}
    for m in task.modalities:
        valid = torch.ones(size, m.max_length, dtype=torch.bool)
        if lengths is not None:
            least, most = (min(n, m.max_length) for n in lengths)
            drawn = torch.randint(least, most + 1, (size, 1), generator=g)
            valid = torch.arange(m.max_length) < drawn
        values = torch.randn(size, m.max_length, m.dim, generator=g)
        features[m.name] = torch.where(valid[..., None], values, 0.0)
        mask[m.name] = valid
    present = torch.ones(size, len(task.modalities), dtype=torch.bool)
    labels = _labels(size, task, g)
    return Batch(features, mask, present, present, tuple(map(str, range(size))), labels)


def _labels(size: int, task: TaskInfo, g: torch.Generator) -> torch.Tensor:
    if task.label_kind == "singlelabel":
        chosen = torch.randint(0, task.num_labels, (size,), generator=g)
        return torch.eye(task.num_labels)[chosen]
    return (torch.rand(size, task.num_labels, generator=g) < LABEL_RATE).float()


class MadeCorpus(Corpus):
    """Clips of standard normal frames whose lengths are drawn as MOSEI's twin draws them.

    Args:
        spec: a data set of sequences.
        counts: samples by split.
    """

    def __init__(self, spec: DatasetSpec, counts: Mapping[str, int]) -> None:
        super().__init__(spec)
        self.counts = counts

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield the splits."""
        for split, count in self.counts.items():
            ids = [f"{split}[{i}]" for i in range(count)]
            g = np.random.default_rng(len(split))
            lengths = clip_lengths(split, count)
            features = {}
            for m in self.spec.modalities:
                stored = np.minimum(lengths, m.max_length)
                frames = g.standard_normal((int(stored.sum()), m.dim), dtype=np.float32)
                features[m.name] = np.split(frames, np.cumsum(stored)[:-1])
            labels = made_labels(g, count, self.spec)
            yield SplitArrays(split, ids, ids, labels, features)


def made_labels(g: np.random.Generator, count: int, spec: DatasetSpec) -> NDArray[np.uint8]:
    """Return random labels, uint8 [N, L]; one-hot for single-label data."""
    if spec.label_kind == "singlelabel":
        return np.eye(len(spec.labels), dtype=np.uint8)[g.integers(0, len(spec.labels), count)]
    return (g.random((count, len(spec.labels))) < LABEL_RATE).astype(np.uint8)


def clip_lengths(split: str, count: int) -> NDArray[np.int64]:
    """Return the frames of clips as the twin of MOSEI draws them, int64 [N]."""
    return MOSEI_ALIGNED.modalities[0].lengths(draw(MOSEI_ALIGNED, 0, split, count).amount)


@contextmanager
def made_store(spec: DatasetSpec, counts: Mapping[str, int], **facts: Any) -> Iterator[Store]:
    """Give a prepared store of made clips, in a home of its own that is deleted afterwards.

    Args:
        spec: a data set of sequences.
        counts: samples by split.
        facts: attributes of the spec that differ (``mask_options``).
    """
    here = replace(spec, source="real", files=(), has_twin=False, splits=tuple(counts), **facts)
    with TemporaryDirectory(prefix="harness-benchmark-") as folder, paths.using_home(folder):
        yield prepare(MadeCorpus(here, counts), Path(folder), here.name, twin={"made": 1})
