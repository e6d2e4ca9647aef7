"""The exact posterior of the generating process, and observers that lack something.

Every observer is Bayes' rule over all label sets y and states s, on the evidence
log p(x_m | y, s) of each modality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness_corpora.twins.frames import Floats
from harness_corpora.twins.plan import Modality, Plan
from harness_corpora.twins.words import GRID, WHOLE

OBSERVERS = ("full", "late", "independent", "mean")
"""Besides these: ``only-<key>`` and ``drop-<key>`` of each modality."""


@dataclass(frozen=True)
class States:
    """What an observer believes before it sees anything.

    Attributes:
        sets: label sets of positive probability, uint8 [K, L].
        log_prior: log p(y), float64 [K].
        log_product: the log of prod_k p(y_k), float64 [K].
        log_irony: log p(s), float64 [2].
    """

    sets: NDArray[np.uint8]
    log_prior: Floats
    log_product: Floats
    log_irony: Floats

    @classmethod
    def of(cls, plan: Plan) -> States:
        """Return the states of a twin."""
        sets, weights = plan.sets()
        prior = weights / weights.sum()
        share = prior @ sets
        product = np.where(sets == 1, share, 1 - share).prod(axis=1)
        irony = plan.irony / WHOLE
        return cls(sets, np.log(prior), np.log(product), np.log([1 - irony, irony]))

    def means(self, plan: Plan, modality: Modality) -> Floats:
        """Return what an event adds to the code under each (y, s), float64 [K, 2, C]."""
        size = len(self.sets)
        under = [
            plan.means(modality, self.sets, np.full(size, state, dtype=np.bool_))
            for state in (False, True)
        ]
        return np.stack(under, axis=1) / GRID


@dataclass(frozen=True)
class Evidence:
    """log p(x_m | y, s) plus a constant, of N samples, float64 [N, M, K, 2] each.

    Attributes:
        event: the event may start at any frame.
        pooled: of the mean over time; None where frames are dropped.
    """

    event: Floats
    pooled: Floats | None

    @classmethod
    def joined(cls, parts: Sequence[Evidence]) -> Evidence:
        """Return the evidence of the samples of several parts, one after the other."""
        pooled = [part.pooled for part in parts if part.pooled is not None]
        event = np.concatenate([part.event for part in parts])
        return cls(event, np.concatenate(pooled) if len(pooled) == len(parts) else None)


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


def evidence(
    plan: Plan,
    codes: Sequence[Sequence[Floats | None]],
    kept: Sequence[Sequence[NDArray[np.bool_]]] | None = None,
) -> Evidence:
    """Return the evidence of samples.

    Args:
        plan: of the twin.
        codes: per modality and sample its code, float64 [T, L + 2], in units of 1, or None where
            the modality is absent; frames behind its ``max_length`` are left out.
        kept: alike, bool [T], False where a frame is dropped; None: no frame is.
    """
    states, count = States.of(plan), len(codes[0])
    shape = (count, len(plan.modalities), len(states.sets), 2)
    event, pooled = np.zeros(shape), np.zeros(shape)
    for m, modality in enumerate(plan.modalities):
        means = states.means(plan, modality)
        flat = means.reshape(-1, means.shape[-1])
        for i, code in enumerate(codes[m]):
            if code is None:
                continue
            seen = code[: modality.max_length]
            mask = np.ones(len(seen), dtype=np.bool_) if kept is None else kept[m][i][: len(seen)]
            event[i, m] = log_evidence(seen, mask, flat, modality.window).reshape(-1, 2)
            share = min(modality.window, len(seen)) / len(seen)
            apart = seen.mean(axis=0) - share * means
            pooled[i, m] = -len(seen) / 2 * (apart**2).sum(axis=-1)
    return Evidence(event, pooled if kept is None else None)


def set_posterior(plan: Plan, found: Evidence, observer: str = "full") -> Floats:
    """Return what an observer believes of each label set, float64 [N, K].

    Args:
        plan: of the twin.
        found: of the samples.
        observer: ``full`` lacks nothing; ``late`` fuses the modalities' own posteriors;
            ``independent`` takes the labels for independent; ``mean`` sees the mean over time;
            ``only-<key>`` and ``drop-<key>`` lack modalities.

    Raises:
        UsageError: there is no such observer, or frames are dropped and it needs all of them.
    """
    from scipy.special import logsumexp

    keys = [modality.key for modality in plan.modalities]
    kind, _, key = observer.partition("-")
    if observer not in OBSERVERS and (kind not in ("only", "drop") or key not in keys):
        known = [*OBSERVERS, *(f"{kind}-{key}" for kind in ("only", "drop") for key in keys)]
        raise UsageError(f"{plan.name}: no observer {observer!r}; there are {', '.join(known)}.")
    states = States.of(plan)
    seen = found.pooled if observer == "mean" else found.event
    if seen is None:
        raise UsageError(
            f"{plan.name}: the observer {observer!r} is known of whole sequences only."
        )
    if observer == "late":
        shown = logsumexp(seen + states.log_irony, axis=3).sum(axis=1)
    else:
        used = [m for m, own in enumerate(keys) if not key or (own == key) == (kind == "only")]
        shown = logsumexp(seen[:, used].sum(axis=1) + states.log_irony, axis=2)
    weights = shown + (states.log_product if observer == "independent" else states.log_prior)
    return np.asarray(np.exp(weights - logsumexp(weights, axis=1, keepdims=True)))


def observe(plan: Plan, found: Evidence, observer: str = "full") -> Floats:
    """Return what an observer believes of each label, float64 [N, L].

    Args:
        plan: of the twin.
        found: of the samples.
        observer: see `set_posterior`.
    """
    return np.clip(set_posterior(plan, found, observer) @ States.of(plan).sets, 0.0, 1.0)
