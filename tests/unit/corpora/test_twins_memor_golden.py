"""MEmoR's twin has the same bytes everywhere: golden digests, under kernels of linear algebra."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness_corpora.twins.memor import features_of
from harness_corpora.twins.memor_design import MEMOR
from harness_corpora.twins.memor_emission import AXES, basis
from harness_corpora.twins.memor_world import draw
from tests.unit.corpora.golden_memor import check, golden


@pytest.mark.parametrize("seed", sorted(golden()["seeds"]))
def test_twin_golden_memor_bytes(seed: str) -> None:
    check(seed)


@pytest.mark.parametrize(
    ("kernel", "threads"),
    [
        ("Prescott", "2"),
        pytest.param("Haswell", "1", marks=pytest.mark.full),
        pytest.param("Nehalem", "2", marks=pytest.mark.full),
        pytest.param("Sandybridge", "1", marks=pytest.mark.full),
    ],
)
def test_twin_golden_memor_depends_on_no_kernel_and_no_number_of_threads(
    kernel: str, threads: str
) -> None:
    """In a process each: libraries choose their kernels when they are loaded."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.corpora.golden_memor", "--check"],
        env=os.environ
        | {
            "OPENBLAS_CORETYPE": kernel,
            "OPENBLAS_NUM_THREADS": threads,
            "OMP_NUM_THREADS": threads,
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_twin_golden_memor_a_clip_is_the_same_in_every_size() -> None:
    small, large = draw(MEMOR, 0, 3).clips[2], draw(MEMOR, 0, 9).clips[2]
    for stream in MEMOR.streams:
        one, other = (features_of(MEMOR, stream, 0, clip) for clip in (small, large))
        assert np.array_equal(one, other)


def test_twin_golden_memor_basis_is_orthonormal_exactly() -> None:
    for stream in MEMOR.streams:
        rows = basis(MEMOR, stream, 0).rows
        assert np.array_equal(rows @ rows.T, np.eye(AXES + MEMOR.rank))
        assert not rows.sum(axis=1).any()
