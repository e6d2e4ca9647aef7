"""The closed form of the stack shuffle against literal stacks, popped and appended."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from harness.nn.scorers import slot_classifier
from harness.nn.task_loss import task_loss
from harness_ramer.ramer import StackShuffle, stack_order


def draw(batch: int, slots: int, labels: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return offsets of the samples [K, L] and of the slots [B, L]."""
    source = torch.Generator().manual_seed(seed)
    o = torch.randint(batch, (slots, labels), generator=source)
    return o, torch.randint(slots, (batch, labels), generator=source)


def literal_pass(items: list[int], k: int) -> list[int]:
    n, stacks, start = len(items), [], 0
    for i in range(k):
        size = n // k + (1 if i < n % k else 0)
        stacks.append(items[start : start + size])
        start += size
    out: list[int] = []
    while any(stacks):
        for stack in stacks:
            if stack:
                out.append(stack.pop(0))
    return out


def literal_order(n: int, k: int, passes: int) -> list[int]:
    items = list(range(n))
    for _ in range(passes):
        items = literal_pass(items, k)
    return items


@given(st.integers(1, 90), st.integers(1, 9), st.integers(0, 4))
def test_order_equals_literal_stacks(n: int, k: int, passes: int) -> None:
    assert stack_order(n, k, passes).tolist() == literal_order(n, k, passes)


@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.integers(0, 999))
def test_indices_equal_literal_loops_and_permute_every_label(
    batch: int, slots: int, labels: int, seed: int
) -> None:
    o, r = draw(batch, slots, labels, seed)
    shuffle = StackShuffle()
    sample, slot = shuffle.indices(o, r)
    for c in range(labels):
        # Column by column: enter at the offset, then pop and append; samples first, then slots.
        grid = [[(b, m) for m in range(slots)] for b in range(batch)]
        moved = [[(-1, -1)] * slots for _ in range(batch)]
        for m in range(slots):
            order = literal_order(batch, shuffle.sample_stacks, shuffle.passes)
            for b in range(batch):
                at = order[(b + int(o[m, c])) % batch]
                moved[b][m] = grid[at][m]
        for b in range(batch):
            order = literal_order(slots, shuffle.slot_stacks, shuffle.passes)
            row = [moved[b][order[(m + int(r[b, c])) % slots]] for m in range(slots)]
            taken = zip(sample[b, :, c].tolist(), slot[b, :, c].tolist(), strict=True)
            assert list(taken) == row
        cells = sample[:, :, c] * slots + slot[:, :, c]
        assert sorted(cells.flatten().tolist()) == list(range(batch * slots))


def test_every_cell_keeps_its_label() -> None:
    batch, slots, labels = 7, 4, 3
    truth = torch.rand(batch, labels)
    stack = truth[:, None, :, None].expand(batch, slots, labels, 2)
    moved, targets = StackShuffle().apply(stack, truth, *draw(batch, slots, labels, 1))
    assert torch.equal(moved[..., 0], targets)


def test_offsets_differ_between_labels_and_come_from_the_generator() -> None:
    stack, labels = torch.randn(64, 4, 6, 2), (torch.rand(64, 6) < 0.4).float()
    first = StackShuffle()(stack, labels, torch.Generator().manual_seed(5))
    again = StackShuffle()(stack, labels, torch.Generator().manual_seed(5))
    other = StackShuffle()(stack, labels, torch.Generator().manual_seed(6))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    sample, _ = StackShuffle().indices(*draw(64, 4, 6, 5))
    assert all(not torch.equal(sample[..., 0], sample[..., c]) for c in range(1, 6))


def test_zero_offsets_leave_the_loss_unchanged_and_random_ones_do_not() -> None:
    torch.manual_seed(0)
    stack, labels = torch.randn(10, 4, 5, 6), (torch.rand(10, 5) < 0.4).float()
    classifier = slot_classifier(5, 6)
    whole = labels[:, None].expand(10, 4, 5)
    plain = task_loss(classifier(stack.flatten(2)), whole, "multilabel")
    still = (torch.zeros(4, 5).long(), torch.zeros(10, 5).long())
    for offsets, same in ((still, True), (draw(10, 4, 5, 0), False)):
        moved, targets = StackShuffle().apply(stack, labels, *offsets)
        loss = task_loss(classifier(moved.flatten(2)), targets, "multilabel")
        assert torch.isclose(loss, plain, rtol=1e-6, atol=0) == same
