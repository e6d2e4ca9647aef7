"""A twin is the same bytes under any kernel of linear algebra and any number of threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.corpora import small_twins

ROOT = Path(__file__).parents[3]


def in_process(folder: Path, kernel: str, threads: str) -> dict[str, Any]:
    """Return what a process finds that computes with this kernel: it is chosen at the start.

    Args:
        folder: for files and stores.
        kernel: OpenBLAS's name of it.
        threads: of linear algebra.
    """
    done = subprocess.run(
        [sys.executable, "-m", small_twins.__name__, str(folder)],
        env=os.environ
        | {
            "OPENBLAS_CORETYPE": kernel,
            "OPENBLAS_NUM_THREADS": threads,
            "OMP_NUM_THREADS": threads,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_twin_golden_store_is_the_same_under_two_kernels_and_thread_counts(tmp_path: Path) -> None:
    one = in_process(tmp_path / "one", "Haswell", "1")
    two = in_process(tmp_path / "two", "Prescott", "2")
    assert one["hashes"] == two["hashes"]
    assert len(set(one["hashes"].values())) == len(small_twins.WRITTEN)
    if one["kernels"] == two["kernels"]:
        pytest.skip(f"NumPy computes with {one['kernels']} here whatever is asked for")
