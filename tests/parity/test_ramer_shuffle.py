"""The paper variant's stack shuffle equals the golden index tensors and losses."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from harness_ramer.ramer import StackShuffle, stack_order
from tests.parity.golden import Golden, assert_close, golden_files

FILES = [f for f in golden_files("ramer") if f.stem == "shuffle"]


@pytest.fixture(params=FILES, ids=[f.stem for f in FILES])
def case(request: pytest.FixtureRequest) -> Golden:
    return Golden.read(request.param)


def test_order_of_the_stacks(case: Golden) -> None:
    orders = case.under("paper_order")
    assert orders
    for name, want in orders.items():
        n, k, passes = map(int, re.findall(r"\d+", name))
        assert torch.equal(stack_order(n, k, passes), want), name


def test_where_the_stacks_divide_evenly_it_is_the_published_routine_without_its_sort(
    case: Golden,
) -> None:
    even = 0
    for name, want in case.under("public_without_sort").items():
        n, k, passes = map(int, re.findall(r"\d+", name))
        if n % k == 0:
            even += 1
            assert torch.equal(stack_order(n, k, passes), want), name
    assert even


def cases(golden: Golden) -> set[str]:
    return {name.split("/")[0] for name in golden.under("paper")}


def setup(
    golden: Golden, name: str
) -> tuple[StackShuffle, tuple[Tensor, Tensor], dict[str, Tensor]]:
    *_, k_samples, k_slots, passes = map(int, re.findall(r"\d+", name))
    stored = golden.under(f"paper/{name}")
    offsets = (stored["sample_offset"], stored["slot_offset"])
    return StackShuffle(k_samples, k_slots, passes), offsets, stored


def test_index_tensors(case: Golden) -> None:
    assert cases(case)
    for name in cases(case):
        shuffle, offsets, stored = setup(case, name)
        sample, slot = shuffle.indices(*offsets)
        assert torch.equal(sample, stored["sample_index"]), name
        assert torch.equal(slot, stored["slot_index"]), name
        flat = sample * len(offsets[0]) + slot
        assert torch.equal(flat, stored["flat_index"]), name


def classify(stored: dict[str, Tensor], stack: Tensor) -> Tensor:
    hidden = F.linear(stack.flatten(2), stored["w1"], stored["b1"]).relu()
    return F.linear(hidden, stored["w2"], stored["b2"])


def test_shuffled_stacks_and_losses(case: Golden) -> None:
    checked = 0
    for name in cases(case):
        shuffle, offsets, stored = setup(case, name)
        if "V" not in stored:
            continue
        checked += 1
        stack, labels = stored["V"], stored["labels"]
        shuffled, targets = shuffle.apply(stack, labels, *offsets)
        assert torch.equal(shuffled, stored["V_shuffled"]), name
        assert torch.equal(targets, stored["labels_shuffled"]), name
        loss = F.binary_cross_entropy_with_logits(classify(stored, shuffled), targets)
        assert_close(name, loss, stored["loss_shuffled"].squeeze())

        still = [torch.zeros_like(offset) for offset in offsets]
        renamed, targets = shuffle.apply(stack, labels, *still)
        loss = F.binary_cross_entropy_with_logits(classify(stored, renamed), targets)
        assert_close(name, loss, stored["loss_unshuffled"].squeeze())
    assert checked
