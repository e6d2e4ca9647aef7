"""The closed form of the stack shuffle against literal stacks, popped and appended."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from harness_ramer.losses import classification_loss
from harness_ramer.scorers import SlotClassifier
from harness_ramer.shuffle import Offsets, StackShuffle, stack_order


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
    offsets = Offsets.draw(batch, slots, labels, torch.Generator().manual_seed(seed))
    shuffle = StackShuffle()
    _, _, flat = shuffle.indices(offsets)
    for c in range(labels):
        # Column by column: enter at the offset, then pop and append; samples first, then slots.
        grid = [[(b, m) for m in range(slots)] for b in range(batch)]
        moved = [[(-1, -1)] * slots for _ in range(batch)]
        for m in range(slots):
            order = literal_order(batch, shuffle.sample_stacks, shuffle.passes)
            for b in range(batch):
                at = order[(b + int(offsets.sample[m, c])) % batch]
                moved[b][m] = grid[at][m]
        for b in range(batch):
            order = literal_order(slots, shuffle.slot_stacks, shuffle.passes)
            row = [moved[b][order[(m + int(offsets.slot[b, c])) % slots]] for m in range(slots)]
            assert flat[b, :, c].tolist() == [i * slots + j for i, j in row]
        assert sorted(flat[:, :, c].flatten().tolist()) == list(range(batch * slots))


def test_every_cell_keeps_its_label() -> None:
    batch, slots, labels = 7, 4, 3
    truth = torch.rand(batch, labels)
    stack = truth[:, None, :, None].expand(batch, slots, labels, 2)
    offsets = Offsets.draw(batch, slots, labels, torch.Generator().manual_seed(1))
    moved, targets = StackShuffle().apply(stack, truth, offsets)
    assert torch.equal(moved[..., 0], targets)


def test_offsets_differ_between_labels_and_come_from_the_generator() -> None:
    first = Offsets.draw(64, 4, 6, torch.Generator().manual_seed(5))
    again = Offsets.draw(64, 4, 6, torch.Generator().manual_seed(5))
    assert torch.equal(first.sample, again.sample) and torch.equal(first.slot, again.slot)
    flat = StackShuffle().indices(first)[2]
    assert all(not torch.equal(flat[..., 0], flat[..., c]) for c in range(1, 6))


def test_zero_offsets_leave_the_loss_unchanged_and_random_ones_do_not() -> None:
    torch.manual_seed(0)
    stack, labels = torch.randn(10, 4, 5, 6), (torch.rand(10, 5) < 0.4).float()
    classifier = SlotClassifier(5, 6)
    plain = classification_loss(classifier(stack), labels[:, None].expand(10, 4, 5), "multilabel")
    for offsets, same in (
        (Offsets.zero(10, 4, 5), True),
        (Offsets.draw(10, 4, 5, torch.Generator().manual_seed(0)), False),
    ):
        moved, targets = StackShuffle().apply(stack, labels, offsets)
        loss = classification_loss(classifier(moved), targets, "multilabel")
        assert torch.isclose(loss, plain, rtol=1e-6, atol=0) == same
