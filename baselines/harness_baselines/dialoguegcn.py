"""DialogueGCN (Ghosal et al., EMNLP 2019): a graph between the utterances of a dialogue.

A BiLSTM reads the dialogue; edges between near utterances carry who spoke to whom, and when. Both
public implementations are matched to 1e-5 (``tests/parity/test_dialoguegcn.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from harness.nn.dropout import dropout
from harness.nn.packed_recurrent import PackedRecurrent
from harness.specs import bounded
from harness_baselines.dialogue import Dialogue, DialogueConfig, DialogueModel, DialogueNetwork
from harness_baselines.dialogue_graph import (
    BilinearEdges,
    GraphConvolution,
    PositionalEdges,
    RelationalConvolution,
    masked_softmax,
    relations,
    window,
)


@dataclass(frozen=True)
class DialogueGcnConfig(DialogueConfig):
    """Hyper-parameters beside the reading of dialogues.

    Attributes:
        layers: of the recurrent network.
        graph_hidden: H, size of the convolutions and of the last layer.
        window_past, window_future: neighbours, in segments; -1: all.
        edge_attention: ``bilinear``: the paper's. ``positional``: the authors' code's, for at most
            ``max_utterances``.
        direction: ``code``: both public codes send a vertex's weights out, to its neighbours.
            ``paper``: a vertex gathers from its neighbours.
        nodal_attention: each answer attends to the whole dialogue.
        speakers: how many character ids are told apart; larger ones count as the last.
    """

    layers: int = bounded(2, least=1)
    graph_hidden: int = bounded(100, least=1)
    window_past: int = bounded(10, least=0)
    window_future: int = bounded(10, least=0)
    edge_attention: Literal["bilinear", "positional"] = "bilinear"
    max_utterances: int = bounded(110, least=1)
    direction: Literal["code", "paper"] = "code"
    nodal_attention: bool = True
    speakers: int = bounded(8, least=1)
    bases: int = bounded(30, least=1)


class DialogueGraph(DialogueNetwork):
    """The network: d numbers per utterance in, L logits out.

    States are [h ; g], the recurrent and the graph's.

    Args:
        config: sizes and options.
        inputs: d.
        outputs: L.
    """

    def __init__(self, config: DialogueGcnConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        c, size = config, 2 * config.hidden
        self.config = config
        self.context = PackedRecurrent(inputs, c.hidden, c.layers, c.dropout, packed=c.packed)
        self.edges: BilinearEdges | PositionalEdges
        if c.edge_attention == "bilinear":
            self.edges = BilinearEdges(size)
        else:
            self.edges = PositionalEdges(size, c.max_utterances)
        self.conv1 = RelationalConvolution(size, c.graph_hidden, 2 * c.speakers**2, c.bases)
        self.conv2 = GraphConvolution(c.graph_hidden)
        both = size + c.graph_hidden
        self.transform = nn.Linear(both, both) if c.nodal_attention else None
        self.linear = nn.Linear(both, c.graph_hidden)
        self.output = nn.Linear(c.graph_hidden, outputs)

    def edge_weights(self, h: Tensor, dialogue: Dialogue) -> tuple[Tensor, Tensor]:
        """Return α and the window, [B, T, T] each: row vertex, column neighbour."""
        near = window(dialogue, self.config.window_past, self.config.window_future)
        return self.edges(h, near), near

    def graph(self, h: Tensor, dialogue: Dialogue) -> tuple[Tensor, Tensor]:
        """Return both convolutions, [B, T, H] each, of context states h [B, T, 2 hidden]."""
        alpha, near = self.edge_weights(h, dialogue)
        relation = relations(dialogue, self.config.speakers)
        if self.config.direction == "paper":
            alpha, near, relation = (x.transpose(1, 2) for x in (alpha, near, relation))
        first = self.conv1(h, alpha, relation)
        return first, self.conv2(first, near)

    def states(self, x: Tensor, dialogue: Dialogue) -> Tensor:
        """Return [h ; g], [B, T, 2 hidden + H]."""
        h = self.context(x, dialogue.lengths)
        return torch.cat([h, self.graph(h, dialogue)[1]], dim=-1)

    def read(self, asked: Tensor, states: Tensor, real: Tensor) -> Tensor:
        """Return nodal attention's answers [B, Q, e], or the states asked about."""
        if self.transform is None:
            return asked
        scores = (self.transform(asked) @ states.transpose(1, 2)).tanh()
        weights = masked_softmax(scores, real[:, None])
        return weights.to(states.dtype) @ states

    def classify(self, answer: Tensor) -> Tensor:
        """Return logits [..., L]."""
        hidden = dropout(self.linear(answer).relu(), self.config.dropout, self.training)
        logits: Tensor = self.output(hidden)
        return logits


class DialogueGcn(DialogueModel):
    """DialogueGCN for grids and sequences, any modalities."""

    Config: ClassVar[type] = DialogueGcnConfig
    config: DialogueGcnConfig

    def build(self, inputs: int) -> DialogueGraph:
        """Return the network."""
        return DialogueGraph(self.config, inputs, self.task.num_labels)
