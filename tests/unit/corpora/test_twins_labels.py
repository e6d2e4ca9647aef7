"""Label sets: the table's targets met, drawing exact, dialogues stretched without loss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness_corpora.twins import labels
from harness_corpora.twins.dialogues import dialogues, stretch
from harness_corpora.twins.plan import M3ED, MOSEI_ALIGNED
from harness_corpora.twins.sample import draw

Floats = NDArray[np.float64]
# Shares of the 22 856 clips with each emotion: Ju et al., ACM MM 2020, table 1 (surprise and fear
# as their code has them, which the printed table exchanges).
MARGINALS = (0.536, 0.259, 0.216, 0.100, 0.161, 0.083)
# P(i and j) in 1000 public segments re-weighted to the training split; only phi is taken of it.
JOINT = (
    (0.556, 0.080, 0.072, 0.041, 0.052, 0.075),
    (0.080, 0.247, 0.067, 0.056, 0.067, 0.031),
    (0.072, 0.067, 0.229, 0.023, 0.097, 0.032),
    (0.041, 0.056, 0.023, 0.100, 0.028, 0.018),
    (0.052, 0.067, 0.097, 0.028, 0.163, 0.044),
    (0.075, 0.031, 0.032, 0.018, 0.044, 0.118),
)
# Correlation of presence within a video, in the same segments.
WITHIN_VIDEOS = (0.31, 0.23, 0.27, 0.23, 0.12, 0.10)


def table() -> tuple[Floats, Floats]:
    """Return the label sets, float64 [64, 6], and p(y)."""
    sets, weights = labels.mosei_sets()
    return sets.astype(np.float64), weights / 2**32


def phi(joint: Floats) -> Floats:
    p = np.diag(joint)
    deviation = np.sqrt(p * (1 - p))
    return (joint - np.outer(p, p)) / np.outer(deviation, deviation)


def test_mosei_table_meets_its_targets() -> None:
    sets, p = table()
    assert p.sum() == 1
    np.testing.assert_allclose(p @ sets, MARGINALS, atol=1e-8)
    np.testing.assert_allclose(phi((sets.T * p) @ sets), phi(np.array(JOINT)), atol=1e-6)
    # Published shares of set sizes 0..4 of the whole corpus, which were not fitted.
    sizes = np.bincount(sets.sum(axis=1).astype(int), weights=p)
    np.testing.assert_allclose(sizes[:5], [0.149, 0.487, 0.244, 0.092, 0.024], atol=0.02)


def test_mosei_table_is_log_quadratic() -> None:
    """With the targets above this is what makes it the one of maximum entropy."""
    sets, p = table()
    pairs = [sets[:, i] * sets[:, j] for i in range(6) for j in range(i, 6)]
    design = np.column_stack([np.ones(64), *pairs])
    residual = np.log(p) - design @ np.linalg.lstsq(design, np.log(p), rcond=None)[0]
    assert np.abs(residual).max() < 1e-6


def test_clips_keep_the_table_and_the_likeness_of_a_video() -> None:
    sets, p = table()
    drawn = draw(MOSEI_ALIGNED, 0, "train", 16326)
    counts = np.bincount(drawn.video)
    totals = np.stack([np.bincount(drawn.video, weights=c) for c in drawn.labels.T], axis=1)
    error = np.sqrt(((totals - counts[:, None] * MARGINALS) ** 2).sum(axis=0)) / len(drawn.labels)
    assert np.all(np.abs(drawn.labels.mean(axis=0) - MARGINALS) < 3 * error)
    apart = np.abs(np.corrcoef(drawn.labels.T) - phi((sets.T * p) @ sets))
    assert apart[~np.eye(6, dtype=bool)].max() < 0.03
    centred = drawn.labels - drawn.labels.mean(axis=0)
    sums = np.stack([np.bincount(drawn.video, weights=c) for c in centred.T], axis=1)
    shared = (sums**2).sum(axis=0) - (centred**2).sum(axis=0)
    found = shared / (counts * (counts - 1)).sum() / (centred**2).mean(axis=0)
    np.testing.assert_allclose(found, WITHIN_VIDEOS, atol=0.06)
    assert drawn.irony.mean() == pytest.approx(0.4, abs=0.015)
    assert np.median(drawn.amount) == pytest.approx(6400, abs=200)


def test_m3ed_labels_are_the_published_ones() -> None:
    real = dialogues()
    assert np.bincount(real.split).tolist() == [685, 126, 179]
    assert real.label_sets().sum(axis=0).tolist() == [458, 896, 610, 372, 577, 100, 490]
    assert (real.lengths.min(), real.lengths.max(), real.lengths.sum()) == (7, 97, 24437)
    sets, counts = labels.m3ed_sets()
    assert (len(sets), counts.sum()) == (84, 990)


def test_m3ed_draw_keeps_sets_and_lengths_apart() -> None:
    drawn, share = draw(M3ED, 1, "train", 1200), dialogues().label_sets().mean(axis=0)
    error = np.sqrt(share * (1 - share) / 1200)
    assert np.all(np.abs(drawn.labels.mean(axis=0) - share) < 3 * error)
    assert abs(np.corrcoef(drawn.labels.sum(axis=1), drawn.amount)[0, 1]) < 0.1
    assert np.median(drawn.amount) == pytest.approx(23, abs=2)
    assert drawn.irony.mean() == pytest.approx(0.5, abs=0.05)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(7, 97))
def test_stretching_shows_every_label(sequence: list[int], length: int) -> None:
    emotion = np.array(sequence, np.uint8)
    index = stretch(emotion, length)
    assert len(index) == length
    assert np.all(np.diff(index) >= 0)
    assert set(emotion[index].tolist()) == set(sequence)
