"""Tensor fusion equals the public code: sub-networks, tensor, logits, loss and gradients."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from harness_baselines.bilstm_tfn import TensorFusionHead
from harness_baselines.tensor_fusion import tensor_fusion
from tests.parity.fusion_golden import Subnets, below, check_vectors, sizes_of, subnet_name
from tests.parity.golden import Golden, assert_close, assert_relative

GOLDEN_MODEL = "tfn"


def head_of(golden: Golden, dims: list[int]) -> TensorFusionHead:
    sizes = sizes_of(golden)
    head = TensorFusionHead(dims, int(sizes["post_fusion_dim"]), int(sizes["n_classes"]), 0.0)
    state = {k: v for k, v in below(golden, "param").items() if k.startswith("post_fusion")}
    head.double().load_state_dict(state, strict=True)
    return head


@torch.no_grad()
def test_evaluation(golden: Golden) -> None:
    subnets = Subnets(golden).eval()
    vectors = subnets(golden)
    check_vectors(golden, vectors)
    assert_close("tensor", tensor_fusion(vectors), golden["output.fusion"])
    logits = head_of(golden, subnets.dims).eval()(vectors)
    assert_close("logits", logits, golden["output.logits"])


def test_training(golden: Golden) -> None:
    subnets = Subnets(golden).train()
    head = head_of(golden, subnets.dims).train()
    logits = head(subnets(golden))
    assert_close("logits", logits, golden["train.logits"])
    loss = F.cross_entropy(logits, golden["input.labels"])
    assert_close("loss", loss[None], golden["train.loss"])
    loss.backward()
    parameters = dict(subnets.named_parameters()) | dict(head.named_parameters())
    wanted = below(golden, "grad")
    assert wanted
    for name, value in wanted.items():
        grad = parameters[subnet_name(name)].grad
        assert grad is not None, name
        assert_relative(name, grad, value)
