"""The ceiling of stored splits: what a protocol leaves, padding, availability."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.errors import UsageError
from harness_corpora.twins.ceiling import scores
from harness_corpora.twins.decisions import best_threshold
from harness_corpora.twins.plan import MOSEI_ALIGNED
from harness_corpora.twins.posterior import States, evidence, observe
from harness_corpora.twins.sample import ModalityFrames, draw

NAME, SEED, COUNT = "mosei-aligned", 3, 300
KEYS = {m.name: m.key for m in MOSEI_ALIGNED.modalities}


@dataclass
class MadeSplit:
    """A split in memory with the attributes that the ceiling reads."""

    features: dict[str, list[np.ndarray]]
    labels: np.ndarray
    natural: np.ndarray

    @property
    def ids(self) -> list[str]:
        return [str(i) for i in range(len(self.labels))]

    def gather(self, indices: np.ndarray) -> dict[str, list[np.ndarray]]:
        return {m: [x[i] for i in indices] for m, x in self.features.items()}


def made(count: int, pad: str = "end") -> MadeSplit:
    drawn, features = draw(MOSEI_ALIGNED, SEED, "test", count), {}
    for modality in MOSEI_ALIGNED.modalities:
        source = ModalityFrames(MOSEI_ALIGNED, modality, SEED, "test", drawn)
        rows = []
        for i in range(count):
            frames = np.nan_to_num(source.frames(i)[0], neginf=0.0)
            empty = modality.max_length - len(frames)
            rows.append(np.pad(frames, ((0, empty) if pad == "end" else (empty, 0), (0, 0))))
        features[modality.name] = rows
    return MadeSplit(features, drawn.labels, np.ones((count, len(KEYS)), bool))


def masks(keep: np.ndarray, frames: dict[str, Any] | None = None, noise: Any = None) -> Any:
    return SimpleNamespace(keep=keep, frames=frames, noise=noise)


@pytest.fixture(scope="module")
def aligned() -> MadeSplit:
    return made(COUNT)


@pytest.fixture(scope="module")
def ceiling(aligned: MadeSplit) -> np.ndarray:
    return scores(NAME, aligned, masks(aligned.natural), SEED)


def test_stored_frames_give_the_posterior_of_the_drawn_codes(
    aligned: MadeSplit, ceiling: np.ndarray
) -> None:
    drawn = draw(MOSEI_ALIGNED, SEED, "test", COUNT)
    sources = [
        ModalityFrames(MOSEI_ALIGNED, m, SEED, "test", drawn) for m in MOSEI_ALIGNED.modalities
    ]
    codes = [[source.code(i) for i in range(40)] for source in sources]
    found = evidence(MOSEI_ALIGNED, codes)
    np.testing.assert_allclose(ceiling[:40], observe(MOSEI_ALIGNED, found), atol=1e-12)
    np.testing.assert_array_equal(scores(f"{NAME}-twin", aligned, None, SEED), ceiling)
    mean = scores(NAME, aligned, None, SEED, "mean")
    np.testing.assert_allclose(mean[:40], observe(MOSEI_ALIGNED, found, "mean"), atol=1e-12)


def test_marginals_are_calibrated(aligned: MadeSplit, ceiling: np.ndarray) -> None:
    bins = np.minimum((ceiling * 5).astype(int), 4)
    for b in range(5):
        p, y = ceiling[bins == b], aligned.labels[bins == b]
        error = np.sqrt((p * (1 - p)).sum()) / len(p)
        assert abs(y.mean() - p.mean()) < 4 * error + 1e-3


def test_dropping_text_costs_most_and_no_modality_suffices(
    aligned: MadeSplit, ceiling: np.ndarray
) -> None:
    def f1(value: np.ndarray) -> float:
        return best_threshold(aligned.labels, value)[0]

    alone, without = {}, {}
    for m, key in enumerate(KEYS.values()):
        keep = np.zeros_like(aligned.natural)
        keep[:, m] = True
        alone[key] = f1(scores(NAME, aligned, masks(keep), SEED))
        without[key] = f1(scores(NAME, aligned, masks(~keep), SEED))
    assert alone["t"] > max(alone["v"], alone["a"]) + 0.05
    assert without["t"] < min(without["v"], without["a"]) - 0.1
    assert max(*alone.values(), without["t"]) < f1(ceiling) - 0.1
    nothing = scores(NAME, aligned, masks(np.zeros_like(aligned.natural)), SEED)
    states = States.of(MOSEI_ALIGNED)
    prior = np.exp(states.log_prior) @ states.sets
    np.testing.assert_allclose(nothing, np.broadcast_to(prior, nothing.shape), atol=1e-12)
    # A modality that was never there is one that is dropped.
    keep = np.ones_like(aligned.natural)
    keep[:, 1] = False
    bare = MadeSplit(aligned.features, aligned.labels, keep)
    np.testing.assert_array_equal(
        scores(NAME, bare, masks(aligned.natural), SEED),
        scores(NAME, aligned, masks(keep), SEED),
    )


def test_dropped_frames_leave_their_terms_out() -> None:
    split = made(40)
    rng = np.random.default_rng(0)
    real = {m: [np.any(x != 0, axis=1) for x in xs] for m, xs in split.features.items()}
    frames = {KEYS[m]: [rng.random(60) < 0.6 for _ in xs] for m, xs in real.items()}
    by_position = scores(NAME, split, masks(split.natural, frames), SEED)
    compact = {KEYS[m]: [f[r] for f, r in zip(frames[KEYS[m]], real[m], strict=True)] for m in real}
    by_rank = scores(NAME, split, masks(split.natural, compact), SEED)
    np.testing.assert_array_equal(by_position, by_rank)
    assert np.abs(by_position - scores(NAME, split, masks(split.natural), SEED)).max() > 0.1
    gone = {**frames, "v": [np.zeros(60, bool)] * 40}
    keep = split.natural.copy()
    keep[:, 1] = False
    np.testing.assert_allclose(
        scores(NAME, split, masks(split.natural, gone), SEED),
        scores(NAME, split, masks(keep, frames), SEED),
        atol=1e-12,
    )
    wrong = {"t": [np.ones(7, bool)] * 40}
    with pytest.raises(UsageError, match="7 entries"):
        scores(NAME, split, masks(split.natural, wrong), SEED)


def test_padding_side_and_nuisance_change_nothing() -> None:
    end, start = made(30), made(30, pad="start")
    expected = scores(NAME, end, masks(end.natural), SEED)
    found = scores(NAME, start, masks(end.natural), SEED)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    rng = np.random.default_rng(1)
    for modality in MOSEI_ALIGNED.modalities:
        rows = MOSEI_ALIGNED.emission(modality, SEED).basis.rows[:8]
        for x in end.features[modality.name]:
            extra = 3 * rng.standard_normal(x.shape)
            real = np.any(x != 0, axis=1)
            x[real] += (extra - (extra @ rows.T) @ rows)[real].astype(np.float32)
    np.testing.assert_allclose(scores(NAME, end, masks(end.natural), SEED), expected, atol=1e-4)


def test_the_basis_of_another_seed_says_nothing(aligned: MadeSplit, ceiling: np.ndarray) -> None:
    error = ((ceiling - aligned.labels) ** 2).mean()
    other = scores(NAME, aligned, masks(aligned.natural), SEED + 1)
    assert ((other - aligned.labels) ** 2).mean() > 1.5 * error


def test_noise_and_strangers_are_refused(aligned: MadeSplit) -> None:
    with pytest.raises(UsageError, match="noise"):
        scores(NAME, aligned, masks(aligned.natural, noise=object()), SEED)
    with pytest.raises(UsageError, match="no twin"):
        scores("mosi", aligned, masks(aligned.natural), SEED)
