"""Properties of random masks: a survivor, nesting, independence of order, the promised rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.protocols.dropout import MaskRequest, parse, train_mix

RATES = [f"{k / 10:g}" for k in range(1, 8)]
SD = {0.1: 0.0025, 0.2: 0.0032, 0.3: 0.0034, 0.4: 0.0034, 0.5: 0.0030, 0.6: 0.0021}
KEYS = ("t", "a", "v", "gaze", "eeg")


@st.composite
def requests(draw: st.DrawFn) -> MaskRequest:
    keys = draw(st.permutations(KEYS))[: draw(st.integers(2, 5))]
    ids = draw(st.lists(st.text("ab视0|[", min_size=1), min_size=1, max_size=12, unique=True))
    cells = draw(st.lists(st.booleans(), min_size=len(ids) * len(keys), max_size=60))
    natural = np.array(cells[: len(ids) * len(keys)]).reshape(len(ids), len(keys))
    lengths = np.full(natural.shape, draw(st.integers(0, 9)))
    return MaskRequest("train", ids, keys, natural, lengths, aligned=True, seed=draw(SEEDS))


SEEDS = st.integers(0, 3)


@settings(max_examples=60, deadline=None)
@given(requests(), st.sampled_from(RATES))
def test_one_survives_and_nothing_comes_back(request_, rate):
    keep = parse(f"random-{rate}").masks(request_).keep
    assert not (keep & ~request_.natural).any()
    assert (keep.any(axis=1) == request_.natural.any(axis=1)).all()


@settings(max_examples=60, deadline=None)
@given(requests(), st.sampled_from(["random", "frames"]))
def test_nested_in_the_rate(request_, family):
    previous = None
    for rate in RATES:
        masks = parse(f"{family}-{rate}").masks(request_)
        now = [masks.keep.ravel()]
        if masks.frames:
            now += [row for m in request_.modalities for row in masks.frames[m]]
            assert all(row.any() for row in now[1:] if row.size)
        flat = np.concatenate(now)
        assert previous is None or not (flat & ~previous).any()
        previous = flat


@settings(max_examples=40, deadline=None)
@given(requests(), st.sampled_from(["random-0.4", "frames-0.3", "burst-0.5"]), st.randoms())
def test_order_of_samples_and_modalities_does_not_matter(request_, name, shuffler):
    rows = list(range(len(request_.ids)))
    columns = list(range(len(request_.modalities)))
    shuffler.shuffle(rows)
    shuffler.shuffle(columns)
    other = MaskRequest(
        request_.split,
        [request_.ids[i] for i in rows],
        [request_.modalities[j] for j in columns],
        request_.natural[np.ix_(rows, columns)],
        request_.lengths[np.ix_(rows, columns)],
        aligned=True,
        seed=request_.seed,
    )
    first, second = parse(name).masks(request_), parse(name).masks(other)
    assert (second.keep == first.keep[np.ix_(rows, columns)]).all()
    assert second.digest == first.digest
    assert second.eta_hat == pytest.approx(first.eta_hat)


@pytest.mark.parametrize("rate", SD)
@pytest.mark.parametrize("seed", [0, 1, 7])
def test_realised_rate_is_within_four_deviations(ask, rate, seed):
    eta_hat = parse(f"random-{rate}").masks(ask(4659, seed=seed)).eta_hat
    assert abs(eta_hat - rate) < 4 * SD[rate]


def test_rate_07_leaves_exactly_one(ask):
    masks = parse("random-0.7@1").masks(ask(500))
    assert (masks.keep.sum(axis=1) == 1).all()
    assert masks.eta_hat == pytest.approx(2 / 3)
    assert masks.keep.sum(axis=0).min() > 100


@pytest.mark.parametrize(
    "name", ["random-0.3", "frames-0.3", "burst-0.3", "nonspeaker-0.5", "frames-sync-0.3"]
)
def test_seed_split_and_ids_change_the_digest(ask, name):
    protocol = parse(name)
    digests = {
        protocol.masks(r).digest
        for r in (
            ask(40),
            ask(40, seed=1),
            ask(40, split="valid"),
            ask([f"x{i}" for i in range(40)]),
        )
    }
    assert len(digests) == 4
    assert protocol.masks(ask(40)).digest == protocol.masks(ask(40)).digest


def test_digest_is_the_documented_hash(ask):
    import hashlib

    natural = np.array([[True, True, False], [True, False, False]])
    lengths = np.array([[3, 9, 0], [1, 0, 0]])
    request = ask(["b", "a"], natural=natural, lengths=lengths, modalities=("t", "v", "a"))
    masks = parse("frames-0.5").masks(request)
    assert masks.frames is not None
    state = hashlib.sha256()
    for i, name in ((1, b"a"), (0, b"b")):
        t, v, a = masks.keep[i]
        state.update(name + b"\0" + bytes([v << 7 | a << 6 | t << 5]))
        for key in "vat":
            state.update(np.packbits(masks.frames[key][i]).tobytes())
    assert masks.digest == state.hexdigest()


def test_train_mix_is_fresh_each_epoch_and_half_whole(ask):
    request = ask(4000)
    first = train_mix(request, 0)
    assert (train_mix(request, 0).keep == first.keep).all()
    second = train_mix(request, 1)
    assert (second.keep != first.keep).any()
    assert first.keep.any(axis=1).all()
    # whole: .5 by the mixture, plus E[(1 - 1.5 eta)^2] = 1/3 of the rest
    assert first.keep.all(axis=1).mean() == pytest.approx(2 / 3, abs=0.035)
    assert first.eta_hat == pytest.approx(1 / 6, abs=0.02)
