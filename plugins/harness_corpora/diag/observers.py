"""Exact posteriors of the diagnostic data sets, and observers that lack the skill.

Each observer takes codes float64 [N, 3, T, 15] (frames read back, `codes`) and which modalities are
present, bool [N, 3], and returns probabilities float64 [N, 6]. Formulas: `docs/diag.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from harness_corpora.diag import draw
from harness_corpora.diag.draw import LABELS, PAIRS
from harness_corpora.twins.words import GRID, WHOLE

Floats = NDArray[np.float64]
Present = NDArray[np.bool_]
Observer = Callable[[Floats, Present], Floats]

PRIOR = 0.3
_ODDS = float(np.log(PRIOR / (1 - PRIOR)))
_STATES = np.array(list(product((0, 1), repeat=LABELS)), dtype=np.float64)


def codes(frames: Floats, signs: NDArray[np.int8]) -> Floats:
    """Return the code [N, T, 15] of frames [N, T, 16]."""
    return frames @ (signs / 4.0).T


def prior(code: Floats, present: Present) -> Floats:
    """Return the prior."""
    return np.full((len(code), LABELS), PRIOR)


def xor(code: Floats, present: Present) -> Floats:
    """Return the posterior of `xor`: two sums over frames a label, of unknown common sign."""
    beta = draw.BETA / GRID
    sums = code.sum(axis=2)
    first, second = (
        np.stack([sums[:, pair[side], k] for k, pair in enumerate(PAIRS)], axis=1)
        for side in (0, 1)
    )
    return _sigmoid(_ODDS + _log_cosh(beta * (first + second)) - _log_cosh(beta * (first - second)))


def align(code: Floats, present: Present) -> Floats:
    """Return the posterior of `align`: does the second event fall on the first one's frame?"""
    alpha, size = draw.ALPHA / GRID, draw.SEGMENT
    logits = np.empty((len(code), LABELS))
    for k, (one, other) in enumerate(PAIRS):
        span = slice(size * k, size * (k + 1))
        f, g = np.exp(alpha * code[:, one, span, k]), np.exp(alpha * code[:, other, span, k])
        same = (f * g).sum(axis=1)
        apart = f.sum(axis=1) * g.sum(axis=1) - same
        logits[:, k] = _ODDS + np.log(same / size) - np.log(apart / (size * (size - 1)))
    return _sigmoid(logits)


def _recon(code: Floats, seen: list[int], filled: bool = False) -> Floats:
    """Return the linear posterior from the modalities that are seen.

    Args:
        code: of the samples.
        seen: places of the modalities; the others take no part.
        filled: the others count as zeros of complete data instead.
    """
    step = draw.EVIDENCE / GRID
    h, w = np.array(draw.SHOWS, float), np.array(draw.CONFOUNDS, float)
    spread = np.outer(h, h) + np.outer(w, w) + np.eye(len(h)) / code.shape[2]
    mean = code[..., :LABELS].mean(axis=2)
    part = list(range(len(h))) if filled else seen
    weights = np.linalg.solve(spread[np.ix_(part, part)], h[part])
    used = [m for m in part if m in seen]
    return _sigmoid(
        _ODDS + 2 * step * np.einsum("m,nmk->nk", weights[[part.index(m) for m in used]],
                                     mean[:, used])
    )  # fmt: skip


def recon_complete(code: Floats, present: Present) -> Floats:
    """Return the posterior of `recon` from all three modalities."""
    return _recon(code, [0, 1, 2])


def recon_dropped(code: Floats, present: Present) -> Floats:
    """Return the posterior of `recon` from video and audio: what drop-t leaves."""
    return _recon(code, [1, 2])


def recon_zeros(code: Floats, present: Present) -> Floats:
    """Return the complete posterior's answer to zeros in the place of text."""
    return _recon(code, [1, 2], filled=True)


_SHARE = draw.SHOWN / GRID
_VARIANCE = float(draw.SPEAKER**2)


def _emotive(code: Floats) -> tuple[Floats, Floats]:
    """Return the means [N, 3, 6] over emotive and over other frames."""
    marked = (code[..., LABELS] > 0)[..., None]
    shown = code[..., :LABELS]
    count = marked.sum(axis=2)
    inside = (shown * marked).sum(axis=2) / count
    outside = (shown * ~marked).sum(axis=2) / (code.shape[2] - count)
    return inside, outside


