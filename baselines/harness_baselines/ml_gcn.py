"""ML-GCN (Chen et al., CVPR 2019): classifiers generated from a graph of label co-occurrence.

The head equals the authors' code to 1e-5 (``tests/parity/test_ml_gcn.py``). Their image network is
replaced by convolutions over time with the same reading, a global maximum; nothing is published
on what stood there in the emotion tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.errors import ConfigError, DataFormatError, DataMissingError
from harness.model import FitData
from harness.nn.aligner import SoftAligner
from harness.nn.label_graph import LabelClassifiers, label_graph
from harness.nn.max_pooled import MaxPooledConvolutions
from harness.nn.optim import build_optimizer
from harness.nn.windows import window_mean, window_size
from harness.specs import ModalitySpec, TaskInfo, TrainingConfig, bounded
from harness_baselines.logits_model import LogitsModel


@dataclass(frozen=True)
class MlGcnConfig:
    """Hyper-parameters; the authors' graph sizes are 1024 and 2048 (preset ``reference``).

    Attributes:
        gcn_hidden: between the two graph convolutions.
        feature_dim: D, of pooled features and of the generated classifiers.
        conv_hidden: between the two convolutions over time.
        dropout: before each of those.
        tau: i points at j where P(j | i) is at least this.
        share: weight that the labels pointing at one label divide among them.
        label_vectors: ``onehot``, or read from a ``file`` of lines ``word v1 v2 ...``.
        label_file: that file.
        label_vector_dim: how many values a line of it has.
        label_words: the word of a label in it; by default the label in lower case.
        aligner: output positions of a soft aligner for every modality but ``aligner_anchor``,
            after which modalities are joined step by step; 0: none. Unaligned data only.
        branch_rate: learning rate of everything but the graph layers, relative to theirs.
        max_frames: frames are averaged to at most so many steps per modality; 0: never. Not
            published: an economy for long sequences without a GPU.
    """

    gcn_hidden: int = bounded(256, least=1)
    feature_dim: int = bounded(512, least=1)
    conv_hidden: int = bounded(512, least=1)
    dropout: float = bounded(0.1, least=0, most=1)
    tau: float = bounded(0.4, above=0, most=1)
    share: float = bounded(0.25, least=0, most=1)
    label_vectors: Literal["onehot", "file"] = "onehot"
    label_file: str | None = None
    label_vector_dim: int = bounded(300, least=1)
    label_words: dict[str, str] = field(default_factory=dict)
    aligner: int = bounded(0, least=0)
    aligner_anchor: str = "text"
    branch_rate: float = 1.0
    max_frames: int = bounded(0, least=0)

    def __post_init__(self) -> None:
        if self.label_vectors == "file" and not self.label_file:
            raise ValueError("label_vectors=file needs label_file")


class Features(nn.Module):
    """What stands for the image network: a batch to pooled features [B, D].

    Aligned modalities are joined step by step; unaligned ones are read apart and joined after.
    """

    def __init__(self, config: MlGcnConfig, task: TaskInfo) -> None:
        super().__init__()
        self.modalities = task.modalities
        self.windows = [window_size(m.max_length, config.max_frames) for m in task.modalities]
        self.aligners = nn.ModuleDict()
        if config.aligner and not task.aligned:
            _check_anchor(config, task)
            for i, m in enumerate(task.modalities):
                if m.name != config.aligner_anchor:
                    self.aligners[str(i)] = SoftAligner(m.dim, config.aligner)
        self.joined = task.aligned or bool(config.aligner)
        dims = [m.dim for m in task.modalities]
        self.branches = nn.ModuleList(
            MaxPooledConvolutions(d, config.conv_hidden, config.feature_dim, config.dropout)
            for d in ([sum(dims)] if self.joined else dims)
        )
        self.join: nn.Linear | None = None
        if not self.joined:
            self.join = nn.Linear(len(dims) * config.feature_dim, config.feature_dim)

    def stream(self, batch: Batch, index: int) -> tuple[Tensor, Tensor]:
        """Return one modality, zero where not valid, [B, T, d], and its mask, bool [B, T]."""
        m = self.modalities[index]
        x, mask = batch.features[m.name], batch.mask[m.name]
        # A null position says nothing: a missing modality has no valid step.
        mask = mask & batch.present[:, index, None]
        x = torch.where(mask[..., None] & ~x.isinf(), x, 0.0)
        x, mask = window_mean(x, mask, self.windows[index])
        if str(index) in self.aligners:
            x = self.aligners[str(index)](x, mask)
            mask = mask.any(1, keepdim=True).expand(x.shape[:2])
        return x, mask

    def forward(self, batch: Batch) -> Tensor:
        """Return features [B, D]."""
        streams = [self.stream(batch, i) for i in range(len(self.modalities))]
        if self.joined:
            length = max(mask.shape[1] for _, mask in streams)
            short = [length - mask.shape[1] for _, mask in streams]
            pairs = list(zip(streams, short, strict=True))
            steps = torch.cat([F.pad(x, (0, 0, 0, n)) for (x, _), n in pairs], dim=2)
            valid = torch.stack([F.pad(mask, (0, n)) for (_, mask), n in pairs]).any(0)
            streams = [(steps, valid)]
        pooled = [b(x, mask) for b, (x, mask) in zip(self.branches, streams, strict=True)]
        if self.join is None:
            return pooled[0]
        joined: Tensor = self.join(torch.cat(pooled, dim=1))
        return joined


class MlGcn(LogitsModel):
    """ML-GCN for any number of modalities, under any names, aligned or not.

    The graph comes from the training split's labels and is kept in buffers. A missing modality is
    zeros. Single-label data, where no two labels occur together: softmax and cross entropy.
    """

    Config: ClassVar[type] = MlGcnConfig
    config: MlGcnConfig
    needs_nonempty_mask: ClassVar[bool] = False

    def __init__(self, config: MlGcnConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        onehot = config.label_vectors == "onehot"
        size = task.num_labels if onehot else config.label_vector_dim
        self.features = Features(config, task)
        self.classifiers = LabelClassifiers(
            task.num_labels, size, config.gcn_hidden, config.feature_dim
        )

    def setup_fit(self, data: FitData) -> None:
        """Take the label graph of the training split; read the label vectors where asked for.

        Raises:
            DataMissingError: the file of label vectors is not there.
            DataFormatError: it lacks a label, or a line has another number of values.
        """
        device = self.classifiers.graph.device
        graph = label_graph(data.labels.to(device), self.config.tau, self.config.share)
        vectors = torch.eye(self.task.num_labels)
        if self.config.label_vectors == "file":
            vectors = read_vectors(
                Path(self.config.label_file or ""),
                [self.config.label_words.get(n, n.lower()) for n in self.task.labels],
                self.config.label_vector_dim,
            )
        self.classifiers.set_graph(graph, vectors.to(device))

    def configure_optimizers(
        self, training: TrainingConfig, total_steps: int
    ) -> Sequence[torch.optim.Optimizer]:
        """Return the recipe's optimisers; the branch has its own where its rate differs."""
        if self.config.branch_rate == 1.0:
            return super().configure_optimizers(training, total_steps)
        branch = build_optimizer(self.features, training, total_steps)
        for group in branch.param_groups:
            group["lr"] *= self.config.branch_rate
        return [build_optimizer(self.classifiers, training, total_steps), branch]

    def logits(self, batch: Batch) -> Tensor:
        """Return label logits [B, L]."""
        features: Tensor = self.features(batch)
        return features @ self.classifiers().t()

    def describe(self) -> dict[str, Any]:
        """Return the graph's edges as pairs of labels: the first makes the second likely."""
        edges = self.classifiers.graph.clone().fill_diagonal_(0.0).nonzero().tolist()
        names = self.task.labels
        return {"tau": self.config.tau, "edges": [[names[i], names[j]] for i, j in edges]}


