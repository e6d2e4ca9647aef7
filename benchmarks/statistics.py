"""Time of every statistic of a board: 17 models x 5 seeds x 4,659 samples x 6 labels.

The reference operation is a product of two 1024 x 1024 float64 matrices on the same core.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.measuring import machine, seconds
from harness.statistics.compare import compare, standings
from harness.statistics.entrants import Entrant

MODELS, SEEDS, SAMPLES, LABELS, GROUPS = 17, 5, 4659, 6, 676
LIMIT_S = 30.0


def entrants(models: int = MODELS, samples: int = SAMPLES) -> list[Entrant]:
    """Return made decisions of models of rising quality, in groups of about seven samples."""
    rng = np.random.default_rng(0)
    truth = (rng.random((samples, LABELS)) < 0.25).astype(np.int8)
    videos = np.sort(rng.integers(0, max(samples * GROUPS // SAMPLES, 2), samples))
    groups = tuple(f"video{g:04d}" for g in videos)
    ids = tuple(f"sample{i:05d}" for i in range(samples))
    labels = tuple(f"label{i}" for i in range(LABELS))
    found = []
    for model in range(models):
        wrong = rng.random((SEEDS, samples, LABELS)) < 0.30 - 0.01 * model
        decided = (truth[None] ^ wrong).astype(np.int8)
        found.append(
            Entrant(f"model{model}", tuple(range(SEEDS)), ids, groups, labels, "d", "video",
                    truth, decided)
        )  # fmt: skip
    return found


def reference_operation() -> float:
    """Return the seconds of one product of two 1024 x 1024 float64 matrices, the best of 9."""
    a = np.random.default_rng(1).standard_normal((1024, 1024))
    return min(seconds(lambda: a @ a) for _ in range(9))


def measure(models: int = MODELS, samples: int = SAMPLES) -> dict[str, Any]:
    """Return the seconds of intervals, ranks and the comparison with one model."""
    reference = reference_operation()
    made = entrants(models, samples)
    found: dict[str, Any] = {}
    ranks_s = seconds(lambda: found.update(ranked=standings(made, "micro_f1")))
    best = made[-1].name
    compare_s = seconds(lambda: found.update(blocks=compare(made, best, "micro_f1")))
    total = ranks_s + compare_s
    return {
        "models": models, "seeds": SEEDS, "samples": samples, "labels": LABELS,
        "groups": made[0].num_groups, "pairs_tested": models * (models - 1) // 2,
        "resamples": found["blocks"][0].B,
        "intervals_and_ranks_s": round(ranks_s, 3),
        "against_one_s": round(compare_s, 3),
        "total_s": round(total, 3), "limit": LIMIT_S, "met": total <= LIMIT_S,
        "reference_operation": "1024 x 1024 float64 matrix product",
        "reference_operation_s": round(reference, 5),
        "multiples": round(total / reference, 1),
        "rank_groups": max(max(s.rank) for s in found["ranked"]),
        "machine": machine(),
    }  # fmt: skip


def show(found: dict[str, Any]) -> str:
    """Return the figures as a sentence."""
    return (
        f"{found['total_s']} s for {found['models']} models of {found['samples']} samples "
        f"({found['multiples']} reference operations; limit {found['limit']:.0f} s)"
    )