def speaker(code: Floats, present: Present) -> Floats:
    """Return the posterior of `speaker`: emotive frames against the sample's own others."""
    inside, outside = _emotive(code)
    rest = code.shape[2] - draw.EMOTIVE
    kept = _VARIANCE / (_VARIANCE + 1 / rest)
    spread = 1 / draw.EMOTIVE + (_VARIANCE / rest) / (_VARIANCE + 1 / rest)
    return _sigmoid(_ODDS + (2 * _SHARE * (inside - kept * outside) / spread).sum(axis=1))


def speaker_emotive(code: Floats, present: Present) -> Floats:
    """Return the answer from emotive frames alone; the offset counts as noise."""
    inside, _ = _emotive(code)
    spread = 1 / draw.EMOTIVE + _VARIANCE
    return _sigmoid(_ODDS + (2 * _SHARE * inside / spread).sum(axis=1))


def speaker_mean(code: Floats, present: Present) -> Floats:
    """Return the answer from the mean over all frames."""
    frames = code.shape[2]
    mean = code[..., :LABELS].mean(axis=2)
    share = 2 * _SHARE * draw.EMOTIVE / frames
    return _sigmoid(_ODDS + (share * mean / (1 / frames + _VARIANCE)).sum(axis=1))


def _log_states(log_prior: Floats, amplitude: float, evidence: Floats) -> Floats:
    """Return the log weight [N, 64] of each label set: its prior and evidence [N, K] on labels."""
    signs = 2 * _STATES[:, : evidence.shape[1]] - 1
    return log_prior + amplitude * evidence @ signs.T


def _marginals(log_weights: Floats) -> Floats:
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    return (weights / weights.sum(axis=1, keepdims=True)) @ _STATES


def _independent() -> Floats:
    return (_STATES * np.log(PRIOR) + (1 - _STATES) * np.log(1 - PRIOR)).sum(axis=1)


def _pattern(present: Present) -> Floats:
    """Return log p(which modalities are present | label set), [N, 64]."""
    rates = np.array(draw.ABSENT) / WHOLE
    absent = rates[_STATES[:, : len(draw.KEYS)].astype(int)]
    there = present[:, None, :]
    each = np.where(there, np.log(1 - absent), np.log(absent)).sum(axis=2)
    return np.asarray(each - np.log(1 - absent.prod(axis=1)))


def _seen_sums(code: Floats, present: Present) -> Floats:
    return np.asarray((code[..., :LABELS] * present[:, :, None, None]).sum(axis=(1, 2)))


def missing(code: Floats, present: Present) -> Floats:
    """Return the posterior of `missing`: what is seen, and what is not there."""
    sums = _seen_sums(code, present)
    weights = _log_states(_independent(), draw.PRESENT_SHOWN / GRID, sums)
    return _marginals(weights + _pattern(present))


def missing_seen(code: Floats, present: Present) -> Floats:
    """Return the answer from what is seen alone."""
    sums = _seen_sums(code, present)
    return _marginals(_log_states(_independent(), draw.PRESENT_SHOWN / GRID, sums))


def missing_pattern(code: Floats, present: Present) -> Floats:
    """Return the answer from the pattern of missing modalities alone."""
    return _marginals(_independent() + _pattern(present))


_LOUD = float(draw.SPREAD**2 + 1)
_NOISY = draw.NOISY_SHOWN / GRID


def noise(code: Floats, present: Present) -> Floats:
    """Return the posterior of `noise`: a sum over the eight states of the three variances."""
    frames, axes = code.shape[2:]
    sums, squares = code[..., :LABELS].sum(axis=2), (code**2).sum(axis=(2, 3))
    logits, weights = [], []
    for state in product((1.0, _LOUD), repeat=3):
        variance = np.array(state)
        ratio = np.einsum("nmk,m->nk", _NOISY * sums, 1 / variance)
        own = (
            -squares / (2 * variance)
            - axes * frames / 2 * np.log(variance)
            - frames * LABELS * _NOISY**2 / (2 * variance)
        ).sum(axis=1)
        mixed = np.logaddexp(np.log(PRIOR) + ratio, np.log(1 - PRIOR) - ratio).sum(axis=1)
        weights.append(own + mixed)
        logits.append(_ODDS + 2 * ratio)
    share = np.exp(np.stack(weights) - np.max(weights, axis=0))
    share /= share.sum(axis=0)
    return np.einsum("sn,snk->nk", share, _sigmoid(np.stack(logits)))


