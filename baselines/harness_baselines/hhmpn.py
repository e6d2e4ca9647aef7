"""HHMPN (Zhang et al., AAAI 2021): heterogeneous hierarchical message passing.

Four kinds of messages: feature to feature (a MulT stack over all modality pairs), feature to label
(one label decoder per modality, cross attention), label to label (self attention over labels that
occur together) and modality to label (weighted fusion). Equal to the authors' code to 1e-5 with
and without its quirks (``tests/parity/test_hhmpn.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.errors import ConfigError
from harness.model import FitData
from harness.nn.crossmodal import CrossModalSettings
from harness.nn.crossmodal_stack import CrossModalStack
from harness.specs import TaskInfo, TrainingConfig, bounded
from harness_baselines.hhmpn_labels import Fusion, LabelLayer, Steps, label_graph
from harness_baselines.logits_model import LogitsModel
from harness_baselines.mult import window_counts, windowed

# The authors' Adam.
BETAS = (0.9, 0.98)
# Slot -> (stream its memory comes from, head that makes it), by modality key, as released.
RELEASED = {"t": ("v", "t"), "v": ("t", "a"), "a": ("a", "v")}


@dataclass(frozen=True)
class HhmpnConfig:
    """Hyper-parameters; the defaults are the small size, the preset ``reference`` is the authors'.

    Attributes:
        size: d; a multiple of both numbers of heads.
        encoder_layers, memory_layers: of the MulT stack.
        decoder_layers: of each label decoder.
        feed_forward: inner size of the decoders' feed-forward blocks.
        attention_dropout: of the MulT stack, by the name of the source modality; others none.
        decoder_dropout: everywhere in the label decoders.
        graph_threshold: labels i, j exchange messages where N_ij / sqrt(N_i N_j) reaches it.
        zero_steps: ``mask``: label decoders skip steps whose features are all zero, the authors'
            padding rule; ``attend``: they follow the batch's mask alone.
        streams, fusion_softmax, label_to_label, tie_readout: the released code's quirks; the
            defaults are the paper's model. ``streams=released`` feeds the text slot from the
            visual stream and the visual slot from the text stream, through the wrong heads; it
            needs exactly the modalities t, v, a at one length.
        max_frames: longer streams are averaged over equal windows to at most this many steps;
            0: never, as published. For small machines.
    """

    size: int = bounded(128, least=1)
    encoder_heads: int = bounded(4, least=1, divides="size")
    encoder_layers: int = bounded(3, least=1)
    memory_layers: int = bounded(3, least=1)
    decoder_heads: int = bounded(4, least=1, divides="size")
    decoder_layers: int = bounded(2, least=1)
    feed_forward: int = bounded(128, least=1)
    embed_dropout: float = bounded(0.25, least=0, most=1)
    attention_dropout: dict[str, float] = field(default_factory=lambda: {"text": 0.1})
    memory_attention_dropout: float = bounded(0.1, least=0, most=1)
    relu_dropout: float = bounded(0.1, least=0, most=1)
    residual_dropout: float = bounded(0.1, least=0, most=1)
    decoder_dropout: float = bounded(0.2, least=0, most=1)
    causal: bool = True
    graph_threshold: float = bounded(0.2, least=0, most=1)
    zero_steps: Literal["mask", "attend"] = "mask"
    streams: Literal["straight", "released"] = "straight"
    fusion_softmax: Literal["modalities", "labels"] = "modalities"
    label_to_label: bool = True
    tie_readout: bool = False
    max_frames: int = bounded(0, least=0)


class Hhmpn(LogitsModel):
    """HHMPN for any number of modalities, under any names, aligned or not.

    Single-label data: softmax and cross entropy.
    """

    Config: ClassVar[type] = HhmpnConfig
    config: HhmpnConfig
    graph: Tensor

    def __init__(self, config: HhmpnConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        modalities, size = task.modalities, config.size
        self.routes = self._routes()
        self.inputs = nn.ModuleList(nn.Linear(m.dim, size) for m in modalities)
        self.stack = CrossModalStack(
            window_counts(modalities, config.max_frames),
            size,
            layers=config.encoder_layers,
            memory_layers=config.memory_layers,
            settings=CrossModalSettings(
                heads=config.encoder_heads,
                relu_dropout=config.relu_dropout,
                residual_dropout=config.residual_dropout,
                embed_dropout=config.embed_dropout,
                causal=config.causal,
            ),
            attention_dropout=[config.attention_dropout.get(m.name, 0.0) for m in modalities],
            memory_attention_dropout=config.memory_attention_dropout,
        )
        width = self.stack.width
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.Linear(width, size)
            )
            for _ in modalities
        )
        self.labels = nn.Parameter(torch.randn(task.num_labels, size))
        self.decoders = nn.ModuleList(
            nn.ModuleList(
                LabelLayer(
                    size,
                    config.decoder_heads,
                    config.feed_forward,
                    config.decoder_dropout,
                    label_to_label=config.label_to_label,
                )
                for _ in range(config.decoder_layers)
            )
            for _ in modalities
        )
        self.fusion = Fusion(len(modalities), size, config.fusion_softmax)
        self.readout = None if config.tie_readout else nn.Linear(size, task.num_labels, bias=False)
        every = torch.ones(task.num_labels, task.num_labels, dtype=torch.bool)
        self.register_buffer("graph", every)

    def _routes(self) -> list[tuple[int, int]]:
        """Return per slot the stream and the head its memory comes from, by index.

        Raises:
            ConfigError: the released routes do not fit the data set.
        """
        modalities = self.task.modalities
        if self.config.streams == "straight":
            return [(i, i) for i in range(len(modalities))]
        index = {m.key: i for i, m in enumerate(modalities)}
        if set(index) != set(RELEASED) or len({m.max_length for m in modalities}) > 1:
            raise ConfigError(
                f"hhmpn: streams=released needs exactly the modalities t, v, a at one length; "
                f"{self.task.dataset} has "
                + ", ".join(f"{m.key} ({m.max_length} steps)" for m in modalities)
                + ". Use streams=straight."
            )
        return [(index[RELEASED[m.key][0]], index[RELEASED[m.key][1]]) for m in modalities]

    def setup_fit(self, data: FitData) -> None:
        """Take the label graph from the training split."""
        self.graph = label_graph(data.labels, self.config.graph_threshold).to(self.graph.device)

    def configure_optimizers(
        self, training: TrainingConfig, total_steps: int
    ) -> Sequence[torch.optim.Optimizer]:
        """Return the recipe's optimiser, an Adam with the authors' betas 0.9 and 0.98."""
        optimizers = super().configure_optimizers(training, total_steps)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                if training.optimizer in ("adam", "adamw"):
                    group["betas"] = BETAS
        return optimizers

    def memories(self, batch: Batch) -> list[Tensor]:
        """Return per slot what its label decoder attends to, M tensors [B, T, d]."""
        names = [m.name for m in self.task.modalities]
        streams = [f(batch.features[n]) for f, n in zip(self.inputs, names, strict=True)]
        encoded = self.stack(streams, [None] * len(names))
        return [self.heads[head](encoded[stream]) for stream, head in self.routes]

    def memory_steps(self, batch: Batch) -> list[Steps]:
        """Return per slot the steps its label decoder attends to.

        A sample without any filled step attends evenly to what the batch's mask allows, and where
        that is nothing, to all steps. The authors' -1e6 on every step does the same.
        """
        steps = []
        for m in self.task.modalities:
            allowed = batch.mask[m.name]
            filled = allowed
            if self.config.zero_steps == "mask":
                filled = allowed & (batch.features[m.name] != 0).any(-1)
            allowed = allowed | ~allowed.any(1, keepdim=True)
            even = ~filled.any(1)
            steps.append(Steps(torch.where(even[:, None], allowed, filled), even))
        return steps

    def label_states(self, batch: Batch) -> list[Tensor]:
        """Return the label decoders' outputs, M tensors [B, L, d]."""
        states = []
        for decoder, memory, steps in zip(
            self.decoders, self.memories(batch), self.memory_steps(batch), strict=True
        ):
            z = self.labels[None]
            for layer in cast(nn.ModuleList, decoder):
                z = layer(z, memory, steps, self.graph)
            states.append(z)
        return states

    def logits(self, batch: Batch) -> Tensor:
        """Return label logits [B, L]: <F_l, U_l>, with U the label table itself where tied."""
        batch = windowed(batch, self.task.modalities, self.config.max_frames)
        weight = self.labels if self.readout is None else self.readout.weight
        logits: Tensor = (self.fusion(self.label_states(batch)) * weight).sum(-1)
        return logits

    def describe(self) -> dict[str, Any]:
        """Return the size and the label pairs that exchange no messages."""
        names, blocked = self.task.labels, (~self.graph).triu().nonzero().tolist()
        return {
            "size": self.config.size,
            "blocked_pairs": [[names[i], names[j]] for i, j in blocked],
        }
