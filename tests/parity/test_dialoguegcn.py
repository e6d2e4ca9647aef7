"""DialogueGCN equals both public implementations: edges, convolutions, answers, gradients."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from harness_baselines.dialogue_graph import relations
from harness_baselines.dialoguegcn import DialogueGcnConfig, DialogueGraph
from tests.parity.dialogue_golden import (
    below,
    check_gradients,
    dialogue_of,
    negative_log_likelihood,
    sizes_of,
    utterances_of,
)
from tests.parity.golden import Golden, assert_close

GOLDEN_MODEL = "dialoguegcn"
PREFIXES = {
    "lstm.": "context.rnn.",
    "rnn.rnn.": "context.rnn.",
    "att_model.": "edges.",
    "edge_att.": "edges.",
    "graph_net.conv": "conv",
    "gcn.conv": "conv",
    "graph_net.matchatt.transform.": "transform.",
    "graph_net.linear.": "linear.",
    "graph_net.smax_fc.": "output.",
    "clf.lin1.": "linear.",
    "clf.lin2.": "output.",
}


def our_name(theirs: str) -> str:
    for prefix, ours in PREFIXES.items():
        if theirs.startswith(prefix):
            return ours + theirs.removeprefix(prefix)
    raise AssertionError(f"no rule for {theirs}")


def renamed(golden: Golden, prefix: str) -> dict[str, Tensor]:
    return {our_name(k): v for k, v in below(golden, prefix).items()}


def is_bilinear(golden: Golden) -> bool:
    return "bilinear" in golden.path.stem


def build(golden: Golden, *, packed: bool) -> DialogueGraph:
    sizes, bilinear = sizes_of(golden), is_bilinear(golden)
    config = DialogueGcnConfig(
        hidden=int(sizes["g_dim"]) // 2 if bilinear else int(sizes["D_e"]),
        graph_hidden=int(sizes["h_dim" if bilinear else "graph_hidden"]),
        window_past=int(sizes["window_past"]),
        window_future=int(sizes["window_future"]),
        edge_attention="bilinear" if bilinear else "positional",
        max_utterances=int(sizes.get("max_seq_len", 0)),
        nodal_attention=not bilinear,
        speakers=int(sizes["n_speakers"]),
        dropout=0.0,
        packed=packed,
    )
    inputs = int(sizes["u_dim" if bilinear else "D_m"])
    network = DialogueGraph(config, inputs, int(sizes["n_classes"])).double()
    network.load_state_dict(renamed(golden, "param"), strict=True)
    return network


def edges(golden: Golden, real: Tensor, values: Tensor) -> Tensor:
    """Return the golden list of edges as matrices [B, L, L], in the order of ours."""
    batch, length = real.shape
    flat = real.flatten().nonzero().squeeze(1)
    source, target = flat[golden["padded.edge_index"]]
    dense = values.new_zeros(batch, length, length)
    dense[source // length, source % length, target % length] = values
    return dense


@torch.no_grad()
def test_edges_and_convolutions(golden: Golden) -> None:
    network, dialogue = build(golden, packed=is_bilinear(golden)), dialogue_of(golden)
    real = dialogue.real
    h = network.context(utterances_of(golden), dialogue.lengths)
    alpha, near = network.edge_weights(h, dialogue)
    first, second = network.graph(h, dialogue)
    if is_bilinear(golden):
        assert_close("features", h[real], golden["output.features"])
        assert_close("graph", second[real], golden["output.graph"])
        for b, length in enumerate(dialogue.lengths.tolist()):
            found = alpha[b, :length, :length]
            assert_close(f"edges of {b}", found, golden[f"output.edge_alpha.{b}"])
        return
    assert_close("lstm", h.transpose(0, 1), golden["padded.lstm"])
    assert_close("edges", alpha, edges(golden, real, golden["padded.edge_norm"]))
    relation = torch.where(near, relations(dialogue, network.config.speakers), 0)
    assert torch.equal(relation, edges(golden, real, golden["padded.edge_type"]))
    assert int(near.sum()) == golden["padded.edge_index"].shape[1]
    assert_close("conv1", first[real], golden["padded.conv1"])
    assert_close("conv2", second[real], golden["padded.conv2"])


def test_answers_loss_and_gradients(golden: Golden) -> None:
    if is_bilinear(golden):
        check_answers(golden, "output", "train.loss", "grad", packed=True)
        return
    for form in ("packed", "padded"):
        check_answers(golden, form, f"{form}.loss", f"{form}.grad", packed=form == "packed")


def check_answers(golden: Golden, form: str, loss_name: str, grads: str, *, packed: bool) -> None:
    network, dialogue = build(golden, packed=packed), dialogue_of(golden)
    logits = network(utterances_of(golden), dialogue)[dialogue.real]
    assert_close("log p", logits.log_softmax(-1), golden[f"{form}.log_prob"])
    assert_close("loss", negative_log_likelihood(logits, golden), golden[loss_name])
    if form == "packed":
        weight = golden["input.class_weight"].double()
        weighted = F.cross_entropy(logits, golden["input.labels"], weight)
        assert_close("weighted loss", weighted[None], golden["packed.loss_class_weighted"])
    loss = negative_log_likelihood(logits, golden).sum()
    check_gradients(network, loss, renamed(golden, grads))
