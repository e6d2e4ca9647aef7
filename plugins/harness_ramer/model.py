"""RAMer, variant `paper`: the equations of Yang et al. (IJCAI 2025), sections 4.1 to 4.3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.errors import ConfigError
from harness.model import ModelPlugin, StepContext, StepOutput
from harness.nn.optim import build_optimizer
from harness.specs import TaskInfo, TrainingConfig
from harness_ramer.adversarial import (
    Discriminator,
    Generator,
    Specificity,
    commonality_loss,
    modality_loss,
    orthogonality_loss,
    pairwise_orthogonality,
    specificity_loss,
)
from harness_ramer.config import RamerConfig
from harness_ramer.contrast import Contrast
from harness_ramer.embedding import UniModalEmbedding
from harness_ramer.fusion import ProgressiveFusion, fusion_order
from harness_ramer.losses import (
    Objective,
    classification_loss,
    probabilities,
    reconstruction_error,
)
from harness_ramer.personality import PersonEmbedding
from harness_ramer.reconstruction import Reconstruction, ReconstructionNetwork
from harness_ramer.scorers import CommonalityScorer, LabelScorer, SlotClassifier
from harness_ramer.shuffle import Offsets, StackShuffle


@dataclass(frozen=True)
class Features:
    """Everything the losses and the score are made of; [B, M, L, d] unless said.

    Attributes:
        available: bool [B, M]: the sample has this modality.
        alpha: X_alpha; 0 where not available.
        reconstruction: X~, D~, X_beta, X_gamma.
        final: the last level there is: X_gamma, else X_beta, else X_alpha (D~ where missing).
        specificity: S, from X_alpha, or from ``final`` where the modality is missing; or None.
        commonality: C, from ``final``; or None.
        slots: V [B, M', L, d] in fusion order, the fused slot last; or None without S and C.
    """

    available: Tensor
    alpha: Tensor
    reconstruction: Reconstruction
    final: Tensor
    specificity: Tensor | None
    commonality: Tensor | None
    slots: Tensor | None


class Ramer(ModelPlugin):
    """Reconstruction-based adversarial model for any ordered set of modalities.

    On grids, and on sequences with personality, X_alpha is `PersonEmbedding`'s.

    A modality is missing for a sample where ``batch.present`` is false or no frame is left (on a
    grid: where nobody has it). It gives no X_alpha (S comes from its reconstruction, it cannot
    win the alpha scorer), is no target of L_rec, moves no prototype, and its Z_alpha enters
    neither the contrast nor the queue; L_S skips it. Its X_beta, X_gamma and C, made from the
    others, take part everywhere.
    """

    Config = RamerConfig
    config: RamerConfig

    def __init__(self, config: RamerConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        off = config.off()
        count, labels, hidden = len(task.modalities), task.num_labels, config.hidden_size
        self.off = off
        self.adversarial = not off & {"w/o-Lsc", "w/o-adv"}
        self.reconstructing = "w/o-rec" not in off
        self.order, self.place = fusion_order(config.order(), task.modalities)
        personality = task.personality_dim > 0 and "w/o-personality" not in off
        self.embedding = (
            PersonEmbedding(config, task, personality=personality)
            if personality or task.layout == "grid"
            else UniModalEmbedding(config, task, personality=False)
        )
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
        self.specificity: Specificity | None = None
        self.generator: Generator | None = None
        self.commonality_scorer: CommonalityScorer | None = None
        self.discriminator: Discriminator | None = None
        slots = 0
        if "w/o-S" not in off:
            self.specificity = Specificity(count, hidden, config.specificity_dropout)
            slots += count
        if "w/o-C" not in off:
            self.generator = Generator(hidden, config.commonality_dropout)
            slots += 1
            if "w/o-Lcml" not in off:
                self.commonality_scorer = CommonalityScorer(labels, hidden)
        if self.adversarial and slots:
            self.discriminator = Discriminator(count, hidden, config.discriminator_dropout)
        self.scorer = LabelScorer(count, labels, hidden) if self.reconstructing else None
        self.fusion: ProgressiveFusion | None = None
        if slots > 1:
            self.fusion = ProgressiveFusion(hidden, config.heads, config.fusion_dropout)
        self.slot_classifier = SlotClassifier(labels, hidden) if slots else None
        if self.scorer is None and self.slot_classifier is None:
            raise ConfigError("w/o-C, w/o-S and w/o-rec together leave nothing that classifies.")
        self.shuffle = StackShuffle(config.sample_stacks, config.slot_stacks, config.shuffle_passes)
        if config.adversarial == "alternating" and self.discriminator is not None:
            # The contract declares a class variable; here it is a choice of the configuration.
            self.automatic_optimization = False  # type: ignore[misc]

    def features(self, batch: Batch) -> Features:
        """Return everything the losses and the score are made of."""
        available = self.embedding.available(batch)
        has = available[:, :, None, None]
        alpha = torch.where(has, self.embedding(batch), 0.0)
        hard = not self.training and self.config.inference_prototypes == "hard"
        rec: Reconstruction = self.reconstruction(alpha, available, hard=hard)
        final = rec.gamma if rec.gamma is not None else rec.beta
        if final is None:
            final = torch.where(has, alpha, rec.intrinsic)
        specificity = commonality = None
        if self.specificity is not None:
            specificity = self.specificity(torch.where(has, alpha, final))
        if self.generator is not None:
            commonality = self.generator(final)
        slots = self.stack(specificity, commonality)
        return Features(available, alpha, rec, final, specificity, commonality, slots)

    def stack(self, specificity: Tensor | None, commonality: Tensor | None) -> Tensor | None:
        """Return V: S^m in fusion order, C = sum_m C^m at its place, then the fused slot."""
        slots: list[Tensor] = []
        if specificity is not None:
            slots = [specificity[:, m] for m in self.order]
        if commonality is not None:
            slots.insert(self.place if slots else 0, commonality.sum(dim=1))
        if not slots:
            return None
        stack = torch.stack(slots, dim=1)
        if self.fusion is None:
            return stack
        return torch.cat([stack, self.fusion(stack)[:, None]], dim=1)

    def objective(self, f: Features, labels: Tensor, offsets: Offsets | None) -> Objective:
        """Return eq. 13 of a batch; ``offsets`` of the shuffle, None: unshuffled slots.

        Writes the batch into the queue and moves the prototypes, after their use.
        """
        config, total = self.config, Objective()
        if f.slots is not None:
            self._classify_slots(total, f.slots, labels, offsets)
        if self.reconstructing:
            self._classify_levels(total, f, labels)
            self._reconstruct(total, f)
        if self.contrast is not None:
            levels, keep = [f.reconstruction.latent], [f.available]
            for level in (f.reconstruction.beta, f.reconstruction.gamma):
                if level is not None:
                    levels.append(self.reconstruction.encode(level))
                    keep.append(torch.ones_like(f.available))
            contrastive = self.contrast(levels, labels, keep)
            total.add("contrastive", config.contrastive_weight, contrastive)
        self.reconstruction.update(f.reconstruction.latent, labels, f.available)
        self._separate(total, f, labels)
        return total

    def _classify_slots(
        self, total: Objective, slots: Tensor, labels: Tensor, offsets: Offsets | None
    ) -> None:
        kind, config = self.task.label_kind, self.config
        classifier = self.slot_classifier
        assert classifier is not None
        unshuffled = labels[:, None, :].expand(slots.shape[:3])
        if offsets is None:
            targets, stack = unshuffled, slots
        else:
            stack, targets = self.shuffle.apply(slots, labels, offsets)
        term = classification_loss(classifier(stack), targets, kind)
        total.add("shuffle", config.shuffle_weight, term)
        if config.total_aug_clf_weight:
            term = classification_loss(classifier(slots), unshuffled, kind)
            total.add("unshuffled", config.total_aug_clf_weight, term)

    def _classify_levels(self, total: Objective, f: Features, labels: Tensor) -> None:
        config, rec = self.config, f.reconstruction
        levels: Sequence[tuple[str, float, Tensor | None, Tensor | None]] = (
            ("clf_alpha", config.alpha_weight, f.alpha, f.available),
            ("clf_beta", config.beta_weight, rec.beta, None),
            ("clf_gamma", config.gamma_weight, rec.gamma, None),
            ("clf_recon", config.recon_clf_weight, rec.decoded, f.available),
        )
        assert self.scorer is not None
        for name, weight, level, available in levels:
            if level is None or (name == "clf_recon" and not weight):
                continue
            logits, _ = self.scorer(level, available)
            total.add(name, weight, classification_loss(logits, labels, self.task.label_kind))

    def _reconstruct(self, total: Objective, f: Features) -> None:
        config, rec = self.config, f.reconstruction
        decoded = None if "w/o-codec" in self.off else rec.decoded
        for name, weight, output in (
            ("mse_recon", config.recon_mse_weight, decoded),
            ("mse_beta", config.beta_mse_weight, rec.beta),
            ("mse_gamma", config.gamma_mse_weight, rec.gamma),
        ):
            if output is not None:
                error = reconstruction_error(f.alpha, output, f.available, config.norm)
                total.add(name, config.reconstruction_weight * weight, error)

    def _separate(self, total: Objective, f: Features, labels: Tensor) -> None:
        config, discriminator = self.config, self.discriminator
        s, c = f.specificity, f.commonality
        if discriminator is not None and c is not None:
            loss = commonality_loss(discriminator, c)
            total.add("adversarial_common", config.adversarial_weight, loss)
        if discriminator is not None and s is not None:
            loss = specificity_loss(discriminator, s, f.available)
            total.add("adversarial_specific", config.adversarial_weight, loss)
        if not self.off & {"w/o-Lorth", "w/o-adv"} and s is not None:
            if c is not None:
                loss = orthogonality_loss(c, s)
                total.add("orthogonality", config.orthogonality_weight, loss)
            if config.specificity_orthogonality:
                loss = pairwise_orthogonality(s)
                total.add("orthogonality_specific", config.orthogonality_weight, loss)
        if self.commonality_scorer is not None and c is not None:
            by_modality = self.commonality_scorer(c).unbind(1)
            kind = self.task.label_kind
            terms = [classification_loss(logits, labels, kind) for logits in by_modality]
            total.add("common_semantic", config.commonality_weight, torch.stack(terms).sum())

    def draw(self, f: Features, generator: torch.Generator) -> Offsets | None:
        """Return the shuffle's offsets for a batch, or None where it is off."""
        if f.slots is None or "w/o-shuffle" in self.off:
            return None
        batch, slots, labels, _ = f.slots.shape
        return Offsets.draw(batch, slots, labels, generator)

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        """Return eq. 13; with alternating optimisation D takes its step first."""
        if not self.automatic_optimization:
            return self._alternating_step(batch, ctx)
        f = self.features(batch)
        objective = self.objective(f, batch.targets, self.draw(f, ctx.generator))
        return StepOutput(objective.total, objective.terms)

    def _alternating_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        discriminator = self.discriminator
        assert discriminator is not None
        with ctx.autocast():
            f = self.features(batch)
            told = []
            if f.specificity is not None:
                told.append(specificity_loss(discriminator, f.specificity.detach(), f.available))
            if f.commonality is not None:
                told.append(modality_loss(discriminator(f.commonality.detach())).sum())
        ctx.zero_grad()
        ctx.backward(torch.stack(told).sum())
        ctx.clip()
        ctx.step_optimizer(1)
        discriminator.requires_grad_(False)
        with ctx.autocast():
            objective = self.objective(f, batch.targets, self.draw(f, ctx.generator))
        ctx.zero_grad()
        ctx.backward(objective.total)
        discriminator.requires_grad_(True)
        ctx.clip()
        ctx.step_optimizer(0)
        return StepOutput(objective.total.detach(), objective.terms)

    def configure_optimizers(
        self, training: TrainingConfig, total_steps: int
    ) -> Sequence[torch.optim.Optimizer]:
        """Return one optimiser; with alternating optimisation a second one, for D."""
        if self.automatic_optimization or self.discriminator is None:
            return super().configure_optimizers(training, total_steps)
        self.discriminator.requires_grad_(False)
        rest = build_optimizer(self, training, total_steps)
        self.discriminator.requires_grad_(True)
        return [rest, build_optimizer(self.discriminator, training, total_steps)]

    def predict_step(self, batch: Batch) -> Tensor:
        """Return the mean of the max-pooled scorer on the last level and of c_zeta's slots.

        A half that the ablations leave untrained (no slots; no L_lsr) is left out.
        """
        f = self.features(batch)
        kind, halves = self.task.label_kind, []
        if self.scorer is not None:
            halves.append(probabilities(self.scorer(f.final)[0].float(), kind))
        if self.slot_classifier is not None and f.slots is not None:
            halves.append(probabilities(self.slot_classifier(f.slots).float(), kind).mean(dim=1))
        return torch.stack(halves).mean(dim=0)

    def analysis(self, batch: Batch) -> dict[str, Tensor]:
        """Return what figures 3 and 4 are drawn from; the keys of what is ablated are absent.

        ``embeddings`` [B, L, M, 2, d] (S, then C), ``specificity``, ``commonality``, ``X_alpha``,
        ``X_beta``, ``X_gamma`` [B, L, M, d], ``available`` [B, M], and ``winner_alpha``,
        ``winner_beta``, ``winner_gamma`` [B, L]: the modality (task order) that wins a label.
        """
        f = self.features(batch)
        levels: dict[str, Tensor | None] = {
            "alpha": f.alpha,
            "beta": f.reconstruction.beta,
            "gamma": f.reconstruction.gamma,
        }
        out = {"available": f.available}
        for name, level in levels.items():
            if level is None:
                continue
            out[f"X_{name}"] = level.transpose(1, 2)
            if self.scorer is not None:
                allowed = f.available if name == "alpha" else None
                out[f"winner_{name}"] = self.scorer(level, allowed)[1]
        for name, part in (("specificity", f.specificity), ("commonality", f.commonality)):
            if part is not None:
                out[name] = part.transpose(1, 2)
        if f.specificity is not None and f.commonality is not None:
            out["embeddings"] = torch.stack([out["specificity"], out["commonality"]], dim=3)
        return out
