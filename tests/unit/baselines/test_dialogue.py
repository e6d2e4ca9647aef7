"""DialogueGCN and DialogueCRN against literal transcriptions of their equations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from harness_baselines.dialogue import Dialogue, nodes_of
from harness_baselines.dialogue_graph import relations, window
from harness_baselines.dialoguecrn import (
    ContextualReasoning,
    DialogueCrnConfig,
    Reasoner,
    focal_loss,
)
from harness_baselines.dialoguegcn import DialogueGcn, DialogueGcnConfig, DialogueGraph
from tests.unit.baselines import grids


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def made_dialogue() -> Dialogue:
    """Return the utterances of the made grids: several in one segment, some people silent."""
    grid = grids.made_batch().grid
    assert grid is not None
    return nodes_of(grid, "active").dialogue


def graph(**options: Any) -> DialogueGraph:
    torch.manual_seed(0)
    small: dict[str, Any] = {"hidden": 3, "graph_hidden": 4, "bases": 3, "speakers": 4}
    config = DialogueGcnConfig(**(small | {"window_past": 1, "window_future": 2} | options))
    return DialogueGraph(config, 5, 6).double().eval()


@pytest.mark.parametrize("direction", ["code", "paper"])
def test_graph_equals_loops_over_edges(direction: Any) -> None:
    network, dialogue = graph(direction=direction), made_dialogue()
    c = network.config
    h = torch.randn(*dialogue.real.shape, 6, dtype=torch.float64)
    first, second = network.graph(h, dialogue)
    weight = torch.einsum("rb,bio->rio", network.conv1.att, network.conv1.basis)
    for b, length in enumerate(dialogue.lengths.tolist()):
        segment, speaker = dialogue.segment[b].tolist(), dialogue.speaker[b].tolist()
        near = [
            [k for k in range(length) if -c.window_past <= segment[k] - segment[j] <= 2]
            for j in range(length)
        ]
        own, low = [h[b, k] for k in range(length)], []
        alpha = []
        for j in range(length):
            scores = torch.stack([own[j] @ network.edges.weight @ own[k] for k in near[j]])
            alpha.append(dict(zip(near[j], scores.softmax(0), strict=True)))
        edges = [(j, k) for j in range(length) for k in near[j]]
        for node in range(length):
            total = own[node] @ network.conv1.root + network.conv1.bias
            for j, k in edges:
                r = 2 * (speaker[j] * c.speakers + speaker[k]) + (segment[j] >= segment[k])
                source, target = (j, k) if direction == "code" else (k, j)
                if target == node:
                    total = total + alpha[j][k] * (own[source] @ weight[r])
            low.append(total)
        torch.testing.assert_close(first[b, :length], torch.stack(low))
        for node in range(length):
            total = network.conv2.lin(low[node])
            for j, k in edges:
                source, target = (j, k) if direction == "code" else (k, j)
                if target == node:
                    total = total + low[source] @ network.conv2.weight
            torch.testing.assert_close(second[b, node], total)


def test_window_and_relations_count_segments() -> None:
    dialogue = made_dialogue()
    near, relation = window(dialogue, 1, -1), relations(dialogue, 2)
    for b, length in enumerate(dialogue.lengths.tolist()):
        assert not near[b, length:].any() and not near[b, :, length:].any()
        for j in range(length):
            for k in range(length):
                gap = int(dialogue.segment[b, k] - dialogue.segment[b, j])
                assert bool(near[b, j, k]) == (gap >= -1)
                # Ids beyond the known speakers count as the last one.
                s, t = (min(int(dialogue.speaker[b, i]), 1) for i in (j, k))
                assert int(relation[b, j, k]) == 2 * (2 * s + t) + (gap <= 0)


def test_positional_edges_name_a_dialogue_that_is_too_long() -> None:
    network = graph(edge_attention="positional", max_utterances=1)
    with pytest.raises(ValueError, match="max_utterances"):
        network.edge_weights(torch.randn(6, 9, 6, dtype=torch.float64), made_dialogue())


def test_padded_reading_depends_on_the_batch_and_packed_does_not() -> None:
    dialogue = made_dialogue()
    x = torch.randn(*dialogue.real.shape, 5, dtype=torch.float64)
    x = torch.where(dialogue.real[..., None], x, 0.0)
    short = int(dialogue.lengths.argmin())
    length = int(dialogue.lengths[short])
    alone = Dialogue(
        dialogue.real[short : short + 1, :length],
        dialogue.lengths[short : short + 1],
        dialogue.speaker[short : short + 1, :length],
        dialogue.party[short : short + 1, :length],
        dialogue.segment[short : short + 1, :length],
        dialogue.parties,
    )
    for packed in (True, False):
        network = graph(packed=packed)
        found = network(x, dialogue)[short, :length]
        same = torch.allclose(network(x[short : short + 1, :length], alone)[0], found)
        assert same is packed


def reasoning(**options: Any) -> ContextualReasoning:
    torch.manual_seed(0)
    config = DialogueCrnConfig(**({"hidden": 3, "dropout": 0.0} | options))
    return ContextualReasoning(config, 5, 6).double().eval()


def test_party_stream_reads_each_party_s_own_utterances() -> None:
    network, dialogue = reasoning(), made_dialogue()
    x = torch.randn(*dialogue.real.shape, 5, dtype=torch.float64)
    states = network.party(x, dialogue)
    for b, length in enumerate(dialogue.lengths.tolist()):
        for party in range(dialogue.parties):
            own = [i for i in range(length) if int(dialogue.party[b, i]) == party]
            if own:
                alone = network.party.recurrent.rnn(x[b, own][None])[0][0]
                torch.testing.assert_close(states[b, own], alone)
        assert (states[b, length:] == 0).all()


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_reasoning_equals_loops_over_utterances(cell: Any, steps: int) -> None:
    torch.manual_seed(0)
    reasoner = Reasoner(4, steps, cell).double()
    assert len(list(reasoner.parameters())) == (4 if steps else 0)
    real = torch.tensor([[True] * 3 + [False], [True] * 4])
    memory, query = (torch.randn(2, 4, d, dtype=torch.float64) for d in (4, 8))
    found = reasoner(query, memory, real)
    for b, length in enumerate((3, 4)):
        for t in range(length):
            q, state = query[b, t], (torch.zeros(1, 4).double(), torch.zeros(1, 4).double())
            for _ in range(steps):
                assert reasoner.cell is not None
                if cell == "lstm":
                    state = reasoner.cell(q[None], state)
                else:
                    state = (reasoner.cell(q[None], state[0]), state[1])
                weights = (memory[b, :length] @ state[0][0]).softmax(0)
                q = torch.cat([state[0][0], weights @ memory[b, :length]])
            torch.testing.assert_close(found[b, t], q)


def test_only_the_utterance_asked_about_is_reasoned_on() -> None:
    """One query gives what all queries give at its place."""
    network, dialogue = reasoning(), made_dialogue()
    x = torch.randn(*dialogue.real.shape, 5, dtype=torch.float64)
    states = network.states(x, dialogue)
    every = network.read(states, states, dialogue.real)
    one = network.read(states[:, :1], states, dialogue.real)
    torch.testing.assert_close(one[:, 0], every[:, 0])


def test_focal_loss() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    labels = torch.eye(3)[[0, 2, 1, 1]]
    torch.testing.assert_close(
        focal_loss(logits, labels, 0.0, "singlelabel"), F.cross_entropy(logits, labels)
    )
    torch.testing.assert_close(
        focal_loss(logits, labels, 0.0, "multilabel"),
        F.binary_cross_entropy_with_logits(logits, labels),
    )
    p = logits.softmax(-1)[torch.arange(4), labels.argmax(1)]
    wanted = -((1 - p.detach()) ** 2 * p.log()).mean()
    found = focal_loss(logits, labels, 2.0, "singlelabel")
    torch.testing.assert_close(found, wanted)
    grads: list[Tensor] = [torch.autograd.grad(x, logits)[0] for x in (found, wanted)]
    torch.testing.assert_close(*grads)


def test_listeners_matter_and_silent_cells_only_as_nodes_of_all() -> None:
    dense, valid, *rest = grids.made_cells()
    some = next(iter(valid.values()))
    model = DialogueGcn(DialogueGcnConfig(d_e=3, hidden=3, graph_hidden=4), grids.task()).eval()
    batch = grids.batch_of(grids.sparse(dense, valid, *rest))
    scores = model.predict_step(batch)
    other = torch.arange(some.shape[1])[:, None] != rest[2][:, 0][:, None, None]
    changed = {m: torch.where(other[..., None], x + 1.0, x) for m, x in dense.items()}
    moved = model.predict_step(grids.batch_of(grids.sparse(changed, valid, *rest)))
    # Samples 1 and 3 have one person, sample 2 one segment.
    torch.testing.assert_close(moved[[1, 3]], scores[[1, 3]])
    assert not torch.allclose(moved[4], scores[4])
