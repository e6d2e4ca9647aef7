"""ML-GCN's head equals the authors' code: graph, classifiers, logits, gradients, three steps."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from harness.nn.label_graph import LabelClassifiers, label_graph
from tests.parity.golden import Golden, assert_close, assert_relative

GOLDEN_MODEL = "ml-gcn"


def build(golden: Golden) -> LabelClassifiers:
    hp = golden.meta["hp"]
    head = LabelClassifiers(hp["num_labels"], hp["label_emb"], hp["gc1_out"], hp["gc2_out"])
    head.set_graph(graph_of(golden), golden["input/label_embeddings"])
    with torch.no_grad():
        head.first.copy_(golden["state/gc1.weight"])
        head.second.copy_(golden["state/gc2.weight"])
    return head


def graph_of(golden: Golden) -> torch.Tensor:
    hp = golden.meta["hp"]
    return label_graph(golden["adj/train_labels"], hp["t"], hp["p"])


def test_graph(golden: Golden) -> None:
    assert_close("A", graph_of(golden), golden["adj/A"].float())
    assert_close("A hat", build(golden).mixing, golden["adj/A_hat"].float())


@torch.no_grad()
def test_classifiers(golden: Golden) -> None:
    head = build(golden)
    assert_close("first layer", head.hidden(), golden["eval/gc1_activated"])
    assert_close("classifiers", head(), golden["eval/label_classifiers"])
    assert_close("logits", golden["input/feature"] @ head().t(), golden["eval/logits"])


def test_three_training_steps(golden: Golden) -> None:
    head, recipe, labels = build(golden), golden.meta["optimizer"], golden["input/labels"]
    feature = golden["input/feature"].clone().requires_grad_()
    optimizer = torch.optim.SGD(
        head.parameters(),
        recipe["lr"],
        momentum=recipe["momentum"],
        weight_decay=recipe["weight_decay"],
    )
    for k in range(golden.meta["steps"]):
        loss = F.binary_cross_entropy_with_logits(feature @ head().t(), labels.float())
        assert_relative(f"train{k} loss", loss, golden[f"train{k}/loss"].squeeze())
        optimizer.zero_grad()
        loss.backward()
        if k == 0:
            found = {"gc1.weight": head.first, "gc2.weight": head.second, "input.feature": feature}
            wanted = golden.under("train0/grad")
            assert wanted.keys() == found.keys()
            for name, value in wanted.items():
                grad = found[name].grad
                assert grad is not None, name
                assert_relative(name, grad, value)
        norm = torch.nn.utils.clip_grad_norm_(head.parameters(), recipe["clip_grad_norm"])
        assert_relative(f"train{k} norm", norm, golden[f"train{k}/grad_norm_before_clip"].squeeze())
        optimizer.step()
    assert_close("gc1", head.first, golden["train2/param_after/gc1.weight"])
    assert_close("gc2", head.second, golden["train2/param_after/gc2.weight"])