def noise_average(code: Floats, present: Present) -> Floats:
    """Return the answer under one average variance."""
    sums = code[..., :LABELS].sum(axis=(1, 2))
    return _sigmoid(_ODDS + 2 * _NOISY * sums / ((1 + _LOUD) / 2))


def noise_per_axis(code: Floats, present: Present) -> Floats:
    """Return the answer where each axis judges its own spread."""
    frames = code.shape[2]
    sums = code[..., :LABELS].sum(axis=2)
    squares = (code[..., :LABELS] ** 2).sum(axis=2)

    def likelihood(sign: int) -> Floats:
        parts = [
            -squares / (2 * v)
            - frames / 2 * np.log(v)
            + sign * _NOISY * sums / v
            - frames * _NOISY**2 / (2 * v)
            for v in (1.0, _LOUD)
        ]
        return np.asarray(np.logaddexp(*parts))

    return _sigmoid(_ODDS + (likelihood(1) - likelihood(-1)).sum(axis=1))


def _dependent() -> Floats:
    """Return log p of each label set of `colabel`."""
    own, copied, crossed = (p / WHOLE for p in (draw.OWN, draw.COPIED, draw.CROSSED))
    y = _STATES.astype(int)
    free = np.where(y[:, :3] == 1, own, 1 - own).prod(axis=1)
    follow = np.stack([y[:, 0], y[:, 1] ^ y[:, 2], y[:, 0] ^ y[:, 2]], axis=1)
    kept = np.array([copied, crossed, crossed])
    return np.log(free * np.where(y[:, 3:] == follow, kept, 1 - kept).prod(axis=1))


def colabel(code: Floats, present: Present) -> Floats:
    """Return the posterior of `colabel`: evidence on three labels, the others follow from them."""
    sums = code[..., : draw.FREE].sum(axis=(1, 2))
    return _marginals(_log_states(_dependent(), _NOISY, sums))


def colabel_own(code: Floats, present: Present) -> Floats:
    """Return the answer from each label's own evidence; the others have their marginals."""
    sums = code[..., : draw.FREE].sum(axis=(1, 2))
    own = draw.OWN / WHOLE
    shown = _sigmoid(np.log(own / (1 - own)) + 2 * _NOISY * sums)
    rest = (np.exp(_dependent()) @ _STATES)[draw.FREE :]
    return np.concatenate([shown, np.broadcast_to(rest, (len(code), len(rest)))], axis=1)


OBSERVERS: Mapping[str, Mapping[str, Observer]] = MappingProxyType(
    {
        "xor": {"full": xor, "without": prior},
        "align": {"full": align, "without": prior},
        "recon": {"full": recon_dropped, "without": recon_zeros, "complete": recon_complete},
        "speaker": {"full": speaker, "without": speaker_emotive, "mean": speaker_mean},
        "noise": {"full": noise, "without": noise_average, "per axis": noise_per_axis},
        "missing": {"full": missing, "without": missing_seen, "pattern only": missing_pattern},
        "colabel": {"full": colabel, "without": colabel_own},
    }
)
"""Per data set its observers: ``full`` the exact posterior, ``without`` lacks the skill."""

THRESHOLDS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "xor": {"full": 0.45, "without": 0.3},
        "align": {"full": 0.457, "without": 0.3},
        "recon": {"full": 0.37, "without": 0.0, "complete": 0.494},
        "speaker": {"full": 0.472, "without": 0.268, "mean": 0.228},
        "noise": {"full": 0.425, "without": 0.301, "per axis": 0.426},
        "missing": {"full": 0.386, "without": 0.304, "pattern only": 0.3},
        "colabel": {"full": 0.443, "without": 0.376},
    }
)
"""Per data set the threshold of each observer, the best of 20,000 samples; a label is decided where
p >= threshold."""


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def _log_cosh(x: Floats) -> Floats:
    size = np.abs(x)
    return np.asarray(size + np.log1p(np.exp(-2 * size)) - np.log(2))
