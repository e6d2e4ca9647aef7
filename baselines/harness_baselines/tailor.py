"""TAILOR (Zhang et al., AAAI 2022): versatile multi-modal learning for multi-label emotions.

Every modality is encoded, then refined per time step into a private and a common part by an
adversarial discriminator. Cross encoders fuse the private parts one after the other, then the sum
of the common parts; a decoder with one query per label reads the fused sequence.
Equal to the authors' code to 1e-5 (``tests/parity/test_tailor.py``).

Fusion of M modalities, private parts p_0 .. p_{M-1} in the task's order: it starts at p_{M-2} and
puts p_{M-1}, p_{M-3}, ..., p_0 before what is fused so far, each through a cross encoder of its
own. With text, visual, audio that is the published order [text; [audio; visual]]; two modalities
give [p_1; p_0]; a single one is its own fusion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.model import Diagnostics, ModelPlugin, StepContext, StepOutput
from harness.nn.aligner import SoftAligner, monotone_ctc
from harness.nn.dropout import Dropout, dropout
from harness.nn.encoder import (
    LAYER_NORM_EPS,
    Attention,
    BertEncoder,
    BertLayer,
    InputNorm,
    encode,
    key_bias,
)
from harness.nn.gradient_reversal import reverse_gradient
from harness.nn.init import normal_
from harness.nn.orthogonality import orthogonality
from harness.nn.task_loss import task_loss, task_scores
from harness.nn.windows import window_mean, window_size
from harness.specs import TaskInfo, bounded


@dataclass(frozen=True)
class TailorConfig:
    """Hyper-parameters; defaults are the authors' launch script, which gives text 6 layers.

    Attributes:
        layers: encoder layers per modality name; others get ``default_layers``.
        cross_layers: layers of every cross encoder.
        max_positions: rows of the encoders' position tables; 0 fits the longest modality.
        cross_positions: rows of the cross encoders' tables; 0 is (M + 1) times the above.
        aligner: output positions of a soft aligner for every modality but ``aligner_anchor``;
            0: none.
        max_frames: frames are averaged to at most so many positions per modality, before any
            aligner; 0: never.
        mask_common: leave out positions of the common part where no modality has a valid one; the
            authors attend to all. Nothing differs while padding counts as valid (mask ``ones``).
        init_std: deviation of the first weights; 0.02 is small for widths far below 256.
        common_semantic, adversarial, orthogonal, ctc: weights of the loss terms.
    """

    hidden_size: int = bounded(256, least=1)
    intermediate_size: int = bounded(256, least=1)
    heads: int = bounded(8, least=1, divides="hidden_size")
    dropout: float = bounded(0.3, least=0, most=1)
    private_dropout: float = bounded(0.1, least=0, most=1)
    common_dropout: float = bounded(0.3, least=0, most=1)
    head_dropout: float = bounded(0.1, least=0, most=1)
    layers: dict[str, int] = field(default_factory=dict)
    default_layers: int = bounded(4, least=0)
    cross_layers: int = bounded(3, least=0)
    max_positions: int = bounded(0, least=0)
    cross_positions: int = bounded(0, least=0)
    aligner: int = bounded(0, least=0)
    aligner_anchor: str = "text"
    max_frames: int = bounded(0, least=0)
    mask_common: bool = True
    init_std: float = bounded(0.02, least=0)
    common_semantic: float = 0.5
    adversarial: float = 0.01
    orthogonal: float = 5e-6
    ctc: float = 0.5


@dataclass(frozen=True)
class Features:
    """The representations of a forward pass, T common positions.

    ``private`` and ``common`` hold one [B, T, H] per modality, ``logits`` are [B, L] before the
    head's dropout, ``alignments`` the aligners' logits [B, T_m, positions + 1].
    """

    private: tuple[Tensor, ...]
    common: tuple[Tensor, ...]
    decoded: Tensor
    logits: Tensor
    alignments: tuple[Tensor, ...]


class CrossEncoder(nn.Module):
    """Two sequences, one after the other, with learned positions and a type per sequence.

    A sequence consists of blocks of T positions, one a modality. Block i takes the rows from
    i ``span`` on, ``span`` being the longest T of the data set: the authors count through, which
    is the same at full length, but would let the padding of a batch move a sample's positions.

    Args:
        config: sizes and dropout rates.
        positions: rows of the position table.
        span: rows between the starts of two blocks.
    """

    def __init__(self, config: TailorConfig, positions: int, span: int) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.span = span
        self.positions = nn.Embedding(positions, hidden)
        self.types = nn.Embedding(2, hidden)
        self.norm = nn.LayerNorm(hidden, eps=LAYER_NORM_EPS)
        self.dropout = Dropout(config.dropout)
        self.layers = nn.ModuleList(_layer(config) for _ in range(config.cross_layers))

    def forward(self, first: Tensor, second: Tensor, mask: Tensor, length: int) -> Tensor:
        """Return [B, S1 + S2, H] of [B, S1, H] and [B, S2, H]; masked positions may be anything.

        Args:
            first: [B, S1, H].
            second: [B, S2, H].
            mask: bool [B, S1 + S2], which positions may be attended to.
            length: T; S1 and S2 are multiples of it.

        Raises:
            ValueError: the sequence is longer than the position table.
        """
        x = torch.cat([first + self.types.weight[0], second + self.types.weight[1]], dim=1)
        starts = torch.arange(0, x.shape[1], length, device=x.device) // length * self.span
        rows = (starts[:, None] + torch.arange(length, device=x.device)).flatten()
        needed = (x.shape[1] // length - 1) * self.span + length
        if needed > self.positions.num_embeddings:
            raise ValueError(
                f"a fused sequence needs {needed} positions, but the position table holds "
                f"{self.positions.num_embeddings}; raise cross_positions"
            )
        hidden = self.dropout(self.norm(x + self.positions.weight[rows]))
        return encode(self.layers, hidden, mask, padding=False)


class LabelDecoder(nn.Module):
    """One query per label: attention among labels, then to the memory, then feed-forward."""

    def __init__(self, config: TailorConfig, labels: int) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.queries = nn.Embedding(labels, hidden)
        self.norm = nn.LayerNorm(hidden, eps=LAYER_NORM_EPS)
        self.dropout = Dropout(config.dropout)
        self.among = Attention(hidden, config.heads, config.dropout)
        self.read = _layer(config)

    def forward(self, memory: Tensor, mask: Tensor) -> Tensor:
        """Return one vector per label [B, L, H] of a memory [B, S, H] with mask bool [B, S]."""
        queries = self.queries.weight.expand(memory.shape[0], -1, -1)
        queries = self.dropout(self.norm(queries))
        queries = self.among(queries, queries, None)
        return self.read(queries, key_bias(mask, queries.dtype), memory)


class Stream(nn.Module):
    """One modality from its frames to its encoded sequence, and its private extractor."""

    def __init__(self, config: TailorConfig, task: TaskInfo, index: int, positions: int) -> None:
        super().__init__()
        modality = task.modalities[index]
        self.name = modality.name
        self.window = window_size(modality.max_length, config.max_frames)
        self.input_norm = InputNorm(modality.dim)
        self.aligner = None
        if _is_aligned(config, modality.name):
            self.aligner = SoftAligner(modality.dim, config.aligner)
        self.encoder = BertEncoder(
            modality.dim,
            config.hidden_size,
            layers=config.layers.get(modality.name, config.default_layers),
            heads=config.heads,
            intermediate=config.intermediate_size,
            max_positions=positions,
            dropout=config.dropout,
        )
        self.private = nn.Linear(config.hidden_size, config.hidden_size)

    def align(self, frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return (sequence [B, T', d], mask bool [B, T'], aligner logits or None) of [B, T, d].

        After an aligner every one of its positions is attended to, as in the authors' loaders.
        """
        if self.window > 1:
            frames, mask = window_mean(frames, mask, self.window)
        x = self.input_norm(frames)
        if self.aligner is None:
            return x, mask, None
        x, logits = self.aligner.align(x, mask)
        return x, mask.new_ones(len(mask), self.aligner.out_length), logits

    def padded(self, x: Tensor, length: int) -> Tensor:
        """Return [B, length, d] of x [B, T', d]: as if its features had been padded with zeros.

        What stands at masked positions counts where another modality is valid, for common parts are
        added position by position. So it must not depend on how far a batch was padded.
        """
        extra = length - x.shape[1]
        if not extra:
            return x
        if self.aligner is not None:
            return F.pad(x, (0, 0, 0, extra))
        return torch.cat([x, self.input_norm.bias.to(x.dtype).expand(len(x), extra, -1)], dim=1)


