"""Keep sets, bursts, persons and parties, noise: what is left, and what is untouched."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import UsageError
from harness.protocols.dropout import parse
from harness.protocols.dropout.families.noise import standard_normals


def test_full_only_and_drop(ask):
    natural = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 0]], dtype=np.bool_)
    request = ask(3, natural=natural)
    full = parse("full").masks(request)
    assert (full.keep == natural).all()
    assert full.eta_hat == 0.0
    assert full.frames is None and full.noise is None and full.personality
    only = parse("only-v").masks(request)
    assert only.keep.tolist() == [[True, False, False], [False] * 3, [True, False, False]]
    assert only.eta_hat == pytest.approx(1 - 2 / 6)
    assert (parse("drop-v").masks(request).keep == natural & [False, True, True]).all()


def test_any_modality_key_can_be_kept_or_dropped(ask):
    request = ask(2, modalities=("rhythm", "a"))
    assert parse("only-rhythm").masks(request).keep.tolist() == [[True, False]] * 2
    assert parse("drop-rhythm").masks(request).keep.tolist() == [[False, True]] * 2


def test_personality_goes_only_by_its_own_protocol(ask):
    request = ask(5, personality=True)
    dropped = parse("drop-p").masks(request)
    assert not dropped.personality
    assert dropped.keep.all()
    for name in ("only-v", "random-0.7", "nonspeaker-0.5", "frames-0.5", "noise-1.0"):
        assert parse(name).masks(request).personality


def test_burst_blocks(ask):
    lengths = np.array([[0, 1, 2], [7, 20, 45]])
    masks = parse("burst-0.5").masks(ask(2, lengths=lengths, aligned=False))
    assert masks.frames is not None
    dropped = [[int((~masks.frames[m][i]).sum()) for m in "vat"] for i in range(2)]
    assert dropped == [[0, 0, 1], [4, 10, 23]]
    for i, m in ((1, "v"), (1, "a"), (1, "t")):
        gone = np.flatnonzero(~masks.frames[m][i])
        assert gone[-1] - gone[0] + 1 == len(gone)
    starts = {int(np.argmin(f)) for f in parse("burst-0.5").masks(ask(200)).frames["v"]}
    assert starts == set(range(7))  # uniform over every possible start


def test_sync_shares_positions_and_independent_frames_do_not(ask):
    same = parse("frames-sync-0.4").masks(ask(20)).frames
    own = parse("frames-0.4").masks(ask(20)).frames
    assert all((same["v"][i] == same["a"][i]).all() for i in range(20))
    assert any((own["v"][i] != own["a"][i]).any() for i in range(20))
    uneven = ask(2, lengths=np.array([[3, 3, 3], [3, 4, 3]]))
    with pytest.raises(UsageError, match=r"'id1'.*v 3, a 4, t 3"):
        parse("frames-sync-0.4").masks(uneven)
    natural = np.array([[True] * 3, [True, False, True]])
    parse("frames-sync-0.4").masks(
        ask(2, lengths=np.array([[3, 3, 3], [3, 0, 3]]), natural=natural)
    )


def test_rate_of_frames_counts_positions_of_what_is_there(ask):
    natural = np.tile([True, False, True], (300, 1))
    masks = parse("frames-0.3").masks(ask(300, natural=natural))
    kept = sum(int(f.sum()) for m in "vt" for f in masks.frames[m])
    assert masks.eta_hat == pytest.approx(1 - kept / (300 * 2 * 12))
    assert masks.eta_hat == pytest.approx(0.3, abs=0.02)


def test_nonspeaker_silences_the_target_only(ask):
    request = ask(
        2,
        units=[["p/0", "p/1", "q/0"], ["q/0"]],
        parties=[["p", "p", "q"], ["q"]],
        targets=["p", "q"],
    )
    masks = parse("nonspeaker").masks(request)
    silent, whole = [True, False, False], [True] * 3
    assert [u.tolist() for u in masks.unit_keep] == [[silent, silent, whole], [silent]]
    assert masks.keep.tolist() == [whole, silent]
    assert masks.eta_hat == pytest.approx(6 / 12)
    assert masks.frames is None


def test_nonspeaker_changes_nothing_for_real_nonspeakers(ask):
    unit = np.array([[True, False, False]])
    request = ask(
        1,
        natural=unit,
        units=[["p/0"]],
        unit_natural=[unit],
        parties=[["p"]],
        targets=["p"],
    )
    masks = parse("nonspeaker").masks(request)
    assert masks.eta_hat == 0.0
    assert (masks.unit_keep[0] == unit).all()


def test_party_silent_takes_one_party_s_voice(ask):
    parties = [["A", "B", "A", "C"]] * 50
    lengths = np.full((50, 3), 4)
    request = ask(50, lengths=lengths, unit_per_position=True, parties=parties)
    masks = parse("party-silent").masks(request)
    gone = set()
    for i in range(50):
        assert masks.frames["v"][i].all()
        assert (masks.frames["a"][i] == masks.frames["t"][i]).all()
        lost = {parties[i][j] for j in np.flatnonzero(~masks.frames["a"][i])}
        assert len(lost) == 1
        gone |= lost
        assert all(masks.frames["a"][i][j] for j in range(4) if parties[i][j] not in lost)
    assert gone == {"A", "B", "C"}


def test_positions_as_units_respect_their_lengths(ask):
    request = ask(2, lengths=np.array([[3, 3, 3], [2, 5, 0]]), unit_per_position=True)
    named = ask(2, lengths=request.lengths, units=[list("012"), list("01234")])
    masks, same = parse("random-seg-0.5").masks(request), parse("random-seg-0.5").masks(named)
    assert [len(masks.frames[m][1]) for m in "vat"] == [2, 5, 0]
    assert (masks.unit_keep[0] == same.unit_keep[0]).all()
    assert not masks.unit_keep[1][2:, [0, 2]].any()
    assert masks.unit_keep[1][2:, 1].all()  # the only one there: nothing to drop


def test_normals_have_the_right_moments():
    x = standard_normals(np.uint64(12345), 200_000)
    assert abs(x.mean()) < 4 / np.sqrt(len(x))
    assert x.var() == pytest.approx(1.0, abs=0.02)
    assert (x**4).mean() == pytest.approx(3.0, abs=0.15)
    assert standard_normals(np.uint64(12345), 3).tolist() == x[:3].tolist()


def test_noise_is_scaled_per_feature_and_independent_of_the_batch(ask):
    request = ask(3)
    plan = parse("noise-0.5").masks(request).noise
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 400, 2)).astype(np.float32)
    mask = np.ones((3, 400), dtype=np.bool_)
    mask[1, 100:] = False
    sd = np.array([1.0, 10.0])
    noisy = plan.apply(x, "a", request.ids, mask, sd)
    assert noisy.dtype == np.float32
    added = noisy - x
    assert added[mask].std(axis=0) == pytest.approx([0.5, 5.0], rel=0.1)
    assert (added[~mask] == 0).all()
    alone = plan.apply(x[1:2], "a", request.ids[1:2], mask[1:2], sd)
    assert (alone[0] == noisy[1]).all()
    shifted = np.roll(mask[1:2], 50, axis=1)  # left padding: same draws for the same valid rows
    moved = plan.apply(np.roll(x[1:2], 50, axis=1), "a", request.ids[1:2], shifted, sd)
    assert (moved[0][50:150] == noisy[1][:100]).all()
    assert (plan.apply(x, "v", request.ids, mask, sd) != noisy).any()
    with pytest.raises(ValueError, match="standard deviations"):
        plan.apply(x, "a", request.ids, mask)


@pytest.mark.parametrize("decibels", [10, 0, -5])
def test_noise_at_a_signal_to_noise_ratio(ask, decibels):
    plan = parse(f"noise-snr-{decibels}").masks(ask(2)).noise
    x = np.random.default_rng(1).normal(3.0, 2.0, size=(2, 50, 4)).astype(np.float32)
    x[1] = 0.0
    noisy = plan.apply(x, "t", ["id0", "id1"], np.ones((2, 50), dtype=np.bool_))
    ratio = np.sqrt((x[0] ** 2).mean() / ((noisy[0] - x[0]) ** 2).mean())
    assert 20 * np.log10(ratio) == pytest.approx(decibels, abs=1e-3)
    assert (noisy[1] == 0).all()


def test_protocols_do_not_import_torch():
    import subprocess
    import sys

    code = (
        "import sys, harness.protocols.dropout, harness.protocols.metrics, "
        "harness.protocols.thresholds, harness.protocols.dataset; "
        "sys.exit('torch' in sys.modules or 'torchmetrics' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
