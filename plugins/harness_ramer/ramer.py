"""RAMer: the equations of Yang et al. (IJCAI 2025), in the order of the paper's section 4.

Shapes: B samples, M modalities, T positions, L labels, H hidden size, P projection size, K slots.
The paper's zeta labels are L; from 4.1's label attention on, every tensor has a label axis.
`grid` has grids of persons and segments, `missing` what a sample without a modality does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.model import Encoded, StepContext
from harness.nn.codec import Codec, IdentityCodec
from harness.nn.contrastive import LabelContrast
from harness.nn.dropout import Dropout
from harness.nn.encoder import ModalityEncoder
from harness.nn.gradient_reversal import reverse_gradient
from harness.nn.init import xavier_linear
from harness.nn.label_attention import LabelAttention
from harness.nn.objective import Objective
from harness.nn.per_modality import PerModality
from harness.nn.prototypes import Prototypes
from harness.nn.scorers import LabelScorer, SharedLabelScorer, slot_classifier
from harness.nn.task_loss import task_loss, task_scores
from harness.specs import TaskInfo
from harness_ramer.analysis import Inspected, shown
from harness_ramer.config import LEVELS, RamerConfig, SharedConfig, fusion_order
from harness_ramer.fusion import NoSlots, ProgressiveFusion, unshuffled
from harness_ramer.grid import PersonEmbedding
from harness_ramer.missing import NORMS, borrow, distance, masked_mean, positions_left, stand_in

# 4.1 Auxiliary uni-modal embedding


class UniModalEmbedding(nn.Module):
    """X_alpha: each modality through its own transformer, pooled by one learned query a label."""

    def __init__(self, config: SharedConfig, task: TaskInfo) -> None:
        super().__init__()
        self.names = tuple(m.name for m in task.modalities)
        self.encoders = nn.ModuleList(
            ModalityEncoder(m.dim, **config.encoder(m.name, m.max_length)) for m in task.modalities
        )
        self.attention = nn.ModuleList(
            LabelAttention(config.hidden_size, task.num_labels) for _ in task.modalities
        )

    def positions(self, batch: Batch) -> Tensor:
        """Return how many positions the label queries choose from, int64 [B, M]; 0: missing."""
        return positions_left(batch, self.names)

    def forward(self, batch: Batch) -> Tensor:
        """Return X_alpha [B, M, L, H]; zero where a modality has no position."""
        pairs = zip(self.attention, self.tokens(batch), strict=True)
        return torch.stack([pool(tokens, mask)[0] for pool, (tokens, mask) in pairs], dim=1)

    def tokens(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """Return each modality's encoded positions [B, T, H] and their mask, bool [B, T]."""
        pairs = zip(self.encoders, self.names, strict=True)
        return [encoder(batch.features[name], batch.mask[name]) for encoder, name in pairs]


# 4.2 Reconstruction-based adversarial learning: adversarial training


def make_specificity(modalities: int, hidden: int, dropout: float) -> nn.Sequential:
    """Return f_m: S^m = tanh(Linear_m(X_alpha^m)), [B, M, L, H] to the same."""
    linears = PerModality(nn.Linear(hidden, hidden) for _ in range(modalities))
    return nn.Sequential(linears, Dropout(dropout), nn.Tanh())


def make_generator(hidden: int, dropout: float) -> nn.Sequential:
    """Return G: C^m = tanh(Linear(X_gamma^m)), one for all modalities."""
    return nn.Sequential(nn.Linear(hidden, hidden), Dropout(dropout), nn.Tanh())


