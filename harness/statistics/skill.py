"""Skill: how far a model gets from an observer without one skill to the exact posterior.

skill = (F(model) - F0) / (F1 - F0), where F1 is the metric of the exact posterior and F0 that of
the best predictor without the skill, all on the same samples. Below 0 the model is worse than a
predictor without the skill; nothing is clipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.statistics.bootstrap import resampled, weight_parts
from harness.statistics.counts import Floats, GroupSums
from harness.statistics.intervals import Interval
from harness.statistics.share import share, share_interval

RESAMPLES = 10_000


@dataclass(frozen=True)
class Resampled:
    """A metric, averaged over S seeds, on a split and on its B resamples, float64 [B]."""

    value: float
    seeds: int
    values: Floats


@dataclass(frozen=True)
class SkillPart:
    """A model's seeds that were scored on one split, beside the two predictors on that split.

    The three have the same weights in each resample (`resample_all`).
    """

    model: Resampled
    full: Resampled
    lacking: Resampled


@dataclass(frozen=True)
class Skill:
    """A skill with its 95 % interval; both None where F1 - F0 is too small (`share`).

    Attributes:
        model: F of the model, mean over seeds.
        full: F1 of the exact posterior.
        lacking: F0, without the skill.
        value: the skill.
        interval: percentiles of the paired bootstrap over samples.
    """

    model: float
    full: float
    lacking: float
    value: float | None
    interval: Interval | None

    def above(self, bound: float) -> bool:
        """Return whether the whole interval lies above a bound."""
        return self.interval is not None and self.interval[0] > bound


def resample_all(
    sums: Sequence[GroupSums], resamples: int = RESAMPLES, seed: int = 0
) -> list[Resampled]:
    """Return each metric on the same resamples of one split's G groups.

    Args:
        sums: a metric's sums over the same groups in the same order, S seeds each.
        resamples: B, how often groups are drawn with replacement, G at a time.
        seed: of the drawing.
    """
    groups = sums[0].rows.shape[1]
    drawn: list[list[Floats]] = [[] for _ in sums]
    for weights in weight_parts(groups, resamples, seed):
        for found, one in zip(drawn, sums, strict=True):
            found.append(resampled(one, weights))
    return [
        Resampled(float(np.mean(one.per_seed())), len(one.rows), np.concatenate(found))
        for one, found in zip(sums, drawn, strict=True)
    ]


def skill(parts: Sequence[SkillPart]) -> Skill:
    """Return a model's skill over its splits, each with the weight of its seeds.

    Args:
        parts: one a split; splits are resampled apart.
    """
    weight = np.array([part.model.seeds for part in parts], dtype=np.float64)
    weight /= weight.sum()
    each = [[getattr(part, name) for part in parts] for name in ("model", "full", "lacking")]
    model, full, lacking = (float(weight @ np.array([one.value for one in ones])) for ones in each)
    value = share(model, lacking, full)
    if value is None:
        return Skill(model, full, lacking, None, None)
    drawn, drawn_full, drawn_lacking = (
        weight @ np.stack([one.values for one in ones]) for ones in each
    )
    interval = share_interval(drawn, drawn_lacking, drawn_full)
    return Skill(model, full, lacking, value, interval)


def best_constant(truth: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return the constant set with the best micro-F1 on these samples, for each of them.

    It holds the k most frequent labels; of equally good k the smallest is taken.

    Args:
        truth: [N, L] in {0, 1}.

    Returns:
        Decisions, bool [N, L].
    """
    count = truth.astype(np.int64).sum(axis=0)
    order = np.argsort(-count, kind="stable")
    sizes = np.arange(1, len(count) + 1)
    f1 = 2 * count[order].cumsum() / np.maximum(len(truth) * sizes + count.sum(), 1)
    held = np.zeros(len(count), dtype=np.bool_)
    held[order[: sizes[int(np.argmax(f1))]]] = True
    return np.tile(held, (len(truth), 1))
