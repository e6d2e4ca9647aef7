"""Low-rank fusion equals the public code: sub-networks, products, logits, loss and gradients."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from harness_baselines.bilstm_lmf import LowRankFusion
from tests.parity.fusion_golden import Subnets, below, check_vectors, sizes_of, subnet_name
from tests.parity.golden import Golden, assert_close, assert_relative

GOLDEN_MODEL = "lmf"
OURS = {
    "audio_factor": "factors.0",
    "video_factor": "factors.1",
    "text_factor": "factors.2",
    "fusion_weights": "weights",
    "fusion_bias": "bias",
}


def head_of(golden: Golden, dims: list[int]) -> LowRankFusion:
    sizes = sizes_of(golden)
    head = LowRankFusion(dims, int(sizes["rank"]), int(sizes["n_classes"]))
    state = {OURS[k]: v for k, v in below(golden, "param").items() if k in OURS}
    head.double().load_state_dict(state, strict=True)
    return head


@torch.no_grad()
def test_evaluation(golden: Golden) -> None:
    subnets = Subnets(golden).eval()
    vectors = subnets(golden)
    check_vectors(golden, vectors)
    head = head_of(golden, subnets.dims)
    assert_close("product", head.product(vectors), golden["output.fusion"])
    assert_close("logits", head(vectors), golden["output.logits"])


def test_training(golden: Golden) -> None:
    subnets = Subnets(golden).train()
    head = head_of(golden, subnets.dims)
    logits = head(subnets(golden))
    assert_close("logits", logits, golden["train.logits"])
    loss = F.cross_entropy(logits, golden["input.labels"])
    assert_close("loss", loss[None], golden["train.loss"])
    loss.backward()
    parameters = dict(subnets.named_parameters()) | dict(head.named_parameters())
    wanted = below(golden, "grad")
    assert wanted
    for name, value in wanted.items():
        grad = parameters[OURS.get(name, subnet_name(name))].grad
        assert grad is not None, name
        assert_relative(name, grad, value)
