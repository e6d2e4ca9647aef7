"""DialogueCRN (Hu, Wei, Huai, ACL 2021): contextual reasoning over a dialogue.

One recurrent stream reads the dialogue, another each speaker's own utterances; for every utterance
an LSTM cell reasons over each stream in a few steps of attention. Equal to the authors' code to
1e-5 (``tests/parity/test_dialoguecrn.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.nn.dropout import dropout
from harness.nn.packed_recurrent import Cell, PackedRecurrent
from harness.specs import LabelKind, bounded
from harness_baselines.dialogue import Dialogue, DialogueConfig, DialogueModel, DialogueNetwork
from harness_baselines.dialogue_graph import masked_softmax


@dataclass(frozen=True)
class DialogueCrnConfig(DialogueConfig):
    """Hyper-parameters beside the reading of dialogues.

    Attributes:
        layers: of both recurrent streams.
        cell: of the streams and of the reasoning.
        situation_steps, party_steps: steps of reasoning; 0: none, and no parameters for it.
        gamma: of the focal loss; 0: cross entropy.
    """

    dropout: float = bounded(0.2, least=0, most=1)
    layers: int = bounded(1, least=1)
    cell: Cell = "lstm"
    situation_steps: int = bounded(2, least=0)
    party_steps: int = bounded(2, least=0)
    gamma: float = 1.0


class PartyStream(nn.Module):
    """Each party's utterances in their order through one shared recurrent network."""

    def __init__(self, recurrent: PackedRecurrent) -> None:
        super().__init__()
        self.recurrent = recurrent

    def forward(self, x: Tensor, dialogue: Dialogue) -> Tensor:
        """Return states [B, T, 2H] of x [B, T, d], each in its utterance's place."""
        batch, length, dim = x.shape
        parties = torch.arange(dialogue.parties, device=x.device)
        own = (dialogue.party[:, None] == parties[:, None]) & dialogue.real[:, None]
        counts = own.sum(dim=2)
        # Where padding is read, as in the public code, every party's sequence has T steps.
        width = int(counts.max()) if self.recurrent.packed else length
        # A party's own utterances first, in their order: [B, N, width] indices into T.
        order = own.to(torch.uint8).argsort(dim=2, descending=True, stable=True)[..., :width]
        taken = x.gather(1, order.flatten(1)[..., None].expand(-1, -1, dim))
        compact = taken.view(batch, dialogue.parties, width, dim)
        filled = torch.arange(width, device=x.device) < counts[..., None]
        compact = torch.where(filled[..., None], compact, 0.0)
        states = self.recurrent(compact.flatten(0, 1), counts.flatten().cpu())
        rank = (own.cumsum(dim=2) - 1).gather(1, dialogue.party[:, None]).squeeze(1)
        places = dialogue.party * width + rank.clamp(min=0)
        found = states.reshape(batch, dialogue.parties * width, -1)
        back = found.gather(1, places[..., None].expand(-1, -1, found.shape[-1]))
        return torch.where(dialogue.real[..., None], back, 0.0)


class Reasoner(nn.Module):
    """Steps of retrieval and reasoning over one stream, of 2H numbers an utterance.

    Args:
        size: 2H.
        steps: number of steps; 0: the query is the answer.
        cell: kind of the working memory.
    """

    def __init__(self, size: int, steps: int, cell: Cell) -> None:
        super().__init__()
        self.steps, self.size = steps, size
        self.cell: nn.LSTMCell | nn.GRUCell | None = None
        if steps:
            kind = nn.LSTMCell if cell == "lstm" else nn.GRUCell
            self.cell = kind(2 * size, size)

    def forward(self, query: Tensor, memory: Tensor, real: Tensor) -> Tensor:
        """Return q* after all steps, [B, Q, 4H].

        Args:
            query: [B, Q, 4H], q* before the first step.
            memory: [B, T, 2H].
            real: bool [B, T].
        """
        if self.cell is None:
            return query
        batch, count, _ = query.shape
        h = c = query.new_zeros(batch * count, self.size)
        for _ in range(self.steps):
            if isinstance(self.cell, nn.LSTMCell):
                h, c = self.cell(query.flatten(0, 1), (h, c))
            else:
                h = self.cell(query.flatten(0, 1), h)
            state = h.view(batch, count, self.size).to(memory.dtype)
            weights = masked_softmax(state @ memory.transpose(1, 2), real[:, None])
            query = torch.cat([state, weights.to(memory.dtype) @ memory], dim=-1)
        return query


class ContextualReasoning(DialogueNetwork):
    """The network: d numbers per utterance in, L logits out.

    States are [situation ; party], answers [party ; situation] after reasoning, 8H.

    Args:
        config: sizes and options.
        inputs: d.
        outputs: L.
    """

    def __init__(self, config: DialogueCrnConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        c, size = config, 2 * config.hidden
        self.config = config

        def stream() -> PackedRecurrent:
            return PackedRecurrent(inputs, c.hidden, c.layers, c.dropout, c.cell, packed=c.packed)

        self.situation = stream()
        self.party = PartyStream(stream())
        self.fc = nn.Linear(size, 2 * size)
        self.reasoners = nn.ModuleList(
            Reasoner(size, steps, c.cell) for steps in (c.situation_steps, c.party_steps)
        )
        self.output = nn.Linear(4 * size, outputs)

    def states(self, x: Tensor, dialogue: Dialogue) -> Tensor:
        """Return [situation ; party], [B, T, 4 hidden]."""
        situation = self.situation(x, dialogue.lengths)
        return torch.cat([situation, self.party(x, dialogue)], dim=-1)

    def read(self, asked: Tensor, states: Tensor, real: Tensor) -> Tensor:
        """Return what reasoning gives, [B, Q, 8 hidden]."""
        streams = zip(asked.chunk(2, -1), states.chunk(2, -1), self.reasoners, strict=True)
        situation, party = (
            reasoner(self.fc(query), memory, real) for query, memory, reasoner in streams
        )
        return torch.cat([party, situation], dim=-1).relu()

    def classify(self, answer: Tensor) -> Tensor:
        """Return logits [..., L]."""
        logits: Tensor = self.output(dropout(answer, self.config.dropout, self.training))
        return logits


def focal_loss(logits: Tensor, labels: Tensor, gamma: float, kind: LabelKind) -> Tensor:
    """Return the mean of -(1 - p)^γ log p, p the probability of what is true, detached in the
    factor; γ = 0 is cross entropy.

    Args:
        logits: [B, L].
        labels: float [B, L] in {0, 1}.
        gamma: γ.
        kind: single-label: p of the true label. Multi-label: each label's own p, averaged.
    """
    if kind == "singlelabel":
        log_p = -F.cross_entropy(logits, labels, reduction="none")
    else:
        log_p = -F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    factor = (1.0 - log_p.detach().exp()).clamp(min=0.0) ** gamma
    return -(factor * log_p).mean()


class DialogueCrn(DialogueModel):
    """DialogueCRN for grids and sequences, any modalities. A sequence has one party."""

    Config: ClassVar[type] = DialogueCrnConfig
    config: DialogueCrnConfig

    def build(self, inputs: int) -> ContextualReasoning:
        """Return the network."""
        return ContextualReasoning(self.config, inputs, self.task.num_labels)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the focal loss."""
        return focal_loss(logits, labels, self.config.gamma, self.task.label_kind)
