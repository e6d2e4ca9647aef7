"""The exact posterior of the generating process, in code space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness_corpora.twins.design import Design
from harness_corpora.twins.emission import means


@dataclass(frozen=True)
class StateSpace:
    """The joint states (y, s): ``labels`` uint8 [J, L], ``ironic`` bool [J], ``log_prior`` [J]."""

    labels: NDArray[np.uint8]
    ironic: NDArray[np.bool_]
    log_prior: NDArray[np.float64]


def state_space(design: Design) -> StateSpace:
    """Return all states of positive probability with log p(y) + log p(s)."""
    model = design.labels
    states = model.states[model.prob > 0]
    log_p = np.log(model.prob[model.prob > 0])
    rate = design.irony_rate
    return StateSpace(
        np.vstack([states, states]),
        np.repeat([False, True], len(states)),
        np.concatenate([log_p + np.log1p(-rate), log_p + np.log(rate)]),
    )


def log_evidence(
    code: NDArray[np.float64],
    kept: NDArray[np.bool_],
    mean: NDArray[np.float64],
    window: int,
) -> NDArray[np.float64]:
    """Return log p(frames | state) up to a constant that no state changes.

    logmeanexp over the starts of [<sum of the window's kept frames, mean> - n_kept/2 |mean|^2]:
    a dropped frame leaves its term out.

    Args:
        code: frames in code space, float64 [T, C], T >= 1.
        kept: bool [T].
        mean: event mean of every state, float64 [J, C].
        window: frames of an event; all of a shorter sequence.

    Returns:
        float64 [J].
    """
    from scipy.special import logsumexp

    length = len(code)
    width = min(window, length)
    terms = np.where(kept[:, None], code, 0.0)
    zero = np.zeros((1, code.shape[1]))
    running = np.vstack([zero, np.cumsum(terms, axis=0)])
    count = np.concatenate([[0], np.cumsum(kept)])
    sums = running[width:] - running[:-width]
    number = count[width:] - count[:-width]
    exponent = sums @ mean.T - 0.5 * number[:, None] * (mean**2).sum(axis=1)
    return np.asarray(logsumexp(exponent, axis=0) - np.log(length - width + 1))


def marginals(space: StateSpace, evidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p(label | evidence).

    Args:
        space: the J states.
        evidence: log p(x | state), summed over what is present, float64 [N, J].

    Returns:
        float64 [N, L].
    """
    from scipy.special import logsumexp

    log_p = evidence + space.log_prior
    weight = np.exp(log_p - logsumexp(log_p, axis=1, keepdims=True))
    return np.clip(weight @ space.labels, 0.0, 1.0)


def posterior(
    design: Design,
    codes: Sequence[Sequence[NDArray[np.float64] | None]],
    kept: Sequence[Sequence[NDArray[np.bool_] | None]],
) -> NDArray[np.float64]:
    """Return the per-label posterior of N samples.

    Args:
        design: the twin.
        codes: per stream, per sample: frames in code space [T, L+2], or None where absent.
        kept: alike, bool [T]; None keeps all frames.

    Returns:
        float64 [N, L].
    """
    space = state_space(design)
    evidence = np.zeros((len(codes[0]), len(space.log_prior)))
    for stream, rows, keeps in zip(design.streams, codes, kept, strict=True):
        mean = means(stream, space.labels, space.ironic)
        for i, (code, keep) in enumerate(zip(rows, keeps, strict=True)):
            if code is None or not len(code):
                continue
            mask = np.ones(len(code), bool) if keep is None else keep
            evidence[i] += log_evidence(code, mask, mean, stream.window)
    return marginals(space, evidence)