class Tailor(ModelPlugin):
    """TAILOR for any number of modalities, under any names, aligned or not.

    Sequences of different lengths are padded with masked zero features to the longest, because
    the common parts are added position by position.
    """

    Config: ClassVar[type] = TailorConfig
    analysis_axes: ClassVar = {"private": "BMTH", "common": "BMTH", "decoded": "BLH"}
    shared_parameters = ("stream_list.?.input_norm.*", "stream_list.?.encoder.*")
    config: TailorConfig

    def __init__(self, config: TailorConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        self.reads_padding = not config.mask_common
        hidden, count = config.hidden_size, len(task.modalities)
        lengths = (
            config.aligner
            if _is_aligned(config, m.name)
            else math.ceil(m.max_length / window_size(m.max_length, config.max_frames))
            for m in task.modalities
        )
        span = max(lengths)
        positions = config.max_positions or span
        cross = config.cross_positions or (count + 1) * positions
        self.stream_list = nn.ModuleList(Stream(config, task, i, positions) for i in range(count))
        self.common = nn.Linear(hidden, hidden)
        self.discriminator = nn.Sequential(
            nn.Linear(hidden, hidden // 2),
            Dropout(config.head_dropout),
            nn.ReLU(),
            nn.Linear(hidden // 2, count),
        )
        self.fusion = nn.ModuleList(CrossEncoder(config, cross, span) for _ in range(count - 1))
        self.join = CrossEncoder(config, cross, span)
        self.decoder = LabelDecoder(config, task.num_labels)
        self.classifier = nn.Linear(hidden, 1)
        self.common_classifier = nn.Linear(hidden, task.num_labels)
        normal_(self, config.init_std)

    @property
    def streams(self) -> list[Stream]:
        """Return the modalities' parts in the task's order."""
        return cast("list[Stream]", list(self.stream_list))

    def features(self, batch: Batch) -> Features:
        """Return the representations of a batch."""
        config, streams = self.config, self.streams
        aligned = [s.align(batch.features[s.name], batch.mask[s.name]) for s in streams]
        length = max(x.shape[1] for x, _, _ in aligned)
        masks = [F.pad(mask, (0, length - mask.shape[1])) for _, mask, _ in aligned]
        encoded = [
            s.encoder(s.padded(x, length), mask)
            for s, (x, _, _), mask in zip(streams, aligned, masks, strict=True)
        ]
        private = tuple(
            self._dropped(s.private(e), config.private_dropout).tanh()
            for s, e in zip(streams, encoded, strict=True)
        )
        common = tuple(self._dropped(self.common(e), config.common_dropout).tanh() for e in encoded)
        memory, mask = self.fused(private, masks)
        shared = torch.stack(masks).any(dim=0)
        if not config.mask_common:
            shared = torch.ones_like(shared)
        mask = torch.cat([mask, shared], dim=1)
        total = torch.stack(common).sum(dim=0)
        decoded = self.decoder(self.join(memory, total, mask, length), mask)
        return Features(
            private,
            common,
            decoded,
            self.classifier(decoded).squeeze(-1),
            tuple(logits for _, _, logits in aligned if logits is not None),
        )

    def fused(self, private: tuple[Tensor, ...], masks: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the fused private parts [B, M T, H] and their mask bool [B, M T]."""
        start = max(len(private) - 2, 0)
        fused, mask = private[start], masks[start]
        others = [i for i in reversed(range(len(private))) if i != start]
        for index, cross in zip(others, self.fusion, strict=True):
            mask = torch.cat([masks[index], mask], dim=1)
            fused = cross(private[index], fused, mask, private[index].shape[1])
        return fused, mask

    def _dropped(self, x: Tensor, rate: float) -> Tensor:
        return dropout(x, rate, self.training)

    def _classify(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of logits [B, L] after the heads' dropout, which acts on the logits."""
        logits = self._dropped(logits, self.config.head_dropout).float()
        return task_loss(logits, targets, self.task.label_kind)

    def losses(self, f: Features, targets: Tensor) -> dict[str, Tensor]:
        """Return the unweighted terms; adversarial and orthogonal ones are sums over modalities.

        As published, no term but the first looks at masks.
        """
        count = len(f.private)
        pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
        crossed = [orthogonality(f.private[i], f.private[j]) for i, j in pairs]
        zero = f.logits.new_zeros(())
        terms = {
            "ml": self._classify(f.logits, targets),
            "cml": self._classify(
                self.common_classifier(torch.stack(f.common).sum(dim=0)[:, 0]), targets
            ),
            "adv_private": self.tell_modality(torch.stack(f.private)),
            "adv_common": self.tell_modality(reverse_gradient(torch.stack(f.common))),
            "orth_private": torch.stack(crossed).sum() if crossed else zero,
            "orth_common": torch.stack(
                [orthogonality(c, p) for c, p in zip(f.common, f.private, strict=True)]
            ).sum(),
        }
        if f.alignments:
            terms["ctc"] = torch.stack([monotone_ctc(a) for a in f.alignments]).sum()
        return terms

    def tell_modality(self, tokens: Tensor) -> Tensor:
        """Return the discriminator's cross entropy over tokens [M, B, T, H], summed over M."""
        logits = self.discriminator(tokens).float()
        truth = torch.arange(len(tokens), device=tokens.device)[:, None, None]
        truth = truth.expand(logits.shape[:-1]).flatten()
        return len(tokens) * F.cross_entropy(logits.flatten(0, -2), truth)

    def weighted(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the weighted terms."""
        c = self.config
        weights = {
            "ml": 1.0,
            "cml": c.common_semantic,
            "adv_private": c.adversarial,
            "adv_common": c.adversarial,
            "orth_private": c.orthogonal,
            "orth_common": c.orthogonal,
            "ctc": c.ctc,
        }
        return {name: weights[name] * value for name, value in terms.items()}

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        """Return the weighted loss and its terms."""
        terms = self.losses(self.features(batch), batch.targets)
        loss = torch.stack([*self.weighted(terms).values()]).sum()
        return StepOutput(loss, {k: v.detach() for k, v in terms.items()})

    def loss_terms(self, batch: Batch, ctx: StepContext) -> dict[str, Tensor]:
        """Return the weighted terms."""
        return self.weighted(self.losses(self.features(batch), batch.targets))

    def predict_step(self, batch: Batch) -> Tensor:
        """Return scores [B, L]."""
        return task_scores(self.features(batch).logits, self.task.label_kind)

    def diagnostics(self, batch: Batch) -> Diagnostics:
        """Return the private and common vectors of valid positions for the probe."""
        f, streams = self.features(batch), self.streams
        parts = {"private": torch.stack(f.private, dim=1), "common": torch.stack(f.common, dim=1)}
        masks = (s.align(batch.features[s.name], batch.mask[s.name])[1] for s in streams)
        padded = [F.pad(mask, (0, f.common[0].shape[1] - mask.shape[1])) for mask in masks]
        return Diagnostics(torch.stack(padded, dim=1) & batch.present[..., None], parts)

    def analysis(self, batch: Batch) -> dict[str, Tensor]:
        """Return private and common parts [B, M, T, H] and the label vectors [B, L, H]."""
        f = self.features(batch)
        parts = {"private": torch.stack(f.private, dim=1), "common": torch.stack(f.common, dim=1)}
        return parts | {"decoded": f.decoded}


def _layer(config: TailorConfig) -> BertLayer:
    return BertLayer(
        config.hidden_size,
        heads=config.heads,
        intermediate=config.intermediate_size,
        dropout=config.dropout,
    )


def _is_aligned(config: TailorConfig, name: str) -> bool:
    return config.aligner > 0 and name != config.aligner_anchor
