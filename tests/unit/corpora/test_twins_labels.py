"""The label models: targets met, drawing exact, dialogues stretched without loss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_corpora.twins import labels, m3ed, sample
from harness_corpora.twins.design import M3ED, MOSEI_ALIGNED


def correlation_within_groups(y: np.ndarray, size: int) -> np.ndarray:
    """Return the intra-group correlation of each label for groups of equal size, [L]."""
    centred = y.reshape(-1, size, y.shape[1]) - y.mean(axis=0)
    own = (centred**2).mean(axis=(0, 1))
    shared = (centred.sum(axis=1) ** 2).mean(axis=0) - size * own
    return shared / (size * (size - 1)) / own


def test_mosei_table_meets_its_targets() -> None:
    model = labels.mosei()
    assert model.prob.sum() == pytest.approx(1)
    np.testing.assert_allclose(model.marginals, labels.MOSEI_MARGINALS, atol=1e-8)
    np.testing.assert_allclose(model.phi(), labels.phi_of(np.array(labels.MOSEI_JOINT)), atol=1e-6)
    # Published shares of set sizes 0..4 of the whole corpus, which were not fitted.
    sizes = np.bincount(model.states.sum(axis=1), weights=model.prob)
    np.testing.assert_allclose(sizes[:5], [0.149, 0.487, 0.244, 0.092, 0.024], atol=0.02)


def test_maximum_entropy_is_log_quadratic() -> None:
    model = labels.mosei()
    states = model.states.astype(float)
    pairs = [states[:, i] * states[:, j] for i in range(6) for j in range(i, 6)]
    design = np.column_stack([np.ones(64), *pairs])
    log_p = np.log(model.prob)
    residual = log_p - design @ np.linalg.lstsq(design, log_p, rcond=None)[0]
    assert np.abs(residual).max() < 1e-8


def test_unreachable_targets_are_refused() -> None:
    with pytest.raises(ValueError, match="converge"):
        labels.maximum_entropy(np.array([[0.2, 0.19], [0.19, 0.1]]), sweeps=50)


def test_drawn_mosei_labels_keep_table_and_video_correlation() -> None:
    model, rng = labels.mosei(), np.random.default_rng(5)
    groups = np.repeat(np.arange(6000), 5)
    y = labels.draw(model, groups, np.array(labels.MOSEI_GROUP_KEEP), rng)
    clusters = y.reshape(-1, 5, 6).mean(axis=1)
    error = clusters.std(axis=0) / np.sqrt(len(clusters))
    assert np.all(np.abs(y.mean(axis=0) - labels.MOSEI_MARGINALS) < 3 * error)
    assert np.abs(np.corrcoef(y.T) - model.phi())[~np.eye(6, dtype=bool)].max() < 0.05
    assert y.sum(axis=1).mean() == pytest.approx(1.355, abs=0.05)
    np.testing.assert_allclose(
        correlation_within_groups(y, 5), labels.MOSEI_GROUP_CORRELATION, atol=0.05
    )


def test_default_split_is_near_the_targets() -> None:
    drawn = sample.segments(MOSEI_ALIGNED, 0, "train", MOSEI_ALIGNED.sizes[0])
    counts = np.bincount(drawn.groups)
    totals = np.stack([np.bincount(drawn.groups, weights=c) for c in drawn.labels.T], axis=1)
    p = np.array(labels.MOSEI_MARGINALS)
    error = np.sqrt(((totals - counts[:, None] * p) ** 2).sum(axis=0)) / counts.sum()
    assert np.all(np.abs(drawn.labels.mean(axis=0) - p) < 3 * error)
    assert drawn.ironic.mean() == pytest.approx(0.3, abs=0.04)
    assert np.median(drawn.duration) == pytest.approx(6.4, abs=0.5)


def test_m3ed_labels_are_the_published_ones() -> None:
    real = labels.dialogues()
    assert np.bincount(real.split).tolist() == [685, 126, 179]
    assert real.label_sets().sum(axis=0).tolist() == [458, 896, 610, 372, 577, 100, 490]
    assert (real.lengths.min(), real.lengths.max(), real.lengths.sum()) == (7, 97, 24437)
    model = labels.m3ed()
    assert len(model.prob) == 84
    np.testing.assert_allclose(model.marginals, real.label_sets().mean(axis=0), atol=1e-12)


def test_m3ed_draw_keeps_sets_lengths_and_separates_series() -> None:
    drawn = {s: m3ed.draw(M3ED, 1, s, 700) for s in sample.SPLITS}
    train = drawn["train"]
    first = np.concatenate([[0], np.cumsum(train.lengths)])
    for i in range(700):
        shown = set(train.emotion[first[i] : first[i + 1]].tolist())
        assert shown == set(np.flatnonzero(train.labels[i]).tolist())
    model = labels.m3ed()
    error = np.sqrt(model.marginals * (1 - model.marginals) / 700)
    assert np.all(np.abs(train.labels.mean(axis=0) - model.marginals) < 3 * error)
    assert train.labels.sum(axis=1).mean() == pytest.approx(3.54, abs=0.1)
    assert abs(np.corrcoef(train.labels.sum(axis=1), train.lengths)[0, 1]) < 0.12
    assert np.median(train.lengths) == pytest.approx(23, abs=2)
    series = {s: {i.rsplit("_", 1)[0] for i in d.ids} for s, d in drawn.items()}
    assert not series["train"] & series["test"]
    assert len(set(train.ids)) == 700


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(7, 97))
def test_stretching_shows_every_label(sequence: list[int], length: int) -> None:
    emotion = np.array(sequence, np.uint8)
    index = labels.stretch(emotion, length)
    assert len(index) == length
    assert np.all(np.diff(index) >= 0)
    assert set(emotion[index].tolist()) == set(sequence)
