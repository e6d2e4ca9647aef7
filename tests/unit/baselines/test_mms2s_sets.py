"""Probabilities and searches of MMS2S against literal enumeration (card, tests 1 to 4 and 6)."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from harness_baselines.mms2s.decoder import Decoder, Memory
from harness_baselines.mms2s.likelihood import SetLikelihood
from harness_baselines.mms2s.rows import Rows
from harness_baselines.mms2s.search import beam_search


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Steps this small are slower, on a busy machine by far, when threads wait for each other."""
    torch.set_num_threads(1)


def made(
    labels: int, *, gate: bool = False, samples: int = 2, seed: int = 0
) -> tuple[Decoder, Memory]:
    torch.manual_seed(seed)
    decoder = Decoder(
        2, labels, 8, layers=2, heads=2, inner=8, dropout=0.0, gate=gate, positions=True
    ).double()
    with torch.no_grad():
        # Far from uniform, so that a wrong order or a wrong row shows.
        decoder.output.weight.mul_(4.0)
    memories = [torch.randn(samples, t, 8, dtype=torch.double) for t in (3, 5)]
    masks = [torch.ones(samples, 1, 1, m.shape[1], dtype=torch.bool) for m in memories]
    masks[1][0, ..., 3:] = False
    usable = torch.ones(samples, 2, dtype=torch.bool)
    usable[-1, 0] = False
    return decoder, decoder.remember(memories, masks, usable)


def literal_sequence(decoder: Decoder, memory: Memory, sample: int, sequence: list[int]) -> Tensor:
    """Return log p(sequence, end), one step at a time, each from scratch, as the equations say."""
    total = torch.zeros(())
    symbols = [decoder.begin]
    batch = memory.usable.shape[0]
    for target in [*sequence, decoder.end]:
        rows = Rows.of(torch.tensor([sample]), batch)
        logits = decoder(torch.tensor([symbols]), rows, memory).logits[0, -1]
        open_ = [s for s in range(decoder.labels + 1) if s not in symbols]
        total = total + logits[target] - torch.stack([logits[s] for s in open_]).exp().sum().log()
        symbols.append(target)
    return total


def literal_set(decoder: Decoder, memory: Memory, sample: int, labels: tuple[int, ...]) -> Tensor:
    orders = [
        literal_sequence(decoder, memory, sample, list(order))
        for order in itertools.permutations(labels)
    ]
    return torch.stack(orders).exp().sum().log()


def all_sets(labels: int) -> Tensor:
    return torch.tensor(list(itertools.product([False, True], repeat=labels)))


@pytest.mark.parametrize("gate", [False, True])
def test_probabilities_of_all_sets_sum_to_one(gate: bool) -> None:
    decoder, memory = made(3, gate=gate)
    sets = all_sets(3)
    owner = torch.arange(2).repeat_interleave(8)
    log_probs = SetLikelihood(3, 24)(decoder, memory, sets.repeat(2, 1), owner)
    torch.testing.assert_close(log_probs.view(2, 8).exp().sum(1), torch.ones(2), atol=1e-6, rtol=0)


def test_all_64_sets_of_six_labels_are_1957_sequences_and_sum_to_one() -> None:
    decoder, memory = made(6, samples=1)
    likelihood = SetLikelihood(6, 720)
    assert sum(math.comb(6, n) * math.factorial(n) for n in range(7)) == 1957
    with torch.no_grad():
        sums = likelihood(decoder, memory, all_sets(6), torch.zeros(64, dtype=torch.long))
    torch.testing.assert_close(sums.exp().sum(), torch.tensor(1.0), atol=1e-5, rtol=0)


@pytest.mark.parametrize("gate", [False, True])
def test_set_probability_equals_literal_enumeration(gate: bool) -> None:
    decoder, memory = made(4, gate=gate)
    chosen = [(), (2,), (0, 3), (1, 2, 3), (0, 1, 2, 3)]
    sets = torch.zeros(10, 4, dtype=torch.bool)
    for row, labels in enumerate(chosen * 2):
        sets[row, list(labels)] = True
    owner = torch.arange(2).repeat_interleave(5)
    found = SetLikelihood(4, 24)(decoder, memory, sets, owner)
    expected = torch.stack(
        [literal_set(decoder, memory, s, labels) for s in range(2) for labels in chosen]
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_gradient_equals_that_of_a_loop_over_orders() -> None:
    decoder, memory = made(4)
    parameters = list(decoder.parameters())
    sets = torch.tensor([[True, False, True, True], [False, True, False, False]])
    loss = -SetLikelihood(4, 24)(decoder, memory, sets, torch.arange(2)).mean()
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    brute = literal_set(decoder, memory, 0, (0, 2, 3)) + literal_set(decoder, memory, 1, (1,))
    expected = torch.autograd.grad(-brute / 2, parameters, allow_unused=True)
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_fewer_sequences_give_less_probability(seed: int) -> None:
    decoder, memory = made(5, seed=seed)
    sets = torch.tensor([[True] * 5, [True, True, True, True, False]])
    ladder = (1, 2, 4, 8, 24, 60, 120)
    with torch.no_grad():
        values = [
            SetLikelihood(5, k)(decoder, memory, sets, torch.arange(2)).double() for k in ladder
        ]
    assert all((more >= less - 1e-6).all() for less, more in itertools.pairwise(values))
    expected = literal_set(decoder, memory, 1, (0, 1, 2, 3)).float()
    torch.testing.assert_close(values[4][1].float(), expected, atol=1e-5, rtol=1e-5)
    assert (values[0] < values[-1]).all()


def test_the_order_of_labels_is_irrelevant() -> None:
    """Label l's own parameters follow it: p(Y) must not depend on where it is listed."""
    decoder, memory = made(4)
    order = torch.tensor([2, 0, 3, 1])
    sets = all_sets(4)
    owner = torch.zeros(16, dtype=torch.long)
    before = SetLikelihood(4, 24)(decoder, memory, sets, owner)
    symbols = torch.cat([order, torch.tensor([4, 5, 6])])
    with torch.no_grad():
        decoder.branches[0].embedding.weight.copy_(decoder.branches[0].embedding.weight[symbols])
        decoder.output.weight.copy_(decoder.output.weight[symbols[:5]])
    after = SetLikelihood(4, 24)(decoder, memory, sets[:, order], owner)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)