def make_discriminator(modalities: int, hidden: int, dropout: float) -> nn.Sequential:
    """Return D: a token [..., H] to logits [..., M] of the modality that it comes from."""
    inner, outer = nn.Linear(hidden, hidden // 2), nn.Linear(hidden // 2, modalities)
    return nn.Sequential(inner, Dropout(dropout), nn.ReLU(), outer)


def commonality_loss(discriminator: nn.Module, commonality: Tensor) -> Tensor:
    """Return L_C (eq. 1) of C [B, M, L, H]; behind the gradient reversal G hides the modality."""
    everywhere = commonality.new_ones(commonality.shape[:2], dtype=torch.bool)
    return specificity_loss(discriminator, reverse_gradient(commonality), everywhere)


def specificity_loss(discriminator: nn.Module, specificity: Tensor, available: Tensor) -> Tensor:
    """Return L_S (eq. 2): the sum over m of the mean cross entropy of telling m from S^m.

    Args:
        discriminator: D.
        specificity: S, float [B, M, L, H].
        available: bool [B, M]; S of a missing modality is not judged.
    """
    logits = discriminator(specificity)
    truth = torch.arange(logits.shape[1], device=logits.device)[:, None].expand(logits.shape[:3])
    tokens = F.cross_entropy(logits.movedim(-1, 1), truth, reduction="none")
    return masked_mean(tokens.mean(dim=2), available).sum()


def orthogonality_loss(commonality: Tensor, specificity: Tensor) -> Tensor:
    """Return L_orth (eq. 4): the mean over samples of sum_m |C^m (S^m)^T|_F^2, to be minimised."""
    overlap = commonality @ specificity.transpose(2, 3)
    return overlap.square().sum(dim=(2, 3)).mean(dim=0).sum()


# 4.2 Multi-modal feature reconstruction


@dataclass(frozen=True)
class Reconstruction:
    """What the network makes of X_alpha.

    Attributes:
        latent: Z_alpha [B, M, L, P].
        decoded: X~_alpha [B, M, L, H].
        mixed: delta [B, M, L, P] (eq. 9).
        intrinsic: D~ [B, M, L, H] (eq. 10).
        levels: X_alpha, X_beta and X_gamma [B, M, L, H] under ``alpha``, ``beta``, ``gamma``;
            without those that are ablated.
        final: the last level; where it is X_alpha, D~ for a missing modality.
    """

    latent: Tensor
    decoded: Tensor
    mixed: Tensor
    intrinsic: Tensor
    levels: dict[str, Tensor]
    final: Tensor


class ReconstructionNetwork(nn.Module):
    """Encoders eps^m, decoders d^m, prototypes mu^m, and g_m in two levels."""

    def __init__(self, config: SharedConfig, modalities: int, labels: int, *, hard: bool) -> None:
        super().__init__()
        off, hidden, width = config.off(), config.hidden_size, config.projection_size
        coded, momentum = "w/o-codec" not in off, config.prototype_momentum
        self.hard, self.projection = hard, width if coded else hidden
        each = range(modalities)
        self.codecs = PerModality(Codec(hidden, width) if coded else IdentityCodec() for _ in each)
        self.prototypes = PerModality(Prototypes(labels, self.projection, momentum) for _ in each)
        self.combiners = PerModality(xavier_linear(modalities * hidden, hidden) for _ in each)
        levels = {"beta": self.first_level, "gamma": self.second_level}
        self.levels = {name: g for name, g in levels.items() if f"w/o-X{name}" not in off}

    def forward(self, alpha: Tensor, available: Tensor) -> Reconstruction:
        """Reconstruct X_alpha [B, M, L, H]; ``available``, bool [B, M], says what is there."""
        hard = self.hard and not self.training
        latent = self.codecs.each("encode", alpha)
        decoded = self.codecs.each("decode", latent)
        mixed = self.prototypes.each("read", latent, hard)  # eq. 9
        mixed = stand_in(mixed, borrow(latent, self.prototypes, available, hard=hard), available)
        intrinsic = self.codecs.each("decode", mixed)  # eq. 10
        x, levels = stand_in(decoded, intrinsic, available), {"alpha": alpha}
        final = stand_in(alpha, intrinsic, available)
        for name, level in self.levels.items():
            x = final = levels[name] = level(x, intrinsic)
        return Reconstruction(latent, decoded, mixed, intrinsic, levels, final)

    def first_level(self, decoded: Tensor, intrinsic: Tensor) -> Tensor:
        """Return X_beta^m = g_m([D~^m; X~^n for the others n]) (the inner g of eq. 6)."""
        return self.combine(decoded, own=intrinsic)

    def second_level(self, beta: Tensor, _: Tensor) -> Tensor:
        """Return X_gamma^m = g_m([X_beta^1; ...; X_beta^M]) (the outer g of eq. 6)."""
        return self.combine(beta, own=beta)

    def combine(self, x: Tensor, own: Tensor) -> Tensor:
        """Return g_m of all modalities' x joined, ``own`` in the place of m; [B, M, L, H]."""
        parts, mine = x.unbind(1), own.unbind(1)
        joined = [
            g(torch.cat([*parts[:m], mine[m], *parts[m + 1 :]], dim=-1))
            for m, g in enumerate(self.combiners)
        ]
        return torch.stack(joined, dim=1)

    def update(self, latent: Tensor, labels: Tensor, available: Tensor) -> None:
        """Move the prototypes towards Z_alpha [B, M, L, P] of samples with labels [B, L]."""
        for m, prototypes in enumerate(self.prototypes):
            prototypes.update(latent[:, m], labels, available[:, m])  # type: ignore[operator]


# 4.3 Stack shuffle for feature augmentation


def stack_order(n: int, stacks: int, passes: int) -> Tensor:
    """Return sigma_n, the item that each place takes after the stack shuffle, int64 [n].

    In a pass the items are cut into k contiguous stacks, the first n mod k one longer, whose tops
    are popped in turn and appended. In closed form place p takes item
    (p mod k) * floor(n / k) + min(p mod k, n mod k) + floor(p / k).
    """
    order = torch.arange(n)
    column, row = order % stacks, order // stacks
    step = column * (n // stacks) + column.clamp(max=n % stacks) + row
    for _ in range(passes):
        order = order[step]
    return order


@dataclass(frozen=True)
class StackShuffle:
    """Sample-wise, then modality-wise stack shuffle of V (eq. 12), each column on its own.

    With one order for all labels rows would only be renamed, so every column enters the order at
    an offset: o [K, L] of the samples, r [B, L] of the slots.
    """

    sample_stacks: int = 4
    slot_stacks: int = 3
    passes: int = 2

    def indices(self, o: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sample and the slot that each cell comes from, each int64 [B, K, L].

        slot = sigma_K((k + r[b,l]) mod K) and sample = sigma_B((b + o[slot,l]) mod B): for each
        label they permute all B * K cells.
        """
        batch, slots = len(r), len(o)
        b, k = torch.arange(batch)[:, None, None], torch.arange(slots)[None, :, None]
        slot = stack_order(slots, self.slot_stacks, self.passes)[(k + r[:, None]) % slots]
        samples = stack_order(batch, self.sample_stacks, self.passes)[(b + o) % batch]
        return samples.gather(1, slot), slot

    def apply(self, v: Tensor, labels: Tensor, o: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """Return V' and Y' [B, K, L] of V [B, K, L, H] and Y [B, L]; a cell keeps its label."""
        sample, slot = (x.to(v.device, non_blocking=True) for x in self.indices(o, r))
        label = torch.arange(labels.shape[1], device=v.device)
        return v[sample, slot, label], labels[sample, label]

    def __call__(self, v: Tensor, labels: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return V' and Y' under uniform offsets from the training generator (CPU)."""
        batch, slots, count, _ = v.shape
        o = torch.randint(batch, (slots, count), generator=draw)
        r = torch.randint(slots, (batch, count), generator=draw)
        return self.apply(v, labels, o, r)


# Equation 13


@dataclass(frozen=True)
class Features:
    """What the losses and the scores are made of.

    Attributes:
        rec: the levels X_alpha, X_beta, X_gamma and what they come from.
        usable: bool [B, M] for each level: of X_alpha the modalities that the sample has.
        contrasted: the same for eq. 11: of X_alpha those with a choice of positions.
        specificity: S [B, M, L, H], from X_alpha, for a missing modality from the last level.
        commonality: C [B, M, L, H], from the last level.
        slots: V [B, K, L, H]: S^m in the order of fusion, the sum of the C^m, the fused slot.
    """

    rec: Reconstruction
    usable: dict[str, Tensor]
    contrasted: dict[str, Tensor]
    specificity: Tensor
    commonality: Tensor
    slots: Tensor


class Ramer(Inspected):
    """RAMer for any ordered set of modalities."""

    Config = RamerConfig
    config: RamerConfig
    needs_nonempty_mask = False

    def __init__(self, config: RamerConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        count, labels, hidden = len(task.modalities), task.num_labels, config.hidden_size
        off, rate = config.off(), config.head_dropout
        self.weights, self.norm = config.weights(), NORMS[config.norm]
        persons = task.cells or config.uses_personality(task)
        self.embedding = (PersonEmbedding if persons else UniModalEmbedding)(config, task)
        # A sequence with personality asks about its last position, that of all modalities.
        self.shares_encodings = task.cells or not persons
        hard = config.inference_prototypes == "hard"
        self.reconstruction = ReconstructionNetwork(config, count, labels, hard=hard)
        width = self.reconstruction.projection
        self.contrast = LabelContrast(width, config.queue_size, config.temperature)
        with_s, with_c = "w/o-S" not in off, "w/o-C" not in off
        self.specificity = make_specificity(count, hidden, rate) if with_s else NoSlots()
        self.generator = make_generator(hidden, config.commonality_dropout) if with_c else NoSlots()
        self.commonality_scorer = SharedLabelScorer(labels, hidden)
        self.discriminator = make_discriminator(count, hidden, rate)
        self.scorer = LabelScorer(count, labels, hidden)
        fused = with_s * count + with_c > 1
        self.fusion = ProgressiveFusion(hidden, config.heads, rate) if fused else nn.Identity()
        self.slot_classifier = slot_classifier(labels, hidden)
        self.order = [*fusion_order(off, task.modalities)] if with_s else []
        self.shuffle = unshuffled if "w/o-shuffle" in off else StackShuffle()
        trained = {
            self.level_logits: any(self.weights[name] for name in LEVELS),
            self.slot_logits: self.weights["shuffle"] > 0,
        }
        self.classifiers = [logits for logits, used in trained.items() if used]

    def features(self, batch: Batch) -> Features:
        """Return one forward pass up to V."""
        return self.rebuilt(self.embedding(batch), self.embedding.positions(batch))

    def rebuilt(self, alpha: Tensor, positions: Tensor) -> Features:
        """Return the features of X_alpha [B, M, L, H] and its positions, int64 [B, M]."""
        available = positions > 0
        alpha = stand_in(alpha, 0.0, available)
        rec = self.reconstruction(alpha, available)
        usable = dict.fromkeys(rec.levels, torch.ones_like(available)) | {"alpha": available}
        contrasted = usable | {"alpha": positions > 1}
        s = self.specificity(stand_in(alpha, rec.final, available))
        c = self.generator(rec.final)
        total = c.sum(dim=1, keepdim=True)[:, : c.shape[1]]  # no slot where C is ablated
        ordered = [s[:, slot : slot + 1] for slot in self.order]
        slots = self.fusion(torch.cat([*ordered, total], dim=1))
        return Features(rec, usable, contrasted, s, c, slots)

    def objective(self, f: Features, labels: Tensor, draw: torch.Generator) -> Objective:
        """Return L (eq. 13); then write into the queue and move the prototypes.

        Args:
            f: the features of a batch.
            labels: float [B, L] in {0, 1}.
            draw: generator of the shuffle's offsets (CPU).
        """
        loss, rec = Objective(self.weights), f.rec
        alpha, there = rec.levels["alpha"], f.usable["alpha"]
        loss.add("shuffle", self.shuffled_loss, f.slots, labels, draw)
        for name, level in rec.levels.items():
            loss.add(f"clf_{name}", self.level_loss, level, f.usable[name], labels)
        loss.add("rec_decoded", distance, self.norm, alpha, rec.decoded, there)
        loss.add("rec_beta", distance, self.norm, alpha, rec.levels.get("beta"), there)
        loss.add("contrastive", self.contrastive_loss, f, labels)
        self.reconstruction.update(rec.latent, labels, there)
        loss.add("adversarial_common", commonality_loss, self.discriminator, f.commonality)
        loss.add("adversarial_specific", specificity_loss, self.discriminator, f.specificity, there)
        loss.add("orthogonality", orthogonality_loss, f.commonality, f.specificity)
        loss.add("common_semantic", self.semantic_loss, f.commonality, labels)
        return loss

    def shuffled_loss(self, slots: Tensor, labels: Tensor, draw: torch.Generator) -> Tensor:
        """Return L_suf (eq. 12): c_zeta on shuffled slots [B, K, L, H]."""
        v, y = self.shuffle(slots, labels, draw)
        return F.binary_cross_entropy_with_logits(self.slot_classifier(v.flatten(2)), y)

    def level_loss(self, level: Tensor, usable: Tensor, labels: Tensor) -> Tensor:
        """Return a term of L_lsr (eq. 8) on a level [B, M, L, H]."""
        return task_loss(self.scorer(level, usable)[0], labels, self.task.label_kind)

    def contrastive_loss(self, f: Features, labels: Tensor) -> Tensor:
        """Return L_scl (eq. 11) of Z_alpha, Z_beta and Z_gamma."""
        _, *later = f.rec.levels.values()
        z = [f.rec.latent, *(self.reconstruction.codecs.each("encode", x) for x in later)]
        return self.contrast(z, labels, [*f.contrasted.values()])

    def semantic_loss(self, commonality: Tensor, labels: Tensor) -> Tensor:
        """Return L_cml (eq. 3) of C [B, M, L, H], summed over the modalities."""
        logits = self.commonality_scorer(commonality)
        targets = labels[:, None].expand_as(logits)
        return logits.shape[1] * task_loss(logits, targets, self.task.label_kind)

    def step_objective(self, batch: Batch, ctx: StepContext) -> Objective:
        """Return eq. 13 of a labelled batch."""
        return self.objective(self.features(batch), batch.targets, ctx.generator)

    def level_logits(self, f: Features) -> Tensor:
        """Return logits [B, 1, L] of the last level: every modality, reconstructed or not."""
        return self.scorer(f.rec.final, torch.ones_like(f.usable["alpha"]))[0][:, None]

    def slot_logits(self, f: Features) -> Tensor:
        """Return logits [B, K, L] of c_zeta on the slots."""
        return self.slot_classifier(f.slots.flatten(2))

    def encode(self, batch: Batch) -> Encoded:
        """Return X_alpha^m [B, L, H] and its number of positions, int64 [B]."""
        rows = self.embedding(batch).unbind(1), self.embedding.positions(batch).unbind(1)
        return dict(zip(self.embedding.names, zip(*rows, strict=True), strict=True))

    def fuse(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Return scores [B, L]: the mean of the trained classifiers, of c_zeta over its slots."""
        alpha, positions = (torch.stack(x, dim=1) for x in zip(*encoded.values(), strict=True))
        f, kind = self.rebuilt(alpha, positions), self.task.label_kind
        scores = [task_scores(logits(f), kind).mean(dim=1) for logits in self.classifiers]
        return torch.stack(scores).mean(dim=0)

    def analysis(self, batch: Batch) -> dict[str, Tensor]:
        """Return what figures 3 and 4 of the paper are drawn from (`analysis.shown`)."""
        f = self.features(batch)
        scorer = self.scorer if self.level_logits in self.classifiers else None
        return shown(f.rec.levels, f.usable, scorer, f.specificity, f.commonality)