def read_vectors(path: Path, words: Sequence[str], size: int) -> Tensor:
    """Return the vectors [len(words), size] of some words in a text file of word vectors.

    Args:
        path: a word and its numbers a line.
        words: in the order of the result's rows.
        size: numbers of a vector.

    Raises:
        DataMissingError: no such file.
        DataFormatError: a word is missing, or its line does not hold ``size`` numbers.
    """
    if not path.is_file():
        raise DataMissingError(f"model.label_file: {path} is not there; use label_vectors=onehot.")
    found: dict[str, Tensor] = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            word, _, rest = line.partition(" ")
            if word in words and word not in found:
                found[word] = _vector(path, word, rest, size)
    if lacking := [w for w in words if w not in found]:
        raise DataFormatError(
            f"{path.name} has no vector for {', '.join(lacking)}; say by model.label_words which "
            "word stands for a label."
        )
    return torch.stack([found[w] for w in words])


def _vector(path: Path, word: str, rest: str, size: int) -> Tensor:
    try:
        values = [float(v) for v in rest.split()]
    except ValueError as error:
        raise DataFormatError(f"{path.name}: the line of {word!r}: {error}.") from error
    if len(values) != size:
        raise DataFormatError(
            f"{path.name}: {word!r} has {len(values)} values, model.label_vector_dim is {size}."
        )
    return torch.tensor(values)


def _check_anchor(config: MlGcnConfig, task: TaskInfo) -> None:
    anchors: list[ModalitySpec] = [m for m in task.modalities if m.name == config.aligner_anchor]
    if not anchors:
        raise ConfigError(
            f"model.aligner_anchor: {task.dataset} has no modality {config.aligner_anchor!r}."
        )
    if anchors[0].max_length > config.aligner:
        raise ConfigError(
            f"model.aligner: {config.aligner} positions are fewer than the "
            f"{anchors[0].max_length} of {config.aligner_anchor!r}."
        )
