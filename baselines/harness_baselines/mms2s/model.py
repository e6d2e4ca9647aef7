"""MMS2S: independent encoders, a label decoder with soft modality attention, a set objective.

The authors published no code. Encoders and decoder follow the paper's abstract and its sibling
MESGN (Ju et al., ACM MM 2020), the objective Qin et al. (NAACL 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.model import FitData, ModelPlugin, StepContext, StepOutput
from harness.nn.pooling import cleared
from harness.nn.transformer import PreNormEncoder, all_matrices_xavier_
from harness.nn.windows import window_mean, window_size
from harness.specs import TaskInfo, TrainingConfig, bounded
from harness_baselines.mms2s.decoder import Decoder, Memory
from harness_baselines.mms2s.likelihood import SetLikelihood, follow, listed
from harness_baselines.mms2s.rows import Rows
from harness_baselines.mms2s.search import beam_search


@dataclass(frozen=True)
class Mms2sConfig:
    """Hyper-parameters; the preset ``reference`` has MESGN's sizes.

    Attributes:
        size: d, a multiple of ``heads``.
        inner: size of the feed-forward blocks.
        max_frames: longer modalities are averaged over windows to at most so many; 0: never.
        decoder_positions: add position codes to the labels so far.
        modality_attention: ``soft``: multi-head attention over modalities in every decoder layer;
            ``gate``: one decoder per modality, weighed at the end, as in MESGN.
        objective: ``set``: -log p(Y), after ``warmup_epochs`` epochs of ``ordered``: cross entropy
            of the labels by descending training frequency, with ``label_smoothing``.
        sequences: K, orders of a set that are summed over; all of them up to K = |Y|!.
        beam: width of the search for candidate sets.
        native_decision: scores are arranged so that the declared threshold gives the most
            probable candidate set; false: they are the labels' probabilities.
    """

    size: int = bounded(256, least=1)
    heads: int = bounded(8, least=1, divides="size")
    inner: int = bounded(1024, least=1)
    encoder_layers: int = bounded(3, least=1)
    decoder_layers: int = bounded(3, least=1)
    dropout: float = bounded(0.1, least=0, most=1)
    max_frames: int = bounded(0, least=0)
    decoder_positions: bool = True
    modality_attention: Literal["soft", "gate"] = "soft"
    objective: Literal["set", "ordered"] = "set"
    warmup_epochs: int = bounded(2, least=0)
    label_smoothing: float = bounded(0.1, least=0, below=1)
    sequences: int = bounded(24, least=1)
    beam: int = bounded(5, least=1)
    native_decision: bool = True


@dataclass(frozen=True)
class Candidates:
    """The sets a prediction weighs.

    Attributes:
        sets: bool [B, W + 1, L]; the last is the empty set.
        log_probs: float32 [B, W + 1], log p(Y | X); -inf: not a candidate (a set twice).
        sequence: int64 [B, S], the best sequence of the beam, filled up with the end symbol.
        lengths: int64 [B], its number of labels.
    """

    sets: Tensor
    log_probs: Tensor
    sequence: Tensor
    lengths: Tensor

    def best(self) -> Tensor:
        """Return the most probable set, bool [B, L]."""
        rows = torch.arange(len(self.sets), device=self.sets.device)
        return self.sets[rows, self.log_probs.argmax(1)]

    def marginals(self) -> Tensor:
        """Return each label's share of the candidates' probability, float32 [B, L] in [0, 1]."""
        weights = self.log_probs.softmax(1)
        return torch.einsum("bw,bwl->bl", weights, self.sets.to(weights.dtype)).clamp(0.0, 1.0)


class Mms2s(ModelPlugin):
    """MMS2S for any number of modalities, under any names, aligned or not.

    Single-label data: sequences of one label, whose first step is a softmax over the labels.
    """

    Config: ClassVar[type] = Mms2sConfig
    config: Mms2sConfig
    frequency_order: Tensor
    larger_sets: Tensor

    def __init__(self, config: Mms2sConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        self.encoders = nn.ModuleList(
            PreNormEncoder(
                m.dim,
                config.size,
                layers=config.encoder_layers,
                heads=config.heads,
                inner=config.inner,
                dropout=config.dropout,
            )
            for m in task.modalities
        )
        self.decoder = Decoder(
            len(task.modalities),
            task.num_labels,
            config.size,
            layers=config.decoder_layers,
            heads=config.heads,
            inner=config.inner,
            dropout=config.dropout,
            gate=config.modality_attention == "gate",
            positions=config.decoder_positions,
        )
        all_matrices_xavier_(self)
        self.likelihood = SetLikelihood(task.num_labels, config.sequences)
        self.register_buffer("frequency_order", torch.arange(task.num_labels))
        self.register_buffer("larger_sets", torch.zeros((), dtype=torch.long))
        self._warmup = 0.0

    @property
    def single(self) -> bool:
        """Return whether every sample has exactly one label."""
        return self.task.label_kind == "singlelabel"

    def setup_fit(self, data: FitData) -> None:
        """Take the labels' order by frequency, and how many sets are too large to be exact."""
        labels, device = data.labels, self.frequency_order.device
        counts = labels.sum(0)
        self.frequency_order = counts.argsort(descending=True, stable=True).to(device)
        self.larger_sets = (labels.sum(1) > self.likelihood.exact).sum().to(device)

    def configure_optimizers(
        self, training: TrainingConfig, total_steps: int
    ) -> Sequence[torch.optim.Optimizer]:
        """Return the recipe's optimiser; its rate rises linearly over the recipe's warm-up."""
        optimizers = super().configure_optimizers(training, total_steps)
        self._warmup = 0.0 if training.optimizer == "bertadam" else training.warmup
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]
        return optimizers

    def on_step_start(self, ctx: StepContext) -> None:
        """Let the learning rate rise linearly over the recipe's warm-up."""
        steps = self._warmup * ctx.total_steps
        if ctx.step > steps:
            return
        for optimizer in ctx.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * min(1.0, (ctx.step + 1) / max(1.0, steps))

    def remember(self, batch: Batch) -> Memory:
        """Encode the modalities and project them for the decoder."""
        memories, masks, usable = [], [], []
        for index, (m, encoder) in enumerate(zip(self.task.modalities, self.encoders, strict=True)):
            mask = batch.mask[m.name]
            here = batch.present[:, index] & mask.any(1)
            # A missing modality is encoded as one zero vector and then left out by `usable`.
            mask = torch.where(here[:, None], mask, False)
            window = window_size(m.max_length, self.config.max_frames)
            frames, mask = window_mean(batch.features[m.name], mask, window)
            frames = cleared(frames, mask)
            mask = (mask | ~here[:, None])[:, None, None, :]
            memories.append(encoder(frames, mask))
            masks.append(mask)
            usable.append(here)
        return self.decoder.remember(memories, masks, torch.stack(usable, dim=1))

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        """Return the mean of -log p(Y), or of the ordered sequence's cross entropy."""
        memory, sets = self.remember(batch), batch.targets > 0.5
        ordered = self.config.objective == "ordered" or ctx.epoch < self.config.warmup_epochs
        smoothing = self.config.label_smoothing if ordered else 0.0
        if self.single:
            logits = self._first_logits(memory)
            return StepOutput(F.cross_entropy(logits, batch.targets, label_smoothing=smoothing))
        owner = torch.arange(len(batch), device=sets.device)
        if not ordered:
            loss = -self.likelihood(self.decoder, memory, sets, owner).mean()
            return StepOutput(loss, {"set": loss.detach()})
        sequences = listed(sets, self.frequency_order)
        steps = follow(self.decoder, memory, owner, sequences, sets.sum(1))
        return StepOutput(steps.smoothed_loss(smoothing).mean())

    def _first_logits(self, memory: Memory) -> Tensor:
        """Return the label logits [B, L] of the first step; single-label data only needs it."""
        batch = memory.usable.shape[0]
        sample = torch.arange(batch, device=memory.usable.device)
        begin = torch.full_like(sample, self.decoder.begin)[:, None]
        logits = self.decoder(begin, Rows.of(sample, batch), memory).logits
        return logits[:, 0, : self.task.num_labels]

    def candidates(self, memory: Memory) -> Candidates:
        """Search candidate sets and compute the probability of each."""
        batch = memory.usable.shape[0]
        owner = torch.arange(batch, device=memory.usable.device)
        beams = beam_search(self.decoder, memory, owner, self.config.beam)
        sets = torch.cat([beams.members, torch.zeros_like(beams.members[:, :1])], dim=1)
        alive = F.pad(beams.log_probs > -torch.inf, (0, 1), value=True)
        same = (sets[:, :, None] == sets[:, None]).all(-1)
        earlier = torch.ones_like(same[0]).tril(-1)
        alive = alive & ~(same & earlier & alive[:, None]).any(2)
        log_probs = torch.full(alive.shape, -torch.inf, device=owner.device)
        log_probs[alive] = self.likelihood(self.decoder, memory, sets[alive], alive.nonzero()[:, 0])
        return Candidates(sets, log_probs, beams.sequences[:, 0], beams.members[:, 0].sum(1))

    def predict_step(self, batch: Batch) -> Tensor:
        """Return scores [B, L].

        With ``native_decision`` a label of the most probable set scores t + (1 - t) s and any
        other t s, where s is its marginal and t the declared threshold: the labels above t are
        exactly that set.
        """
        memory = self.remember(batch)
        if self.single:
            return self._first_logits(memory).softmax(-1)
        found = self.candidates(memory)
        marginals = found.marginals()
        if not self.config.native_decision:
            return marginals
        threshold = self.task.threshold
        chosen = threshold + (1.0 - threshold) * marginals
        return torch.where(found.best(), chosen, threshold * marginals)

    def analysis(self, batch: Batch) -> dict[str, Tensor]:
        """Return marginals, the decided set, and the modality weights behind its labels.

        ``modality_attention`` [B, L, M] is the last layer's weight at the step that produced a
        label in the beam's best sequence, mean over heads; zeros for labels not produced.
        """
        memory = self.remember(batch)
        if self.single:
            return {"marginals": self._first_logits(memory).softmax(-1)}
        found = self.candidates(memory)
        owner = torch.arange(len(batch), device=memory.usable.device)
        steps = follow(self.decoder, memory, owner, found.sequence, found.lengths)
        label = torch.arange(self.task.num_labels, device=owner.device)
        made = (steps.targets[..., None] == label) & steps.valid[..., None]
        weights = steps.weights.float().mean(2)
        return {
            "marginals": found.marginals(),
            "label_set": found.best(),
            "modality_attention": torch.einsum("bsl,bsm->blm", made.float(), weights),
        }

    def describe(self) -> dict[str, Any]:
        """Return how a set is decided and how many training sets the objective approximates."""
        if self.single:
            return {"decision": "argmax of the first step"}
        return {
            "decision": "most probable candidate set"
            if self.config.native_decision
            else "threshold on marginals",
            "exact_up_to_labels": self.likelihood.exact,
            "approximated_training_sets": int(self.larger_sets),
        }
