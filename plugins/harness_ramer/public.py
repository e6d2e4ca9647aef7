"""RAMer, variant `public`: what the authors' published code computes.

It departs from the paper: C and S reach no classifier and act through their losses only, the
second classifier sees the X_gamma of the modalities, the shuffle is a fixed reversal that leaves
its loss as it is (so it is not carried out), personality tokens are appended along time, and a
missing modality is known to the masks only: without any token X_alpha is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.model import Encoded, StepContext
from harness.nn.aligner import SoftAligner
from harness.nn.contrastive import LabelContrast
from harness.nn.dropout import dropout
from harness.nn.encoder import ModalityEncoder
from harness.nn.objective import Objective
from harness.nn.orthogonality import orthogonality
from harness.nn.scorers import LabelScorer, slot_classifier
from harness.nn.task_loss import task_loss, task_scores
from harness.specs import TaskInfo
from harness_ramer.analysis import Inspected, shown
from harness_ramer.config import RamerPublicConfig
from harness_ramer.missing import NORMS, distance
from harness_ramer.ramer import (
    Reconstruction,
    ReconstructionNetwork,
    UniModalEmbedding,
    commonality_loss,
    make_discriminator,
    make_generator,
    make_specificity,
    orthogonality_loss,
    specificity_loss,
)


class AlignedEncoder(ModalityEncoder):
    """An encoder after CARAT's soft aligner, which resamples the sequence to a common length."""

    def __init__(self, dim: int, length: int, **encoder: Any) -> None:
        super().__init__(dim, **encoder)
        self.aligner = SoftAligner(dim, length)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens [B, T', H] and their mask [B, T'] of features [B, T, d]."""
        x = self.norm(x)
        x = self.aligner(torch.where(mask[:, :, None], x, 0.0))
        mask = mask.any(dim=1, keepdim=True).expand(x.shape[:2])
        return self.encoder(x, mask, padding=False), mask


class PublicEmbedding(UniModalEmbedding):
    """X_alpha with the encoded personality tokens after each modality's, along time."""

    def __init__(self, config: RamerPublicConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        for i, m in enumerate(task.modalities):
            if 0 < config.align_to < m.max_length:
                options = config.encoder(m.name, config.align_to)
                self.encoders[i] = AlignedEncoder(m.dim, config.align_to, **options)
        self.personality: ModalityEncoder | None = None
        if config.uses_personality(task):
            options = config.encoder("personality")
            self.personality = ModalityEncoder(task.personality_dim, **options)

    def tokens(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """Return each modality's tokens [B, T + P, H], the personality's last, and their mask."""
        if self.personality is None or batch.personality is None:
            return super().tokens(batch)
        known = batch.personality_mask
        if known is None:
            known = batch.personality.new_ones(batch.personality.shape[:2], dtype=torch.bool)
        extra, _ = self.personality(batch.personality, known)
        parts = super().tokens(batch)
        return [(torch.cat([x, extra], 1), torch.cat([mask, known], 1)) for x, mask in parts]


@dataclass(frozen=True)
class PublicFeatures:
    """One forward pass: levels, S and C [B, M, L, H], and bool [B, M], true everywhere."""

    everywhere: Tensor
    rec: Reconstruction
    specificity: Tensor
    commonality: Tensor


class RamerPublic(Inspected):
    """The authors' code for any ordered set of modalities; personality tokens where there are any.

    The two orthogonality losses of S with S, and the classifier of label slot 0, are TAILOR's.
    """

    Config = RamerPublicConfig
    shares_encodings = True
    config: RamerPublicConfig
    needs_nonempty_mask = False

    def __init__(self, config: RamerPublicConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        count, labels, hidden = len(task.modalities), task.num_labels, config.hidden_size
        self.weights = config.weights()
        self.embedding = PublicEmbedding(config, task)
        hard = config.inference_prototypes == "hard"
        self.reconstruction = ReconstructionNetwork(config, count, labels, hard=hard)
        self.contrast = LabelContrast(
            self.reconstruction.projection,
            config.queue_size,
            config.temperature,
            config.contrast_block,
        )
        self.specificity = make_specificity(count, hidden, config.specificity_dropout)
        self.generator = make_generator(hidden, config.commonality_dropout)
        self.discriminator = make_discriminator(count, hidden, config.discriminator_dropout)
        self.common_classifier = nn.Linear(hidden, labels)
        self.scorer = LabelScorer(count, labels, hidden)
        self.aggregator = slot_classifier(labels, hidden)

    def features(self, batch: Batch) -> PublicFeatures:
        """Return one forward pass."""
        return self.rebuilt(self.embedding(batch))

    def rebuilt(self, alpha: Tensor) -> PublicFeatures:
        """Return the features of X_alpha [B, M, L, H]."""
        everywhere = alpha.new_ones(alpha.shape[:2], dtype=torch.bool)
        rec = self.reconstruction(alpha, everywhere)
        return PublicFeatures(everywhere, rec, self.specificity(alpha), self.generator(rec.final))

    def objective(self, f: PublicFeatures, labels: Tensor) -> Objective:
        """Return the published total of labels [B, L]; moves the queue, then the prototypes."""
        kind, levels = self.task.label_kind, f.rec.levels
        loss, s, c, everywhere = Objective(self.weights), f.specificity, f.commonality, f.everywhere
        loss.add("adversarial_specific", specificity_loss, self.discriminator, s, everywhere)
        loss.add("adversarial_common", commonality_loss, self.discriminator, c)
        loss.add("orthogonality_specific", pairwise_orthogonality, s)
        loss.add("orthogonality", orthogonality_loss, c, s)
        loss.add("common_semantic", self.semantic_loss, c, labels)
        for name, level in levels.items():
            loss.add(f"clf_{name}", lambda x: task_loss(self.pooled(x), labels, kind), level)
        for name, level in (levels | {"alpha": f.rec.decoded}).items():
            term = "rec_decoded" if name == "alpha" else f"rec_{name}"
            loss.add(term, distance, NORMS["mse"], levels["alpha"], level, everywhere)
        loss.add("contrastive", self.contrastive_loss, f, labels)
        self.reconstruction.update(f.rec.latent, labels, everywhere)
        logits = self.aggregator(f.rec.final.flatten(2))
        loss.add("shuffle", task_loss, logits, labels[:, None].expand_as(logits), kind)
        return loss

    def pooled(self, level: Tensor) -> Tensor:
        """Return max-pooled logits [B, L] of a level [B, M, L, H]."""
        logits: Tensor = self.scorer(level, level.new_ones(level.shape[:2], dtype=torch.bool))[0]
        return logits

    def contrastive_loss(self, f: PublicFeatures, labels: Tensor) -> Tensor:
        """Return L_scl of Z_alpha, Z_beta and Z_gamma."""
        _, *later = f.rec.levels.values()
        z = [f.rec.latent, *(self.reconstruction.codecs.each("encode", level) for level in later)]
        return self.contrast(z, labels, [f.everywhere] * len(z))

    def semantic_loss(self, commonality: Tensor, labels: Tensor) -> Tensor:
        """Return L_cml: label slot 0 of the summed C stands for all labels, as TAILOR's time."""
        logits = self.common_classifier(commonality.sum(dim=1)[:, 0])
        logits = dropout(logits, self.config.cml_dropout, self.training)
        return task_loss(logits, labels, self.task.label_kind)

    def step_objective(self, batch: Batch, ctx: StepContext) -> Objective:
        """Return the published total loss of a labelled batch."""
        return self.objective(self.features(batch), batch.targets)

    def encode(self, batch: Batch) -> Encoded:
        """Return X_alpha^m [B, L, H] of each modality."""
        pairs = zip(self.embedding.names, self.embedding(batch).unbind(1), strict=True)
        return {name: (alpha,) for name, alpha in pairs}

    def fuse(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return scores [B, L], the mean of both classifiers, of the aggregator over modalities."""
        alpha = torch.stack([x for (x,) in encoded.values()], dim=1)
        final, kind = self.rebuilt(alpha).rec.final, self.task.label_kind
        aggregated = task_scores(self.aggregator(final.flatten(2)), kind).mean(dim=1)
        return 0.5 * (aggregated + task_scores(self.pooled(final), kind))

    def analysis(self, batch: Batch) -> dict[str, Tensor]:
        """Return what figures 3 and 4 of the paper are drawn from (`analysis.shown`)."""
        f = self.features(batch)
        usable = dict.fromkeys(f.rec.levels, f.everywhere)
        out = shown(f.rec.levels, usable, self.scorer, f.specificity, f.commonality)
        return out | {"available": batch.present}


def pairwise_orthogonality(specificity: Tensor) -> Tensor:
    """Return the overlap of every two of the S^m [B, M, L, H], summed; 0 for one modality."""
    parts = specificity.unbind(1)
    pairs = [orthogonality(a, b) for i, a in enumerate(parts) for b in parts[i + 1 :]]
    return torch.stack(pairs).sum() if pairs else specificity.new_zeros(())
