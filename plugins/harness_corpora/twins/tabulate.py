"""Where the observers of the twins cut: made from 20,000 samples, shipped as ``observers.json``.

``python -m harness_corpora.twins.tabulate`` writes the table again (about ten minutes).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.paths import atomic_write_text
from harness.protocols.metrics import multilabel_metrics
from harness_corpora.twins.decisions import best_threshold, decisions
from harness_corpora.twins.observers import TABLE, Cut
from harness_corpora.twins.plan import PLANS, Plan
from harness_corpora.twins.posterior import (
    Evidence,
    States,
    evidence,
    set_posterior,
)
from harness_corpora.twins.sample import Drawn, ModalityFrames, draw

SAMPLES = 20_000
SEED, SPLIT = 0, "ceiling"
_CHUNK = 2000
_DIGITS = 4
# Whose scores are no probabilities: their thresholds are searched, not halves of an F1.
_FUSED = ("late", "independent")


def drawn_evidence(plan: Plan, count: int = SAMPLES) -> tuple[Drawn, Evidence]:
    """Return samples of no board's split, and what their codes say."""
    drawn = draw(plan, SEED, SPLIT, count)
    sources = [ModalityFrames(plan, modality, SEED, SPLIT, drawn) for modality in plan.modalities]
    found = []
    for first in range(0, count, _CHUNK):
        rows = range(first, min(first + _CHUNK, count))
        found.append(evidence(plan, [[source.code(i) for i in rows] for source in sources]))
    return drawn, Evidence.joined(found)


def micro_f1(drawn: Drawn, decided: NDArray[np.bool_]) -> tuple[float, float]:
    """Return micro-F1 of decisions bool [N, L] and its standard error over videos."""
    truth = drawn.labels == 1
    hits, given = (truth & decided).sum(axis=1), truth.sum(axis=1) + decided.sum(axis=1)
    f1 = 2 * hits.sum() / given.sum()
    by_video = np.bincount(drawn.video, weights=2 * hits - f1 * given)
    return float(f1), float(np.sqrt((by_video**2).sum()) / given.sum())


def observers_of(plan: Plan) -> Iterator[str]:
    """Yield the names of the observers that the table holds."""
    yield from ("full", "late", "independent", "mean")
    for kind in ("only", "drop"):
        yield from (f"{kind}-{modality.key}" for modality in plan.modalities)


def tabulated(plan: Plan, count: int = SAMPLES) -> dict[str, Any]:
    """Return the table of a twin.

    Per observer ``micro_f1`` (value, standard error), the ``threshold`` of all labels that gives
    it, and ``labels``, a threshold for each: half of the label's best F1, which is the optimum of
    a posterior; of fused scores the best one. ``other_metrics`` are those of the exact posterior
    by decisions of their own.
    """
    drawn, found = drawn_evidence(plan, count)
    states, known = States.of(plan), dict[str, Any]()
    for observer in observers_of(plan):
        belief = set_posterior(plan, found, observer)
        scores = np.clip(belief @ states.sets, 0.0, 1.0)
        best = best_threshold(drawn.labels, scores)[1]
        each = [best_threshold(drawn.labels[:, k], scores[:, k]) for k in range(scores.shape[1])]
        own = [at if observer in _FUSED else f1 / 2 for f1, at in each]
        cut = Cut(round(best, 3), tuple(round(value, 3) for value in own))
        f1, error = micro_f1(drawn, scores >= best)
        known[observer] = {
            "micro_f1": [round(f1, _DIGITS), round(error, _DIGITS)],
            "threshold": cut.threshold,
            "labels": list(cut.labels),
        }
        if observer == "full":
            other = _other_metrics(drawn.labels, scores, decisions(states.sets, belief, cut.labels))
    return {"observers": known, "other_metrics": other}


def _other_metrics(
    truth: NDArray[np.uint8], scores: NDArray[np.float64], decided: dict[str, NDArray[np.uint8]]
) -> dict[str, float]:
    names = [str(k) for k in range(truth.shape[1])]
    found = {
        metric: multilabel_metrics(truth, own, None, names)[metric]
        for metric, own in decided.items()
    }
    ranked = multilabel_metrics(truth, next(iter(decided.values())), scores, names)
    found |= {metric: ranked[metric] for metric in ("micro_ap", "macro_ap")}
    return {metric: round(float(value), _DIGITS) for metric, value in found.items()}


def main(names: list[str]) -> None:
    """Write the table of the twins of these names, all without any; the others' lines stay."""
    path = Path(str(TABLE))
    known = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    for name in names or list(PLANS):
        known[name] = tabulated(PLANS[name])
        atomic_write_text(path, json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
