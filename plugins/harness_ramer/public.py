"""RAMer, variant `public`: what the authors' published code computes.

It departs from the paper: C and S reach no classifier and act through their losses only, the
second classifier sees the X_gamma of the modalities, the shuffle is a fixed reversal that leaves
its loss as it is (so it is not carried out), personality tokens are appended along time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.model import ModelPlugin, StepContext, StepOutput
from harness.specs import TaskInfo
from harness_ramer.adversarial import (
    Discriminator,
    Generator,
    Specificity,
    commonality_loss,
    orthogonality_loss,
    pairwise_orthogonality,
    specificity_loss,
)
from harness_ramer.config import RamerPublicConfig
from harness_ramer.contrast import Contrast
from harness_ramer.embedding import UniModalEmbedding
from harness_ramer.losses import (
    Objective,
    classification_loss,
    probabilities,
    reconstruction_error,
)
from harness_ramer.reconstruction import Reconstruction, ReconstructionNetwork
from harness_ramer.scorers import LabelScorer, SlotClassifier


@dataclass(frozen=True)
class PublicFeatures:
    """One forward pass; [B, M, L, d]. ``final`` is X_gamma, or what an ablation leaves of it."""

    alpha: Tensor
    reconstruction: Reconstruction
    final: Tensor
    specificity: Tensor
    commonality: Tensor


class RamerPublic(ModelPlugin):
    """The authors' code for any ordered set of modalities; personality tokens where there are any.

    Missing modalities are known to the masks only: one without any token gives X_alpha = 0.
    """

    Config = RamerPublicConfig
    config: RamerPublicConfig
    needs_nonempty_mask = False

    def __init__(self, config: RamerPublicConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        off = config.off()
        count, labels, hidden = len(task.modalities), task.num_labels, config.hidden_size
        self.off = off
        self.reconstructing = "w/o-rec" not in off
        personality = task.personality_dim > 0 and "w/o-personality" not in off
        self.embedding = UniModalEmbedding(config, task, personality=personality)
        self.reconstruction = ReconstructionNetwork(
            count,
            labels,
            hidden,
            config.projection_size,
            config.prototype_momentum,
            codec="w/o-codec" not in off,
            level1="w/o-Xbeta" not in off,
            level2="w/o-Xgamma" not in off,
        )
        self.contrast: Contrast | None = None
        if self.reconstructing and "w/o-Lscl" not in off:
            self.contrast = Contrast(
                self.reconstruction.projection,
                config.queue_size,
                config.temperature,
                config.contrast_block,
            )
        self.specificity = Specificity(count, hidden, config.specificity_dropout)
        self.generator = Generator(hidden, config.commonality_dropout)
        self.discriminator = Discriminator(count, hidden, config.discriminator_dropout)
        self.common_classifier = nn.Linear(hidden, labels)
        self.scorer = LabelScorer(count, labels, hidden)
        self.aggregator = SlotClassifier(labels, hidden)

    def features(self, batch: Batch) -> PublicFeatures:
        """Return one forward pass; prototypes are soft in training, hard otherwise."""
        alpha = self.embedding(batch)
        hard = not self.training and self.config.inference_prototypes == "hard"
        rec: Reconstruction = self.reconstruction(alpha, None, hard=hard)
        final = rec.gamma if rec.gamma is not None else rec.beta
        if final is None:
            final = alpha
        return PublicFeatures(alpha, rec, final, self.specificity(alpha), self.generator(final))

    def objective(self, f: PublicFeatures, labels: Tensor) -> Objective:
        """Return the published total; writes the queue, then moves the prototypes."""
        config, kind, rec, total = self.config, self.task.label_kind, f.reconstruction, Objective()
        self._separate(total, f, labels)
        if self.reconstructing:
            for name, weight, level in (
                ("clf_alpha", config.alpha_weight, f.alpha),
                ("clf_beta", config.beta_weight, rec.beta),
                ("clf_gamma", config.gamma_weight, rec.gamma),
            ):
                if level is not None:
                    logits, _ = self.scorer(level)
                    total.add(name, weight, classification_loss(logits, labels, kind))
            decoded = None if "w/o-codec" in self.off else rec.decoded
            for name, weight, level in (
                ("mse_recon", config.recon_mse_weight, decoded),
                ("mse_beta", config.beta_mse_weight, rec.beta),
                ("mse_gamma", config.gamma_mse_weight, rec.gamma),
            ):
                if level is not None:
                    total.add(name, weight, reconstruction_error(f.alpha, level, None, "mse"))
        if self.contrast is not None:
            levels = [rec.latent]
            levels += [
                self.reconstruction.encode(x) for x in (rec.beta, rec.gamma) if x is not None
            ]
            total.add("contrastive", config.contrastive_weight, self.contrast(levels, labels))
        self.reconstruction.update(rec.latent, labels, None)
        logits = self.aggregator(f.final)
        targets = labels[:, None, :].expand_as(logits)
        total.add("shuffle", config.shuffle_weight, classification_loss(logits, targets, kind))
        return total

    def _separate(self, total: Objective, f: PublicFeatures, labels: Tensor) -> None:
        config, off = self.config, self.off
        common, specific = "w/o-C" not in off, "w/o-S" not in off
        if not off & {"w/o-Lsc", "w/o-adv"}:
            if specific:
                loss = specificity_loss(self.discriminator, f.specificity)
                total.add("adversarial_specific", config.adversarial_weight, loss)
            if common:
                loss = commonality_loss(self.discriminator, f.commonality)
                total.add("adversarial_common", config.adversarial_weight, loss)
        if not off & {"w/o-Lorth", "w/o-adv"} and specific:
            loss = pairwise_orthogonality(f.specificity)
            total.add("orthogonality_specific", config.orthogonality_weight, loss)
            if common:
                loss = orthogonality_loss(f.commonality, f.specificity)
                total.add("orthogonality", config.orthogonality_weight, loss)
        if common and "w/o-Lcml" not in off:
            # Label slot 0 stands for all labels: a left-over of TAILOR's time axis.
            logits = self.common_classifier(f.commonality.sum(dim=1)[:, 0])
            logits = F.dropout(logits, config.cml_dropout, self.training)
            loss = classification_loss(logits, labels, self.task.label_kind)
            total.add("common_semantic", config.commonality_weight, loss)

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        """Return the published total loss."""
        objective = self.objective(self.features(batch), batch.targets)
        return StepOutput(objective.total, objective.terms)

    def predict_step(self, batch: Batch) -> Tensor:
        """Return the mean of the max-pooled scorer and of the aggregator over the modalities."""
        f = self.features(batch)
        kind = self.task.label_kind
        pooled = probabilities(self.scorer(f.final)[0].float(), kind)
        aggregated = probabilities(self.aggregator(f.final).float(), kind).mean(dim=1)
        return 0.5 * (aggregated + pooled)

    def analysis(self, batch: Batch) -> dict[str, Tensor]:
        """Return the same keys as the paper variant, in the authors' shapes."""
        f = self.features(batch)
        specificity, commonality = f.specificity.transpose(1, 2), f.commonality.transpose(1, 2)
        out = {
            "available": batch.present,
            "specificity": specificity,
            "commonality": commonality,
            "embeddings": torch.stack([specificity, commonality], dim=3),
        }
        levels = (f.alpha, f.reconstruction.beta, f.reconstruction.gamma)
        for name, level in zip(("alpha", "beta", "gamma"), levels, strict=True):
            if level is not None:
                out[f"X_{name}"] = level.transpose(1, 2)
                out[f"winner_{name}"] = self.scorer(level)[1]
        return out