def test_a_wide_beam_finds_every_sequence_and_the_best_set() -> None:
    decoder, memory = made(3)
    owner = torch.arange(2)
    # 1 + 3 + 6 + 6 sequences.
    beams = beam_search(decoder, memory, owner, 40)
    alive = beams.log_probs > -torch.inf
    assert alive.sum(1).tolist() == [16, 16]
    torch.testing.assert_close(beams.log_probs.exp().sum(1), torch.ones(2))
    for sample in range(2):
        for slot in (0, 7, 15):
            sequence = [s for s in beams.sequences[sample, slot].tolist() if s != decoder.end]
            expected = literal_sequence(decoder, memory, sample, sequence)
            torch.testing.assert_close(
                beams.log_probs[sample, slot], expected.float(), atol=1e-5, rtol=1e-5
            )
    best = beams.log_probs.argmax(1)
    exact = SetLikelihood(3, 24)(
        decoder, memory, all_sets(3).repeat(2, 1), owner.repeat_interleave(8)
    ).view(2, 8)
    candidates = [
        {tuple(m) for m, a in zip(beams.members[s].tolist(), alive[s], strict=True) if a}
        for s in range(2)
    ]
    assert all(tuple(all_sets(3)[exact[s].argmax()].tolist()) in candidates[s] for s in range(2))
    assert best.tolist() == [0, 0]


def test_a_search_within_a_set_ranks_its_orders() -> None:
    decoder, memory = made(4)
    within = torch.tensor([[True, True, False, True], [False, False, True, False]])
    beams = beam_search(decoder, memory, torch.arange(2), 6, within)
    orders = [s[:3] for s in beams.sequences[0].tolist()]
    assert sorted(map(tuple, orders)) == sorted(itertools.permutations((0, 1, 3)))
    assert beams.members[1, 0].tolist() == within[1].tolist()
    assert beams.sequences[1, 0].tolist() == [2, decoder.end, decoder.end]
    assert (beams.log_probs[1, 1:] == -torch.inf).all()


def test_beam_leaves_the_training_mode_and_takes_no_gradient() -> None:
    decoder, memory = made(3)
    assert decoder.training
    beams = beam_search(decoder, memory, torch.arange(2), 2)
    assert decoder.training and not beams.log_probs.requires_grad


@pytest.mark.parametrize("gate", [False, True])
def test_weights_sum_to_one_over_modalities_that_are_there(gate: bool) -> None:
    decoder, memory = made(3, gate=gate)
    symbols = torch.tensor([[decoder.begin, 1], [decoder.begin, 2]])
    weights = decoder(symbols, Rows.of(torch.arange(2), 2), memory).weights
    torch.testing.assert_close(weights.sum(-1).double(), torch.ones_like(weights[..., 0]).double())
    assert (weights[1, ..., 0] == 0).all() and (weights[0, ..., 0] > 0).all()


def test_nothing_there_gives_zero_weights_and_finite_logits() -> None:
    decoder, memory = made(3)
    nothing = Memory(memory.projected, memory.masks, torch.zeros_like(memory.usable))
    decoded = decoder(torch.full((2, 1), decoder.begin), Rows.of(torch.arange(2), 2), nothing)
    assert (decoded.weights == 0).all() and decoded.logits.isfinite().all()
    torch.testing.assert_close(decoded.logits[0], decoded.logits[1])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=4))
def test_rows_come_back_to_where_they_were(counts: list[int]) -> None:
    if sum(counts) == 0:
        return
    sample = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    rows = Rows.of(sample, len(counts))
    x = torch.randn(len(sample), 2, 3)
    wide = rows.spread(x)
    assert wide.shape == (len(counts), 2 * max(counts), 3)
    assert torch.equal(rows.collect(wide), x)
    owner = wide.new_zeros(len(counts), 2 * max(counts), 1)
    owner += torch.arange(len(counts))[:, None, None]
    assert torch.equal(rows.collect(owner)[:, 0, 0].long(), sample)
