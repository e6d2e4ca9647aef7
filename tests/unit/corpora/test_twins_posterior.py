"""The ceiling against brute force, against the generator itself, and under dropout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from harness.errors import UsageError
from harness_corpora.twins import design as designs
from harness_corpora.twins import labels, sample
from harness_corpora.twins.ceiling import scores
from harness_corpora.twins.emission import basis
from harness_corpora.twins.posterior import posterior

SEED = 3


@dataclass
class MadeSplit:
    """A split in memory with the attributes the ceiling reads."""

    features: dict[str, list[np.ndarray]]
    labels: np.ndarray
    natural: np.ndarray

    @property
    def ids(self) -> list[str]:
        return [str(i) for i in range(len(self.labels))]

    def gather(self, indices: np.ndarray) -> dict[str, list[np.ndarray]]:
        return {m: [x[i] for i in indices] for m, x in self.features.items()}


def made(plan: designs.Design, count: int, split: str = "test", pad: str = "end") -> MadeSplit:
    drawn = sample.segments(plan, SEED, split, count)
    features = {}
    for stream in plan.streams:
        out = np.zeros((count, stream.max_length, stream.dim), np.float32)
        sample.padded(plan, stream, SEED, split, drawn, out, pad)
        out[np.isneginf(out)] = 0.0
        features[stream.name] = list(out)
    return MadeSplit(features, drawn.labels, np.ones((count, len(plan.streams)), bool))


def masks(keep: np.ndarray, frames: dict[str, list[np.ndarray]] | None = None, noise=None):
    return SimpleNamespace(keep=keep, frames=frames, noise=noise)


@pytest.fixture(scope="module")
def aligned() -> MadeSplit:
    return made(designs.MOSEI_ALIGNED, 1500)


@pytest.fixture(scope="module")
def ceiling(aligned: MadeSplit) -> np.ndarray:
    return scores("mosei-aligned", aligned, masks(aligned.natural), SEED)


def micro_f1(truth: np.ndarray, chosen: np.ndarray) -> float:
    return float(2 * (truth & chosen).sum() / (truth.sum() + chosen.sum()))


def best_micro_f1(truth: np.ndarray, value: np.ndarray) -> float:
    return max(micro_f1(truth, (value > t).astype(np.uint8)) for t in np.arange(0.05, 0.96, 0.05))


def brute_force(
    plan: designs.Design, codes: list[np.ndarray], kept: list[np.ndarray]
) -> np.ndarray:
    """Enumerate y, s and every combination of window starts; multiply Gaussian densities."""
    model, total = plan.labels, 0.0
    mass = np.zeros(len(model.names))
    for y, p_y in zip(model.states, model.prob, strict=True):
        for s, p_s in ((0, 1 - plan.irony_rate), (1, plan.irony_rate)):
            widths = [min(m.window, len(c)) for m, c in zip(plan.streams, codes, strict=True)]
            ranges = [range(len(c) - w + 1) for c, w in zip(codes, widths, strict=True)]
            for starts in product(*ranges):
                density = p_y * p_s
                for stream, x, keep, w, b, r in zip(
                    plan.streams, codes, kept, widths, starts, ranges, strict=True
                ):
                    sign = -1.0 if s and stream.flips else 1.0
                    evidence = [
                        sign * a * (1 if v else -1)
                        for a, v in zip(stream.amplitude, y, strict=True)
                    ]
                    mean = np.array([*evidence, stream.irony if s else -stream.irony, stream.mark])
                    density /= len(r)
                    for t, frame in enumerate(x):
                        if keep[t]:
                            centre = mean if b <= t < b + w else 0 * mean
                            density *= np.exp(-0.5 * ((frame - centre) ** 2).sum())
                mass += density * y
                total += density
    return mass / total


@pytest.mark.parametrize("name", ["full", "frames", "short", "absent"])
def test_posterior_equals_enumeration(name: str) -> None:
    rng = np.random.default_rng(7)
    plan = replace(
        designs.MOSEI_ALIGNED,
        streams=tuple(
            replace(s, amplitude=s.amplitude[:2], window=2) for s in designs.MOSEI_ALIGNED.streams
        ),
    )
    states = labels.all_sets(2)
    plan.__dict__["labels"] = labels.LabelModel(("a", "b"), states, np.array([0.1, 0.4, 0.3, 0.2]))
    lengths = {"short": (1, 2, 1)}.get(name, (4, 3, 5))
    codes = [0.8 * rng.standard_normal((t, 4)) for t in lengths]
    kept = [np.ones(t, bool) for t in lengths]
    if name == "frames":
        kept = [rng.random(t) < 0.5 for t in lengths]
    given: list[list[np.ndarray | None]] = [[c] for c in codes]
    if name == "absent":
        given[1], kept[1] = [None], np.zeros(lengths[1], bool)
    found = posterior(plan, given, [[k] for k in kept])
    np.testing.assert_allclose(found[0], brute_force(plan, codes, kept), atol=1e-10)


def test_marginals_are_calibrated(aligned: MadeSplit, ceiling: np.ndarray) -> None:
    bins = np.minimum((ceiling * 5).astype(int), 4)
    for b in range(5):
        inside = bins == b
        p, y = ceiling[inside], aligned.labels[inside]
        error = np.sqrt((p * (1 - p)).sum()) / inside.sum()
        assert abs(y.mean() - p.mean()) < 4 * error + 1e-3


def test_ceiling_is_above_other_predictors(aligned: MadeSplit, ceiling: np.ndarray) -> None:
    truth, best = aligned.labels, best_micro_f1(aligned.labels, ceiling)
    assert 0.75 <= best <= 0.87
    # A predictor with the true code matrix but without the interaction with irony.
    plan = designs.MOSEI_ALIGNED
    linear = np.zeros(truth.shape)
    for stream in plan.streams:
        code = basis(plan, stream, SEED).code.T
        for i, x in enumerate(aligned.features[stream.name]):
            linear[i] += (x @ code)[:, : truth.shape[1]].sum(axis=0) * stream.amplitude
    assert best > best_micro_f1(truth, 1 / (1 + np.exp(-linear))) + 0.05
    constant = max(micro_f1(truth, np.broadcast_to(y, truth.shape)) for y in labels.all_sets(6)[1:])
    assert best > constant + 0.2


def test_each_modality_adds_and_none_suffices(aligned: MadeSplit, ceiling: np.ndarray) -> None:
    best = best_micro_f1(aligned.labels, ceiling)
    for m in range(3):
        keep = np.zeros_like(aligned.natural)
        keep[:, m] = True
        alone = best_micro_f1(
            aligned.labels, scores("mosei-aligned-twin", aligned, masks(keep), SEED)
        )
        without = scores("mosei-aligned-twin", aligned, masks(~keep), SEED)
        assert alone < best_micro_f1(aligned.labels, without) < best
    nothing = scores("mosei-aligned", aligned, masks(np.zeros_like(aligned.natural)), SEED)
    prior = designs.MOSEI_ALIGNED.labels.marginals
    np.testing.assert_allclose(nothing, np.broadcast_to(prior, nothing.shape), atol=1e-12)


def test_dropped_frames_leave_their_terms_out() -> None:
    split = made(designs.MOSEI_ALIGNED, 40)
    rng = np.random.default_rng(0)
    real = {m: [np.any(x != 0, axis=1) for x in xs] for m, xs in split.features.items()}
    keys = {"text": "t", "visual": "v", "audio": "a"}
    frames = {keys[m]: [rng.random(60) < 0.6 for _ in xs] for m, xs in real.items()}
    by_position = scores("mosei-aligned", split, masks(split.natural, frames), SEED)
    compact = {keys[m]: [f[r] for f, r in zip(frames[keys[m]], real[m], strict=True)] for m in real}
    by_rank = scores("mosei-aligned", split, masks(split.natural, compact), SEED)
    np.testing.assert_array_equal(by_position, by_rank)
    assert (
        np.abs(by_position - scores("mosei-aligned", split, masks(split.natural), SEED)).max() > 0.1
    )
    gone = {**frames, "v": [np.zeros(60, bool)] * 40}
    keep = split.natural.copy()
    keep[:, 1] = False
    np.testing.assert_allclose(
        scores("mosei-aligned", split, masks(split.natural, gone), SEED),
        scores("mosei-aligned", split, masks(keep, frames), SEED),
        atol=1e-12,
    )
    wrong = {"t": [np.ones(7, bool)] * 40}
    with pytest.raises(UsageError, match="7 entries"):
        scores("mosei-aligned", split, masks(split.natural, wrong), SEED)


def test_padding_side_and_nuisance_change_nothing() -> None:
    end, start = made(designs.MOSEI_ALIGNED, 30), made(designs.MOSEI_ALIGNED, 30, pad="start")
    expected = scores("mosei-aligned", end, masks(end.natural), SEED)
    np.testing.assert_allclose(
        scores("mosei-aligned", start, masks(end.natural), SEED), expected, atol=1e-9
    )
    plan = designs.MOSEI_ALIGNED
    rng = np.random.default_rng(1)
    for stream in plan.streams:
        code = basis(plan, stream, SEED).code
        for x in end.features[stream.name]:
            extra = 3 * rng.standard_normal(x.shape).astype(np.float32)
            real = np.any(x != 0, axis=1)
            x[real] += (extra - (extra @ code.T) @ code)[real]
    np.testing.assert_allclose(
        scores("mosei-aligned", end, masks(end.natural), SEED), expected, atol=1e-4
    )


def test_noise_and_strangers_are_refused(aligned: MadeSplit) -> None:
    with pytest.raises(UsageError, match="noise"):
        scores("mosei-aligned", aligned, masks(aligned.natural, noise=object()), SEED)
    with pytest.raises(UsageError, match="no twin"):
        scores("mosi", aligned, masks(aligned.natural), SEED)


def test_planted_dependence() -> None:
    planted = designs.planted_dependence("mosei-aligned-twin")
    names = designs.MOSEI_ALIGNED.labels.names
    assert planted.shape == (3, 6)
    assert planted[:, names.index("surprise")].argmax() == 2
    assert planted[:, names.index("anger")].argmax() == 1
