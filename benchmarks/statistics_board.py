"""Time of every statistic of a board: 17 models x 5 seeds x 4,659 samples x 6 labels, one core.

Usage: OMP_NUM_THREADS=1 python benchmarks/statistics_board.py [--write]

The reference operation is a product of two 1024 x 1024 float64 matrices on the same core; the
ratio to it tells machines apart from code.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from harness.statistics.compare import compare, standings
from harness.statistics.entrants import Entrant

MODELS, SEEDS, SAMPLES, LABELS, GROUPS = 17, 5, 4659, 6, 676
LIMIT_S = 30.0
RESULT = Path(__file__).parent / "results" / "statistics_board.json"


def entrants() -> list[Entrant]:
    """Return made decisions of models of rising quality, in groups of about seven samples."""
    rng = np.random.default_rng(0)
    truth = (rng.random((SAMPLES, LABELS)) < 0.25).astype(np.int8)
    groups = tuple(f"video{g:04d}" for g in np.sort(rng.integers(0, GROUPS, SAMPLES)))
    ids = tuple(f"sample{i:05d}" for i in range(SAMPLES))
    labels = tuple(f"label{i}" for i in range(LABELS))
    found = []
    for model in range(MODELS):
        wrong = rng.random((SEEDS, SAMPLES, LABELS)) < 0.30 - 0.01 * model
        decided = (truth[None] ^ wrong).astype(np.int8)
        found.append(
            Entrant(f"model{model}", tuple(range(SEEDS)), ids, groups, labels, "d", "video",
                    truth, decided)
        )  # fmt: skip
    return found


def reference_operation() -> float:
    """Return the seconds of one product of two 1024 x 1024 matrices, the median of 9."""
    a = np.random.default_rng(1).standard_normal((1024, 1024))
    times = []
    for _ in range(9):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return sorted(times)[4]


def main() -> int:
    """Measure; write the result with --write; end with 1 above the limit."""
    reference = reference_operation()
    models = entrants()
    start = time.perf_counter()
    ranked = standings(models, "micro_f1")
    ranks_s = time.perf_counter() - start
    start = time.perf_counter()
    blocks = compare(models, "model16", "micro_f1")
    compare_s = time.perf_counter() - start
    total = ranks_s + compare_s
    result = {
        "models": MODELS, "seeds": SEEDS, "samples": SAMPLES, "labels": LABELS,
        "groups": models[0].num_groups, "pairs_tested": MODELS * (MODELS - 1) // 2,
        "resamples": blocks[0].B, "permutations": 10_000,
        "seconds_intervals_and_ranks": round(ranks_s, 3),
        "seconds_against_reference": round(compare_s, 3),
        "seconds": round(total, 3), "limit_seconds": LIMIT_S,
        "reference_operation": "1024 x 1024 float64 matrix product",
        "reference_seconds": round(reference, 5), "ratio_to_reference": round(total / reference, 1),
        "threads": 1, "python": platform.python_version(), "numpy": np.__version__,
        "machine": platform.machine(), "rank_groups": max(max(s.rank) for s in ranked),
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    if "--write" in sys.argv[1:]:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
    return int(total > LIMIT_S)


if __name__ == "__main__":
    raise SystemExit(main())
